"""Reading the change log: who changed what, and who held what at a moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from typing import NamedTuple

from sqlalchemy import Engine, Select, and_, or_, select

from klausel.core.analysis.search import Holders
from klausel.core.policy.assignment import Assignment
from klausel.core.records.change_record import GRANTED
from klausel.core.terms.identifiers import is_printable
from klausel.core.terms.moment import moment_text
from klausel.storage.sql.database import is_in_memory, reading
from klausel.storage.sql.tables import LogRecord, LogRow

ROWS_PER_STEP = 5_000

Pairs = tuple[tuple[str, str], ...]
Place = tuple[int, int]
"""Where a change stands: the number of its record, and its position there."""


class BeforeTheLog(Exception):
    """A moment before the log begins, of which nothing is known; the message says when it begins."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which changes are wanted; None stands for any. `since` is the first moment, `until` the first one after the last."""

    subject: str | None = None
    role: str | None = None
    domain: str | None = None
    by: str | None = None
    since: int | None = None
    until: int | None = None


class LoggedChange(NamedTuple):
    """One role assignment granted or revoked, with what its record says; `kind` as in ChangeRecord."""

    number: int
    position: int
    sign: int
    subject: str
    role: str
    domain: str
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


def change_as_json(change: LoggedChange) -> dict[str, object]:
    """One change as an object; what is not known is null."""
    return {
        "number": change.number,
        "time": moment_text(change.microseconds),
        "change": change.word,
        "subject": change.subject,
        "role": change.role,
        "domain": change.domain,
        "by": change.by,
        "reason": change.reason,
        "ticket": change.ticket,
        "channel": change.channel,
        "caller": change.caller,
        "request_id": change.request_id,
        "revision": change.revision,
        "hash": change.hash,
    }


class MomentInLog(NamedTuple):
    """A moment, and the last record up to it."""

    microseconds: int
    number: int


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

    def held_by_at(self, subject: str, moment: MomentInLog) -> Pairs:
        """The (role, domain) pairs that one subject held at a moment, sorted; one indexed query."""
        if not is_printable(subject):
            return ()
        query = select(LogRow.role, LogRow.domain, LogRow.number, LogRow.sign).where(
            LogRow.subject == subject, LogRow.number <= moment.number
        )
        with reading(self._engine) as connection:
            # Sorted here: ORDER BY can lure PostgreSQL to another index and all its rows.
            rows = sorted((role, domain, number, sign) for role, domain, number, sign in connection.execute(query))
        last = {(role, domain): sign for role, domain, _, sign in rows}
        return tuple(pair for pair, sign in last.items() if sign == GRANTED)

    def held_at(self, moment: MomentInLog, subject: str | None = None, domain: str | None = None) -> Iterator[Assignment]:
        """All role assignments as of a moment, sorted, without holding them all; of one subject or domain where named."""
        if subject is not None:
            pairs = self.held_by_at(subject, moment)
            yield from (Assignment(subject, role, where) for role, where in pairs if domain in (None, where))
            return
        columns = (LogRow.subject, LogRow.role, LogRow.domain, LogRow.number, LogRow.sign)
        query = select(*columns).where(LogRow.number <= moment.number).order_by(*columns)
        if domain is not None:
            query = query.where(LogRow.domain == domain)
        with reading(self._engine) as connection:
            found = connection.execute(query.execution_options(yield_per=ROWS_PER_STEP))
            for assignment, entries in groupby(map(tuple, found), key=lambda row: row[:3]):
                *_, last = entries
                if last[4] == GRANTED:
                    yield Assignment(*assignment)

    def people_who_held(self, moment: MomentInLog, holders: Holders, after: str = "") -> Iterator[tuple[str, Pairs]]:
        """Each subject after `after` who held one of these roles at a moment, once, with all held in that account, sorted.

        Goes through the whole log, in constant memory.
        """
        if after and not is_printable(after):
            return
        columns = (LogRow.subject, LogRow.role, LogRow.domain, LogRow.number, LogRow.sign)
        # "0" is the character after "/".
        below = and_(LogRow.domain > holders.top + "/", LogRow.domain < holders.top + "0")
        query = select(*columns).where(LogRow.subject > after, LogRow.number <= moment.number)
        query = query.where(or_(LogRow.domain == holders.top, below)).order_by(*columns)
        with reading(self._engine) as connection:
            found = connection.execute(query.execution_options(yield_per=ROWS_PER_STEP))
            for subject, rows in groupby(found, key=lambda row: row[0]):
                last: dict[tuple[str, str], int] = {(role, domain): sign for _, role, domain, _, sign in rows}
                held = tuple(pair for pair, sign in last.items() if sign == GRANTED)
                if any(holders.include(role, domain) for role, domain in held):
                    yield subject, held

    def changes(self, filters: Filters, limit: int | None = None, after: Place | None = None) -> Iterator[LoggedChange]:
        """The changes that fit every filter, newest first; with `after`, those older than the one that stands there."""
        texts = (filters.subject, filters.role, filters.domain, filters.by)
        if not all(is_printable(text) for text in texts if text is not None):
            return
        query = _query(filters, after)
        if limit is not None:
            query = query.limit(limit)
        if is_in_memory(self._engine.url):
            # Kept open, it would keep every other thread from the only connection there is.
            with reading(self._engine) as connection:
                rows = connection.execute(query).all()
            yield from map(LoggedChange._make, rows)
            return
        with reading(self._engine) as connection:
            parts = connection.execute(query.execution_options(yield_per=ROWS_PER_STEP)).partitions()
            yield from map(LoggedChange._make, chain.from_iterable(parts))


def _query(filters: Filters, after: Place | None) -> Select[tuple[object, ...]]:
    rows = {"number", "position", "sign", "subject", "role", "domain"}
    columns = [getattr(LogRow if name in rows else LogRecord, name) for name in LoggedChange._fields]
    query = select(*columns).join(LogRecord, LogRecord.number == LogRow.number)
    if filters.subject is not None:
        query = query.where(LogRow.subject == filters.subject)
    if filters.role is not None:
        query = query.where(LogRow.role == filters.role)
    if filters.domain is not None:
        query = query.where(LogRow.domain == filters.domain)
    if filters.by is not None:
        query = query.where(LogRecord.by == filters.by)
    if filters.since is not None:
        query = query.where(LogRecord.microseconds >= filters.since)
    if filters.until is not None:
        query = query.where(LogRecord.microseconds < filters.until)
    if after is not None:
        number, position = after
        query = query.where(or_(LogRow.number < number, and_(LogRow.number == number, LogRow.position < position)))
    if filters.subject is not None:
        # An expression keeps databases from reading all rows in order until enough are the subject's.
        return query.order_by((LogRow.number + 0).desc(), (LogRow.position + 0).desc())
    return query.order_by(LogRow.number.desc(), LogRow.position.desc())
