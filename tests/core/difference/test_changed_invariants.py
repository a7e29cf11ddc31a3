"""Which invariants are told as changed: those that demand otherwise, and none that is only called or declared otherwise."""

from __future__ import annotations

import pytest

from klausel.core.difference.commit_changes import Topic, changes_of_commit
from klausel.core.difference.compare import difference_between
from klausel.core.difference.report import DifferenceReport
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet

ROLES = """
levels: {firm: {named_by: firm}}
roles:
  owner: {level: firm, contains: clerk}
  clerk: {level: firm}
"""
TYPES = "till: {actions: [open, close]}, stock: {actions: [count]}"
GRANT = "{allow: clerk, to: open, resource: till}"
STRANGERS = '{name: strangers, never: outsider, to: "*", resource: "*"}'
CLERKS = "{name: clerks, never: clerk, to: close, resource: [till]}"


def stating(*invariants: str, types: str = TYPES, roles: str = ROLES, grant: str = GRANT) -> PolicySet:
    files = {
        "roles.yaml": roles,
        "features/a.yaml": f"resource_types: {{{types}}}\ngrants: [{grant}]\n",
        "invariants.yaml": f"invariants: [{', '.join(invariants)}]\n",
    }
    return load_policy(SourceFile(name, name, text.encode()) for name, text in files.items()).or_raise()


def told(before: PolicySet, after: PolicySet) -> list[str]:
    """What the log of a commit and a difference say of invariants, which is the same."""
    in_log = [str(rule) for rule in changes_of_commit(before, after, "c1", Topic()).rules]
    in_difference = DifferenceReport(difference_between(before, after), "before", "after", ()).rules
    assert in_log == [str(rule) for rule in in_difference]
    return in_log


@pytest.mark.parametrize("other", [f"{TYPES}, safe: {{actions: [open]}}", "till: {actions: [open, close, lock]}"])
def test_a_promise_about_everything_is_the_same_when_types_and_actions_come_and_go(other: str) -> None:
    before, after = stating(STRANGERS), stating(STRANGERS, types=other)
    assert told(before, after) == told(after, before) == []
    monotone = "{name: steps, monotone: true}"
    assert told(stating(monotone), stating(monotone, types=other)) == []


def test_a_type_that_a_promise_names_from_now_on_makes_it_stronger() -> None:
    more = "{name: clerks, never: clerk, to: close, resource: [till, safe]}"
    after = stating(more, types=f"{TYPES}, safe: {{actions: [close]}}")
    assert told(stating(CLERKS), after) == [
        'the invariant "clerks" is stronger: it demands more than before (invariants.yaml:1)'
    ]
    every = '{name: clerks, never: clerk, to: close, resource: "*"}'
    assert told(stating(CLERKS, types=f"{TYPES}, safe: {{actions: [close]}}"), stating(every)) == []


def test_a_promise_about_everything_that_speaks_of_others_has_moved() -> None:
    wider = '{name: strangers, never: [outsider, clerk], to: "*", resource: stock}'
    narrower = '{name: strangers, never: outsider, to: "*", resource: stock}'
    assert told(stating(narrower), stating(wider)) == [
        'the invariant "strangers" is stronger: it demands more than before (invariants.yaml:1)'
    ]
    assert told(stating(STRANGERS), stating(narrower)) == [
        'the invariant "strangers" is weaker: it demands less than before (invariants.yaml:1)'
    ]


def test_a_promise_with_another_name_is_the_same_promise() -> None:
    renamed = CLERKS.replace("name: clerks", "name: no clerk closes")
    assert told(stating(CLERKS, STRANGERS), stating(STRANGERS, renamed)) == []
    other = renamed.replace("to: close", "to: open")
    assert [one.rpartition(" (")[0] for one in told(stating(CLERKS), stating(other))] == [
        'the invariant "clerks" is demanded no more',
        'the invariant "no clerk closes" is new',
    ]


def test_a_promise_about_a_role_with_another_name_is_the_same_promise() -> None:
    roles = ROLES.replace("contains: clerk}", "contains: cashier}").replace(
        "clerk: {level: firm}", "cashier: {level: firm, was: clerk}"
    )
    after = stating(CLERKS.replace("never: clerk", "never: cashier"), roles=roles, grant=GRANT.replace("clerk", "cashier"))
    assert told(stating(CLERKS), after) == []


def test_promises_without_a_name_that_speak_of_the_same_people_are_told_apart() -> None:
    first, second = "{at_most: owner, to: [open, close], resource: till}", "{at_most: owner, to: count, resource: stock}"
    fewer = first.replace("[open, close]", "open")
    assert told(stating(first, second), stating(fewer, second)) == [
        'the invariant "at_most: owner" is weaker: it demands less than before (invariants.yaml:1)'
    ]
    assert [one.rpartition(" (")[0] for one in told(stating(first, second), stating(second))] == [
        'the invariant "at_most: owner" is demanded no more'
    ]
    assert told(stating(first, second), stating(second, first)) == []
    assert told(stating(second), stating(second, first)) == ['the invariant "at_most: owner" is new (invariants.yaml:1)']


def test_of_promises_that_say_the_same_the_one_that_is_gone_is_named() -> None:
    other = CLERKS.replace("name: clerks", "name: twins")
    assert [one.rpartition(" (")[0] for one in told(stating(CLERKS, other), stating(other))] == [
        'the invariant "clerks" is demanded no more'
    ]
