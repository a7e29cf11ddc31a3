"""Stored entities that a filter may take, in the order of their ids: one query over the index, never one an entity."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Select, Text, and_, case, false, literal, null, or_, select, true

from klausel.core.conditions.tree import Attribute, Call, Comparison, Literal, literals_of
from klausel.core.conditions.values import Scalar
from klausel.core.filters.candidates import values_held
from klausel.core.filters.tree import Every, Filter, Some
from klausel.core.policy.entity import Entity
from klausel.core.policy.entity_faults import MOST_DEPTH, fault_in_value
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.identifiers import is_printable
from klausel.storage.entities.narrowing import InOneDomain, Narrowed, Wanted, narrowed, reading_by_index
from klausel.storage.entities.store import ENTITY_COLUMNS, below
from klausel.storage.filters.constructs import (
    Among,
    ExactText,
    FirstPart,
    FurtherParts,
    JsonDocument,
    JsonIsThere,
    PlaceOfText,
    Rarely,
)
from klausel.storage.filters.values import (
    MISSING,
    MOST_EXACT_FLOAT,
    Condition,
    FilterError,
    JsonPart,
    Kind,
    TextColumn,
    Value,
)
from klausel.storage.filters.where import ValueOf, where
from klausel.storage.sql.tables import Entity as Row

FIRST_ENTITIES = 100
MOST_LOOKED_FOR = 8
MOST_A_QUERY = 1_000
FIRST_LOOKED_AT = 400
MOST_LOOKED_AT = 4_000
"""Where no index leads to what is wanted, so many are looked at by one query at most."""
SECONDS_A_LOOK = 0.1
"""Fewer are, where that takes longer: far less than a database may take to answer."""
_WITH_JSON = ("sqlite", "postgresql")


class Step(NamedTuple):
    """Some entities in order, and the id up to which there are no others; None at the end."""

    entities: list[Entity]
    passed: str | None


def steps_of_wanted(
    engine: Engine, roles: RoleModel, wanted: Wanted, after: str = "", at_first: int = FIRST_ENTITIES
) -> Iterator[Step]:
    """All stored entities that the filter takes, behind an id, by code points of their ids; and perhaps some more.

    More come where a condition has no exact meaning in SQL, so ask about each. Read in steps that grow from `at_first`, each of
    which looks at no more than `MOST_LOOKED_AT`, however few of these are wanted. Raises StorageError.
    """
    if wanted.filter is False or not is_printable(wanted.type):
        return
    condition = _condition(engine, roles, wanted)
    query = select(*ENTITY_COLUMNS).where(*_of_type(wanted), condition)
    window = _Window(query, _of_type(wanted), after, at_first)
    narrow: Narrowed | None = None
    is_first, is_last = True, False
    while not is_last:
        # One connection for all that is asked before something is given, and none while somebody looks at that.
        with reading_by_index(engine) as connection:
            if is_first:
                found, is_first = narrowed(connection, roles, wanted, after, at_first), False
                if isinstance(found, InOneDomain):
                    window.keep_to(Rarely(Row.domain == found.domain), Row.domain == found.domain)
                else:
                    narrow = found
            if narrow is not None:
                ids = narrow.take(connection)
                rows = connection.execute(window.query.where(_is_one_of(connection, ids))).all() if ids else []
                passed = None if narrow.is_over else ids[-1]
            else:
                rows, passed = window.read(connection)
            is_last = passed is None
        yield Step([Entity.of_stored(*row) for row in rows], passed)


class _Window:
    """Reads what is wanted from one id to another, looking at a bounded number of entities each time."""

    def __init__(
        self, query: Select[*tuple[Any, ...]], among: tuple[ColumnElement[bool], ...], after: str, at_first: int
    ) -> None:
        self.query = query.order_by(Row.id)
        self._among = tuple(among)
        self._after = after
        self._most = at_first
        self._size = FIRST_LOOKED_AT

    def keep_to(self, condition: Condition, among: ColumnElement[bool]) -> None:
        """Looks only among some, which an index has in the order of their ids."""
        self.query = self.query.where(condition)
        self._among = (*self._among, among)

    def read(self, connection: Connection) -> tuple[Sequence[Any], str | None]:
        """The next rows, and the id up to which all are read; None at the end."""
        began = monotonic()
        behind = select(Row.id).where(*self._among, Row.id > self._after).order_by(Row.id)
        last = connection.execute(behind.offset(self._size - 1).limit(1)).scalar()
        query = self.query.where(Row.id > self._after)
        if last is not None:
            query = query.where(Row.id <= last)
        rows = connection.execute(query.limit(self._most)).all()
        if len(rows) == self._most:
            last = rows[-1][2]
        self._after = last or ""
        self._most = min(2 * self._most, MOST_A_QUERY)
        # How long it takes to look at one depends on its properties, on the condition, and on what else the machine does.
        is_slow = monotonic() - began > SECONDS_A_LOOK
        self._size = max(self._size // 2, 1) if is_slow else min(3 * self._size, MOST_LOOKED_AT)
        return rows, last


def _is_one_of(connection: Connection, ids: list[str]) -> Condition:
    # As one parameter, where the planner still looks each up by its index.
    return Among(Row.id.expression, ids, "text") if connection.dialect.name == "postgresql" else Row.id.in_(ids)


def _of_type(wanted: Wanted) -> tuple[ColumnElement[bool], ...]:
    return Row.kind == wanted.kind, Row.type == wanted.type


def _condition(engine: Engine, roles: RoleModel, wanted: Wanted) -> Condition:
    columns = _Columns(roles if wanted.kind == "resource" else None, wanted.sent)
    if engine.dialect.name in _WITH_JSON:
        placed = _at_least(wanted.filter, columns.of_placed)
        unplaced = _at_least(wanted.filter, columns.of_unplaced)
    else:
        placed = unplaced = true()
    accounts = _accounts(roles, wanted)
    if accounts is not None:
        placed = and_(placed, or_(*(or_(Row.domain == one, below(one)) for one in accounts)))
    return or_(and_(Row.domain == "", unplaced), and_(Row.domain != "", placed))


def _at_least(filter_: Filter, value_of: ValueOf) -> Condition:
    """The filter in SQL; true in the place of each part that has no exact meaning there."""
    match filter_:
        case Every(parts):
            # What rules most out at least cost comes first; databases keep to the order.
            return and_(*(_at_least(part, value_of) for part in sorted(parts, key=_cost)))
        case Some(parts):
            return or_(*(_at_least(part, value_of) for part in parts))
        case Comparison() | Call() if any(map(_is_unkept, literals_of(filter_))):
            return true()
    try:
        found = where(filter_, value_of)
    except FilterError:
        return true()
    held = None if isinstance(filter_, bool) else values_held(filter_)
    if held is not None and isinstance(part := value_of(held[0]), _StoredPart):
        return and_(part.may_hold(held[1]), found)
    return found


def _cost(part: Filter) -> int:
    return 0 if isinstance(part, Comparison) and part.operator in ("==", "in") else 1


def _is_unkept(item: Literal) -> bool:
    """Whether a literal is a text that databases do not take, or a number so large that they compare its digits alone."""
    if isinstance(item.value, int | float):
        return not -MOST_EXACT_FLOAT <= item.value <= MOST_EXACT_FLOAT
    return isinstance(item.value, str) and fault_in_value(item.value, 1) is not None


class _StoredPart(JsonPart):
    """A part of the stored properties. A text in it stands in the JSON as it is, but for what is escaped."""

    def may_hold(self, values: Sequence[Scalar]) -> Condition:
        """True of every row in which the part can be one of these, or hold one; far cheaper than to read the JSON."""
        if len(values) > MOST_LOOKED_FOR or not all(isinstance(value, str) for value in values):
            return true()
        text = Row.properties.expression
        return or_(*(PlaceOfText(text, literal(value, Text())) > 0 for value in ("\\", *map(str, values))))


class _Columns:
    """What stands in a row for the attributes of a stored entity, joined to what is sent."""

    def __init__(self, roles: RoleModel | None, sent: Mapping[str, object]) -> None:
        self._sent = sent
        levels = () if roles is None else roles.levels
        self._parts = {level.named_by: level for level in levels if level.named_by is not None}

    def of_placed(self, attribute: Attribute) -> Value:
        """Of a row with a domain, which alone says where it lies."""
        level = self._parts.get(attribute.path[0])
        if level is None:
            return self._property(attribute)
        if level.constant is not None:
            raise FilterError("the domain has this part, and what is sent may say another")
        return _DomainPart(level.depth) if len(attribute.path) == 1 else MISSING

    def of_unplaced(self, attribute: Attribute) -> Value:
        """Of a row without one, which its properties name, or what is sent."""
        return self._property(attribute)

    def _property(self, attribute: Attribute) -> Value:
        name = attribute.path[0]
        if attribute.path == ("id",):
            return TextColumn(Row.id.expression)
        document: ColumnElement[Any] = JsonDocument(Row.properties)
        if name in self._sent:
            fault = fault_in_value(self._sent[name], MOST_DEPTH)
            if fault is not None:
                raise FilterError(f"what is sent as {name} {fault}")
            sent = json.dumps({name: self._sent[name]})
            document = case((JsonIsThere(document, (name,)), document), else_=JsonDocument(literal(sent, Text())))
            return JsonPart(document, attribute.path)
        return _StoredPart(document, attribute.path)


@dataclass(frozen=True)
class _DomainPart(Value):
    """One part of the domain of a row, counted from 1; missing where the domain has fewer."""

    depth: int

    def as_(self, kind: Kind) -> ColumnElement[Any] | None:
        """See `Value`."""
        if kind != "string":
            return None
        text: ColumnElement[Any] = Row.domain.expression
        for _ in range(self.depth - 1):
            text = FurtherParts(text)
        return ExactText(FirstPart(text))

    def equals(self, literal_: Scalar) -> Condition:
        """See `Value`."""
        if self.depth > 1 or not isinstance(literal_, str):
            return super().equals(literal_)
        return or_(Row.domain == literal_, below(literal_)) if literal_ and "/" not in literal_ else false()

    def is_missing(self) -> Condition:
        """See `Value`."""
        text = self.as_("string")
        assert text is not None
        return text.is_(null())


def _accounts(roles: RoleModel, wanted: Wanted) -> list[str] | None:
    """The domains of the top level in which all lies that is placed; None where the domain of a row does not say it."""
    return None if wanted.accounts is None or roles.levels[0].constant is not None else sorted(wanted.accounts)
