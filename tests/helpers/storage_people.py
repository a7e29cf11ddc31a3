"""The roles, and the racing writers, of the storage tests."""

from __future__ import annotations

from types import MappingProxyType

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.holding import Pairs, held_at
from klausel.core.policy.roles import Level, Role, RoleModel
from klausel.core.terms.problem import Place
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState
from klausel.storage.change_log.reader import LogReader, MomentInLog
from klausel.storage.schema import open_database

HERE = Place("policies/roles.yaml", 1, 1)


def row(subject: str, role: str, domain: str) -> Assignment:
    """`row("ann", "admin", "acme")`: the subject's type is `user`."""
    return Assignment(f"user:{subject}", role, domain)


def held_by_at(reader: LogReader, subject: str, moment: MomentInLog) -> Pairs:
    """The (role, domain) pairs that one subject held at a moment, through groups too, sorted."""
    return held_at(subject, reader.rows_at(subject, moment), moment.seconds).pairs


def model(*levels: Level, roles: tuple[Role, ...]) -> RoleModel:
    return RoleModel(levels, MappingProxyType({role.name: role for role in roles}))


ROLES = model(
    Level("account", 1, "account", "account", None, False, HERE),
    Level("workspace", 2, "workspace", "workspace", None, True, HERE),
    roles=(
        Role("admin", "account", ("account_manager",), True, HERE),
        Role("account_manager", "account", ("user", "manager"), False, HERE),
        Role("user", "account", (), False, HERE),
        Role("manager", "workspace", ("lead",), False, HERE),
        Role("lead", "workspace", ("reviewer",), False, HERE),
        Role("reviewer", "workspace", ("agent",), False, HERE),
        Role("agent", "workspace", (), False, HERE),
    ),
)


def try_to_write(url: str, grant: list[Assignment], revoke: list[Assignment]) -> str:
    """One write by a process of its own; what became of it."""
    store = AssignmentStore(open_database(url))
    try:
        store.write(ROLES, grant, revoke)
    except ForbiddenState:
        return "forbidden"
    else:
        return "written"
    finally:
        store.close()
