"""From a filter to one SQL expression that is true exactly for the rows that the filter takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import ColumnElement, Text, and_, false, func, literal, not_, or_, true

from klausel.core.conditions.tree import Attribute, Call, Comparison, Computed, ListOf, Literal, Operand
from klausel.core.conditions.values import Scalar
from klausel.core.filters.tree import Every, Filter, FilterCondition, InDomains, Missing, NamesDomain, Some
from klausel.core.policy.roles import top_domain
from klausel.storage.filters.constructs import Among, IsDomainId, NotAmong
from klausel.storage.filters.patterns import pattern_of
from klausel.storage.filters.values import (
    KINDS,
    MISSING,
    Condition,
    FilterError,
    Kind,
    Known,
    TimeColumn,
    Value,
    all_elements,
    any_of,
    can_be_held,
    check_exact,
    instant_of,
    kind_of,
    listed,
)

ValueOf = Callable[[Attribute], Value]
"""What stands in the database for an attribute of the resource; raises `FilterError` where nothing is known to."""

_ORDERED: tuple[Kind, ...] = ("number",)


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
        case InDomains(attributes, domains):
            return _in_domains([value_of(attribute) for attribute in attributes], sorted(domains))
        case Comparison("in" | "not in" as operator, left, right):
            item = _value(left, value_of)
            if isinstance(right, ListOf):
                return _listed(operator == "in", item, [one.value for one in right.items])
            container = _value(right, value_of)
            if operator == "in":
                return container.any_element(partial(_compared, "==", item))
            return and_(_is_scalar(item), all_elements(container, partial(_compared, "!=", item)))
        case Comparison(operator, left, right):
            return _compared(operator, _value(left, value_of), _value(right, value_of))
        case Call("has", (Attribute() as attribute,), True):
            return not_(value_of(attribute).is_missing())
        case Call("matches_glob" | "matches_path" as matcher, (subject, Literal(str() as pattern)), wanted):
            text = _value(subject, value_of).as_("string")
            if text is None:
                return false()
            if not can_be_held(pattern):
                return false() if wanted else text.is_not(None)
            matches = text.regexp_match(literal(pattern_of(matcher, pattern), Text()))
            return matches if wanted else not_(matches)
        case Call("starts_with" | "ends_with" as function, (subject, part), wanted):
            text, end = _value(subject, value_of).as_("string"), _value(part, value_of).as_("string")
            if text is None or end is None:
                return false()
            if isinstance(part, Literal) and not can_be_held(part.value):
                return false() if wanted else text.is_not(None)
            found = _starts_with(text, end) if function == "starts_with" else _ends_with(text, end)
            return found if wanted else not_(found)
        case Call("overlaps", (Attribute() as one, ListOf(items)), wanted):
            values = [item.value for item in items]
            return _overlaps(value_of(one), values) if wanted else _is_apart(value_of(one), values)
        case Call("overlaps", (ListOf(items), Attribute() as one), wanted):
            values = [item.value for item in items]
            if wanted:
                return _overlaps(value_of(one), values)
            # An element that nothing equals leaves it open, whatever the other list holds.
            return false() if None in values else _is_apart(value_of(one), values) if values else value_of(one).is_list()
        case Call("subset of", (Attribute() as one, ListOf(items)), wanted):
            inside = partial(_listed, wanted, values=[item.value for item in items])
            return all_elements(value_of(one), inside) if wanted else value_of(one).any_element(inside)
        case Call("subset of", (ListOf(items), Attribute() as other), wanted):
            return _holds_all(value_of(other), [item.value for item in items], wanted)
        case _:
            raise FilterError(f"the condition {condition} has no meaning in SQL; ask about each row instead")


def _value(operand: Operand, value_of: ValueOf) -> Value:
    match operand:
        case Attribute():
            return value_of(operand)
        case Literal(value):
            return Known(value)
        case Computed("time", (Attribute() as attribute,)):
            column = value_of(attribute)
            if isinstance(column, TimeColumn):
                return instant_of(column)
            if column is MISSING:
                return column
            raise FilterError(f"{attribute} is compared as a time, which has no meaning in SQL but for a column of times")
    raise FilterError(f"{operand} has no meaning in SQL; ask about each row instead")


def _compared(operator: str, left: Value, right: Value) -> Condition:
    """Whether a comparison is certainly true: of each kind that both can have."""
    check_exact(left, right)
    for this, that in ((left, right), (right, left)):
        if isinstance(this, Known) and not can_be_held(this.value):
            text = that.as_("string")
            return false() if operator != "!=" or text is None else text.is_not(None)
    if operator == "==" and isinstance(right, Known):
        return left.equals(right.value)
    if operator == "==" and isinstance(left, Known):
        return right.equals(left.value)
    ways: list[Condition] = []
    for kind in (*KINDS, "time") if operator in ("==", "!=") else (*_ORDERED, "time"):
        one, other = left.as_(kind), right.as_(kind)
        if one is not None and other is not None:
            ways.append(one.op(_SQL[operator], is_comparison=True)(other))
    return any_of(ways)


_SQL = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def _listed(wanted: bool, item: Value, values: Sequence[Scalar | None]) -> Condition:
    """Whether an item is certainly one of some values, or none; None among them is what nothing equals."""
    known = [value for value in values if value is not None]
    for one in known:
        check_exact(item, Known(one))
    by_kind = {kind: [value for value in known if kind_of(value) == kind] for kind in (*KINDS, "time")}
    if wanted:
        by_kind = {kind: [value for value in some if can_be_held(value)] for kind, some in by_kind.items()}
        return any_of([item.is_among(kind, some) for kind, some in by_kind.items() if some])
    kinds = [kind for kind, some in by_kind.items() if some]
    if not values:
        return _is_scalar(item)
    if len(kinds) != 1 or len(known) < len(values):
        return false()
    value = item.as_(kinds[0])
    if value is None:
        return false()
    if kinds[0] in ("boolean", "time"):
        return and_(*(_compared("!=", item, Known(one)) for one in known))
    held = [one for one in known if can_be_held(one)]
    return NotAmong(value, *listed(kinds[0], held)) if held else value.is_not(None)


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


def _in_domains(values: list[Value], domains: list[str]) -> Condition:
    texts = [value.as_("string") for value in values]
    whole: ColumnElement[str] | None = None
    for text in texts:
        if text is None:
            return false()
        whole = text if whole is None else whole.concat("/").concat(text)
    if whole is None:
        return false()
    # The first comparison can use an index.
    tops = list(dict.fromkeys(top_domain(domain) for domain in domains))
    return and_(values[0].is_among("string", tops), Among(whole, domains, "text"))


def _starts_with(text: ColumnElement[str], start: ColumnElement[str]) -> Condition:
    return func.substr(text, 1, func.length(start)) == start


def _ends_with(text: ColumnElement[str], end: ColumnElement[str]) -> Condition:
    is_longer = func.length(text) >= func.length(end)
    return and_(is_longer, func.substr(text, func.length(text) - func.length(end) + 1) == end)


def _overlaps(container: Value, values: Sequence[Scalar | None]) -> Condition:
    return container.any_element(lambda element: _listed(True, element, values))


def _is_apart(container: Value, values: Sequence[Scalar | None]) -> Condition:
    return all_elements(container, lambda element: _listed(False, element, values))


def _holds_all(container: Value, values: Sequence[Scalar | None], wanted: bool) -> Condition:
    """Whether the list certainly holds all of some values, or certainly misses one."""
    known = [Known(value) for value in values if value is not None]
    if not wanted:
        return any_of([all_elements(container, partial(_compared, "!=", value)) for value in known])
    if len(known) < len(values):
        return false()
    return and_(container.is_list(), *(container.any_element(partial(_compared, "==", value)) for value in known))
