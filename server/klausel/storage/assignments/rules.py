"""Judging a write of role assignments: what it would leave behind, inside the locks that it holds.

Only what the write touches is looked at, so the cost does not grow with the table and data found bad elsewhere blocks
nothing. A removal is refused for a violation that it makes itself, never for one that was there before; what a write
grants must be in order afterwards, even when it was stored already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from klausel.core.policy.assignment import Assignment, Violation, keeper_violation
from klausel.core.policy.keepers import holders_of, kept_roles_and_domains, violations_by_one
from klausel.core.policy.roles import RoleModel

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
        old = set(violations_by_one(roles, subject, before[subject]))
        for violation in violations_by_one(roles, subject, after[subject]):
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
