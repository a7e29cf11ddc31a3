"""What roles are stored as stays the same when they are called otherwise, and a difference says whom a former name changes."""

from __future__ import annotations

from flips import flip
from policy_sets import policy_of

from klausel.core.difference.compare import PolicyDifference, difference_between
from klausel.core.difference.people import Concerned
from klausel.core.difference.renames import renames_between
from klausel.core.difference.report import DifferenceReport, notes
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.request import Action, Request, Resource, Subject

FEATURE = """
resource_types: {note: {actions: [read, write]}}
grants:
  - {allow: reader, to: read, resource: note}
  - {allow: writer, to: write, resource: note}
"""
INVARIANTS = "invariants:\n  - {name: only they, at_most: writer, to: write, resource: note}\n"


def policy(*roles: str, feature: str = FEATURE, invariants: str = INVARIANTS) -> PolicySet:
    listed = "".join(f"  {role}\n" for role in roles)
    text = f"levels: {{site: {{constant: main}}}}\nroles:\n{listed}"
    return policy_of({"roles.yaml": text, "features/notes.yaml": feature, "invariants.yaml": invariants})


READER, WRITER = "reader: {level: site}", "writer: {level: site, contains: reader, keep_one: true}"
PLAIN = policy(WRITER, READER)


def told(difference: PolicyDifference) -> list[str]:
    found = (f"{'+' if change.gain else '-'} {change.action}: {', '.join(change.who)}" for change in difference.changes)
    return [*found, *notes(DifferenceReport(difference, "a", "b"))]


def test_who_is_stored_under_a_former_name_that_meant_nothing_gains() -> None:
    after = policy(WRITER, "reader: {level: site, was: guest}")
    gained = "whoever is stored as guest in the database is reader from now on, and gains what that may do"
    assert told(difference_between(PLAIN, after)) == ["+ read: guest", gained]
    lost = "whoever is stored as guest in the database is reader no more, and loses what that may do"
    assert told(difference_between(after, PLAIN)) == ["- read: guest", lost]
    assert told(difference_between(after, after)) == []
    difference = difference_between(PLAIN, after)
    assert Concerned(difference).flips("user:ann", [("guest", "main")]) == ({0}, set())
    assert Concerned(difference).roles() == {"guest", "reader", "writer"}
    asked = Request(Subject("user", "ann"), Action("read"), Resource("note", "n1"))
    assert [flip(difference, [(role, "main")], asked) for role in ("guest", "reader", "stranger")] == [True, None, None]


def test_a_role_that_keeps_its_holders_under_another_name_changes_nothing() -> None:
    feature, invariants = (text.replace("writer", "editor") for text in (FEATURE, INVARIANTS))
    editor = WRITER.replace("writer", "editor").replace("site,", "site, was: writer,")
    after = policy(editor, READER, feature=feature, invariants=invariants)
    difference = difference_between(PLAIN, after)
    assert told(difference) == []
    renames = renames_between(PLAIN, after)
    assert [str(rename) for rename in renames] == [
        "role writer is called editor now, and whoever is writer in the database keeps it"
    ]
    less = feature.replace("  - {allow: reader, to: read, resource: note}\n", "")
    assert told(difference_between(PLAIN, policy(editor, READER, feature=less, invariants=invariants))) == ["- read: reader"]


def test_who_held_a_role_that_is_another_one_now_gains_and_loses_by_that() -> None:
    apart = policy("writer: {level: site}", READER)
    merged = policy("writer: {level: site, was: reader}", feature=FEATURE.replace("allow: reader", "allow: writer"))
    gained = "whoever is stored as reader in the database is writer from now on, and was reader"
    assert told(difference_between(apart, merged)) == ["+ read: writer", "+ write: reader", gained]
    swapped = policy("writer: {level: site, was: old}", READER)
    before = policy("writer: {level: site}", "reader: {level: site, was: old}")
    moved = "whoever is stored as old in the database is writer from now on, and was reader"
    assert told(difference_between(before, swapped)) == ["- read: old", "+ write: old", moved]
