"""Reading what the change log says of stored properties: who changed them, and all that was stored at a moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Engine, Select, select

from klausel.core.policy.entity import Entity, EntityKind
from klausel.core.records.change_record import GRANTED
from klausel.core.terms.identifiers import is_printable
from klausel.core.terms.moment import moment_text
from klausel.storage.change_log.reader import (
    ROWS_PER_STEP,
    MomentInLog,
    Place,
    RecordFilters,
    origin_as_json,
    query_of_changes,
    stream,
)
from klausel.storage.sql.database import reading
from klausel.storage.sql.tables import EntityLogRow

_STATE = (EntityLogRow.kind, EntityLogRow.type, EntityLogRow.id, EntityLogRow.domain, EntityLogRow.properties)


@dataclass(frozen=True, slots=True)
class EntityFilters(RecordFilters):
    """Which changes of stored properties are wanted; None stands for any."""

    kind: EntityKind | None = None
    type: str | None = None
    id: str | None = None
    domain: str | None = None


class LoggedEntity(NamedTuple):
    """What was stored or removed of one subject or resource, with what its record says; the properties are JSON."""

    number: int
    position: int
    sign: int
    kind: EntityKind
    type: str
    id: str
    domain: str
    properties: str
    microseconds: int
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
        """`stored`, or `removed`; who changes properties removes the old ones and stores the new ones."""
        return "stored" if self.sign == GRANTED else "removed"

    @property
    def entity(self) -> Entity:
        """What was stored or removed."""
        return Entity.of_stored(self.kind, self.type, self.id, self.domain, self.properties)


def entity_change_as_json(change: LoggedEntity) -> dict[str, object]:
    """One change as an object; what is not known is null, and the domain of what lies nowhere is left out."""
    return {
        "number": change.number,
        "time": moment_text(change.microseconds),
        "change": change.word,
        **change.entity.as_json(),
        **origin_as_json(change),
    }


class EntityLogReader:
    """The changes of stored properties in the change log of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def changes(
        self, filters: EntityFilters, limit: int | None = None, after: Place | None = None
    ) -> Iterator[LoggedEntity]:
        """The changes that fit every filter, newest first; with `after`, those older than the one that stands there."""
        texts = (filters.type, filters.id, filters.domain, filters.by)
        if all(is_printable(text) for text in texts if text):
            yield from map(LoggedEntity._make, stream(self._engine, _query(filters, after).limit(limit)))

    def stored_at(self, moment: MomentInLog) -> Iterator[Entity]:
        """All entities as they were stored at a moment, by kind, type and id, without holding them all."""
        columns = (*_STATE[:3], EntityLogRow.sign, *_STATE[3:])
        query = select(*columns).where(EntityLogRow.number <= moment.number)
        query = query.order_by(*_STATE[:3], EntityLogRow.number, EntityLogRow.position)
        with reading(self._engine) as connection:
            found = connection.execute(query.execution_options(yield_per=ROWS_PER_STEP))
            logged: Iterator[tuple[Any, ...]] = map(tuple, found)
            for _, rows in groupby(logged, key=lambda row: row[:3]):
                *_, (kind, type_, id_, sign, domain, properties) = rows
                if sign == GRANTED:
                    yield Entity.of_stored(kind, type_, id_, domain, properties)


def _query(filters: EntityFilters, after: Place | None) -> Select[tuple[object, ...]]:
    query = query_of_changes(EntityLogRow, LoggedEntity._fields, filters, after, is_of_one=filters.id is not None)
    for name in ("kind", "type", "id", "domain"):
        wanted = getattr(filters, name)
        if wanted is not None:
            query = query.where(getattr(EntityLogRow, name) == wanted)
    return query
