"""The store of role assignments: exact rows, atomic writes under the rules of the policy set, pages, bulk in and out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Literal

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select

from klausel.core.policy.assignment import Assignment, Violation, fault_in_assignment
from klausel.core.policy.holding import held_at, timing_of
from klausel.core.policy.roles import RoleModel, top_domain
from klausel.core.records.change_record import Origin
from klausel.core.terms.cursors import cursor_of, parts_of_cursor
from klausel.core.terms.identifiers import fault_in_domain_id, is_printable
from klausel.core.terms.moment import instant_text
from klausel.storage.assignments.bulk_load import ROWS_PER_STEP, load_rows
from klausel.storage.assignments.closures import has_times, rows_of, rows_with_groups
from klausel.storage.assignments.judging import Guard, ProposedChange
from klausel.storage.assignments.pages import Filters, ending_between, rows_after
from klausel.storage.assignments.store_answers import (
    ForbiddenState,
    ImportResult,
    InvalidAssignments,
    InvalidCursor,
    Page,
    RowFault,
)
from klausel.storage.assignments.subject_reader import SubjectReader
from klausel.storage.change_log.writer import Head as LogHead
from klausel.storage.change_log.writer import head_of, log_rows
from klausel.storage.sql.change_feed import ChangeFeed
from klausel.storage.sql.database import reading, writing
from klausel.storage.sql.many_rows import mark_visible
from klausel.storage.sql.revisions import StoreChange, log_change, own_write, revision_now
from klausel.storage.sql.rows import COLUMNS, KEY_COLUMNS, as_values
from klausel.storage.sql.tables import CasbinRule

__all__ = [
    "AssignmentStore",
    "ForbiddenState",
    "ImportResult",
    "InvalidAssignments",
    "InvalidCursor",
    "Page",
    "RowFault",
    "StoreChange",
]

ROWS_PER_EXPORT_STEP = 10_000

_UNKNOWN = Origin()
Change = Callable[[RoleModel, Sequence[Assignment], Sequence[Assignment], Origin], None]
"""Grants the first, and revokes the second."""


class AssignmentStore:
    """Role assignments in one database. Safe for use by many threads; other processes may use the same database.

    `clock` gives the moment of now, in seconds since 1970: what has ended by then breaks no rule. A `feed` of the same database
    tells what other processes change; the store closes it.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time, feed: ChangeFeed | None = None) -> None:
        self.engine = engine
        self.clock = clock
        self.feed = feed
        self._reader = SubjectReader(engine)
        self._listeners: list[Callable[[StoreChange], None]] = []
        self.close_first: list[Callable[[], None]] = []  # what others who use the database end by

    @property
    def reader(self) -> SubjectReader:
        """The quick way to read one subject's rows."""
        return self._reader

    def add_listener(self, listener: Callable[[StoreChange], None]) -> None:
        """Calls `listener` after each committed write of this store, before the write returns to its caller."""
        self._listeners = [*self._listeners, listener]

    def remove_listener(self, listener: Callable[[StoreChange], None]) -> None:
        """Ends what `add_listener` began; does nothing for an unknown one."""
        self._listeners = [known for known in self._listeners if known != listener]

    def revision(self) -> str:
        """The name of the present state: opaque, other after every write that changes something."""
        with reading(self.engine) as connection:
            return revision_now(connection)

    def held_by(self, subject: str) -> tuple[tuple[str, str], ...]:
        """The (role, domain) pairs that one subject holds now, through groups too, sorted."""
        return held_at(subject, self._reader.held_by(subject), self.clock()).pairs

    def rows_with_groups(self, subject: str) -> list[Assignment]:
        """All rows of a subject, and of the groups that they lead to."""
        with reading(self.engine) as connection:
            return rows_with_groups(connection, [subject])

    def count(self) -> int:
        """How many role assignments and memberships there are."""
        with reading(self.engine) as connection:
            return connection.execute(select(func.count()).select_from(CasbinRule)).scalar_one()

    def has_times(self) -> bool:
        """Whether any role assignment or membership has times."""
        with reading(self.engine) as connection:
            return has_times(connection)

    def is_empty(self) -> bool:
        """Whether there is no role assignment at all."""
        with reading(self.engine) as connection:
            return connection.execute(select(CasbinRule.id).limit(1)).first() is None

    def write(
        self,
        roles: RoleModel,
        grant: Sequence[Assignment],
        revoke: Sequence[Assignment],
        origin: Origin = _UNKNOWN,
        guard: Guard | None = None,
    ) -> str:
        """Grants and revokes, all or nothing, and returns the new revision; the same write again changes nothing.

        To grant what is held with other times gives it those of the grant, or none; to revoke it, its times need not be
        named. Members of groups are granted and revoked alike. What really changes stands in the change log, with its origin,
        in the same transaction.

        Raises InvalidAssignments for rows that can never be, ForbiddenState when the rules forbid the state after it.
        A stored row can be revoked even when it is invalid by now, such as one with a role no longer declared. To revoke a
        role takes it under its former names too.

        The `guard` sees what the write would change inside its transaction, before anything is; what it raises refuses all.
        """
        now = self.clock()
        refused, doubtful = _faults(roles, grant, revoke, now)
        if refused:
            raise InvalidAssignments(tuple(refused + doubtful))
        with writing(self.engine, _accounts_of((*grant, *revoke))) as connection:
            if doubtful:
                stored = set(rows_of(connection, {fault.assignment.subject for fault in doubtful}))
                keys = {row.key for row in stored}
                absent = tuple(
                    fault
                    for fault in doubtful
                    if (fault.assignment.key not in keys if fault.list == "revoke" else fault.assignment not in stored)
                )
                if absent:
                    raise InvalidAssignments(absent)
            revision, change = _apply(connection, roles, grant, revoke, origin, now, guard)
        self.tell(change)
        return revision

    def rehearse(
        self,
        roles: RoleModel,
        changes: Sequence[tuple[Sequence[Assignment], Sequence[Assignment]]],
        guard: Guard | None = None,
        refusal: type[Exception] = ForbiddenState,
    ) -> list[str]:
        """Why `write` would refuse each of these changes (what is granted, what is revoked) now, empty where it would not.

        Each is made by itself inside one transaction, with its locks, and taken back; nothing is ever stored. A `guard`
        refuses by raising a `refusal`.
        """
        now = self.clock()
        found = []
        with writing(
            self.engine, _accounts_of([row for change in changes for rows in change for row in rows])
        ) as connection:
            for grant, revoke in changes:
                refused, _ = _faults(roles, grant, revoke, now)
                if refused:
                    found.append(refused[0].message)
                    continue
                part = connection.begin_nested()
                try:
                    _apply(connection, roles, grant, revoke, _UNKNOWN, now, guard)
                    found.append("")
                except (ForbiddenState, refusal) as error:
                    found.append(str(error).partition("\n")[0])
                finally:
                    part.rollback()
        return found

    def remove_subject(
        self,
        roles: RoleModel,
        subject: str,
        account: str,
        origin: Origin = _UNKNOWN,
        stays_inside: bool = False,
        guard: Guard | None = None,
    ) -> tuple[str, int]:
        """Takes all that a leaver holds in a top-level domain and below it; returns the revision and how many rows.

        What it holds there through groups goes too: it leaves each group that leads to a role there. With `stays_inside` that
        is refused for a group that leads to a role elsewhere too. Raises InvalidAssignments when `account` is not one id,
        ForbiddenState as `write` does; a `guard` as there.
        """
        fault = fault_in_domain_id(account)
        if fault:
            message = f'account "{account}" {fault}; name one domain of the top level'
            raise InvalidAssignments((RowFault("revoke", 0, Assignment(subject, "", account), message),))
        with writing(self.engine, None) as connection:
            leaving = list(_leaving(connection, subject, account, stays_inside))
            revision, change = _apply(connection, roles, (), leaving, origin, self.clock(), guard)
        self.tell(change)
        return revision, len(leaving)

    @contextmanager
    def together(self) -> Iterator[tuple[Connection, Change]]:
        """A write transaction for what belongs to role assignments and stands in other tables; it commits at the end.

        It gives the connection, and what changes role assignments within it as `write` does, and raises as that.
        """
        changes: list[StoreChange | None] = []
        with writing(self.engine, None) as connection:

            def change(roles: RoleModel, grant: Sequence[Assignment], revoke: Sequence[Assignment], origin: Origin) -> None:
                refused, _ = _faults(roles, grant, revoke, self.clock())
                if refused:
                    raise InvalidAssignments(tuple(refused))
                changes.append(_apply(connection, roles, grant, revoke, origin, self.clock())[1])

            yield connection, change
        for made in changes:
            self.tell(made)

    def rename_role(self, roles: RoleModel, old: str, new: str, origin: Origin = _UNKNOWN) -> tuple[str, int]:
        """Gives every holder of a role another one in its place, all or nothing; returns the revision and how many rows.

        It is one change in the change log. `old` need not be declared, as after it was renamed in the policy set. Raises
        InvalidAssignments and ForbiddenState as `write` does.
        """
        with writing(self.engine, None) as connection:
            query = select(*COLUMNS).where(CasbinRule.v1.in_([old, new])).order_by(*KEY_COLUMNS)
            stored = [Assignment(*row) for row in connection.execute(query)] if _can_be_stored(old) else []
            held = [row for row in stored if row.role == old]
            known = {(row.subject, row.domain): row for row in stored if row.role == new}
            renamed = [_lasting_longer(row._replace(role=new), known.get((row.subject, row.domain))) for row in held]
            refused, _ = _faults(roles, renamed, (), -inf)
            if refused:
                raise InvalidAssignments(tuple(refused))
            if old == new:
                return revision_now(connection), 0
            revision, change = _apply(connection, roles, renamed, held, origin, self.clock())
        self.tell(change)
        return revision, len(held)

    def purge_ended(self, before: float, origin: Origin = _UNKNOWN) -> tuple[str, int]:
        """Takes away all role assignments and memberships that ended by a moment; returns the revision and how many rows.

        `before` is in seconds since 1970, and not to come: ValueError. What has ended counts for nothing, so no rule asks for
        it. It is one change in the change log, which keeps what they were, so that questions about the past are answered alike.
        """
        if before > self.clock():
            raise ValueError("only what has ended is taken away, and this moment is to come")
        with writing(self.engine, None) as connection:
            query = select(*COLUMNS).where(*ending_between(None, instant_text(before))).order_by(*KEY_COLUMNS)
            ended = [Assignment(*row) for row in connection.execute(query)]
            change = _put(connection, (), ended, origin)
            revision = revision_now(connection)
        self.tell(change)
        return revision, len(ended)

    def review(self, roles: RoleModel, decide: Callable[[Connection], tuple[Sequence[Assignment], Origin]]) -> LogHead:
        """Revokes what a review decided, all or nothing, and returns the record of it in the change log.

        `decide` reads what is stored, in the transaction that revokes, and says what goes and for which origin; whatever it
        raises leaves everything as it was. There is a record also when nothing is taken away. Raises as `write` does.
        """
        with writing(self.engine, None) as connection:
            revoke, origin = decide(connection)
            _, change = _apply(connection, roles, (), revoke, origin, self.clock())
            if change is None:
                change = log_change(connection, frozenset())
                log_rows(connection, origin, (), ())
            head = head_of(connection)
        self.tell(change)
        return head

    def page(
        self,
        subject: str | None = None,
        role: str | None = None,
        domain: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        ends_after: str | None = None,
        ends_before: str | None = None,
        role_names: tuple[str, ...] = (),
    ) -> Page:
        """Up to `limit` assignments after `cursor` that fit every filter, by code points of (subject, role, domain).

        With `ends_after` or `ends_before`, instants in their stored form, those alone that end later than the one and not
        later than the other. `role_names` are all names under which the role may be stored. Going from cursor to cursor
        shows every assignment that was there all the time, once. Raises InvalidCursor.
        """
        if limit < 1:
            raise ValueError("limit must be at least 1")
        filters = (subject, role, domain, ends_after, ends_before)
        after = _read_cursor(cursor, filters) if cursor is not None else None
        # Members of groups have an empty domain.
        if not all(is_printable(wanted) for wanted in filters if wanted):
            return Page((), None)
        with reading(self.engine) as connection:
            rows = rows_after(connection, filters, after, limit + 1, role_names)
        shown = tuple(rows[:limit])
        return Page(shown, _write_cursor(filters, shown[-1]) if len(rows) > limit else None)

    def export_rows(self, ends_after: str | None = None, ends_before: str | None = None) -> Iterator[Assignment]:
        """All assignments as of one moment, in the order of `page`, without holding them all in memory.

        With one of the instants those alone that end later than the one and not later than the other.
        """
        query = select(*COLUMNS).where(*ending_between(ends_after, ends_before)).order_by(*KEY_COLUMNS)
        if self._reader.shares_one_connection:
            # Kept open, it would keep every other thread, and this one, from the only connection there is.
            with reading(self.engine) as connection:
                yield from [Assignment(*row) for row in connection.execute(query)]
            return
        with reading(self.engine) as connection:
            streamed = connection.execution_options(yield_per=ROWS_PER_EXPORT_STEP)
            for row in streamed.execute(query):
                yield Assignment(*row)

    def import_rows(
        self,
        roles: RoleModel,
        rows: Iterable[Assignment],
        on_progress: Callable[[int], None] | None = None,
        origin: Origin = _UNKNOWN,
        guard: Guard | None = None,
    ) -> ImportResult:
        """Adds many assignments, all or nothing, by the same checks and rules as `write`; raises as `write` does.

        Rows that have ended are added too, and mean nothing, so that an export can be read back at any time.
        `on_progress` is told now and then how many rows have been read. At most 100 faults or violations are gathered.
        With a `guard`, as of `write`, all rows are held in memory.
        """
        if guard is not None or self.engine.dialect.name not in {"sqlite", "postgresql"}:
            known = self.count()
            everything = list(rows)
            with writing(self.engine, None) as connection:
                refused, _ = _faults(roles, everything, (), -inf)
                if refused:
                    raise InvalidAssignments(tuple(refused))
                revision, change = _apply(connection, roles, everything, (), origin, self.clock(), guard)
            self.tell(change)
            added = self.count() - known
            return ImportResult(added, len(everything) - added, revision)
        result, change = load_rows(self.engine, roles, rows, on_progress, origin, self.clock())
        self.tell(change)
        if result.added >= ROWS_PER_STEP:
            mark_visible(self.engine, (CasbinRule,))
        return result

    def close(self) -> None:
        """Lets go of every connection; the store can be used again, but follows no other processes any more."""
        for close in self.close_first:
            close()
        if self.feed is not None:
            self.feed.close()
        self._reader.close()
        self.engine.dispose()

    def tell(self, change: StoreChange | None) -> None:
        """Tells the listeners of a committed write of this process to the same database, also by another store."""
        if change is not None:
            for listener in self._listeners:
                listener(change)


def _leaving(connection: Connection, subject: str, account: str, stays_inside: bool) -> Iterator[Assignment]:
    """The rows of a leaver by which it holds something in an account; raises ForbiddenState as `remove_subject` says."""
    known = rows_of(connection, {subject}) if _can_be_stored(subject) else ()
    for row in sorted(known, key=lambda row: row.is_membership):
        if not row.is_membership:
            led_to = {top_domain(row.domain)}
        else:
            above = rows_with_groups(connection, [row.role])
            led_to = {top_domain(one.domain) for one in above if not one.is_membership}
        if account not in led_to:
            continue
        if stays_inside and len(led_to) > 1:
            message = f"{subject} is in {row.role}, which has roles beyond {account} too"
            raise ForbiddenState((Violation(subject, row.role, "", "group-reaches-further", message),))
        yield row


def _faults(
    roles: RoleModel, grant: Sequence[Assignment], revoke: Sequence[Assignment], now: float
) -> tuple[list[RowFault], list[RowFault]]:
    """The faults that refuse a write, and those that are no faults when the row is stored.

    The latter are those of revoked rows, and of grants that have ended.
    """
    refused: list[RowFault] = []
    doubtful: list[RowFault] = []
    lists: tuple[tuple[Literal["grant", "revoke"], Sequence[Assignment]], ...] = (("grant", grant), ("revoke", revoke))
    for name, rows in lists:
        for index, row in enumerate(rows):
            if not all(isinstance(part, str) for part in row.key):
                refused.append(RowFault(name, index, row, "subject, role and domain must be strings"))
                continue
            message = fault_in_assignment(roles, row)
            if message:
                storable = name == "revoke" and all(_can_be_stored(part) for part in row.key)
                (doubtful if storable else refused).append(RowFault(name, index, row, message))
            elif name == "grant" and row.ends is not None:
                untimely = timing_of(row, now)
                if untimely is not None and untimely.timing == "ended":
                    doubtful.append(RowFault(name, index, row, f"it would have ended at {row.ends}; give an until to come"))
    granted: dict[tuple[str, str, str], Assignment] = {}
    for index, row in enumerate(grant):
        if granted.setdefault(row.key, row) != row:
            message = "the same row is there with other times; leave it once"
            refused.append(RowFault("grant", index, row, message))
    for index, row in enumerate(revoke):
        if row.key in granted:
            refused.append(RowFault("revoke", index, row, "the same row is in both lists; leave it in one of them"))
    return refused, doubtful


def _accounts_of(rows: Sequence[Assignment]) -> set[str] | None:
    """The top-level domains that a write of these rows locks; None for all."""
    return None if any(row.is_membership for row in rows) else {top_domain(row.domain) for row in rows}


def _lasting_longer(row: Assignment, other: Assignment | None) -> Assignment:
    """Of two rows with one key the one that ends later."""
    return row if other is None or (row.ends is None, row.ends or "") >= (other.ends is None, other.ends or "") else other


def _can_be_stored(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _apply(
    connection: Connection,
    roles: RoleModel,
    grant: Sequence[Assignment],
    revoke: Sequence[Assignment],
    origin: Origin,
    now: float,
    guard: Guard | None = None,
) -> tuple[str, StoreChange | None]:
    proposed = ProposedChange(connection, roles, grant, revoke, now)
    if guard is not None:
        guard(proposed)
    change = _put(connection, proposed.added, proposed.removed, origin)
    violations = proposed.violations()
    if violations:
        raise ForbiddenState(tuple(violations))
    return revision_now(connection), change


def _put(
    connection: Connection, grant: Sequence[Assignment], revoke: Sequence[Assignment], origin: Origin
) -> StoreChange | None:
    """Makes the table hold the one and not the other, with the revision and both logs; None when it was so already.

    The caller holds the locks and knows that the rows really change something.
    """
    if not grant and not revoke:
        return None
    by_row = delete(CasbinRule).where(
        CasbinRule.v0 == bindparam("subject"), CasbinRule.v1 == bindparam("role"), CasbinRule.v2 == bindparam("domain")
    )
    with own_write(connection):
        if revoke:
            gone = [{"subject": row.subject, "role": row.role, "domain": row.domain} for row in revoke]
            connection.execute(by_row, gone)
        if grant:
            connection.execute(insert(CasbinRule), [as_values(row) for row in grant])
    change = log_change(connection, frozenset(row.subject for row in (*grant, *revoke)))
    log_rows(connection, origin, grant, revoke)
    return change


def _write_cursor(filters: Filters, last: Assignment) -> str:
    given = filters if any(filters[3:]) else filters[:3]
    return cursor_of(given, last.key)


def _read_cursor(cursor: str, filters: Filters) -> Assignment:
    try:
        given, (subject, role, domain) = parts_of_cursor(cursor)
        after = Assignment(subject, role, domain)
    except (ValueError, TypeError):
        raise InvalidCursor("this cursor was not made by this service; start again without one") from None
    texts = [part for part in after.key if part != ""]
    if not all(isinstance(part, str) and is_printable(part) for part in texts):
        raise InvalidCursor("this cursor was not made by this service; start again without one")
    if given != list(filters if any(filters[3:]) else filters[:3]):
        raise InvalidCursor("this cursor belongs to other filters; repeat those, or start again without a cursor")
    return after
