"""The store of properties of subjects and resources: checked, written atomically, logged, and read page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Engine, and_, func, select

from klausel.core.policy.entity import Entity, EntityKey, EntityKind, properties_text
from klausel.core.policy.entity_faults import EntityFault, fault_in_entity, fault_in_key, fault_of_written
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import top_domain
from klausel.core.records.change_record import GRANTED, Origin
from klausel.core.terms.identifiers import is_printable, subject_key
from klausel.storage.change_log.writer import EntityRow, log_entities
from klausel.storage.sql.database import reading, writing
from klausel.storage.sql.many_rows import delete_rows, insert_rows, keep_statistics, many_pages, mark_visible
from klausel.storage.sql.revisions import StoreChange, log_change, own_write, revision_now
from klausel.storage.sql.steps import in_steps
from klausel.storage.sql.tables import Entity as Row
from klausel.storage.sql.tables import EntityLogRow, EntityProperty

KEYS_PER_QUERY = 500
ROWS_PER_STEP = 5_000
MOST_FAULTS = 100
ENTITY_COLUMNS = (Row.kind, Row.type, Row.id, Row.domain, Row.properties)
_TABLES = (Row, EntityProperty)
_UNKNOWN = Origin()


@dataclass(frozen=True, slots=True)
class FaultyEntity:
    """What is wrong with one entity of a write: in which list, at which index."""

    list: Literal["put", "delete"]
    index: int
    fault: EntityFault


class InvalidEntities(Exception):
    """Entities that cannot be stored; nothing was written. At most 100 faults."""

    def __init__(self, faults: Sequence[FaultyEntity]) -> None:
        super().__init__(faults[0].fault.message)
        self.faults = tuple(faults)


class OutOfReach(Exception):
    """A write, or a part of it, concerns accounts that its caller does not reach; nothing was written."""


@dataclass(frozen=True, slots=True)
class Written:
    """The revision after a write, how many entities it stored, new or changed, and how many it took away."""

    revision: str
    stored: int
    removed: int


def _nobody(_: StoreChange) -> None:
    """Nobody listens."""


class EntityStore:
    """Stored subjects and resources of one database; other processes may use it too. Safe for use by many threads.

    `tell` is called after each committed write, before the write returns.
    """

    def __init__(self, engine: Engine, tell: Callable[[StoreChange], None] = _nobody) -> None:
        self.engine = engine
        self._tell = tell

    def write(
        self,
        policy: PolicySet,
        put: Iterable[Entity],
        remove: Sequence[EntityKey] = (),
        origin: Origin = _UNKNOWN,
        accounts: frozenset[str] | None = None,
    ) -> Written:
        """Stores and removes, all or nothing; the same write again changes nothing. What changes stands in the change log.

        To put what is stored replaces all of it. With `accounts` only resources that lie, and lay, in these domains of the top
        level may be written. Raises InvalidEntities, OutOfReach and StorageError.
        """
        wanted, gone = _checked(policy, put, remove)
        _check_reach(accounts, wanted.values())
        with writing(self.engine, None) as connection:
            known = _stored(connection, {*wanted, *gone})
            if accounts is not None:
                # What lies in another account is not there to this caller.
                known = {key: row for key, row in known.items() if key not in gone or _is_inside(accounts, row)}
            _check_reach(accounts, known.values())
            if accounts is not None and any(kind == "subject" for kind, _, _ in gone):
                raise OutOfReach(
                    "properties of subjects hold everywhere; a caller of some accounts alone cannot change them"
                )
            stored = [row for key, row in wanted.items() if known.get(key) != row]
            removed = [row for key, row in known.items() if key in gone or (key in wanted and wanted[key] != row)]
            with many_pages(connection, len(stored) + len(removed)):
                change, were_many = _put(connection, stored, removed, origin)
            written = Written(revision_now(connection), len(stored), sum(key in gone for key in known))
        if change is not None:
            self._tell(change)
        if were_many:
            mark_visible(self.engine, _TABLES)
        return written

    def read(self, key: EntityKey) -> Entity | None:
        """One entity; None where nothing is stored of it. Raises StorageError."""
        if fault_in_key(*key) is not None:
            return None
        with reading(self.engine) as connection:
            return next((Entity.of_stored(*row) for row in _stored(connection, {key}).values()), None)

    def page(
        self, kind: EntityKind, type_: str, limit: int, after: str = "", domain: str | None = None
    ) -> tuple[list[Entity], bool]:
        """Up to `limit` entities of a type behind an id, by code points of their ids, and whether there are more.

        With `domain` those alone that lie there or below.
        """
        texts = (type_, after, domain)
        if not all(is_printable(text) for text in texts if text):
            return [], False
        query = select(*ENTITY_COLUMNS).where(Row.kind == kind, Row.type == type_, Row.id > after).order_by(Row.id)
        if domain is not None:
            query = query.where((Row.domain == domain) | below(domain))
        with reading(self.engine) as connection:
            found = [Entity.of_stored(*row) for row in connection.execute(query.limit(limit + 1))]
        return found[:limit], len(found) > limit

    def export(self) -> Iterator[Entity]:
        """All entities, by kind, type and id, as of one moment and without holding them all in memory."""
        with reading(self.engine) as connection:
            query = select(*ENTITY_COLUMNS).order_by(*ENTITY_COLUMNS[:3])
            for row in connection.execution_options(yield_per=ROWS_PER_STEP).execute(query):
                yield Entity.of_stored(*row)

    def count(self) -> int:
        """How many entities are stored."""
        with reading(self.engine) as connection:
            return connection.execute(select(func.count()).select_from(Row)).scalar_one()

    def read_at(self, key: EntityKey, number: int) -> Entity | None:
        """One entity as it was after the record of this number; None where nothing was stored of it then."""
        if fault_in_key(*key) is not None:
            return None
        kind, type_, id_ = key
        query = (
            select(EntityLogRow.sign, EntityLogRow.domain, EntityLogRow.properties)
            .where(EntityLogRow.kind == kind, EntityLogRow.type == type_, EntityLogRow.id == id_)
            .where(EntityLogRow.number <= number)
            .order_by(EntityLogRow.number.desc(), EntityLogRow.position.desc())
            .limit(1)
        )
        with reading(self.engine) as connection:
            found = connection.execute(query).first()
        return Entity.of_stored(*key, *found[1:]) if found is not None and found[0] == GRANTED else None


def below(domain: str) -> Any:
    """That a row of the table lies below a domain."""
    # "0" is the character after "/".
    return and_(Row.domain > f"{domain}/", Row.domain < f"{domain}0")


def _checked(
    policy: PolicySet, put: Iterable[Entity], remove: Sequence[EntityKey]
) -> tuple[dict[EntityKey, EntityRow], set[EntityKey]]:
    """What is to be stored as rows, and what is to go; raises InvalidEntities."""
    faults: list[FaultyEntity] = []
    wanted: dict[EntityKey, EntityRow] = {}
    for index, entity in enumerate(put):
        fault = fault_in_entity(policy, entity)
        if fault is None:
            row = (*entity.key, entity.domain, properties_text(entity.properties))
            if wanted.setdefault(entity.key, row) != row:
                fault = EntityFault("id", f"{entity.name} is there twice, with different values; leave it once")
        if fault is not None:
            faults.append(FaultyEntity("put", index, fault))
            if len(faults) == MOST_FAULTS:
                break
    for index, key in enumerate(remove):
        written = policy.entities.get(key)
        fault = fault_in_key(*key) if written is None else fault_of_written(written)
        if fault is None and key in wanted:
            fault = EntityFault("id", f"{key[1]}:{key[2]} is in both lists; leave it in one of them")
        if fault is not None and len(faults) < MOST_FAULTS:
            faults.append(FaultyEntity("delete", index, fault))
    if faults:
        raise InvalidEntities(faults)
    return wanted, set(remove)


def _is_inside(accounts: frozenset[str], row: EntityRow) -> bool:
    return not row[3] or top_domain(row[3]) in accounts


def _check_reach(accounts: frozenset[str] | None, rows: Iterable[EntityRow]) -> None:
    if accounts is None:
        return
    for kind, type_, id_, domain, _ in rows:
        if kind == "subject":
            raise OutOfReach("properties of subjects hold everywhere; a caller of some accounts alone cannot change them")
        if not domain or top_domain(domain) not in accounts:
            raise OutOfReach(f"this caller may not write {type_}:{id_}: name a domain in {', '.join(sorted(accounts))}")


def _stored(connection: Connection, keys: set[EntityKey]) -> dict[EntityKey, EntityRow]:
    """The rows of those keys that are stored."""
    ids: dict[tuple[EntityKind, str], list[str]] = {}
    for kind, type_, id_ in sorted(keys):
        ids.setdefault((kind, type_), []).append(id_)
    found: dict[EntityKey, EntityRow] = {}
    for (kind, type_), some in ids.items():
        for step in in_steps(some, KEYS_PER_QUERY):
            query = select(*ENTITY_COLUMNS).where(Row.kind == kind, Row.type == type_)
            for row in connection.execute(query.where(Row.id.in_(step))):
                found[kind, type_, row[2]] = (kind, type_, *row[2:])
    return found


def _put(
    connection: Connection, stored: Sequence[EntityRow], removed: Sequence[EntityRow], origin: Origin
) -> tuple[StoreChange | None, bool]:
    """The change, and whether so much was written that the tables are new to the database."""
    if not stored and not removed:
        return None, False
    names = ("kind", "type", "id", "domain", "properties")
    with own_write(connection):
        delete_rows(connection, Row, names[:3], [row[:3] for row in removed])
        # In the order of the table, so that neighbours are written together.
        insert_rows(connection, Row, names, sorted(stored))
    change = log_change(connection, frozenset(subject_key(row[1], row[2]) for row in (*stored, *removed)))
    log_entities(connection, origin, stored, removed)
    return change, keep_statistics(connection, _TABLES, len(stored))
