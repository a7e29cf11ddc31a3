"""Which of the stored entities a filter can take at all: found by indexes of their values and of where they lie."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Select, func, literal, select, union_all

from klausel.core.conditions.tree import Attribute
from klausel.core.filters.candidates import values_held, values_needed
from klausel.core.filters.tree import Every, Filter, FilterCondition, Some
from klausel.core.policy.entity import EntityKind
from klausel.core.policy.entity_faults import fault_in_value
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.identifiers import is_printable
from klausel.storage.entities.store import below
from klausel.storage.sql.database import reading
from klausel.storage.sql.property_index import TRIGGERS, indexed_name, indexed_value
from klausel.storage.sql.tables import VALUE_CHARACTERS, EntityProperty
from klausel.storage.sql.tables import Entity as Row

MOST_AT_ONCE = 5_000
"""Up to so many entities are found as a whole and then sorted, where an index does not have them in the order of their ids."""
FEW = 50
"""Where one index leads to so few, no other one is looked at."""
MOST_DOMAINS = 50
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
    """Ids that one index has together: of those with a value of a property, with one of some ids, in a domain, or below one."""

    sort: Literal["value", "ids", "domain", "below"]
    text: str = ""
    name: str = ""
    ids: tuple[str, ...] = ()

    @property
    def is_ordered(self) -> bool:
        """Whether the index has them in the order of the ids."""
        return self.sort != "below"

    def behind(self, wanted: Wanted, after: str) -> Select[Any]:
        """The query for those behind an id."""
        table: Any = EntityProperty if self.sort == "value" else Row
        query = select(table.id).where(table.kind == wanted.kind, table.type == wanted.type, table.id > after)
        match self.sort:
            case "value":
                return query.where(EntityProperty.name == self.name, EntityProperty.value == self.text)
            case "ids":
                return query.where(Row.id.in_(self.ids))
            case "domain":
                return query.where(Row.domain == self.text)
        return query.where(below(self.text))

    def first_behind(self, wanted: Wanted, after: str, size: int) -> Select[Any]:
        """The query for the first of them, in order."""
        query = self.behind(wanted, after)
        return query.order_by(query.selected_columns[0]).limit(size)


_Way = tuple[_Run, ...]
"""Runs that together have every entity that a filter can take."""


class Narrowed:
    """The ids of all entities that can be wanted, from behind an id on; read as they are asked for."""

    def __init__(self, engine: Engine, wanted: Wanted, way: _Way, after: str, is_few: bool) -> None:
        self._engine = engine
        self._wanted = wanted
        self._way = way
        self._after = after
        self._is_few = is_few

    def steps(self, at_first: int) -> Iterator[list[str]]:
        """The ids in order, some at a time. Raises StorageError."""
        if self._is_few:
            ids, size = self._all(), at_first
            while ids:
                yield ids[:size]
                ids, size = ids[size:], min(2 * size, MOST_A_STEP)
            return
        after, size = self._after, at_first
        while True:
            found = self._some(after, size)
            # All that are known of each run reach up to here.
            ends = [ids[-1] for ids in found if len(ids) == size]
            bound = min(ends, default=None)
            ids = sorted({id_ for ids in found for id_ in ids if bound is None or id_ <= bound})
            # Of very many runs, even the first of each are many.
            yield from (ids[start : start + MOST_A_STEP] for start in range(0, len(ids), MOST_A_STEP))
            if bound is None:
                return
            after, size = bound, min(2 * size, MOST_A_STEP)

    def _all(self) -> list[str]:
        if not self._way:
            return []
        with reading(self._engine) as connection:
            found = connection.execute(union_all(*(run.behind(self._wanted, self._after) for run in self._way))).scalars()
            return sorted(set(found))

    def _some(self, after: str, size: int) -> list[list[str]]:
        queries = [run.first_behind(self._wanted, after, size) for run in self._way]
        with reading(self._engine) as connection:
            if len(queries) == 1:
                return [list(connection.execute(queries[0]).scalars())]
            numbered = [query.add_columns(literal(number).label("run")).subquery() for number, query in enumerate(queries)]
            found: list[list[str]] = [[] for _ in queries]
            for id_, number in connection.execute(union_all(*(select(query) for query in numbered))):
                found[number].append(id_)
            return [sorted(ids) for ids in found]


def narrowed(engine: Engine, roles: RoleModel, wanted: Wanted, after: str) -> Narrowed | None:
    """What an index has of all that can be wanted; None where no index leads to fewer than there are. Raises StorageError."""
    with reading(engine) as connection:
        narrowing = _Narrowing(connection, roles, wanted, after)
        way = narrowing.best()
        if way is None:
            return None
        is_few = narrowing.size_of(way) <= MOST_AT_ONCE
    return Narrowed(engine, wanted, way, after, is_few) if is_few or _is_mergeable(way) else None


def few_by_value(engine: Engine, wanted: Wanted, most: int) -> bool | None:
    """Whether an index leads to so many subjects at most; None where none narrows the search. Raises StorageError."""
    with reading(engine) as connection:
        narrowing = _Narrowing(connection, None, wanted, "")
        way = narrowing.best()
        return None if way is None else narrowing.size_of(way) <= most


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
        self._has_index = connection.dialect.name in TRIGGERS
        levels = () if self._roles is None else self._roles.levels
        self._naming = {level.named_by for level in levels if level.named_by is not None}

    def best(self) -> _Way | None:
        """The best way to all that is wanted; None where there is none."""
        ways = [self._way(self._wanted.filter)]
        if self._roles is not None and self._wanted.accounts is not None and self._roles.levels[0].constant is None:
            ways.append(self._in_domains(sorted(self._wanted.accounts)))
        return self._smallest([way for way in ways if way is not None])

    def size_of(self, way: _Way) -> int:
        """How many entities it leads to; one more than `MOST_AT_ONCE` for all that are more."""
        if way not in self._sizes:
            most = MOST_AT_ONCE + 1
            # Each is bounded by itself, so that none is read further than counts.
            some = [run.behind(self._wanted, self._after).limit(most).subquery() for run in way]
            if not some:
                return 0
            counted = union_all(*(select(run.c[0]) for run in some)).limit(most).subquery()
            self._sizes[way] = self._connection.execute(select(func.count()).select_from(counted)).scalar_one()
        return self._sizes[way]

    def _has_any(self, run: _Run) -> bool:
        return self._connection.execute(run.behind(self._wanted, self._after).limit(1)).first() is not None

    def _smallest(self, ways: Sequence[_Way]) -> _Way | None:
        usable = list(dict.fromkeys(ways))
        if len(usable) < 2:
            return usable[0] if usable else None
        best = usable[0]
        for way in usable[1:]:
            if self.size_of(best) <= FEW:
                break
            # Of two that are large, the one that can be read in order.
            if (self.size_of(way), not _is_mergeable(way)) < (self.size_of(best), not _is_mergeable(best)):
                best = way
        return best

    def _way(self, filter_: Filter) -> _Way | None:
        match filter_:
            case bool():
                return None if filter_ else ()
            case Every(parts):
                ways = [self._way(part) for part in parts]
            case Some(parts):
                ways = [self._together(parts)]
            case _:
                ways = [self._by_value(filter_)]
        prefixes = self._prefixes(filter_)
        if prefixes is not None:
            ways.append(self._in_domains(prefixes))
        return self._smallest([way for way in ways if way is not None])

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
        if len(attribute.path) > 1 or name == "type" or len(values) > MOST_VALUES:
            return None
        texts = [value for value in values if isinstance(value, str) and fault_in_value(value, 1) is None]
        if name == "id":
            return (_Run("ids", ids=tuple(texts)),) if len(texts) == len(values) else None
        if name in self._wanted.sent or name in self._naming:
            return None
        found = [indexed_value(value) for value in values if not isinstance(value, str)] + list(map(indexed_value, texts))
        kept = [text for text in found if text is not None]
        if len(kept) < len(values):
            return None
        return tuple(_Run("value", text, indexed_name(name)) for text in dict.fromkeys(kept))

    def _in_domains(self, prefixes: Sequence[str]) -> _Way:
        """The way through domains: all there and below, and what has no domain but a property, or nothing, that says it."""
        assert self._roles is not None
        levels = self._roles.levels
        found = []
        for prefix in prefixes:
            found.append(_Run("domain", prefix))
            further = _Run("below", prefix)
            # Below the lowest level lies only what was stored when there were more levels.
            if prefix.count("/") + 1 < len(levels) or self._has_any(further):
                found.append(further)
        top = levels[0].named_by
        if top is None or top in self._wanted.sent or not self._has_index or levels[0].constant is not None:
            return (*found, _Run("domain"))
        tops = dict.fromkeys(prefix.partition("/")[0] for prefix in prefixes)
        return (*found, *(_Run("value", text[:VALUE_CHARACTERS], indexed_name(top)) for text in tops))

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
