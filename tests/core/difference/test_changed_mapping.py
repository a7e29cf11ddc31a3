"""A change of `provisioning.yaml` decides nothing and gives people roles: a difference tells it."""

from __future__ import annotations

from klausel.core.difference.rules import changed_rules
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet

ROLES = b"levels: {firm: {named_by: firm}}\nroles: {boss: {level: firm}, clerk: {level: firm}}\n"
BEFORE = "subject_from: userName\ngroups:\n  All: {north: clerk}\n  Old: {south: boss}\n"
AFTER = "subject_from: email\nsubject_type: person\nleavers_lose: everything\ngroups:\n  All: {north: [clerk, boss]}\n"


def mapped(mapping: str | None) -> PolicySet:
    files = [SourceFile("roles.yaml", "roles.yaml", ROLES)]
    if mapping is not None:
        files.append(SourceFile("provisioning.yaml", "provisioning.yaml", mapping.encode()))
    return load_policy(files).or_raise()


def told(before: str | None, after: str | None) -> list[tuple[str, str]]:
    return [
        (str(rule).removeprefix("provisioning: "), rule.movement) for rule in changed_rules(mapped(before), mapped(after))
    ]


def test_each_role_that_groups_give_otherwise_is_told_with_its_line() -> None:
    assert told(BEFORE, AFTER) == [
        ("people are now person subjects by email, no longer user subjects by userName", "other"),
        ("who leaves now loses everything", "stronger"),
        ('groups called "All" now give boss in north (provisioning.yaml:5)', "weaker"),
        ('groups called "Old" no longer give boss in south (provisioning.yaml:4)', "stronger"),
    ]
    assert told(AFTER, AFTER) == []


def test_a_mapping_that_comes_or_goes_is_told() -> None:
    assert told(None, "subject_from: email\n") == [("identity providers may now send people and groups", "weaker")]
    assert told(BEFORE, None) == [
        ("identity providers may send nobody any more", "stronger"),
        ('groups called "All" no longer give clerk in north (provisioning.yaml:3)', "stronger"),
        ('groups called "Old" no longer give boss in south (provisioning.yaml:4)', "stronger"),
    ]
