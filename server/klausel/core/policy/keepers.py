"""Roles that a domain with people in it must keep: where they are demanded, and who holds them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from klausel.core.policy.assignment import Violation, keeper_violation, subject_violations
from klausel.core.policy.roles import RoleModel, top_domain


def kept_roles_and_domains(roles: RoleModel, domain: str) -> Iterator[tuple[str, str]]:
    """Each role that must keep a holder, with the one of `domain` and the domains above it that it belongs to."""
    parts = domain.split("/")
    for role in roles.roles.values():
        depth = roles.level_of(role.name).depth
        if role.keep_one and depth <= len(parts):
            yield role.name, "/".join(parts[:depth])


def holders_of(roles: RoleModel, kept: str) -> frozenset[str]:
    """The roles that make their holder a holder of a kept role: itself and the stronger of its level, by former names too."""
    level = roles.roles[kept].level
    return frozenset(
        stored
        for name, role in roles.roles.items()
        if role.level == level and kept in roles.closure[name]
        for stored in roles.stored_names(name)
    )


def violations_by_one(roles: RoleModel, subject: str, held: Collection[tuple[str, str]]) -> list[Violation]:
    """What the rules forbid in all that one subject holds, by top-level domain."""
    tops = sorted({top_domain(domain) for _, domain in held})
    by_top = ([pair for pair in held if top_domain(pair[1]) == top] for top in tops)
    return [violation for pairs in by_top for violation in subject_violations(roles, subject, pairs)]


def violations_alone(roles: RoleModel, subject: str, held: Collection[tuple[str, str]]) -> list[Violation]:
    """What the rules forbid where one subject holds these role assignments and nobody holds any other."""
    return [*violations_by_one(roles, subject, held), *_keepers_missing(roles, held)]


def _keepers_missing(roles: RoleModel, held: Collection[tuple[str, str]]) -> Iterator[Violation]:
    demanded = dict.fromkeys(pair for _, domain in held for pair in kept_roles_and_domains(roles, domain))
    for role, domain in demanded:
        if not any((holder, domain) in held for holder in holders_of(roles, role)):
            yield keeper_violation(role, domain)
