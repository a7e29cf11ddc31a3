"""Judging a write of role assignments: what it would leave behind, inside the locks that it holds.

Only what the write touches is looked at, so the cost does not grow with the table and data found bad elsewhere blocks
nothing. A removal is refused for a violation that it makes itself, never for one that was there before; what a write
grants must be in order afterwards, even when it was stored already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from klausel.core.policy.assignment import Assignment, Violation, keeper_violation, subject_violations
from klausel.core.policy.roles import RoleModel, top_domain

Pairs = Collection[tuple[str, str]]


def subjects_at_fault(
    roles: RoleModel, before: Mapping[str, Pairs], after: Mapping[str, Pairs], granted: Collection[Assignment]
) -> list[Violation]:
    """The violations by single subjects that a write is to blame for, sorted.

    `before` and `after` map each touched subject to its (role, domain) pairs in the touched top-level domains.
    """
    named = set(granted)
    blamed = []
    for subject in sorted(after):
        old = set(_violations_of(roles, subject, before[subject]))
        for violation in _violations_of(roles, subject, after[subject]):
            if violation not in old or Assignment(subject, violation.role, violation.domain) in named:
                blamed.append(violation)
    return blamed


def keepers_missing(
    roles: RoleModel,
    granted: Collection[Assignment],
    revoked: Collection[Assignment],
    has_holder: Callable[[frozenset[str], str], bool],
    has_people: Callable[[str], bool],
) -> list[Violation]:
    """The domains that a write leaves with people but without a holder of a role that must keep one, sorted.

    `has_holder` (of any of these roles in this very domain) and `has_people` (in the domain or below it) answer about
    the state after the write. `revoked` are the rows that it really removes.
    """
    suspects = {(role, domain) for row in granted for role, domain in kept_roles_and_domains(roles, row.domain)}
    for row in revoked:
        for role, domain in kept_roles_and_domains(roles, row.domain):
            if domain == row.domain and row.role in holders_of(roles, role):
                suspects.add((role, domain))
    return [
        keeper_violation(role, domain)
        for role, domain in sorted(suspects)
        if not has_holder(holders_of(roles, role), domain) and has_people(domain)
    ]


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


def _violations_of(roles: RoleModel, subject: str, pairs: Iterable[tuple[str, str]]) -> list[Violation]:
    by_account: dict[str, list[tuple[str, str]]] = {}
    for role, domain in pairs:
        by_account.setdefault(top_domain(domain), []).append((role, domain))
    return [
        violation for account in sorted(by_account) for violation in subject_violations(roles, subject, by_account[account])
    ]
