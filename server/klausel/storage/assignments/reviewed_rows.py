"""Role assignments with what the change log says of their last grant, for those who review them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, func, select

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.holding import Rows, gather_rows, rows_by_subject
from klausel.core.records.change_record import GRANTED
from klausel.core.records.review_sheet import GrantedBy, ReviewedRow
from klausel.core.terms.moment import moment_text
from klausel.storage.assignments.closures import ROWS_PER_STATEMENT, rows_of_all_groups
from klausel.storage.sql.database import reading, streamed
from klausel.storage.sql.rows import COLUMNS, KEY_COLUMNS
from klausel.storage.sql.steps import in_steps
from klausel.storage.sql.tables import CasbinRule, LogRecord, LogRow, State


def lineage_of(connection: Connection) -> str:
    """The random name of a database, the same for all its life."""
    name: str = connection.execute(select(State.lineage)).scalar_one()
    return name


def reason_and_hash(engine: Engine, number: int) -> tuple[str | None, str] | None:
    """What a record of the change log gives as its reason, and its hash; None where there is no such record."""
    with reading(engine) as connection:
        found = connection.execute(select(LogRecord.reason, LogRecord.hash).where(LogRecord.number == number)).first()
    return None if found is None else (found[0], found[1])


def reviewed_rows(engine: Engine) -> Iterator[tuple[list[ReviewedRow], Rows]]:
    """The rows of each subject, groups included, and with them those of all groups that they lead to; by subject, each once.

    As of one moment, streamed. Raises StorageError.
    """
    query = _with_grants().order_by(*KEY_COLUMNS)
    with reading(engine) as connection:
        of_groups = rows_by_subject(rows_of_all_groups(connection))
        for subject, rows in groupby(map(_reviewed, streamed(connection, query)), key=lambda one: one.row.subject):
            own = list(rows)
            yield own, gather_rows(subject, [one.row for one in own], of_groups)


def rows_to_review(connection: Connection, subjects: Collection[str]) -> dict[tuple[str, str, str], ReviewedRow]:
    """The rows of these subjects, by their keys, as a transaction sees them."""
    rows: dict[tuple[str, str, str], ReviewedRow] = {}
    for some in in_steps(sorted(subjects), ROWS_PER_STATEMENT):
        for found in connection.execute(_with_grants(some)):
            one = _reviewed(found)
            rows[one.row.key] = one
    return rows


def _with_grants(subjects: Collection[str] | None = None) -> Select[Any]:
    last = select(LogRow.subject, LogRow.role, LogRow.domain, func.max(LogRow.number).label("number")).where(
        LogRow.sign == GRANTED
    )
    if subjects is not None:
        last = last.where(LogRow.subject.in_(subjects))
    grants = last.group_by(LogRow.subject, LogRow.role, LogRow.domain).subquery()
    fits = and_(grants.c.subject == CasbinRule.v0, grants.c.role == CasbinRule.v1, grants.c.domain == CasbinRule.v2)
    said = (LogRecord.number, LogRecord.microseconds, LogRecord.kind, LogRecord.by, LogRecord.ticket)
    columns: tuple[Any, ...] = (*COLUMNS, *said)
    query = (
        select(*columns)
        .select_from(CasbinRule)
        .outerjoin(grants, fits)
        .outerjoin(LogRecord, LogRecord.number == grants.c.number)
    )
    return query if subjects is None else query.where(CasbinRule.v0.in_(subjects))


def _reviewed(found: Any) -> ReviewedRow:
    number, microseconds, kind, by, ticket = found[5:]
    if number is None:
        granted = GrantedBy()
    elif kind == "begins":
        # It was there already when the log began: since when, and by whom, nobody knows.
        granted = GrantedBy(number)
    else:
        granted = GrantedBy(number, moment_text(microseconds), by, ticket)
    return ReviewedRow(Assignment(*found[:5]), granted)
