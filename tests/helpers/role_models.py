"""Small role models for tests: one, two and three levels, with and without constants."""

from __future__ import annotations

from types import MappingProxyType

from klausel.core.policy.roles import Level, Role, RoleModel
from klausel.core.terms.problem import Place

NOWHERE = Place("roles.yaml", 1, 1)


def level(name: str, depth: int, constant: str | None = None, requires_role_above: bool = False) -> Level:
    """A level that is named by a property and a type with its own name, or constant."""
    named = None if constant else name
    return Level(name, depth, named, named, constant, requires_role_above, NOWHERE)


def model(levels: list[Level], roles: dict[str, tuple[str, list[str]]], keep_one: tuple[str, ...] = ()) -> RoleModel:
    """A role model of levels, top first, and of roles with their level and the roles that they contain."""
    declared = {name: Role(name, at, tuple(contains), name in keep_one, NOWHERE) for name, (at, contains) in roles.items()}
    return RoleModel(tuple(levels), MappingProxyType(declared))


ONE_LEVEL = model([level("team", 1)], {"owner": ("team", ["member"]), "member": ("team", [])})
TWO_LEVELS = model(
    [level("account", 1), level("workspace", 2, requires_role_above=True)],
    {
        "admin": ("account", ["user", "lead"]),
        "user": ("account", []),
        "lead": ("workspace", ["agent"]),
        "agent": ("workspace", []),
    },
    keep_one=("admin",),
)
THREE_LEVELS = model(
    [level("company", 1), level("site", 2), level("desk", 3, requires_role_above=True)],
    {
        "boss": ("company", ["manager"]),
        "manager": ("site", ["clerk"]),
        "clerk": ("desk", ["guest"]),
        "guest": ("desk", []),
    },
)
CONSTANT_LEVEL = model(
    [level("system", 1, constant="main"), level("room", 2)],
    {"root": ("system", ["keyholder"]), "keyholder": ("room", [])},
)
