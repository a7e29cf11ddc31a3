"""Lists of types, `*` for all that is declared, and a place for a whole file: the grants that they stand for."""

from __future__ import annotations

from policy_sets import policy_of

from klausel.core.difference.compare import difference_between
from klausel.core.lint.registry import lint

ROLES = """
levels: {company: {named_by: company}, team: {named_by: team}}
roles: {boss: {level: company, contains: hand}, hand: {level: team}}
"""
TYPES = """
resource_types:
  door: {actions: [open, paint]}
  gate: {actions: [open, lift]}
"""


def grants_of(entries: str, types: str = TYPES, head: str = "") -> list[str]:
    policy = policy_of(
        {"roles.yaml": ROLES, "features/types.yaml": types, "features/grants.yaml": f"{head}grants:\n{entries}"}
    )
    return [str(grant) for grant in policy.grants]


def test_a_list_of_types_is_each_of_them() -> None:
    assert grants_of("  - {allow: hand, to: open, resource: [gate, door]}\n") == [
        "allow hand to open gate",
        "allow hand to open door",
    ]


def test_a_star_is_all_that_is_declared_and_has_what_is_named() -> None:
    assert grants_of('  - {allow: hand, to: "*", resource: gate}\n') == [
        "allow hand to open gate",
        "allow hand to lift gate",
    ]
    assert grants_of('  - {allow: hand, to: [lift, open], resource: "*"}\n') == [
        "allow hand to open door",
        "allow hand to open gate",
        "allow hand to lift gate",
    ]
    assert len(grants_of('  - {allow: [boss, hand], to: "*", resource: "*", in: [acme, beta]}\n')) == 2 * 4 * 2


def test_rows_of_csv_may_have_stars_too() -> None:
    csv = "p, hand, acme/*, *, open, , allow\np, hand, *, gate, *, , deny\n"
    policy = policy_of({"roles.yaml": ROLES, "features/types.yaml": TYPES, "features/grants.csv": csv})
    assert [str(grant) for grant in policy.grants] == [
        "allow hand to open door in acme/*",
        "allow hand to open gate in acme/*",
        "deny hand to open gate",
        "deny hand to lift gate",
    ]


def test_an_action_that_is_added_later_is_shown_by_the_difference() -> None:
    files = {"roles.yaml": ROLES, "features/grants.yaml": 'grants:\n  - {allow: boss, to: "*", resource: door}\n'}
    before = policy_of({**files, "features/types.yaml": TYPES})
    after = policy_of({**files, "features/types.yaml": TYPES.replace("paint]", "paint, close]")})
    (change,) = difference_between(before, after).changes
    assert (change.action, change.resource_type, change.who, change.relation) == ("close", "door", ("boss",), "gained")
    assert change.causes[0].source == "features/grants.yaml:2"


def test_a_place_at_the_head_is_that_of_all_grants_without_one() -> None:
    entries = "  - {allow: hand, to: open, resource: door}\n  - {allow: hand, to: open, resource: gate, in: acme/red}\n"
    assert grants_of(entries, head="in: [acme, beta/red]\n") == [
        "allow hand to open door in acme",
        "allow hand to open door in beta/red",
        "allow hand to open gate in acme/red",
    ]
    assert grants_of("  - {allow: hand, to: open, resource: door, at_level: team}\n", head='in: "acme/*"\n') == [
        "allow hand to open door in acme/* at level team"
    ]


def test_an_allow_for_all_may_have_exceptions() -> None:
    assert len(grants_of('  - {allow: hand, to: "*", resource: door}\n  - {deny: hand, to: paint, resource: door}\n')) == 3


def test_what_stands_for_all_is_warned_of_only_where_none_of_it_decides_anything() -> None:
    files = {"roles.yaml": ROLES, "features/types.yaml": TYPES}
    hand = '  - {allow: hand, to: "*", resource: door}\n'
    partly = hand + '  - {allow: boss, to: "*", resource: "*"}\n'
    wholly = hand + '  - {allow: boss, to: "*", resource: door}\n'
    found = [
        [problem.id for problem in lint(policy_of({**files, "features/grants.yaml": f"grants:\n{entries}"}))]
        for entries in (partly, wholly)
    ]
    assert "covered-grant" not in found[0]
    assert "covered-grant" in found[1]
