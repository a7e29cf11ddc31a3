"""What stands in a database for the properties of a resource: columns, parts of JSON, lists; each with its own kinds of values.

Every value is NULL where it is not of the kind that is asked for, so that a comparison is true only where it certainly is.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Cast,
    ColumnElement,
    DateTime,
    Dialect,
    Double,
    Enum,
    Float,
    Integer,
    Numeric,
    String,
    Text,
    Uuid,
    and_,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    true,
)
from sqlalchemy.types import CHAR, TypeDecorator, TypeEngine

from klausel.core.conditions.values import Scalar
from klausel.storage.filters.constructs import (
    Among,
    AnyElement,
    ElementBoolean,
    ElementNumber,
    ElementText,
    ExactText,
    FromUtc,
    IsList,
    JsonBoolean,
    JsonIsMissing,
    JsonNumber,
    JsonText,
    StrictFraction,
    StrictNumber,
    StrictText,
    TextOfUuid,
)

Kind = Literal["string", "number", "boolean", "time"]
KINDS: tuple[Kind, ...] = ("string", "number", "boolean")
"""The kinds of values that requests send."""
Condition = ColumnElement[bool]
MOST_INTEGER = 2**63
MOST_EXACT_FLOAT = 2**53


class FilterError(ValueError):
    """A filter cannot be turned into a query for these columns; the text says why, and how to fix it."""


class Value:
    """A value in the database, or one that is known; this one is missing in every row."""

    def as_(self, kind: Kind) -> ColumnElement[Any] | None:
        """The value where it is of this kind, else NULL; None where it never is."""
        return None

    def equals(self, literal_: Scalar) -> Condition:
        """That it equals a literal."""
        value = self.as_(kind_of(literal_))
        return false() if value is None else value == bound(literal_)

    def is_among(self, kind: Kind, literals: list[Any]) -> Condition:
        """That it equals one of these literals, all of this kind."""
        value = self.as_(kind)
        if value is None:
            return false()
        if kind in ("boolean", "time"):
            return any_of([value == bound(one) for one in literals])
        return Among(value, *listed(kind, literals))

    def is_missing(self) -> Condition:
        """That it is missing, or null."""
        return true()

    def is_list(self) -> Condition:
        """That it is a list."""
        return false()

    def any_element(self, holds: Callable[[Value], Condition]) -> Condition:
        """That this holds for an element of the list, and that it is one."""
        return false()


MISSING = Value()


@dataclass(frozen=True)
class Known(Value):
    """A literal."""

    value: Scalar

    def as_(self, kind: Kind) -> ColumnElement[Any] | None:
        """See `Value`."""
        return bound(self.value) if kind == kind_of(self.value) else None

    def is_missing(self) -> Condition:
        """See `Value`."""
        return false()


def kind_of(value: Scalar) -> Kind:
    """The kind of a literal; raises `FilterError` for durations and times of day, which no column holds."""
    match value:
        case str():
            return "string"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case datetime():
            return "time"
    raise FilterError(f"{value!r} has no meaning in SQL; ask about each row instead")


def can_be_held(value: object) -> bool:
    """Whether a column can hold a value: no text on PostgreSQL has a NUL in it, and SQLite cuts those in JSON off there."""
    return not isinstance(value, str) or "\0" not in value


def bound(value: object) -> ColumnElement[Any]:
    """A literal as a bound parameter; raises `FilterError` for a number that databases do not compare exactly."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool):
        return literal(value, Boolean())
    if isinstance(value, int):
        if not -MOST_INTEGER <= value < MOST_INTEGER:
            raise FilterError(f"the number {value} is too large for a comparison in a database; compare smaller ones")
        return literal(value, BigInteger())
    if isinstance(value, float):
        return literal(value, Double())
    if isinstance(value, datetime):
        return literal(value, _Instant())
    return literal(value, Text())


def listed(kind: Kind, literals: list[Any]) -> tuple[list[Any], str]:
    """Texts or numbers as the parameter of `Among`, and the kind of its elements."""
    if kind == "string":
        return literals, "text"
    numbers = [int(one) if isinstance(one, float) and one.is_integer() else one for one in literals]
    if all(isinstance(one, int) for one in numbers):
        if any(not -MOST_INTEGER <= one < MOST_INTEGER for one in numbers):
            raise FilterError("a list holds a number that is too large for a comparison in a database")
        return numbers, "integer"
    if any(isinstance(one, int) and abs(one) > MOST_EXACT_FLOAT for one in numbers):
        raise FilterError("a list holds fractions beside whole numbers that are too large for a comparison with them")
    return [float(one) for one in numbers], "float"


@dataclass(frozen=True)
class TextColumn(Value):
    """A column of texts."""

    expression: ColumnElement[Any]

    def as_(self, kind: Kind) -> ColumnElement[Any] | None:
        """See `Value`."""
        return ExactText(StrictText(self.expression)) if kind == "string" else None

    def equals(self, literal_: Scalar) -> Condition:
        """See `Value`."""
        if not isinstance(literal_, str):
            return false()
        # The first comparison can use an index, the second is exact whatever the collation of the column.
        return and_(self.expression == bound(literal_), ExactText(self.expression) == bound(literal_))

    def is_among(self, kind: Kind, literals: list[Any]) -> Condition:
        """See `Value`."""
        if kind != "string":
            return false()
        return and_(Among(self.expression, literals, "text"), Among(ExactText(self.expression), literals, "text"))

    def is_missing(self) -> Condition:
        """See `Value`."""
        return self.expression.is_(None)


@dataclass(frozen=True)
class NumberColumn(Value):
    """A column of numbers, whole ones or not."""

    expression: ColumnElement[Any]
    is_whole: bool

    def as_(self, kind: Kind) -> ColumnElement[Any] | None:
        """See `Value`."""
        strict = StrictNumber if self.is_whole else StrictFraction
        return strict(self.expression) if kind == "number" else None

    def equals(self, literal_: Scalar) -> Condition:
        """See `Value`."""
        return self.expression == bound(literal_) if kind_of(literal_) == "number" else false()

    def is_among(self, kind: Kind, literals: list[Any]) -> Condition:
        """See `Value`."""
        return Among(self.expression, *listed(kind, literals)) if kind == "number" else false()

    def is_missing(self) -> Condition:
        """See `Value`."""
        return self.expression.is_(None)


_EXACT_DIGITS = 15
"""Whole numbers of so many digits are all fractions, too."""


def _may_be_very_large(value: Value) -> bool:
    """Whether it is, or can hold, a whole number that fractions have no exact value for."""
    match value:
        case Known(known):
            return type(known) is int and abs(known) > MOST_EXACT_FLOAT
        case NumberColumn(expression):
            type_ = expression.type
            if not isinstance(type_, Numeric) or isinstance(type_, Float):
                return isinstance(type_, BigInteger)
            return type_.precision is None or type_.precision - (type_.scale or 0) > _EXACT_DIGITS
    return isinstance(value, JsonPart | _Element)


def check_exact(left: Value, right: Value) -> None:
    """Raises `FilterError` where a fraction would be compared with a whole number that no fraction is, as no database does."""
    for one, other in ((left, right), (right, left)):
        if not (isinstance(one, NumberColumn) and isinstance(one.expression.type, Float)):
            continue
        if _may_be_very_large(other):
            raise FilterError(
                f"{one.expression} holds fractions, and PostgreSQL does not compare those exactly with very large whole numbers; "
                "ask about each row instead"
            )


@dataclass(frozen=True)
class BooleanColumn(Value):
    """A column of true and false."""

    expression: ColumnElement[Any]

    def as_(self, kind: Kind) -> ColumnElement[Any] | None:
        """See `Value`."""
        return self.expression if kind == "boolean" else None

    def is_missing(self) -> Condition:
        """See `Value`."""
        return self.expression.is_(None)


@dataclass(frozen=True)
class KeyColumn(Value):
    """A column whose values are something else in the database, and texts in requests: UUIDs, or numbers as ids."""

    expression: ColumnElement[Any]
    text: ColumnElement[Any]
    read: Callable[[str], object | None]
    elements: str

    def as_(self, kind: Kind) -> ColumnElement[Any] | None:
        """See `Value`."""
        return ExactText(self.text) if kind == "string" else None

    def equals(self, literal_: Scalar) -> Condition:
        """See `Value`."""
        return self.is_among(kind_of(literal_), [literal_])

    def is_among(self, kind: Kind, literals: list[Any]) -> Condition:
        """See `Value`."""
        keys = [] if kind != "string" else [key for text in literals if (key := self.read(text)) is not None]
        return Among(self.expression, keys, self.elements) if keys else false()

    def is_missing(self) -> Condition:
        """See `Value`."""
        return self.expression.is_(None)


class _Instant(TypeDecorator[datetime]):
    """An instant beside a column of times; one without a zone holds them in UTC."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class TimeColumn(Value):
    """A column of times, which conditions can compare as times only."""

    expression: ColumnElement[Any]
    name: str

    def as_(self, kind: Kind) -> ColumnElement[Any] | None:
        """See `Value`."""
        raise FilterError(f'the column for "{self.name}" holds times, and the condition does not compare it as one')

    def is_missing(self) -> Condition:
        """See `Value`."""
        return self.expression.is_(None)


@dataclass(frozen=True)
class _InstantColumn(Value):
    expression: ColumnElement[Any]

    def as_(self, kind: Kind) -> ColumnElement[Any] | None:
        """See `Value`."""
        return self.expression if kind == "time" else None


def instant_of(column: TimeColumn) -> Value:
    """What a column of times stands for where it is compared as a time."""
    type_ = column.expression.type
    has_zone = isinstance(type_, DateTime) and type_.timezone
    return _InstantColumn(column.expression if has_zone else FromUtc(column.expression))


_JSON_AS = {"string": JsonText, "number": JsonNumber, "boolean": JsonBoolean}
_ELEMENT_AS = {"string": ElementText, "number": ElementNumber, "boolean": ElementBoolean}


@dataclass(frozen=True)
class JsonPart(Value):
    """A part of a column of JSON, under a path of names."""

    expression: ColumnElement[Any]
    path: tuple[str, ...]

    def __post_init__(self) -> None:
        if any('"' in name or "\\" in name for name in self.path):
            raise FilterError(f"the name {'.'.join(self.path)} holds a quote or a backslash; map it to a column of its own")

    def as_(self, kind: Kind) -> ColumnElement[Any] | None:
        """See `Value`."""
        return _JSON_AS[kind](self.expression, self.path) if kind != "time" else None

    def is_missing(self) -> Condition:
        """See `Value`."""
        return JsonIsMissing(self.expression, self.path)

    def is_list(self) -> Condition:
        """See `Value`."""
        return IsList(self.expression, self.path)

    def any_element(self, holds: Callable[[Value], Condition]) -> Condition:
        """See `Value`."""
        return AnyElement(self.expression, self.path, holds(_ELEMENT))


class _Element(Value):
    """An element of the list that the innermost `AnyElement` goes through."""

    def as_(self, kind: Kind) -> ColumnElement[Any] | None:
        """See `Value`."""
        return _ELEMENT_AS[kind]() if kind != "time" else None

    def is_missing(self) -> Condition:
        """See `Value`."""
        return false()


_ELEMENT = _Element()


@dataclass(frozen=True)
class RelatedList(Value):
    """The values of a column over all related rows, as a list that is there even where it is empty; NULL is an unknown one."""

    exists: Callable[[Condition], Condition]
    element: Value

    def is_missing(self) -> Condition:
        """See `Value`."""
        return false()

    def is_list(self) -> Condition:
        """See `Value`."""
        return true()

    def any_element(self, holds: Callable[[Value], Condition]) -> Condition:
        """See `Value`."""
        return self.exists(holds(self.element))


def value_in(expression: ColumnElement[Any], name: str, *, is_id: bool = False) -> Value:
    """What a column stands for, by its type. Raises `FilterError`.

    Ids are texts in every request, and so are whole numbers that are primary or foreign keys.
    """
    type_ = expression.type
    is_id = is_id or bool(getattr(expression, "primary_key", False) or getattr(expression, "foreign_keys", ()))
    if isinstance(expression, Cast) and isinstance(type_, String) and isinstance(expression.clause.type, Integer):
        return KeyColumn(expression.clause, expression, read_integer, "integer")
    if isinstance(type_, JSON | ARRAY):
        return JsonPart(expression, ())
    if isinstance(type_, Uuid):
        return KeyColumn(expression, TextOfUuid(expression), read_uuid, "uuid")
    if isinstance(type_, Integer) and is_id:
        return KeyColumn(expression, cast(expression, Text()), read_integer, "integer")
    if isinstance(type_, DateTime):
        return TimeColumn(expression, name)
    if isinstance(type_, Boolean):
        return BooleanColumn(expression)
    if isinstance(type_, Integer | Numeric | Float):
        return NumberColumn(expression, isinstance(type_, Integer))
    if isinstance(type_, Enum):
        if type_.enum_class is not None:
            raise _unusable(name, type_, "requests cannot tell its names from its values; map it to a column of texts")
        return TextColumn(cast(expression, Text()))
    if isinstance(type_, String) and not isinstance(type_, CHAR):
        return TextColumn(expression)
    raise _unusable(name, type_, "map it to an expression that gives what requests send, such as cast(Model.column, Text)")


def _unusable(name: str, type_: TypeEngine[Any], cure: str) -> FilterError:
    return FilterError(f'the column for "{name}" is of type {type_!r}, which conditions do not know; {cure}')


def read_integer(text: str) -> int | None:
    """The whole number that a text spells as requests do; None for every other spelling."""
    sign = text[:1] == "-"
    digits = text[1:] if sign else text
    is_plain = digits.isascii() and digits.isdigit() and len(digits) < 19 and (digits[0] != "0" or text == "0")
    return int(text) if is_plain else None


def read_uuid(text: str) -> str | None:
    """The text, where it spells a UUID as requests do; None for every other spelling."""
    try:
        return text if str(uuid.UUID(text)) == text else None
    except ValueError:
        return None


def all_elements(container: Value, holds: Callable[[Value], Condition]) -> Condition:
    """That the container is a list, and that this is certainly true of all its elements."""

    def fails(element: Value) -> Condition:
        return not_(func.coalesce(holds(element), false()))

    return and_(container.is_list(), not_(container.any_element(fails)))


def any_of(conditions: list[Condition]) -> Condition:
    """`or`, false for none."""
    return or_(false(), *conditions)
