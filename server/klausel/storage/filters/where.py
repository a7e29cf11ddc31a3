"""From a filter to one SQL expression that is true exactly for the rows that the filter takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sqlalchemy import ColumnElement, Text, and_, false, func, literal, not_, or_, true

from klausel.core.conditions.tree import Attribute, Comparison, ListOf, Literal, Match, Operand
from klausel.core.filters.tree import Every, Filter, FilterCondition, Missing, NamesDomain, Some
from klausel.storage.filters.constructs import IsDomainId, NotAmong
from klausel.storage.filters.patterns import pattern_of
from klausel.storage.filters.values import (
    KINDS,
    Condition,
    FilterError,
    Kind,
    Known,
    Value,
    any_of,
    kind_of,
    listed,
    no_element,
)

ValueOf = Callable[[Attribute], Value]
"""What stands in the database for an attribute of the resource; raises `FilterError` where nothing is known to."""

_ORDERED: tuple[Kind, ...] = ("string", "number")


def where(filter_: Filter, value_of: ValueOf) -> Condition:
    """The expression. Raises `FilterError` for what has no exact meaning in SQL."""
    if isinstance(filter_, bool):
        return true() if filter_ else false()
    return _condition(filter_, value_of)


def _condition(condition: FilterCondition, value_of: ValueOf) -> Condition:
    match condition:
        case Every(parts):
            return and_(*(_condition(part, value_of) for part in parts))
        case Some(parts):
            return or_(*(_condition(part, value_of) for part in parts))
        case Missing(attribute):
            return value_of(attribute).is_missing()
        case NamesDomain(attributes, characters):
            return _names_domain([value_of(attribute) for attribute in attributes], characters)
        case Comparison("in" | "not in" as operator, left, right):
            item = _value(left, value_of)
            if isinstance(right, ListOf):
                return _listed(operator == "in", item, [one.value for one in right.items])
            container = _value(right, value_of)
            if operator == "in":
                return container.any_element(partial(_compared, "==", item))
            return and_(_is_scalar(item), no_element(container, partial(_compared, "!=", item)))
        case Comparison(operator, left, right):
            return _compared(operator, _value(left, value_of), _value(right, value_of))
        case Match(matcher, attribute, pattern, wanted):
            text = value_of(attribute).as_("string")
            if text is None:
                return false()
            matches = text.regexp_match(literal(pattern_of(matcher, pattern), Text()))
            return matches if wanted else not_(matches)
        case _:
            raise FilterError(f"the condition {condition} has no meaning in SQL; ask about each row instead")


def _value(operand: Operand, value_of: ValueOf) -> Value:
    if isinstance(operand, Attribute):
        return value_of(operand)
    if isinstance(operand, Literal):
        return Known(operand.value)
    raise FilterError(f"the list {operand} stands where no list can")


def _compared(operator: str, left: Value, right: Value) -> Condition:
    """Whether a comparison is certainly true: of each kind that both can have."""
    if operator == "==" and isinstance(right, Known):
        return left.equals(kind_of(right.value), right.value)
    if operator == "==" and isinstance(left, Known):
        return right.equals(kind_of(left.value), left.value)
    ways: list[Condition] = []
    for kind in KINDS if operator in ("==", "!=") else _ORDERED:
        one, other = left.as_(kind), right.as_(kind)
        if one is not None and other is not None:
            ways.append(one.op(_SQL[operator], is_comparison=True)(other))
    return any_of(ways)


_SQL = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def _listed(wanted: bool, item: Value, values: list[str | bool | int | float]) -> Condition:
    by_kind = {kind: [value for value in values if kind_of(value) == kind] for kind in KINDS}
    if wanted:
        return any_of([item.is_among(kind, some) for kind, some in by_kind.items() if some])
    kinds = [kind for kind, some in by_kind.items() if some]
    if not kinds:
        return _is_scalar(item)
    value = item.as_(kinds[0])
    if len(kinds) > 1 or value is None:
        return false()
    if kinds[0] == "boolean":
        return and_(*(value.op("<>", is_comparison=True)(Known(one).as_("boolean")) for one in values))
    return NotAmong(value, *listed(kinds[0], values))


def _is_scalar(item: Value) -> Condition:
    """Whether it is a text, a number, or true or false."""
    if isinstance(item, Known):
        return true()
    return any_of([value.is_not(None) for kind in KINDS if (value := item.as_(kind)) is not None])


def _names_domain(values: list[Value], characters: int) -> Condition:
    texts = [value.as_("string") for value in values]
    good = [text for text in texts if text is not None]
    if len(good) < len(texts):
        return false()
    length: ColumnElement[int] = literal(len(good) - 1)
    for text in good:
        length = length + func.length(text)
    return and_(*map(IsDomainId, good), length <= characters)
