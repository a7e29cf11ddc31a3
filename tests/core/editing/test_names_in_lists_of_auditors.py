"""What auditors and proofs read (`privileged`, `toxic`, `subject_types`) has names like any grant: offered, found, renamed."""

from __future__ import annotations

from dataclasses import replace

from klausel.core.editing.completion import offers_at
from klausel.core.editing.hover import about_mention
from klausel.core.editing.mentions import mentions_in
from klausel.core.editing.renaming import edits_to_rename
from klausel.core.loading.declared_names import declared_names
from klausel.core.loading.load import SourceFile, load_policy

TEXTS = {
    "roles.yaml": "levels:\n  org: {named_by: org}\nroles:\n  boss: {level: org, privileged: true}\n  clerk: {level: org}\n",
    "properties.yaml": "subject_types: [user, service]\n",
    "features/bills.yaml": "resource_types:\n  bill:\n    actions: [pay, approve, see]\n    privileged: [pay]\n\n"
    "grants:\n  - {allow: boss, to: pay, resource: bill}\n  - {allow: clerk, to: [approve, see], resource: bill}\n",
    "invariants.yaml": "invariants:\n  - name: Nobody pays what they approved\n    toxic:\n"
    "      - {to: pay, resource: bill}\n      - {to: approve, resource: bill}\n",
}
FILES = [SourceFile(name, f"policies/{name}", text.encode()) for name, text in TEXTS.items()]


def offered(name: str, text: str) -> set[str]:
    lines = text.split("\n")
    return {
        offer.text
        for offer in offers_at(text, name, len(lines) - 1, len(lines[-1]), declared_names(FILES)[0], mentions_in(FILES))
    }


def test_they_are_offered_where_they_stand() -> None:
    actions = {"pay", "approve", "see"}
    start = "resource_types:\n  bill:\n    actions: [pay, approve, see]\n    "
    assert "privileged: " in offered("features/bills.yaml", start)
    assert offered("features/bills.yaml", f"{start}privileged: [") == actions
    assert offered("roles.yaml", "roles:\n  boss:\n    level: org\n    privileged: ") == {"true", "false"}
    assert "toxic: " in offered("invariants.yaml", "invariants:\n  - name: a\n    ")
    assert offered("invariants.yaml", "invariants:\n  - toxic: [{to: pay, resource: bill}, {to: ") == actions
    assert offered("tests/bills_test.yaml", "people:\n  bot: {type: ") == {"user", "service"}
    assert offered("properties.yaml", "stored:\n  subjects: ") == {"user", "service"}
    assert "subject_types: " in offered("properties.yaml", "")


def test_a_place_of_stars_is_offered_for_each_level_below_the_top() -> None:
    start = "grants:\n  - allow: boss\n    in: "
    assert offered("features/bills.yaml", start) == set()
    names = replace(declared_names(FILES)[0], levels=("org", "team", "desk"))
    found = offers_at(start, "features/bills.yaml", 2, len("    in: "), names, mentions_in(FILES))
    assert [one.text for one in found] == ['"*/*"', '"*/*/*"']


def test_an_action_is_renamed_in_them_too() -> None:
    mentions = mentions_in(FILES)
    pay = next(one for one in mentions if one.name == "pay")
    changed = {(edit.file, edit.line) for edit in edits_to_rename(FILES, mentions, pay, "settle")}
    assert changed == {
        *(("policies/features/bills.yaml", line) for line in (3, 4, 7)),
        ("policies/invariants.yaml", 4),
    }


def test_whoever_points_at_a_privileged_name_is_told() -> None:
    policy = load_policy(FILES).policy
    assert policy is not None
    mentions = mentions_in(FILES)
    told = {
        name: about_mention(policy, next(one for one in mentions if one.name == name)) for name in ("boss", "bill", "clerk")
    }
    assert "Privileged: `klausel findings` lists who holds it" in told["boss"]
    assert "Privileged: pay" in told["bill"]
    assert "Privileged" not in told["clerk"]
