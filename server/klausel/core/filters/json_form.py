"""Filters as JSON: what `POST /v1/filter` answers, and reading it again where it is turned into a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any, cast, get_args

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.tree import (
    Attribute,
    Call,
    Comparison,
    Computed,
    ListOf,
    Literal,
    Operand,
    Operator,
)
from klausel.core.conditions.values import Scalar, time_text
from klausel.core.filters.tree import Every, Filter, FilterCondition, InDomains, Missing, NamesDomain, Some

Json = dict[str, Any]

_OPERATORS = get_args(Operator)
_SCALARS = (str, bool, int, float)


def filter_as_json(filter_: Filter) -> Json:
    """`{"filter": "always"}`, `{"filter": "never"}`, or `{"filter": "when", "condition": …}`."""
    if isinstance(filter_, bool):
        return {"filter": "always" if filter_ else "never"}
    return {"filter": "when", "condition": _condition_as_json(filter_)}


def _condition_as_json(condition: FilterCondition) -> Json:
    match condition:
        case Every(parts):
            return {"and": list(map(_condition_as_json, parts))}
        case Some(parts):
            return {"or": list(map(_condition_as_json, parts))}
        case Missing(attribute):
            return {"missing": _operand_as_json(attribute)}
        case NamesDomain(attributes, characters):
            return {"names_domain": list(map(_operand_as_json, attributes)), "characters": characters}
        case InDomains(attributes, domains):
            return {"domain": list(map(_operand_as_json, attributes)), "among": sorted(domains)}
        case Comparison(operator, left, right):
            return {"operator": operator, "left": _operand_as_json(left), "right": _operand_as_json(right)}
        case Call(function, arguments, wanted):
            return {"function": function, "arguments": list(map(_operand_as_json, arguments)), "holds": wanted}
        case _:
            raise TypeError(f"{condition!r} has no place in a filter")


def _operand_as_json(operand: Operand) -> Json:
    match operand:
        case Attribute(_, path):
            return {"id": True} if path == ("id",) else {"property": list(path)}
        case Literal(datetime() as moment):
            return {"function": "time", "arguments": [{"value": time_text(moment)}]}
        case Literal(timedelta() as duration):
            return {"function": "seconds", "arguments": [{"value": duration.total_seconds()}]}
        case Literal(time() as clock):
            return {"function": "clock", "arguments": [{"value": clock.isoformat()}]}
        case Literal(value):
            return {"value": value}
        case Computed(function, arguments):
            return {"function": function, "arguments": list(map(_operand_as_json, arguments))}
        case ListOf(items):
            return {"value": [item.value for item in items]}


def read_filter(answer: object) -> Filter:
    """The filter that an answer of `POST /v1/filter` holds; raises `ValueError` for what is none, or is of a newer kind."""
    verdict = answer.get("filter") if isinstance(answer, Mapping) else None
    if verdict == "always":
        return True
    if verdict == "never":
        return False
    if verdict == "when" and isinstance(answer, Mapping):
        return _read_condition(answer.get("condition"))
    raise ValueError('this is no answer of /v1/filter: its member "filter" is none of always, never, when')


def _read_condition(value: object) -> FilterCondition:
    match value:
        case {"and": [_, _, *_] as parts}:
            return Every(tuple(map(_read_condition, parts)))
        case {"or": [_, _, *_] as parts}:
            return Some(tuple(map(_read_condition, parts)))
        case {"missing": operand}:
            return Missing(_read_attribute(operand))
        case {"names_domain": [_, *_] as operands, "characters": int() as characters}:
            return NamesDomain(tuple(map(_read_attribute, operands)), characters)
        case {"domain": [_, *_] as operands, "among": [*domains]} if all(
            isinstance(domain, str) and domain.count("/") == len(operands) - 1 for domain in domains
        ):
            return InDomains(tuple(map(_read_attribute, operands)), frozenset(domains))
        case {"operator": operator, "left": left, "right": right} if operator in _OPERATORS:
            return Comparison(operator, _read_operand(left), _read_operand(right))
        case {"function": str() as name, "arguments": [*operands], "holds": bool() as wanted} if _takes(
            name, operands, True
        ):
            return Call(name, tuple(map(_read_operand, operands)), wanted)
    raise ValueError(f"this part of a filter cannot be read; it may come from a newer Klausel: {str(value)[:200]}")


def _read_attribute(value: object) -> Attribute:
    operand = _read_operand(value)
    if not isinstance(operand, Attribute):
        raise ValueError(f"this part of a filter is no property: {str(value)[:200]}")
    return operand


def _takes(name: str, operands: Sequence[object], is_truth: bool) -> bool:
    function = FUNCTIONS.get(name)
    return (
        function is not None
        and len(function.parameters) == len(operands)
        and (function.gives == "truth") is is_truth
        and (not is_truth or function.opposite is None)
    )


def _read_computed(name: str, arguments: tuple[Operand, ...]) -> Operand:
    if not all(isinstance(argument, Literal) for argument in arguments):
        return Computed(name, arguments)
    value = FUNCTIONS[name](*(cast(Literal, argument).value for argument in arguments))
    if value is None:
        raise ValueError(f"this value in a filter is none that {name} takes")
    return Literal(cast(Scalar, value))


def _read_operand(value: object) -> Operand:
    match value:
        case {"id": True}:
            return Attribute("resource", ("id",))
        case {"property": [str(), *_] as path} if all(isinstance(name, str) for name in path):
            return Attribute("resource", tuple(path))
        case {"function": str() as name, "arguments": [*operands]} if _takes(name, operands, False):
            return _read_computed(name, tuple(map(_read_operand, operands)))
        case {"value": items} if isinstance(items, Sequence) and not isinstance(items, str):
            if all(item is None or isinstance(item, _SCALARS) for item in items):
                return ListOf(tuple(map(Literal, items)))
        case {"value": scalar} if isinstance(scalar, _SCALARS):
            return Literal(scalar)
    raise ValueError(f"this value in a filter cannot be read: {str(value)[:200]}")
