"""Reading the change log: who changed what, and who held what at a moment."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, Select, and_, or_, select

from klausel.core.analysis.search import Holders
from klausel.core.policy.assignment import AFTER_GROUPS, GROUP_PREFIX, Assignment, row_as_json
from klausel.core.policy.holding import (
    Held,
    Rows,
    gather_rows,
    groups_in,
    held_at,
    rows_by_subject,
    rows_of_subject,
)
from klausel.core.records.change_record import GRANTED
from klausel.core.terms.identifiers import is_printable
from klausel.core.terms.moment import moment_text
from klausel.storage.sql.database import is_in_memory, reading
from klausel.storage.sql.rows import inside
from klausel.storage.sql.tables import EntityLogRow, LogRecord, LogRow

ROWS_PER_STEP = 5_000

_STATE = (LogRow.subject, LogRow.role, LogRow.domain, LogRow.number, LogRow.sign, LogRow.starts, LogRow.ends)

Place = tuple[int, int]
"""Where a change stands: the number of its record, and its position there."""


class BeforeTheLog(Exception):
    """A moment before the log begins, of which nothing is known; the message says when it begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilters:
    """Which records are wanted; None stands for any. `since` is the first moment, `until` the first one after the last."""

    by: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Filters(RecordFilters):
    """Which changes are wanted; None stands for any. A role that had other names is wanted under all its `role_names`."""

    subject: str | None = None
    role: str | None = None
    domain: str | None = None
    role_names: tuple[str, ...] = ()


class LoggedChange(NamedTuple):
    """One role assignment or membership granted or revoked, with what its record says; `kind` as in ChangeRecord."""

    number: int
    position: int
    sign: int
    subject: str
    role: str
    domain: str
    starts: str | None
    ends: str | None
    microseconds: int
    kind: str
    by: str | None
    reason: str | None
    ticket: str | None
    channel: str
    caller: str | None
    request_id: str | None
    revision: str
    hash: str

    @property
    def word(self) -> str:
        """`granted`, `revoked`, or `found` for what was there when the log began."""
        if self.kind == "begins":
            return "found"
        return "granted" if self.sign == GRANTED else "revoked"

    @property
    def row(self) -> Assignment:
        """What was granted or revoked."""
        return Assignment(self.subject, self.role, self.domain, self.starts, self.ends)


_OF_EVERY_RECORD = ("by", "reason", "ticket", "channel", "caller", "request_id", "revision", "hash")


def change_as_json(change: LoggedChange) -> dict[str, object]:
    """One change as an object; what is not known is null, and times that a row does not have are left out."""
    return {
        "number": change.number,
        "time": moment_text(change.microseconds),
        "change": change.word,
        **row_as_json(change.row),
        **origin_as_json(change),
    }


def origin_as_json(change: object) -> dict[str, object]:
    """By whom, why and from where, which every kind of record says; what is not known is null."""
    return {name: getattr(change, name) for name in _OF_EVERY_RECORD}


class MomentInLog(NamedTuple):
    """A moment, and the last record up to it."""

    microseconds: int
    number: int

    @property
    def seconds(self) -> float:
        """The moment in seconds since 1970."""
        return self.microseconds / 1_000_000


class LogReader:
    """The change log of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def at(self, microseconds: int) -> MomentInLog:
        """The last record up to a moment, by index; raises BeforeTheLog when the log begins later."""
        query = select(LogRecord.number).where(LogRecord.microseconds <= microseconds)
        with reading(self._engine) as connection:
            number = connection.execute(query.order_by(LogRecord.microseconds.desc()).limit(1)).scalar()
            if number is not None:
                return MomentInLog(microseconds, number)
            begins = connection.execute(select(LogRecord.microseconds).order_by(LogRecord.number).limit(1)).scalar()
        when = f"begins at {moment_text(begins)}" if begins is not None else "is empty"
        raise BeforeTheLog(f"nothing is known of {moment_text(microseconds)}: the log {when}; ask about a later moment")

    def rows_at(self, subject: str, moment: MomentInLog) -> Rows:
        """All rows that said at a moment what a subject holds; one indexed query for it, and one for each step to its groups."""
        if not is_printable(subject):
            return Rows(())
        found: list[Assignment] = []
        waiting = {subject}
        met = set(waiting)
        with reading(self._engine) as connection:
            # What the log says of a moment does not change any more, so the queries need not be one.
            while waiting:
                some = [row for one in sorted(waiting) for row in _rows_of(connection, one, moment)]
                found += some
                waiting = set(groups_in(some)) - met
                met |= waiting
        return rows_of_subject(subject, found)

    def held_at(self, moment: MomentInLog, subject: str | None = None, domain: str | None = None) -> Iterator[Assignment]:
        """All role assignments and memberships as they were stored at a moment, sorted, without holding them all.

        Of one subject or domain where named.
        """
        query = select(*_STATE).where(LogRow.number <= moment.number).order_by(*_STATE[:5])
        if subject is not None:
            with reading(self._engine) as connection:
                own = _rows_of(connection, subject, moment) if is_printable(subject) else []
            yield from (row for row in own if domain in (None, row.domain))
            return
        if domain is not None:
            query = query.where(LogRow.domain == domain)
        with reading(self._engine) as connection:
            found = connection.execute(query.execution_options(yield_per=ROWS_PER_STEP))
            yield from _standing(map(tuple, found))

    def has_times(self, moment: MomentInLog) -> bool:
        """Whether any row up to a moment had times."""
        query = select(LogRow.number).where(LogRow.number <= moment.number)
        query = query.where(or_(LogRow.starts.is_not(None), LogRow.ends.is_not(None)))
        with reading(self._engine) as connection:
            return connection.execute(query.limit(1)).first() is not None

    def people_who_held(
        self, moment: MomentInLog, holders: Holders, after: str = "", now: float | None = None
    ) -> Iterator[tuple[str, Held]]:
        """Each subject after `after` who held one of these roles at a moment, once, with all held in that account.

        `now`, in seconds since 1970, is the time by which roles with times count; None: the moment.
        Goes through the whole log; memory grows with the groups alone.
        """
        if after and not is_printable(after):
            return
        seconds = moment.seconds if now is None else now
        query = select(*_STATE).where(LogRow.number <= moment.number).order_by(*_STATE[:5])
        query = query.where(or_(inside(LogRow.domain, holders.top), LogRow.domain == ""))
        of_groups = query.where(LogRow.subject > GROUP_PREFIX, LogRow.subject < AFTER_GROUPS)
        with reading(self._engine) as connection:
            rows_of_groups = rows_by_subject(_standing(map(tuple, connection.execute(of_groups))))
            wanted = query.where(LogRow.subject > after).execution_options(yield_per=ROWS_PER_STEP)
            found = _standing(map(tuple, connection.execute(wanted)))
            for subject, rows in groupby(found, key=lambda row: row.subject):
                held = held_at(subject, gather_rows(subject, list(rows), rows_of_groups), seconds)
                if any(holders.include(role, domain) for role, domain in held.pairs):
                    yield subject, held

    def changes(self, filters: Filters, limit: int | None = None, after: Place | None = None) -> Iterator[LoggedChange]:
        """The changes that fit every filter, newest first; with `after`, those older than the one that stands there."""
        texts = (filters.subject, filters.role, filters.domain, filters.by)
        if not all(is_printable(text) for text in texts if text is not None):
            return
        yield from map(LoggedChange._make, stream(self._engine, _query(filters, after).limit(limit)))


def stream(engine: Engine, query: Select[tuple[object, ...]]) -> Iterator[Row[tuple[object, ...]]]:
    """The rows of a query, some thousands at a time where the database allows that. Raises StorageError."""
    if is_in_memory(engine.url):
        # Kept open, it would keep every other thread from the only connection there is.
        with reading(engine) as connection:
            rows = connection.execute(query).all()
        yield from rows
        return
    with reading(engine) as connection:
        parts = connection.execute(query.execution_options(yield_per=ROWS_PER_STEP)).partitions()
        yield from chain.from_iterable(parts)


def _rows_of(connection: Connection, subject: str, moment: MomentInLog) -> list[Assignment]:
    """The rows that stood about one subject at a moment, sorted."""
    query = select(*_STATE).where(LogRow.subject == subject, LogRow.number <= moment.number)
    # Sorted here: ORDER BY can lure PostgreSQL to another index and all its rows.
    return list(_standing(iter(sorted(map(tuple, connection.execute(query)), key=lambda row: row[:5]))))


def _standing(rows: Iterator[tuple[Any, ...]]) -> Iterator[Assignment]:
    """Of rows of the log in the order of `_STATE`, those that were granted last."""
    for key, entries in groupby(rows, key=lambda row: row[:3]):
        *_, last = entries
        if last[4] == GRANTED:
            yield Assignment(*key, *last[5:])


def _query(filters: Filters, after: Place | None) -> Select[tuple[object, ...]]:
    query = query_of_changes(LogRow, LoggedChange._fields, filters, after, is_of_one=filters.subject is not None)
    if filters.subject is not None:
        query = query.where(LogRow.subject == filters.subject)
    if filters.role is not None:
        query = query.where(LogRow.role.in_(filters.role_names or (filters.role,)))
    if filters.domain is not None:
        query = query.where(LogRow.domain == filters.domain)
    return query


def query_of_changes(
    table: type[LogRow | EntityLogRow],
    names: Collection[str],
    filters: RecordFilters,
    after: Place | None,
    *,
    is_of_one: bool,
) -> Select[tuple[object, ...]]:
    """The named columns of a kind of rows and of their records, newest first; `is_of_one`: of one subject or resource."""
    columns = [getattr(table if hasattr(table, name) else LogRecord, name) for name in names]
    query = select(*columns).join(LogRecord, LogRecord.number == table.number)
    if filters.by is not None:
        query = query.where(LogRecord.by == filters.by)
    if filters.since is not None:
        query = query.where(LogRecord.microseconds >= filters.since)
    if filters.until is not None:
        query = query.where(LogRecord.microseconds < filters.until)
    if after is not None:
        number, position = after
        query = query.where(or_(table.number < number, and_(table.number == number, table.position < position)))
    if is_of_one:
        # An expression keeps databases from reading all rows in order until enough are of this one.
        return query.order_by((table.number + 0).desc(), (table.position + 0).desc())
    # SQLite does not see that both numbers are one, so it would sort all that somebody ever did for the newest of it.
    number_column = table.number if filters.by is None else LogRecord.number
    return query.order_by(number_column.desc(), table.position.desc())
