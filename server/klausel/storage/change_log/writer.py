"""Appending to the change log of role assignments, inside the transaction that makes the change."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, text

from klausel.core.policy.assignment import Assignment
from klausel.core.records.change_record import (
    BEFORE_THE_FIRST,
    ENTITIES,
    GRANTED,
    REVOKED,
    ChangeRecord,
    LoggedRow,
    Origin,
    RowsDigest,
    hash_of,
)
from klausel.storage.sql.many_rows import insert_rows
from klausel.storage.sql.tables import EntityLogRow, LogRecord, LogRow, State

ROWS_PER_FETCH = 10_000
_cursors = count()


class Head(NamedTuple):
    """The last record: its number (0: there is none), time and hash."""

    number: int
    microseconds: int
    hash: str


def head_of(connection: Connection) -> Head:
    """The last record of the log; in a write transaction that has counted the revision up, nobody else can add one."""
    query = select(LogRecord.number, LogRecord.microseconds, LogRecord.hash).order_by(LogRecord.number.desc()).limit(1)
    found = connection.execute(query).first()
    return Head(*found) if found is not None else Head(0, 0, BEFORE_THE_FIRST)


def log_rows(connection: Connection, origin: Origin, granted: Sequence[Assignment], revoked: Sequence[Assignment]) -> None:
    """Appends one record with the rows that a write really changed; to be called after the revision was counted up.

    A record without rows says that somebody looked, as a review does that took nothing away.
    """
    head = head_of(connection)
    rows: list[LoggedRow] = [(REVOKED, *row) for row in revoked] + [(GRANTED, *row) for row in granted]
    names = ("number", "position", "sign", "subject", "role", "domain", "starts", "ends")
    values = [dict(zip(names, (head.number + 1, position, *row), strict=True)) for position, row in enumerate(rows)]
    if values:
        connection.execute(insert(LogRow), values)
    digest = RowsDigest()
    digest.add(rows)
    _append(connection, head, "change", origin, (len(granted), len(revoked)), digest.hexdigest())


EntityRow = tuple[str, str, str, str, str]
"""Kind, type, id, domain, and the properties as canonical JSON."""


def log_entities(connection: Connection, origin: Origin, stored: Sequence[EntityRow], removed: Sequence[EntityRow]) -> None:
    """Appends one record with what a write really changed; to be called after the revision was counted up."""
    head = head_of(connection)
    rows = [(REVOKED, *row) for row in removed] + [(GRANTED, *row) for row in stored]
    names = ("number", "position", "sign", "kind", "type", "id", "domain", "properties")
    digest = RowsDigest()
    for start in range(0, len(rows), ROWS_PER_FETCH):
        some = rows[start : start + ROWS_PER_FETCH]
        insert_rows(connection, EntityLogRow, names, [(head.number + 1, start + i, *row) for i, row in enumerate(some)])
        digest.add(some)
    _append(connection, head, ENTITIES, origin, (len(stored), len(removed)), digest.hexdigest())


def log_stored_rows(connection: Connection, kind: str, origin: Origin, granted: int, revoked: int = 0) -> None:
    """Appends the record for rows that stand in the table of rows already, under the next number."""
    head = head_of(connection)
    digest = RowsDigest()
    query = (
        "SELECT sign, subject, role, domain, starts, ends FROM klausel_assignment_log_row "
        "WHERE number = :number ORDER BY position"
    )
    for rows in batches(connection, query, head.number + 1):
        digest.add(rows)
    _append(connection, head, kind, origin, (granted, revoked), digest.hexdigest())


def begin_log(connection: Connection) -> None:
    """Writes the first record, with the role assignments found."""
    copy = text(
        "INSERT INTO klausel_assignment_log_row (number, position, sign, subject, role, domain, starts, ends) "
        "SELECT 1, row_number() OVER (ORDER BY v0, v1, v2) - 1, 1, v0, v1, v2, v3, v4 FROM casbin_rule"
    )
    found = connection.execute(copy).rowcount
    log_stored_rows(connection, "begins", Origin(), found)


def batches(connection: Connection, query: str, number: int | None = None) -> Iterator[list[Any]]:
    """The rows of a query as plain tuples, some thousands at a time, past SQLAlchemy's own rows where the driver is known.

    `:number` in the query stands for the number given.
    """
    driver: Any = connection.connection.driver_connection
    kind = connection.dialect.name, connection.dialect.driver
    if kind == ("sqlite", "pysqlite"):
        cursor = driver.execute(query, {"number": number} if number is not None else {})
    elif kind == ("postgresql", "psycopg"):
        # A cursor with a name keeps its rows on the server.
        cursor = driver.cursor(name=f"klausel_{next(_cursors)}")
        cursor.execute(query.replace(":number", "%s"), None if number is None else (number,))
    else:
        result = connection.execute(text(query), {"number": number} if number is not None else {})
        yield from ([tuple(row) for row in rows] for rows in result.partitions(ROWS_PER_FETCH))
        return
    try:
        while rows := cursor.fetchmany(ROWS_PER_FETCH):
            yield rows
    finally:
        cursor.close()


def now_microseconds() -> int:
    """The clock."""
    return time.time_ns() // 1000


def _append(
    connection: Connection, head: Head, kind: str, origin: Origin, counts: tuple[int, int], rows_digest: str
) -> None:
    lineage, counter = connection.execute(select(State.lineage, State.revision)).one()
    record = ChangeRecord(
        head.number + 1,
        max(now_microseconds(), head.microseconds + 1),
        kind,
        origin,
        *counts,
        rows_digest,
        f"{lineage}-{counter}",
        head.hash,
    )
    connection.execute(
        insert(LogRecord).values(
            number=record.number,
            microseconds=record.microseconds,
            kind=record.kind,
            by=origin.by,
            reason=origin.reason,
            ticket=origin.ticket,
            channel=origin.channel,
            caller=origin.caller,
            request_id=origin.request_id,
            granted=record.granted,
            revoked=record.revoked,
            rows_digest=record.rows_digest,
            revision=record.revision,
            previous=record.previous,
            hash=hash_of(record),
        )
    )
