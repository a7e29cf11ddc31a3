"""Filling in what is known of a request: what is left of conditions is about the resource alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.tree import (
    AllOf,
    AnyOf,
    Atom,
    Attribute,
    Call,
    Comparison,
    Computed,
    Condition,
    ListOf,
    Literal,
    Operand,
    Truth,
    attributes_in,
    attributes_of,
    evaluate_atom,
    negate,
    value_of,
)
from klausel.core.conditions.values import kind_of
from klausel.core.filters.tree import Filter, Missing, every, some
from klausel.core.policy.policy_set import Grant
from klausel.core.terms.request import Request

IsOpen = Callable[[Attribute], bool]
"""Whether an attribute is not known yet: it can be different for every resource."""


def open_of_resource(request: Request) -> IsOpen:
    """What differs from resource to resource: its id, and every property that the request does not give."""
    given = request.resource.properties

    def is_open(attribute: Attribute) -> bool:
        if attribute.root != "resource" or attribute.path == ("type",):
            return False
        return attribute.path == ("id",) or attribute.path[0] not in given

    return is_open


def what_is_left(grants: Sequence[Grant], request: Request, is_open: IsOpen) -> Filter:
    """When one of these allows holds and none of these denies, as far as the request does not settle it."""
    allowed = some(
        True if grant.condition is None else filled_in(grant.condition, request, is_open)
        for grant in grants
        if grant.effect == "allow"
    )
    if allowed is False:
        return False
    not_denied = (
        False if grant.condition is None else filled_in(negate(grant.condition), request, is_open)
        for grant in grants
        if grant.effect == "deny"
    )
    return every([allowed, *not_denied])


def filled_in(condition: Condition, request: Request, is_open: IsOpen) -> Filter:
    """When a condition is certainly true, with all that is known of the request filled in."""
    match condition:
        case AllOf(parts):
            return every(filled_in(part, request, is_open) for part in parts)
        case AnyOf(parts):
            return some(filled_in(part, request, is_open) for part in parts)
        case _:
            return _filled_in_atom(condition, request, is_open)


def _filled_in_atom(atom: Atom, request: Request, is_open: IsOpen) -> Filter:
    if not any(is_open(attribute) for attribute in attributes_of(atom)):
        return evaluate_atom(atom, request) is True
    match atom:
        case Truth(attribute, wanted):
            return Comparison("==", attribute, Literal(wanted))
        case Comparison(operator, left, right) if operator in ("in", "not in"):
            item = _filled_in_value(left, request, is_open)
            container = _filled_in_list(right, request, is_open, may_be_mixed=operator == "in")
            if item is None or container is None or (operator == "in" and container == ListOf(())):
                return False
            return Comparison(operator, item, container)
        case Comparison(operator, left, right):
            one, other = _filled_in_value(left, request, is_open), _filled_in_value(right, request, is_open)
            if one is None or other is None:
                return False
            return _without_difference(_attribute_first(Comparison(operator, one, other)))
        case Call("has", (Attribute() as attribute,), False):
            return Missing(attribute)
        case Call(function, arguments, wanted):
            filled = _filled_in_arguments(function, arguments, request, is_open)
            return False if filled is None else Call(function, filled, wanted)


def _attribute_first(comparison: Comparison) -> Comparison:
    if not isinstance(comparison.left, Literal):
        return comparison
    operator = FUNCTIONS[comparison.operator].mirrored
    return Comparison(operator, comparison.right, comparison.left)  # type: ignore[arg-type]


def _without_difference(comparison: Comparison) -> Comparison:
    """A difference of times that is compared with a duration, as a comparison of the one time that is not known."""
    try:
        match comparison:
            case Comparison(operator, Computed("-", (Literal(datetime() as end), start)), Literal(timedelta() as least)):
                mirrored = FUNCTIONS[operator].mirrored
                return Comparison(mirrored, start, Literal(end - least))  # type: ignore[arg-type]
            case Comparison(operator, Computed("-", (end, Literal(datetime() as start))), Literal(timedelta() as least)):
                return Comparison(operator, end, Literal(start + least))
    except OverflowError:
        pass
    return comparison


def _filled_in_arguments(
    function: str, arguments: Sequence[Operand], request: Request, is_open: IsOpen
) -> tuple[Operand, ...] | None:
    """The arguments of a function with their values in place; None where one is of a kind that it does not take."""
    filled: list[Operand] = []
    for parameter, argument in zip(FUNCTIONS[function].parameters, arguments, strict=True):
        if any(map(is_open, attributes_in(argument))):
            found = _filled_in_value(argument, request, is_open)
        else:
            value = value_of(argument, request)
            found = _written(value) if kind_of(value) in parameter.kinds else None
        if found is None:
            return None
        filled.append(found)
    return tuple(filled)


def _written(value: object) -> Operand:
    """A value as an operand; in a list, what nothing equals stands as null."""
    if isinstance(value, list | tuple):
        return ListOf(tuple(Literal(one if _is_scalar(one) else None) for one in value))  # type: ignore[arg-type]
    return Literal(value)  # type: ignore[arg-type]


def _filled_in_value(operand: Operand, request: Request, is_open: IsOpen) -> Operand | None:
    """The operand with its value in place; None where that value cannot be compared with anything."""
    if isinstance(operand, ListOf):
        return None
    if isinstance(operand, Computed) and any(map(is_open, attributes_in(operand))):
        filled = _filled_in_arguments(operand.function, operand.arguments, request, is_open)
        return None if filled is None else Computed(operand.function, filled)
    if isinstance(operand, Literal) or (isinstance(operand, Attribute) and is_open(operand)):
        return operand
    value = value_of(operand, request)
    return Literal(value) if _is_scalar(value) else None  # type: ignore[arg-type]


def _filled_in_list(operand: Operand, request: Request, is_open: IsOpen, *, may_be_mixed: bool) -> Operand | None:
    """The list with its elements in place; None where nothing is certainly inside, or outside unless `may_be_mixed`.

    Something can be certainly outside only where all elements can be compared with it, so are of one kind.
    """
    if isinstance(operand, Attribute) and is_open(operand):
        return operand
    value = value_of(operand, request)
    if not isinstance(value, list | tuple):
        return None
    scalars = [element for element in value if _is_scalar(element)]
    if not may_be_mixed and (len(scalars) < len(value) or len(set(map(kind_of, scalars))) > 1):
        return None
    return ListOf(tuple(map(Literal, scalars)))


def _is_scalar(value: object) -> bool:
    return kind_of(value) not in (None, "list")
