"""The picture of all roles: a band for each level, an arrow to each role that another contains, and what each adds."""

from __future__ import annotations

from collections.abc import Iterator

from klausel.core.pictures.picture import Arrow, Box, Picture, by_type, capped
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import RoleModel, parts_of

_ADDS = (
    "An arrow goes from a role to one that it contains. A box lists what grants give to the role beyond those that it "
    "contains; an action with * under a condition."
)


def role_picture(policy: PolicySet) -> Picture:
    """All roles of a policy set, the levels from the top, stronger roles left of those that they contain."""
    roles = policy.roles
    columns = _columns(roles)
    bands = {level.name: band for band, level in enumerate(roles.levels)}
    boxes = []
    for role in roles.roles.values():
        lines = tuple(_added(policy, role.name))
        boxes.append(
            Box(role.name, role.name, "role", columns[role.name], bands[role.level], capped(lines), "\n".join(lines))
        )
    arrows = [
        *(Arrow(role.name, inner) for role in roles.roles.values() for inner in role.contains),
        *(
            Arrow(role.name, inner, f"in {place}", True)
            for role in roles.roles.values()
            for inner, place in role.contains_in
        ),
    ]
    remarks = [_ADDS]
    if any(role.contains_in for role in roles.roles.values()):
        remarks.append("A dashed arrow counts in one place alone.")
    remarks += [
        f"A role of level {level.name} counts only beside one of level {roles.levels[level.depth - 2].name}."
        for level in roles.levels
        if level.requires_role_above
    ]
    return Picture("Roles, and what each adds", tuple(boxes), tuple(arrows), tuple(bands), tuple(remarks))


def _columns(roles: RoleModel) -> dict[str, int]:
    """How many roles stand above each role, along the longest chain."""
    columns = dict.fromkeys(roles.roles, 0)
    moved = True
    # Roles form no circle, so this ends after as many rounds as the longest chain has roles.
    while moved:
        moved = False
        for name, role in roles.roles.items():
            for inner in (*role.contains, *(inner for inner, _ in role.contains_in)):
                if columns[inner] <= columns[name]:
                    columns[inner] = columns[name] + 1
                    moved = True
    return columns


def _added(policy: PolicySet, role: str) -> Iterator[str]:
    """What grants to a role, and to none that it contains, allow and deny."""
    roles = policy.roles
    contained = roles.roles[role].contains
    below = frozenset[str]().union(*(roles.closure[name] for name in contained))
    grantees = dict.fromkeys(grant.grantee for grant in policy.grants)
    of_below = {name for name in grantees if below.issuperset(parts_of(name))}
    own = {name for name in grantees if roles.closure[role].issuperset(parts_of(name))} - of_below
    new = [grant for grant in policy.grants if grant.grantee in own]
    given = {_asked(grant) for grant in policy.grants if grant.grantee in of_below and _is_plain(grant)}
    allowed: dict[tuple[str, str], bool] = {}
    for grant in new:
        if grant.effect == "allow" and _asked(grant) not in given:
            allowed[_asked(grant)] = allowed.get(_asked(grant), False) or _is_plain(grant)
    yield from by_type((type_, action if plain else f"{action}*") for (type_, action), plain in allowed.items())
    denied = {_asked(grant): _is_plain(grant) for grant in new if grant.effect == "deny"}
    for line in by_type((type_, action if plain else f"{action}*") for (type_, action), plain in denied.items()):
        yield f"not {line}"


def _asked(grant: Grant) -> tuple[str, str]:
    return grant.resource_type, grant.action


def _is_plain(grant: Grant) -> bool:
    """Whether it holds everywhere and always."""
    return grant.condition is None and not grant.scope.words
