"""Which of the stored entities a filter can take at all: found by indexes of their values and of where they lie."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Select, func, literal, select, text, union_all

from klausel.core.conditions.tree import Attribute
from klausel.core.filters.candidates import bound_of, values_held, values_needed
from klausel.core.filters.tree import Every, Filter, FilterCondition, Some, equal_to
from klausel.core.policy.entity import EntityKind
from klausel.core.policy.entity_faults import fault_in_value
from klausel.core.policy.roles import RoleModel, top_domain
from klausel.core.terms.identifiers import is_printable
from klausel.storage.entities.store import below
from klausel.storage.sql.database import reading
from klausel.storage.sql.property_index import TRIGGERS, indexed_name, indexed_range, indexed_values
from klausel.storage.sql.tables import VALUE_CHARACTERS, EntityProperty
from klausel.storage.sql.tables import Entity as Row

MOST_AT_ONCE = 5_000
"""Up to so many entities are found as a whole and then sorted, where an index does not have them in the order of their ids."""
MOST_SORTED = 30_000
"""The same where nothing else leads to fewer: so many are sorted in some hundredths of a second, to read the first of them."""
STEPS = (200, 2_000, MOST_AT_ONCE)
"""How far several ways are counted, one beside the other, until the end of one is seen: no further than it is worth."""
_BY_INDEX = text(
    "SELECT set_config('enable_bitmapscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true), "
    "set_config('jit', 'off', true)"
)
"""For PostgreSQL: of a table that was not vacuumed, its planner would rather gather all that an index has than read a little of
it, and to start workers, or to compile the query, takes longer than what they are for."""
MOST_DOMAINS = 50
RUNS_OF_A_DOMAIN = 3
"""What lies in a domain, below it, and what a property alone says to be there."""
MOST_RUNS = 50
MOST_VALUES = 1_000
MOST_A_STEP = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which stored entities of a kind and type are looked for.

    The filter leaves every property open. `sent` is what a question sends of all of them: what is stored wins over it. With
    `accounts` those with a domain lie in these of the top level.
    """

    kind: EntityKind
    type: str
    sent: Mapping[str, object]
    filter: Filter
    accounts: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class _Run:
    """Ids that one index has together: of those with a value of a property, with one of some ids, in a domain, or below one.

    A `range` is of those with a value from `text` to `last`.
    """

    sort: Literal["value", "range", "ids", "domain", "below"]
    text: str = ""
    last: str = ""
    name: str = ""
    ids: tuple[str, ...] = ()

    @property
    def is_ordered(self) -> bool:
        """Whether the index has them in the order of the ids."""
        return self.sort not in ("below", "range")

    def behind(self, wanted: Wanted, after: str) -> Select[Any]:
        """The query for those behind an id."""
        table: Any = EntityProperty if self.sort in ("value", "range") else Row
        query = select(table.id).where(table.kind == wanted.kind, table.type == wanted.type, table.id > after)
        match self.sort:
            case "value":
                return query.where(EntityProperty.name == self.name, EntityProperty.value == self.text)
            case "range":
                return query.where(
                    EntityProperty.name == self.name, EntityProperty.value >= self.text, EntityProperty.value <= self.last
                )
            case "ids":
                return query.where(Row.id.in_(self.ids))
            case "domain":
                return query.where(Row.domain == self.text)
        return query.where(below(self.text))

    def first_behind(self, wanted: Wanted, after: str, size: int) -> Select[Any]:
        """The query for the first of them, in the order in which the index has them."""
        if self.sort == "range":
            # As many of it as there are, wherever: none is passed over to find the last few behind an id.
            return self.behind(wanted, "").order_by(EntityProperty.value, EntityProperty.id).limit(size)
        query = self.behind(wanted, after)
        order: tuple[Any, ...] = (query.selected_columns[0],) if self.is_ordered else (Row.domain, Row.id)
        # Without an order PostgreSQL reads the table from wherever the last query stopped, and meets other types first.
        return query.order_by(*order).limit(size)


_Way = tuple[_Run, ...]
"""Runs that together have every entity that a filter can take."""


class Narrowed:
    """The ids of all entities that can be wanted, from behind an id on; read as they are asked for."""

    def __init__(self, wanted: Wanted, way: _Way, after: str, is_sorted: bool, at_first: int) -> None:
        self._wanted = wanted
        self._way = way
        self._after = after
        self._is_sorted = is_sorted
        self._size = at_first
        self._waiting: list[str] = []
        self._is_read = False

    def take(self, connection: Connection) -> list[str]:
        """The next ids in order, each time more; empty at the end."""
        while not self._waiting and not self._is_read:
            if self._is_sorted:
                self._sort_some(connection)
            else:
                self._read_some(connection)
        taken, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
        self._size = min(2 * self._size, MOST_A_STEP)
        return taken

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self._is_read and not self._waiting

    def _read_some(self, connection: Connection) -> None:
        found = self._some(connection, self._after, self._size)
        # All that are known of each run reach up to here.
        bound = min((ids[-1] for ids in found if len(ids) == self._size), default=None)
        self._waiting = sorted({id_ for ids in found for id_ in ids if bound is None or id_ <= bound})
        if bound is None:
            self._is_read = True
        else:
            self._after = bound

    def _sort_some(self, connection: Connection) -> None:
        found: Sequence[str] = ()
        if self._way:
            all_ = union_all(*(run.behind(self._wanted, self._after) for run in self._way)).subquery()
            found = connection.execute(select(all_.c.id).order_by(all_.c.id).limit(MOST_AT_ONCE)).scalars().all()
        self._waiting = list(dict.fromkeys(found))
        self._is_read = len(found) < MOST_AT_ONCE
        self._after = self._waiting[-1] if self._waiting else self._after

    def _some(self, connection: Connection, after: str, size: int) -> list[list[str]]:
        queries = [run.first_behind(self._wanted, after, size) for run in self._way]
        if len(queries) == 1:
            return [list(connection.execute(queries[0]).scalars())]
        numbered = [query.add_columns(literal(number).label("run")).subquery() for number, query in enumerate(queries)]
        found: list[list[str]] = [[] for _ in queries]
        for id_, number in connection.execute(union_all(*(select(query) for query in numbered))):
            found[number].append(id_)
        return [sorted(ids) for ids in found]


@dataclass(frozen=True, slots=True)
class InOneDomain:
    """All that can be wanted lies in this domain, where the index of the table has it in the order of the ids."""

    domain: str


def narrowed(
    connection: Connection, roles: RoleModel, wanted: Wanted, after: str, at_first: int
) -> Narrowed | InOneDomain | None:
    """What an index has of all that can be wanted; None where no index leads to fewer than there are."""
    narrowing = _Narrowing(connection, roles, wanted, after)
    way = narrowing.best()
    if way is None:
        return None
    if way and len(way) <= RUNS_OF_A_DOMAIN and way[0].sort == "domain":
        way = narrowing.without_empty(way)
        if len(way) == 1 and way[0].sort == "domain":
            return InOneDomain(way[0].text)
    if narrowing.size_of(way) <= MOST_AT_ONCE:
        return Narrowed(wanted, way, after, True, at_first)
    way = narrowing.without_empty(way)
    is_sorted = not _is_mergeable(way)
    # What lies below a domain is no small part of what there is, so it is found on the way through all in order.
    if is_sorted and not (_has_range(way) and narrowing.size_of(way, MOST_SORTED) <= MOST_SORTED):
        return None
    return Narrowed(wanted, way, after, is_sorted, at_first)


def few_by_value(engine: Engine, wanted: Wanted, most: int) -> bool | None:
    """Whether an index leads to so many subjects at most; None where none narrows the search. Raises StorageError."""
    with reading_by_index(engine) as connection:
        narrowing = _Narrowing(connection, None, wanted, "")
        way = narrowing.best()
        return None if way is None else narrowing.size_of(way, most) <= most


@contextmanager
def reading_by_index(engine: Engine) -> Iterator[Connection]:
    """A connection for reading a little of what an index has in order; raises StorageError."""
    with reading(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(_BY_INDEX)
        yield connection


def _has_range(way: _Way) -> bool:
    return any(run.sort == "range" for run in way)


def _is_mergeable(way: _Way) -> bool:
    return len(way) <= MOST_RUNS and all(run.is_ordered for run in way)


class _Narrowing:
    """Looks for the way with the fewest entities."""

    def __init__(self, connection: Connection, roles: RoleModel | None, wanted: Wanted, after: str) -> None:
        self._connection = connection
        self._roles = roles if wanted.kind == "resource" else None
        self._wanted = wanted
        self._after = after
        self._sizes: dict[_Way, int] = {}
        self._counted: dict[_Way, int] = {}
        self._sizes[()] = 0
        self._has_index = connection.dialect.name in TRIGGERS
        levels = () if self._roles is None else self._roles.levels
        self._naming = {level.named_by for level in levels if level.named_by is not None}

    def best(self) -> _Way | None:
        """The best way to all that is wanted; None where there is none."""
        ways = [self._way(self._wanted.filter)]
        if self._roles is not None and self._wanted.accounts is not None and self._roles.levels[0].constant is None:
            ways.append(self._in_domains(sorted(self._wanted.accounts)))
        return self._smallest([way for way in ways if way is not None])

    def size_of(self, way: _Way, most: int = MOST_AT_ONCE) -> int:
        """How many entities it leads to; one more than so many for all that are more."""
        self._count([way], most)
        return self._sizes[way]

    def without_empty(self, way: _Way) -> _Way:
        """The way without the runs in domains, and by a property, that lead to nothing; then it may be in order."""
        if not way or len(way) > RUNS_OF_A_DOMAIN * MOST_DOMAINS:
            return way
        any_ = self._connection.execute(select(*(run.behind(self._wanted, self._after).exists() for run in way))).one()
        return tuple(run for run, has_any in zip(way, any_, strict=True) if has_any)

    def _count(self, ways: Iterable[_Way], most: int) -> None:
        """Counts ways that may lead to more than is known of them, each up to one more than so many; all at once."""
        open_ = [way for way in ways if self._counted.get(way, 0) < min(most, self._sizes.get(way, most))]
        counts = []
        for way in open_:
            # Each run is bounded by itself, so that none is read further than counts.
            runs = [run.first_behind(self._wanted, self._after, most + 1).subquery() for run in way]
            some = union_all(*(select(run.c[0]) for run in runs)).limit(most + 1).subquery()
            counts.append(select(func.count()).select_from(some).scalar_subquery())
        if counts:
            for way, size in zip(open_, self._connection.execute(select(*counts)).one(), strict=True):
                self._sizes[way] = size
                self._counted[way] = most

    def _smallest(self, ways: Sequence[_Way]) -> _Way | None:
        usable = list(dict.fromkeys(ways))
        if len(usable) < 2:
            return usable[0] if usable else None
        for step in STEPS:
            self._count(usable, step)
            best = min(usable, key=lambda way: self._sizes[way])
            if self._sizes[best] <= step:
                return best
        ranges = list(filter(_has_range, usable))
        if ranges:
            self._count(ranges, MOST_SORTED)
            best = min(ranges, key=lambda way: self._sizes[way])
            if self._sizes[best] <= MOST_SORTED:
                return best
        # Of those that are large, one that can be read in order.
        return next((way for way in usable if _is_mergeable(self.without_empty(way))), usable[0])

    def _way(self, filter_: Filter) -> _Way | None:
        prefixes = self._prefixes(filter_)
        match filter_:
            case bool():
                return None if filter_ else ()
            case Every(parts):
                # What names a domain alone leads to no fewer than all that do so together.
                ways = [self._way(part) for part in parts if prefixes is None or not self._is_naming(part)]
                ways += self._by_ranges(parts)
            case Some(parts):
                ways = [self._together(parts)]
            case _:
                ways = [self._by_value(filter_), *self._by_ranges([filter_])]
        if prefixes is not None:
            ways.append(self._in_domains(prefixes))
        return self._smallest([way for way in ways if way is not None])

    def _is_naming(self, part: FilterCondition) -> bool:
        equal = equal_to(part)
        return equal is not None and len(equal[0].path) == 1 and equal[0].path[0] in self._naming

    def _together(self, parts: Sequence[FilterCondition]) -> _Way | None:
        found: dict[_Run, None] = {}
        for part in parts:
            way = self._way(part)
            if way is None:
                return None
            found |= dict.fromkeys(way)
        return tuple(found)

    def _by_value(self, leaf: FilterCondition) -> _Way | None:
        """The way along the values that a leaf needs. None where there is none, or what is sent may be such a value."""
        held = values_held(leaf)
        if held is None or not self._has_index:
            return None
        attribute, values = held
        name = attribute.path[0]
        if name == "type" or len(attribute.path) > 1 or len(values) > MOST_VALUES:
            return None
        texts = [value for value in values if isinstance(value, str) and fault_in_value(value, 1) is None]
        if name == "id":
            return (_Run("ids", ids=tuple(texts)),) if len(texts) == len(values) else None
        if name in self._wanted.sent or name in self._naming:
            return None
        found = [indexed_values(value) for value in values if not isinstance(value, str)] + list(map(indexed_values, texts))
        if not all(found) or len(found) < len(values):
            return None
        kept = dict.fromkeys(text for some in found for text in sorted(some))
        return tuple(_Run("value", text, name=indexed_name(name)) for text in kept)

    def _by_ranges(self, parts: Sequence[FilterCondition]) -> list[_Way]:
        """For each property that leaves bound together, the way along the values that it can then have."""
        found: dict[str, tuple[str, str]] = {}
        for part in parts if self._has_index else ():
            bound = bound_of(part)
            if (
                bound is None
                or len(bound.attribute.path) > 1
                or (isinstance(bound.value, str) and fault_in_value(bound.value, 1) is not None)
            ):
                continue
            name = bound.attribute.path[0]
            if name in ("id", "type") or name in self._wanted.sent or name in self._naming:
                continue
            first, last = indexed_range(bound)
            known = found.get(name, (first, last))
            found[name] = max(first, known[0]), min(last, known[1])
        return [
            (_Run("range", first, last, indexed_name(name)),) if first <= last else ()
            for name, (first, last) in found.items()
        ]

    def _in_domains(self, prefixes: Sequence[str]) -> _Way:
        """The way through domains: all there and below, and what has no domain but a property, or nothing, that says it."""
        assert self._roles is not None
        levels = self._roles.levels
        found = []
        for prefix in prefixes:
            # Below the lowest level lies only what was stored when there were more levels.
            found += [_Run("domain", prefix), _Run("below", prefix)]
        top = levels[0].named_by
        if top is None or top in self._wanted.sent or not self._has_index or levels[0].constant is not None:
            return (*found, _Run("domain"))
        tops = dict.fromkeys(map(top_domain, prefixes))
        return (*found, *(_Run("value", text[:VALUE_CHARACTERS], name=indexed_name(top)) for text in tops))

    def _prefixes(self, filter_: Filter) -> list[str] | None:
        """Domains in which, or below which, all lies that the filter takes; None where nothing is known, or there are many."""
        known: list[list[str]] = []
        for level in () if self._roles is None else self._roles.levels:
            # Of what was stored before its level became constant, the domain says another part there, which does not count.
            is_named = level.named_by is not None and level.constant is None
            needed = None if not is_named else values_needed(filter_, Attribute("resource", (str(level.named_by),)))
            if needed is None or not all(map(is_printable, needed)):
                break
            further = [*known, sorted(needed)]
            if _size(further) > MOST_DOMAINS:
                break
            known = further
        return ["/".join(parts) for parts in product(*known)] if known else None


def _size(parts: Collection[Collection[str]]) -> int:
    size = 1
    for some in parts:
        size *= len(some)
    return size
