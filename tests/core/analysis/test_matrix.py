"""The matrix of roles by actions is the table of permissions, place by place, in both editions."""

from collections.abc import Mapping

import pytest
from permission_table import ACCOUNT_ROLES, PEOPLE, TABLE, Person, questions
from policy_sets import EDITIONS, policy_of, read_policy

from klausel.core.analysis.matrix import Cell, Row, matrix_row, matrix_rows, same_cell
from klausel.core.analysis.permission import Permission
from klausel.core.conditions.tree import evaluate
from klausel.core.decisions.domain import domain_of
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.request import Request

TYPES = sorted({row["type"] for row in TABLE})
PLAIN_PEOPLE = [person for person in PEOPLE if set(person.held) <= {(role, "acme") for role in ACCOUNT_ROLES}]
PLAIN_PEOPLE += [
    person for person in PEOPLE if person.held[:1] == [("user", "acme")] and person.held[-1][1] == "acme/support"
]
PLAIN_PEOPLE = [
    person for person in PLAIN_PEOPLE if person.held and len(person.held) < 3 and person.held[-1][0] == person.id
]


def where_told(held_in: str, asked_in: str) -> tuple[str, str]:
    """How the matrix calls the place of a question, seen from the domain where a role is held."""
    level = "workspace" if "/" in asked_in else "account"
    if asked_in == held_in:
        return f"in the {level}", "inside"
    if asked_in.startswith(held_in + "/"):
        return f"in any {level} of it", "inside"
    return ("in another workspace" if "/" in asked_in else "in the account"), "elsewhere"


def holds(permission: Permission | None, request: Request) -> bool:
    if permission is None or permission.verdict == "never":
        return False
    return permission.condition is None or evaluate(permission.condition, request) is True


def says(row: Row, person: Person, policy: PolicySet, request: Request) -> bool:
    """What the columns of the person's roles say together."""
    domain = domain_of(policy.roles, policy.resource_types[row.resource_type], row.action, request.resource)
    if not isinstance(domain, str) or not (domain + "/").startswith("acme/"):
        return False
    for role, held_in in person.held:
        told = {(one.where, one.nearness): one.permission for one in row.cells[role].told} if role in row.cells else {}
        if holds(told.get(where_told(held_in, domain)), request):
            return True
    return False


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("edition", EDITIONS)
def test_the_cells_of_a_persons_roles_say_what_the_table_says_everywhere(edition: str, type_: str) -> None:
    policy = read_policy(EDITIONS[edition])
    rows = {row.action: row for row in matrix_rows(policy) if row.resource_type == type_}
    people = [person for person in PLAIN_PEOPLE if person.id in policy.roles.roles]
    assert len(people) >= 12
    for person, request, expected in questions(type_, edition, people):
        if request.action.name in rows:
            assert says(rows[request.action.name], person, policy, request) is expected, (person, request)


ROLES = (
    "levels: {company: {named_by: company}, team: {named_by: team}}\nroles: {boss: {level: company}, hand: {level: team}}\n"
)


def cells(grants: str, conditions: str = "{}") -> Mapping[str, Cell]:
    feature = "resource_types: {door: {actions: [open]}}\ngrants:\n" + grants
    files = {"roles.yaml": ROLES, "conditions.yaml": conditions, "features/doors.yaml": feature}
    return matrix_row(policy_of(files), "door", "open").cells


ALLOW = "  - {allow: boss, to: open, resource: door}\n"


def test_a_domain_that_a_grant_names_is_told_where_it_differs() -> None:
    deny = cells(ALLOW + "  - {deny: boss, to: open, resource: door, in: acme/vault}\n")
    assert {name: cell.text for name, cell in deny.items()} == {"boss": "yes; in acme/vault: no", "hand": "no"}
    allow = cells("  - {allow: hand, to: open, resource: door, in: acme}\n")
    assert {name: cell.text for name, cell in allow.items()} == {"boss": "no", "hand": "in acme/*: yes"}


def test_anyone_has_a_column_where_a_grant_names_it() -> None:
    assert "anyone" not in cells(ALLOW)
    found = cells("  - {allow: anyone, to: open, resource: door, when: resource.unlocked}\n")
    assert {name: cell.text for name, cell in found.items()} == {
        "boss": "when resource.unlocked",
        "hand": "when resource.unlocked",
        "anyone": "when resource.unlocked",
    }


def test_conditions_are_told_by_their_names_also_inside_longer_ones() -> None:
    names = "is_day: context.hour >= 8 and context.hour < 20\nis_open: resource.open == true\n"
    allow = "  - {allow: boss, to: open, resource: door, when: 'is_day and (is_open or subject.id == \"ann\")'}\n"
    assert cells(allow, names)["boss"].text == 'when is_day and (is_open or subject.id == "ann")'
    deny = "  - {deny: boss, to: open, resource: door, when: is_day}\n"
    assert cells(ALLOW + deny, names)["boss"].text == "when not is_day"


def test_cells_are_the_same_when_they_allow_the_same_however_it_is_written() -> None:
    one = cells("  - {allow: boss, to: open, resource: door, when: 'not (resource.a or resource.b)'}\n")["boss"]
    other = cells("  - {allow: boss, to: open, resource: door, when: 'not resource.b and not resource.a'}\n")["boss"]
    narrower = cells("  - {allow: boss, to: open, resource: door, when: 'not resource.b'}\n")["boss"]
    assert same_cell(one, other)
    assert not same_cell(one, narrower)
    assert not same_cell(one, None)
    assert same_cell(None, cells(ALLOW)["hand"])
