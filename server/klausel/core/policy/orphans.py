"""Stored role assignments that a policy set does not know: their role is not declared, or is one of another level."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from klausel.core.policy.role_hints import misspelt_role
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.problem import Place, Problem


class StoredRole(NamedTuple):
    """How many stored role assignments have a role in domains of so many parts."""

    role: str
    depth: int
    number: int


def orphaned_roles(roles: RoleModel, stored: Iterable[StoredRole]) -> tuple[StoredRole, ...]:
    """Those of the stored roles that count for nothing under a role model, sorted."""
    return tuple(sorted(one for one in stored if is_orphaned(roles, one.role, one.depth)))


def is_orphaned(roles: RoleModel, role: str, depth: int) -> bool:
    """Whether a stored role in domains of so many parts counts for nothing under a role model."""
    return roles.stored_depths.get(role) != depth


def why_orphaned(roles: RoleModel, role: str) -> str:
    """Why assignments of a role are orphaned, as the end of a sentence."""
    if role not in roles.stored_depths:
        return "which no policy file declares"
    return f"which is of level {roles.level_of(roles.name_now(role)).name} now"


def orphan_problems(roles: RoleModel, orphaned: Iterable[StoredRole], roles_file: str) -> tuple[Problem, ...]:
    """One error for each orphaned role; `roles_file` is the name of `roles.yaml` for people."""
    problems = []
    for role, _, number in orphaned:
        held_by = f"{number} stored role assignment{' has' if number == 1 else 's have'}"
        message = f'{held_by} the role "{role}", {why_orphaned(roles, role)}, so whoever holds it would be locked out'
        near = misspelt_role(role, roles.roles) if role not in roles.roles else None
        meant = f'did you mean "{near}"? Write' if near else "write"
        hint = f"{meant} was: {role} below the role that it is now, or move its holders with klausel assignments rename-role"
        problems.append(Problem(Place(roles_file, 1, 1), "orphaned-assignments", message, hint))
    return tuple(problems)
