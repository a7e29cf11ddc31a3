"""`provisioning.yaml`: which roles the groups of an identity provider give."""

from __future__ import annotations

import pytest

from klausel.core.loading.load import LoadResult, SourceFile, load_policy
from klausel.core.policy.provisioning import GroupRoles, Provisioning
from klausel.core.terms.problem import Place

ROLES = b"""
levels: {firm: {named_by: firm}, team: {named_by: team, requires_role_above: true}}
roles: {boss: {level: firm}, clerk: {level: firm}, helper: {level: team}}
"""
MAPPING = """
subject_from: email
subject_type: person
leavers_lose: everything
groups:
  Bosses: {north: [boss, clerk]}
  north-{team}-helpers: {north: clerk, "north/{team}": helper}
  north-{it}: {north: clerk}
"""


def load(mapping: str, *further: SourceFile) -> LoadResult:
    """A small policy set with this mapping."""
    files = [SourceFile("roles.yaml", "roles.yaml", ROLES)]
    return load_policy([*files, SourceFile("provisioning.yaml", "provisioning.yaml", mapping.encode()), *further])


def mapping() -> Provisioning:
    found = load(MAPPING).or_raise().provisioning
    assert found is not None
    return found


def problems(mapping: str) -> list[str]:
    return [f"{one.place.line}:{one.place.column} {one.id} {one.message}" for one in load(mapping).problems]


def test_a_policy_set_without_the_file_takes_nobody_from_elsewhere() -> None:
    policy = load_policy([SourceFile("roles.yaml", "roles.yaml", ROLES)]).or_raise()
    assert policy.provisioning is None


def test_what_is_not_said_is_the_usual() -> None:
    policy = load("subject_from: userName\n").or_raise()
    assert policy.provisioning == Provisioning("userName", "user", "memberships", ())


@pytest.mark.parametrize(
    ("group", "roles"),
    [
        ("Bosses", (("boss", "north"), ("clerk", "north"))),
        ("bosses", ()),
        ("Bosses ", ()),
        # By two names, and clerk once.
        ("north-mail-helpers", (("clerk", "north"), ("helper", "north/mail"))),
        ("north-a-b-helpers", (("clerk", "north"), ("helper", "north/a-b"))),
        ("north--helpers", (("clerk", "north"),)),
        ("north-x/y-helpers", ()),
        ("north-", ()),
        ("north-{it}", (("clerk", "north"),)),
        ("south-mail-helpers", ()),
    ],
)
def test_a_group_has_the_roles_of_every_name_that_it_fits(group: str, roles: tuple[tuple[str, str], ...]) -> None:
    assert mapping().roles_of(group) == roles


def test_a_part_that_would_overlap_what_is_around_it_fits_nothing() -> None:
    both = GroupRoles("ab{x}ba", (("boss", "{x}"),), Place("f", 1, 1))
    assert [list(both.roles_of(name)) for name in ("aba", "abba", "ab1ba")] == [[], [], [("boss", "1")]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("groups: {}\n", "1:1 missing-key nothing says what of a person is the id of the subject"),
        ("subject_from: mail\n", '1:15 wrong-value subject_from is "mail"'),
        ("subject_from: email\nleavers_lose: all\n", '2:15 wrong-value leavers_lose is "all"'),
        ("subject_from: email\nsubject_type: ' '\n", "2:16 wrong-kind subject_type is empty"),
        ("subject_from: email\ngroups: {A: {north: bos}}\n", '2:21 unknown-role unknown role "bos"'),
        (
            "subject_from: email\ngroups: {A: {north: helper}}\n",
            '2:14 bad-domain role "helper" is of level team, but "north" is not',
        ),
        (
            'subject_from: email\ngroups: {"A {x}": {"{y}": boss}}\n',
            '2:21 bad-domain the name of the group has no {y}, so "{y}" is no domain',
        ),
        (
            'subject_from: email\ngroups: {"{x} {y}": {"{y}": boss}}\n',
            '2:11 wrong-value "{x} {y}" cannot be the name of a group here',
        ),
        ("subject_from: email\nsubject_type: group\n", '2:15 bad-name subject_type "group" is that of groups'),
        ("subject_from: email\ngroups: [A]\n", "2:9 wrong-kind groups is a list, not keys and values"),
        ("subject_from: email\ngroup: {}\n", '2:1 unknown-key unknown key "group"'),
    ],
)
def test_a_fault_is_told_at_its_place(text: str, found: str) -> None:
    assert problems(text) == [found]


def test_a_group_cannot_give_two_roles_that_exclude_each_other() -> None:
    rule = SourceFile("invariants.yaml", "invariants.yaml", b"invariants: [{separate: [boss, helper]}]\n")
    both = load('subject_from: email\ngroups: {"A {x}": {north: [clerk, boss], "north/{x}": helper}}\n', rule)
    assert [(str(one.place), one.id, one.message) for one in both.problems] == [
        (
            "provisioning.yaml:2:55",
            "assignment-rule",
            "group:A {x} would be boss in north and helper in north/{x}; nobody may hold both",
        )
    ]
    apart = load("subject_from: email\ngroups: {A: {north: [boss, clerk]}, B: {north/mail: helper}}\n", rule)
    assert apart.problems == ()


def test_a_later_folder_adds_groups_and_does_not_say_who_people_are() -> None:
    more = b"groups: {Clerks: {south: clerk}, Bosses: {south: boss}}\nsubject_from: userName\n"
    later = SourceFile("provisioning.yaml", "more/provisioning.yaml", more, layer=1)
    assert [(str(one.place), one.id) for one in load(MAPPING, later).problems] == [
        ("more/provisioning.yaml:1:34", "later-folder"),
        ("more/provisioning.yaml:2:1", "later-folder"),
    ]
    good = SourceFile("provisioning.yaml", "more/provisioning.yaml", b"groups: {Clerks: {south: clerk}}", layer=1)
    found = load(MAPPING, good).or_raise().provisioning
    assert found is not None and found.roles_of("Clerks") == (("clerk", "south"),)
