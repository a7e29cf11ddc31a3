"""The table of permissions, and every question it answers, worked out in plain Python that shares nothing with the project.

The only name of the project in here is the shape of a request.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml
from policy_sets import CASES

from klausel.core.terms.request import Action, Request, Resource, Subject

Row = Mapping[str, Any]
TABLE: list[Row] = yaml.safe_load((CASES / "decisions" / "permissions.yaml").read_text(encoding="utf-8"))

ACCOUNT_ROLES = ["admin", "account_manager", "user"]  # strongest first
WORKSPACE_ROLES = {"current": ["manager", "lead", "reviewer", "agent"], "earlier": ["manager", "reviewer", "agent"]}
MISSING = object()


class Person(NamedTuple):
    """Somebody who asks, with roles as (role, account, workspace or None)."""

    type: str
    id: str
    roles: tuple[tuple[str, str, str | None], ...]

    @property
    def key(self) -> str:
        return f"{self.type}:{self.id}"

    @property
    def held(self) -> list[tuple[str, str]]:
        return [
            (role, account if workspace is None else f"{account}/{workspace}") for role, account, workspace in self.roles
        ]


class Where(NamedTuple):
    """Where a question is asked; an empty part is not named."""

    account: str = ""
    workspace: str = ""


def _people() -> Iterator[Person]:
    user = ("user", "acme", None)
    for role in ACCOUNT_ROLES:
        yield Person("user", role, ((role, "acme", None),))
        yield Person("service", role, ((role, "acme", None),))
    for role in WORKSPACE_ROLES["current"]:
        yield Person("user", role, (user, (role, "acme", "support")))
        yield Person("service", role, (user, (role, "acme", "support")))
        yield Person("user", f"{role}_without_account_role", ((role, "acme", "support"),))
    yield Person("user", "nobody", ())
    yield Person("service", "nobody", ())
    yield Person("user", "agent_and_lead_elsewhere", (user, ("agent", "acme", "support"), ("lead", "acme", "sales")))
    yield Person("user", "manager_elsewhere", (user, ("manager", "acme", "sales")))
    yield Person("user", "reviewer_twice", (user, ("reviewer", "acme", "support"), ("reviewer", "acme", "sales")))
    yield Person("user", "two_in_one", (user, ("agent", "acme", "support"), ("lead", "acme", "support")))
    yield Person("user", "foreign_admin", (("admin", "globex", None),))
    yield Person("user", "foreign_manager", (("user", "globex", None), ("manager", "globex", "support")))
    yield Person("user", "user_here_manager_there", (user, ("user", "globex", None), ("manager", "globex", "support")))
    yield Person("user", "half_in_globex", (user, ("manager", "globex", "support")))
    yield Person("user", "admin_of_workspace", (user, ("admin", "acme", "support")))  # a role in the wrong kind of place
    yield Person("user", "manager_of_account", (user, ("manager", "acme", None)))


PEOPLE = list(_people())
PLACES = [
    Where("acme", "support"),
    Where("acme"),
    Where("acme", "sales"),
    Where("acme", "opened-today"),
    Where("globex"),
    Where("globex", "support"),
    Where("initech", "support"),
    Where("", "support"),
    Where(),
]


def holds(person: Person, least: str, where: Where, edition: str) -> bool:
    """Whether a person holds this role or one above it in a place; `any <role>` in some workspace of the account."""
    account_roles = {role for role, account, workspace in person.roles if account == where.account and workspace is None}
    ranks = [ACCOUNT_ROLES.index(role) for role in account_roles if role in ACCOUNT_ROLES]
    if not ranks:
        return False  # without an account role nothing counts
    if least in ACCOUNT_ROLES:
        return min(ranks) <= ACCOUNT_ROLES.index(least)
    if min(ranks) <= ACCOUNT_ROLES.index("account_manager"):
        return True  # acts as manager in every workspace, and where none is named
    order = WORKSPACE_ROLES[edition]
    is_anywhere = least.startswith("any ")
    enough = order[: order.index(least.removeprefix("any ")) + 1]
    return any(
        role in enough and account == where.account and bool(workspace) and (is_anywhere or workspace == where.workspace)
        for role, account, workspace in person.roles
    )


def is_met(wanted: object, value: object, person: Person, edition: str) -> bool:
    """Whether an attribute has the value that a row wants; types are strict."""
    if wanted == "self":
        return person.type == "user" and type(value) is str and value == person.id
    roles = {
        "account role": ACCOUNT_ROLES,
        "account role but admin": ACCOUNT_ROLES[1:],
        "workspace role": WORKSPACE_ROLES[edition],
    }
    if isinstance(wanted, str) and wanted in roles:
        return type(value) is str and value in roles[wanted]
    return type(value) is type(wanted) and value == wanted


def is_allowed(rows: list[Row], edition: str, person: Person, where: Where, attributes: Mapping[str, object]) -> bool:
    """What the table says; `rows` are those of the resource type and action."""
    if not where.account:
        return False
    for row in rows:
        least = row["least"] if edition == "current" else row.get("earlier", row["least"])
        asked = Where(where.account) if row.get("asked_in") == "account" else where
        if least == "nobody" or row.get("at") == ("account" if asked.workspace else "workspace"):
            continue
        if holds(person, least, asked, edition) and all(
            is_met(wanted, attributes.get(name), person, edition) for name, wanted in row.get("when", {}).items()
        ):
            return True
    return False


def values_to_try(name: str, wanted: object, person: Person, *, few: bool) -> list[object]:
    """Values of one attribute: those that fulfil a row, and others, missing, null and wrongly typed ones."""
    if wanted == "self":
        good: list[object] = [person.id]
        bad: list[object] = ["somebody", person.key, "", 7, True, [person.id], {"id": person.id}]
    elif name == "role":
        good = [*ACCOUNT_ROLES, *WORKSPACE_ROLES["current"]]
        bad = ["owner", "any lead", "anyone", "Agent", "agent ", "", 1, ["agent"], {"agent": True}]
    elif isinstance(wanted, bool):
        good, bad = [wanted], [str(wanted).lower(), int(wanted), not wanted, [wanted]]
    else:
        good, bad = [wanted], ["draft", [wanted], str(wanted).title(), f"{wanted} ", 1, True]
    return [*good, *(bad[:2] if few else bad), MISSING, None]


def attribute_sets(rows: list[Row], person: Person) -> Iterator[dict[str, object]]:
    """The attributes to ask with: nothing, everything that any row could want, and all combinations of what matters."""
    everything = dict.fromkeys(("owner", "creator", "reviewee", "assignee", "reviewer"), person.id)
    yield {}
    yield {**everything, "status": "published", "reviewee_disputes": True, "role": "agent"}
    matter = {name: wanted for row in rows for name, wanted in row.get("when", {}).items()}
    few = len(matter) > 1
    choices = [[(name, value) for value in values_to_try(name, wanted, person, few=few)] for name, wanted in matter.items()]
    for combination in itertools.product(*choices) if choices else ():
        if len(choices) < 3 or [value for _, value in combination].count(None) < 2:
            yield {name: value for name, value in combination if value is not MISSING}


def rows_by_cell(table: list[Row] | None = None) -> dict[tuple[str, str], list[Row]]:
    """The rows of the table by resource type and action."""
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in TABLE if table is None else table:
        for action in row["actions"]:
            cells.setdefault((row["type"], action), []).append(row)
    return cells


def resource_of(type_: str, action: str, where: Where, attributes: Mapping[str, object]) -> Resource | None:
    """The resource that an application would send from this place; None where it could not name such a one."""
    names = {"account": where.account, "workspace": where.workspace}
    named = {level: name for level, name in names.items() if name}
    if type_ == "account":
        return Resource(type_, where.account, {**named, **attributes}) if where.account else None
    if type_ == "workspace" and action != "create":
        return Resource(type_, where.workspace, {**named, **attributes}) if where.workspace else None
    return Resource(type_, f"{type_}-1", {**named, **attributes})


def questions(type_: str, edition: str, people: list[Person] = PEOPLE) -> Iterator[tuple[Person, Request, bool]]:
    """Every question on one resource type with the answer that the table gives."""
    for (row_type, action), rows in rows_by_cell().items():
        if row_type != type_:
            continue
        for person in people:
            for attributes in attribute_sets(rows, person):
                for where in PLACES:
                    resource = resource_of(type_, action, where, attributes)
                    if resource is not None:
                        subject = Subject(person.type, person.id)
                        expected = is_allowed(rows, edition, person, where, attributes)
                        yield person, Request(subject, Action(action), resource), expected
    yield from unlisted_questions(type_, people)


def unlisted_questions(type_: str, people: list[Person]) -> Iterator[tuple[Person, Request, bool]]:
    """Actions that the table does not list for this type, and properties that claim what only the store can say."""
    cells = rows_by_cell()
    for action in sorted({action for _, action in cells} | {"fly", "", "*", "View", "view "}):
        if (type_, action) in cells:
            continue
        for person in people:
            for where in PLACES[:2]:
                claims = {"roles": ["admin"], "role": "admin", "id": "admin", "type": "user"}
                attributes = {**claims, "owner": person.id, "creator": person.id, "status": "published"}
                resource = resource_of(type_, action, where, attributes)
                if resource is not None:
                    subject = Subject(person.type, person.id, claims)
                    yield person, Request(subject, Action(action, claims), resource, claims), False
