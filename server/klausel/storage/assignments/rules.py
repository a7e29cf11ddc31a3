"""Judging a write of role assignments: what it would leave behind, inside the locks that it holds.

Only what the write touches is looked at, so the cost does not grow with the table and data found bad elsewhere blocks
nothing. A removal is refused for a violation that it makes itself, never for one that was there before; what a write
grants must be in order afterwards, even when it was stored already. Times count: a state is looked at as it is now, and at
each later moment at which something begins or ends. So do groups: what people hold through them is theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from klausel.core.policy.assignment import GROUP_PREFIX, Assignment, Violation, keeper_violation, subject_violations
from klausel.core.policy.holding import (
    LONGEST_GROUP_CHAIN,
    Held,
    gather_rows,
    groups_in,
    held_at,
    moments_of_change,
    rows_by_subject,
)
from klausel.core.policy.keepers import holders_of, kept_roles_and_domains
from klausel.core.policy.roles import RoleModel, top_domain
from klausel.core.terms.moment import instant_text

RowsBySubject = Mapping[str, Sequence[Assignment]]
Key = tuple[str, str, str]


def violations_of_subject(
    roles: RoleModel, subject: str, rows: RowsBySubject, accounts: Collection[str], now: float
) -> list[Violation]:
    """What the rules forbid of what one subject holds in some top-level domains, now and later; each once, sorted by when.

    `rows` has those of the subject and of the groups above it.
    """
    gathered = gather_rows(subject, rows.get(subject, ()), rows)
    found: dict[tuple[str, str, str], Violation] = {}
    for moment in (now, *moments_of_change(gathered.others, now)):
        held = held_at(subject, gathered, moment)
        for account, pairs in _by_account(held).items():
            if account in accounts:
                for violation in subject_violations(roles, subject, pairs):
                    told = _with_ways(violation, held, moment if moment > now else None)
                    found.setdefault((violation.role, violation.domain, violation.rule), told)
    return list(found.values())


def subjects_at_fault(
    roles: RoleModel,
    before: RowsBySubject,
    after: RowsBySubject,
    touched: Mapping[str, Collection[str]],
    granted: Collection[Key],
    now: float,
) -> list[Violation]:
    """The violations by single subjects that a write is to blame for, by subject.

    `before` and `after` have the rows of the touched subjects and of the groups above them; `touched` has the top-level
    domains that count for each.
    """
    blamed = []
    for subject in sorted(touched):
        accounts = touched[subject]
        violations = violations_of_subject(roles, subject, after, accounts, now)
        old = set(violations_of_subject(roles, subject, before, accounts, now)) if violations else set()
        for violation in violations:
            if violation not in old or (subject, violation.role, violation.domain) in granted:
                blamed.append(violation)
    return blamed


def violations_of_all(roles: RoleModel, rows: Sequence[Assignment], now: float) -> list[Violation]:
    """What the rules forbid where these are all role assignments: what an import of them into an empty database refuses.

    Each row is one that can be by itself. Like the import, it looks further only where no row is there with two times, and
    no group is in itself.
    """
    repeated = Counter(row.key for row in dict.fromkeys(rows))
    twice = [two_times(*key) for key, number in repeated.items() if number > 1]
    if twice:
        return twice
    by_subject = rows_by_subject(rows)
    fault = fault_in_chains(by_subject, groups_in(rows))
    if fault is not None:
        return [fault.violation]
    accounts = {top_domain(row.domain) for row in rows}
    people = [subject for subject in by_subject if not subject.startswith(GROUP_PREFIX)]
    found = [one for subject in people for one in violations_of_subject(roles, subject, by_subject, accounts, now)]
    held = {subject: held_at(subject, gather_rows(subject, by_subject[subject], by_subject), now) for subject in people}
    for_good = {pair for one in held.values() for pair in one.pairs if pair not in one.ways or one.ways[pair].ends is None}
    stays = [row.domain for row in rows if row.ends is None or row.ends > instant_text(now)]
    return found + keepers_missing(
        roles,
        rows,
        (),
        lambda holders, domain: any((holder, domain) in for_good for holder in holders),
        lambda domain: any(one == domain or one.startswith(f"{domain}/") for one in stays),
    )


def two_times(subject: str, role: str, domain: str) -> Violation:
    """The violation of a role assignment that is given twice, for different times."""
    message = f"{Assignment(subject, role, domain)}: it is there twice, with other times; leave one of the rows"
    return Violation(subject, role, domain, "two-times", message)


def _by_account(held: Held) -> dict[str, list[tuple[str, str]]]:
    by_account: dict[str, list[tuple[str, str]]] = {}
    for role, domain in held.pairs:
        by_account.setdefault(top_domain(domain), []).append((role, domain))
    return dict(sorted(by_account.items()))


def _with_ways(violation: Violation, held: Held, moment: float | None) -> Violation:
    """The same, with the groups through which the subject would hold the role, and the moment at which it would begin."""
    message = violation.message
    way = held.ways.get((violation.role, violation.domain))
    if way is not None and way.groups:
        message += f"; {violation.role} in {violation.domain} comes through {', '.join(way.groups)}"
    if moment is not None:
        message += f"; from {instant_text(moment)} on"
    return violation if message == violation.message else replace(violation, message=message)


def keepers_missing(
    roles: RoleModel,
    granted: Collection[Assignment],
    revoked: Collection[Assignment],
    has_holder: Callable[[frozenset[str], str], bool],
    has_people: Callable[[str], bool],
) -> list[Violation]:
    """The domains that a write leaves with people but without a holder of a role that must keep one, sorted.

    `has_holder` (of any of these roles in this very domain, for ever) and `has_people` (in the domain or below it, whose roles
    have not ended) answer about the state after the write. `revoked` are the rows that it really removes, those in whose
    place other times come included, and those of the groups that somebody leaves.
    """
    rows = [row for row in granted if not row.is_membership]
    suspects = {(role, domain) for row in rows for role, domain in kept_roles_and_domains(roles, row.domain)}
    for row in revoked:
        for role, domain in kept_roles_and_domains(roles, row.domain):
            if domain == row.domain and row.role in holders_of(roles, role):
                suspects.add((role, domain))
    return [
        keeper_violation(role, domain)
        for role, domain in sorted(suspects)
        if not has_holder(holders_of(roles, role), domain) and has_people(domain)
    ]


class FaultInChains(NamedTuple):
    """A circle, or a way of too many groups: the rule against it, the groups on it, and a sentence."""

    rule: str
    chain: tuple[str, ...]
    message: str

    @property
    def violation(self) -> Violation:
        """The fault, blamed on the first membership on the way."""
        return Violation(self.chain[0], self.chain[1], "", self.rule, self.message)


def fault_in_chains(rows: RowsBySubject, starts: Iterable[str]) -> FaultInChains | None:
    """The first circle, or way of too many groups, up from these; None is good."""
    heights: dict[str, int] = {}

    def climb(group: str, way: tuple[str, ...]) -> int:
        if group in way:
            raise _FaultyChain((*way[way.index(group) :], group))
        way = (*way, group)
        if len(way) > LONGEST_GROUP_CHAIN:
            raise _FaultyChain(way)
        if group not in heights:
            heights[group] = 1 + max((climb(above, way) for above in sorted(groups_in(rows.get(group, ())))), default=0)
        if len(way) - 1 + heights[group] > LONGEST_GROUP_CHAIN:
            highest = max(sorted(groups_in(rows[group])), key=lambda above: heights[above])
            climb(highest, way)
        return heights[group]

    try:
        for start in sorted(starts):
            climb(start, ())
    except _FaultyChain as fault:
        chain = fault.chain
        shown = " → ".join(chain)
        if chain[-1] in chain[:-1]:
            message = f"{chain[-1]} would be in itself: {shown}; leave one of these memberships out"
            return FaultInChains("group-circle", chain, message)
        message = (
            f"groups would be in groups more than {LONGEST_GROUP_CHAIN} deep: {shown}; leave one of these memberships out"
        )
        return FaultInChains("group-chain", chain, message)
    return None


class _FaultyChain(Exception):
    """The groups of a circle, or of a way that is too long."""

    def __init__(self, chain: tuple[str, ...]) -> None:
        super().__init__()
        self.chain = chain
