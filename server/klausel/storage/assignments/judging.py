"""One proposed write: what it really changes, whom that concerns, and what the rules forbid of the state after it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, and_, exists, or_, select

from klausel.core.policy.assignment import AFTER_GROUPS, GROUP_PREFIX, Assignment, Violation, needs_role_above
from klausel.core.policy.entity import Entity
from klausel.core.policy.holding import Rows, gather_rows, groups_in, rows_by_subject
from klausel.core.policy.roles import RoleModel, top_domain
from klausel.core.terms.moment import instant_text
from klausel.storage.assignments.closures import ROWS_PER_STATEMENT, groups_below, people_below, rows_with_groups
from klausel.storage.assignments.rules import fault_in_chains, keepers_missing, subjects_at_fault
from klausel.storage.sql.rows import inside
from klausel.storage.sql.steps import in_steps
from klausel.storage.sql.tables import MEMBERSHIP, CasbinRule
from klausel.storage.sql.tables import Entity as EntityRow

RowsBySubject = Mapping[str, Sequence[Assignment]]


class ProposedChange:
    """A write as it meets what is stored, inside its locks; to be made before anything is changed.

    `grant` and `revoke` are the rows that it was asked for, at the moment `now`. `added` and `removed` are those that it really
    puts and takes away; one that gets other times is in both.
    """

    def __init__(
        self,
        connection: Connection,
        roles: RoleModel,
        grant: Sequence[Assignment],
        revoke: Sequence[Assignment],
        now: float,
    ) -> None:
        self._connection, self._roles = connection, roles
        self.grant, self.revoke, self.now = grant, revoke, now
        rows = (*grant, *revoke)
        groups = {row.subject for row in rows if row.subject.startswith(GROUP_PREFIX)}
        below = groups_below(connection, groups)
        joined = {row.role for row in rows if row.is_membership}
        concerned = {row.subject for row in rows} | below
        self._before = rows_by_subject(rows_with_groups(connection, concerned | joined))
        self.added, self.removed = self._really_changed(revoke)
        self._after = _changed(self._before, self.added, self.removed)
        people: frozenset[str] = frozenset()
        if groups and self._may_concern_people():
            people = people_below(connection, below)
            more = rows_by_subject(rows_with_groups(connection, people))
            self._before |= more
            self._after = {**more, **self._after}
        self._touched = self._accounts_by_subject(rows, people)
        self._chains = _chain_violations(self._after, self.added, below)

    def violations(self) -> list[Violation]:
        """Everything that the rules forbid; to be called after the change was made. Empty when all is well."""
        if self._chains:
            return self._chains
        granted = {row.key for row in self.grant}
        found = subjects_at_fault(self._roles, self._before, self._after, self._touched, granted, self.now)
        return found + keepers_missing(
            self._roles,
            self.grant,
            [*self.removed, *self._rows_left()],
            lambda holders, domain: has_holder(self._connection, holders, domain, self.now),
            lambda domain: has_people(self._connection, domain, self.now),
        )

    def rows_of(self, subject: str) -> tuple[Rows, Rows]:
        """All rows that say what a subject holds, before the write and after it; to be asked before anything is changed."""
        before = {**rows_by_subject(rows_with_groups(self._connection, [subject])), **self._before}
        after = {**before, **self._after}
        return gather_rows(subject, before.get(subject, ()), before), gather_rows(subject, after.get(subject, ()), after)

    def entity_of(self, type_: str, id_: str) -> Entity | None:
        """The stored properties of a subject, as this transaction sees them."""
        is_it = and_(EntityRow.kind == "subject", EntityRow.type == type_, EntityRow.id == id_)
        found = self._connection.execute(select(EntityRow.properties).where(is_it)).scalar_one_or_none()
        return None if found is None else Entity.of_stored("subject", type_, id_, "", found)

    def _really_changed(self, revoke: Sequence[Assignment]) -> tuple[list[Assignment], list[Assignment]]:
        granted = {row.key: row for row in self.grant}
        revoked = {row.key for row in revoke}
        removed = []
        for subject in sorted({row.subject for row in (*self.grant, *revoke)}):
            for row in sorted(self._before.get(subject, ()), key=lambda row: row.key):
                if row == granted.get(row.key):
                    del granted[row.key]
                elif (
                    row.key in granted
                    or row.key in revoked
                    or row._replace(role=self._roles.name_now(row.role)).key in revoked
                ):
                    removed.append(row)
        return [granted[key] for key in sorted(granted)], removed

    def _may_concern_people(self) -> bool:
        """Whether what changes about a group can break a rule for somebody in it: not where roles are added that need nothing."""
        if self.removed or self._roles.separate:
            return True
        added = [row for row in self.added if not row.is_membership]
        added += [one for row in self.added if row.is_membership for one in self.above(row.role) if not one.is_membership]
        return any(needs_role_above(self._roles, row.role) for row in added)

    def _accounts_by_subject(self, rows: Iterable[Assignment], people: Collection[str]) -> dict[str, set[str]]:
        """The people concerned, each with the top-level domains in which something may change for them."""
        touched: dict[str, set[str]] = {}
        of_groups: set[str] = set()
        for row in rows:
            accounts = {top_domain(row.domain)}
            if row.is_membership:
                accounts = {top_domain(one.domain) for one in self.above(row.role) if not one.is_membership}
            if row.subject.startswith(GROUP_PREFIX):
                of_groups |= accounts
            else:
                touched.setdefault(row.subject, set()).update(accounts)
        if of_groups:
            for subject in people:
                touched.setdefault(subject, set()).update(of_groups)
        return touched

    def above(self, group: str) -> Iterator[Assignment]:
        """The rows of a group and of all groups above it, before and after the change."""
        met, waiting = {group}, [group]
        while waiting:
            one = waiting.pop()
            rows = {*self._before.get(one, ()), *self._after.get(one, ())}
            yield from rows
            waiting += groups_in(rows) - met
            met |= groups_in(rows)

    def _rows_left(self) -> list[Assignment]:
        """The role assignments of the groups that somebody leaves, or stays in for a time only."""
        return [one for row in self.removed if row.is_membership for one in self.above(row.role) if not one.is_membership]


Guard = Callable[[ProposedChange], None]
"""Looks at a write before anything is changed, and raises what refuses it."""


def _changed(before: RowsBySubject, added: Iterable[Assignment], removed: Collection[Assignment]) -> RowsBySubject:
    after = dict(before)
    for subject in {row.subject for row in removed}:
        gone = set(removed)
        after[subject] = [row for row in before[subject] if row not in gone]
    for row in added:
        after[row.subject] = [*after.get(row.subject, ()), row]
    return after


def _chain_violations(rows: RowsBySubject, added: Iterable[Assignment], below: Collection[str]) -> list[Violation]:
    """Circles of groups, and chains that are too long, which added memberships close or lengthen."""
    memberships = [row for row in added if row.is_membership]
    if not memberships:
        return []
    starts = {row.role for row in memberships} | set(below)
    fault = fault_in_chains(rows, starts)
    if fault is None:
        return []
    rule, chain, message = fault
    # The one that is added, if it is on the way; else somebody stands at its beginning.
    links = set(pairwise(chain))
    row = next((row for row in memberships if (row.subject, row.role) in links), memberships[0])
    return [Violation(row.subject, row.role, row.domain, rule, message)]


def has_holder(connection: Connection, holders: Collection[str], domain: str, now: float) -> bool:
    """Whether somebody has one of these roles in this very domain now and without an end, through groups too."""
    here = and_(CasbinRule.v1.in_(sorted(holders)), CasbinRule.v2 == domain, _lasts(now))
    of_groups = and_(CasbinRule.v0 >= GROUP_PREFIX, CasbinRule.v0 < AFTER_GROUPS)
    if connection.execute(select(exists().where(here, ~of_groups))).scalar_one():
        return True
    waiting = set(connection.execute(select(CasbinRule.v0).where(here, of_groups)).scalars())
    met = set(waiting)
    while waiting:
        asked, waiting = sorted(waiting), set()
        for some in in_steps(asked, ROWS_PER_STATEMENT):
            members = and_(CasbinRule.v1.in_(some), CasbinRule.ptype == MEMBERSHIP)
            if connection.execute(select(exists().where(members, _lasts(now), ~of_groups))).scalar_one():
                return True
            waiting |= set(connection.execute(select(CasbinRule.v0).where(members, _lasts(now), of_groups)).scalars())
        waiting -= met
        met |= waiting
    return False


def has_people(connection: Connection, domain: str, now: float) -> bool:
    """Whether a role is held in a domain or below it, or will be."""
    stays = or_(CasbinRule.v4.is_(None), CasbinRule.v4 > instant_text(now))
    return bool(connection.execute(select(exists().where(inside(CasbinRule.v2, domain), stays))).scalar_one())


def _lasts(now: float) -> Any:
    return and_(CasbinRule.v4.is_(None), or_(CasbinRule.v3.is_(None), CasbinRule.v3 <= instant_text(now)))
