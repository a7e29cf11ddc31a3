"""Roles that somebody is assumed to hold, written as `lead@acme/support, user@acme`: a question without anybody in a database."""

from __future__ import annotations

from klausel.core.policy.assignment import Assignment, fault_in_assignment, subject_violations
from klausel.core.policy.roles import ANYONE, RoleModel, parent_domain

_SUBJECT = "user:somebody"
_EXAMPLE_IDS = ("acme", "support", "a", "b")


class BadAssumption(Exception):
    """Nobody can hold these roles; the text says why and what to write, for a person."""


def assumed_roles(roles: RoleModel, text: str) -> tuple[tuple[str, str], ...]:
    """The (role, domain) pairs that a text names, in its order, and those that its roles cannot be held without; `anyone`: none.

    Where a level requires a role above and none is named, the one is added that every role there contains: whoever may hold
    the roles named holds that at least. Raises `BadAssumption`.
    """
    pairs: dict[tuple[str, str], None] = {}
    for item in (part.strip() for part in text.split(",")):
        if item == ANYONE:
            continue
        role, at, domain = (part.strip() for part in item.partition("@"))
        if not (role and at and domain):
            example = _example(roles, role)
            raise BadAssumption(f'"{item}" is not ROLE@PLACE, such as {example}; several are put apart by commas')
        fault = fault_in_assignment(roles, Assignment(_SUBJECT, role, domain))
        if fault:
            raise BadAssumption(fault)
        pairs[role, domain] = None
    for role, domain in tuple(pairs):
        pairs |= dict.fromkeys(_needed_above(roles, role, domain, tuple(pairs)))
    violations = subject_violations(roles, _SUBJECT, pairs)
    if violations:
        raise BadAssumption(f"nobody can hold these roles together: {violations[0].message.removeprefix(_SUBJECT + ' ')}")
    return tuple(pairs)


def _example(roles: RoleModel, role: str) -> str:
    """How a role is written with a place: this one where it is declared, else the first."""
    known = role if role in roles.roles else next(iter(roles.roles), None)
    if known is None:
        return "role@acme"
    levels = roles.levels[: roles.level_of(known).depth]
    return f"{known}@{'/'.join(level.constant or id_ for level, id_ in zip(levels, _EXAMPLE_IDS, strict=False))}"


def deepest_place(pairs: tuple[tuple[str, str], ...]) -> str | None:
    """The domain of these pairs that lies in all of the others; None where there is none, or several."""
    places = {domain for _, domain in pairs}
    deepest = max(places, key=len, default="")
    return deepest if deepest and all(f"{deepest}/".startswith(f"{place}/") for place in places) else None


def _needed_above(roles: RoleModel, role: str, domain: str, named: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """The weakest roles of the levels above that the rules require, where none is named there."""
    needed = []
    level, above = roles.level_of(role), parent_domain(domain)
    while above is not None and level.requires_role_above:
        over = roles.level_at(level.depth - 1)
        assert over is not None
        if not any(place == above for _, place in named):
            there = [one for one in roles.roles if roles.level_of(one) == over]
            weakest = [one for one in there if all(one in roles.closure[other] for other in there)]
            if not weakest:
                example = f", such as {there[0]}@{above}" if there else ""
                raise BadAssumption(f"who is {role} in {domain} needs a role of level {over.name} too; name one{example}")
            needed.append((weakest[0], above))
        level, above = over, parent_domain(above)
    return needed
