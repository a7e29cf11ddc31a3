"""What may be compared with what, as far as it is known when a condition is read: the kinds of values that are written.

A property may be anything, so it is only found at a request that its value is of another kind; then the comparison is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time
from typing import NamedTuple

from klausel.core.conditions.functions import FUNCTIONS, Function, Parameter
from klausel.core.conditions.tree import (
    ORDERING,
    Attribute,
    Computed,
    ListOf,
    Literal,
    Operand,
    Operator,
    Term,
    kind_of_operand,
)
from klausel.core.conditions.values import ORDERED, Kind, read_clock, read_time, shown
from klausel.core.terms.problem import did_you_mean

ORDERED_TEXTS = "ordered-texts"
"""The id of the problem that texts are put in order."""
_SYNTAX = "condition-syntax"
_KINDS: dict[Kind, str] = {
    "text": "a text",
    "number": "a number",
    "boolean": "true or false",
    "time": "a time",
    "duration": "a duration",
    "clock": "a time of day",
    "list": "a list",
}
_WRITTEN: dict[Kind, str] = {
    "time": 'write it as time("2026-12-31T00:00:00Z")',
    "duration": "write it as days(30), hours(2) or minutes(15)",
    "clock": 'write it as clock("09:30")',
    "number": "write it without quotes, such as 1000",
    "text": 'write it in quotes, such as "open"',
}
_NO_ORDER = "texts have no order: letter by letter, 999 would be more than 1000"


class Fault(NamedTuple):
    """What is wrong, how to fix it, and the id of the problem."""

    message: str
    hint: str
    id: str = _SYNTAX


_READ_BY: dict[Kind, str] = {"time": "time", "clock": "clock"}
"""The function that reads a text as a value of a kind."""


def read_as(kind: Kind, operand: Operand) -> Operand:
    """The operand where this kind is needed: a property is read as one, so that its text counts as what it names."""
    function = _READ_BY.get(kind)
    if function is None or not isinstance(operand, Attribute) or kind_of_operand(operand) is not None:
        return operand
    return Computed(function, (operand,))


def as_sent(term: Term, value: object) -> tuple[Term, object]:
    """What a request must hold for a term to have a value: for one that is read from a text, the attribute and that text."""
    match term:
        case Computed(function, (Attribute() as attribute,)) if function in _READ_BY.values():
            return attribute, value.isoformat() if isinstance(value, time) else shown(value)
    return term, shown(value)


def fault_in_argument(function: Function, parameter: Parameter, argument: Operand) -> Fault | None:
    """What is wrong with an argument of a function; None when nothing is."""
    example = f"write {function.example}"
    if parameter.is_written and isinstance(argument, Attribute | Computed):
        kinds = " or ".join(_KINDS[kind] for kind in parameter.kinds)
        return Fault(f"`{argument}` is not written out: {function.name} needs {kinds} here", example)
    kind = kind_of_operand(argument)
    if parameter.kinds and kind is not None and kind not in parameter.kinds:
        kinds = " or ".join(_KINDS[kind] for kind in parameter.kinds)
        return Fault(f"`{argument}` is {_KINDS[kind]}, and {function.name} needs {kinds} here", example)
    if isinstance(argument, ListOf) and _kind_never_sent(argument):
        return Fault(f"no list that is sent holds {_KINDS[_kind_never_sent(argument) or 'time']}", example)
    if isinstance(argument, Literal | ListOf):
        value = argument.value if isinstance(argument, Literal) else [item.value for item in argument.items]
        fault = parameter.fault(value)
        if fault is not None:
            message, _, hint = fault.partition("; ")
            return Fault(message, hint or example)
    return None


def fault_in_comparison(operator: Operator, left: Operand, right: Operand) -> tuple[Fault | None, Operand, Operand]:
    """What is wrong with a comparison (None: nothing), and its sides: beside a time a property is read as one."""
    if operator in ("in", "not in"):
        return _fault_in_list(operator, left, right), left, right
    if isinstance(right, ListOf):
        return Fault(f"`{operator}` cannot compare with a list", "use `in` or `not in`"), left, right
    for kind in (kind_of_operand(left), kind_of_operand(right)):
        if kind is not None:
            left, right = read_as(kind, left), read_as(kind, right)
    kinds = kind_of_operand(left), kind_of_operand(right)
    return _fault_between(operator, (left, right), kinds), left, right


def _fault_in_list(operator: Operator, left: Operand, right: Operand) -> Fault | None:
    kind = kind_of_operand(left)
    if isinstance(right, ListOf):
        never_sent = _kind_never_sent(right)
        if never_sent is not None and isinstance(left, Attribute) and kind is None:
            hint = (
                f"write {read_as(never_sent, left)} {operator} {right}" if never_sent in _READ_BY else "compare it by itself"
            )
            return Fault(f"`{left}` is never {_KINDS[never_sent]} as it is sent", hint)
        return next(
            filter(None, (_fault_between("==", (left, item), (kind, kind_of_operand(item))) for item in right.items)), None
        )
    if not isinstance(right, Attribute) or kind_of_operand(right) not in (None, "text"):
        return Fault(f"`{operator}` needs a list on its right", 'write `in ["a", "b"]` or an attribute')
    if kind in ("time", "duration", "clock"):
        return Fault(f"no list that is sent holds {_KINDS[kind]}", "compare it with values that are written here")
    return None


def _kind_never_sent(list_: ListOf) -> Kind | None:
    """The kind of a value in a list that no request holds; None where all may be sent."""
    kinds = (kind_of_operand(item) for item in list_.items)
    return next((kind for kind in kinds if kind in ("time", "duration", "clock")), None)


def _fault_between(operator: Operator, sides: Sequence[Operand], kinds: Sequence[Kind | None]) -> Fault | None:
    if operator in ORDERING:
        for side, kind in zip(sides, kinds, strict=True):
            if kind == "boolean":
                return Fault(f"`{operator}` cannot order true and false", "use `==` or `!=`")
            if kind == "text":
                return Fault(f"`{operator}` cannot put `{side}` in order; {_NO_ORDER}", _instead_of(side), ORDERED_TEXTS)
            if kind is not None and kind not in ORDERED:
                return Fault(f"`{operator}` cannot put {_KINDS[kind]} in order", "use `==`, `!=` or `in`")
    one, other = kinds
    if one is not None and other is not None and one != other and not _is_text_of_old(sides, kinds):
        message = f"`{sides[0]}` is {_KINDS[one]} and `{sides[1]}` is {_KINDS[other]}, so they cannot be compared"
        written = one if isinstance(sides[1], Literal) else other
        return Fault(message, _WRITTEN.get(written, "compare values of one kind"))
    if "duration" in kinds and None in kinds:
        sent = sides[kinds.index(None)]
        return Fault(f"`{sent}` cannot be a duration: requests send none", f"write days({sent}), hours({sent}), or the like")
    return _fault_in_values(sides[0], sides[1]) or _fault_in_values(sides[1], sides[0])


def _is_text_of_old(sides: Sequence[Operand], kinds: Sequence[Kind | None]) -> bool:
    """An id or a type beside a number, `subject.id == 12`: it is unknown for everybody, and was never refused."""
    is_own = any(isinstance(side, Attribute) and kind == "text" for side, kind in zip(sides, kinds, strict=True))
    return is_own and bool({"number", "boolean"} & {*kinds})


def _fault_in_values(side: Operand, other: Operand) -> Fault | None:
    """What is compared with something that it never is: `weekday(…) == "munday"`."""
    if not isinstance(side, Computed) or not isinstance(other, Literal):
        return None
    values = FUNCTIONS[side.function].values
    if not values or other.value in values:
        return None
    return Fault(f"`{side}` is never {other}", f"{did_you_mean(str(other.value), values)}It is {' or '.join(values)}")


def _instead_of(side: Operand) -> str:
    text = side.value if isinstance(side, Literal) else None
    if not isinstance(text, str):
        return "compare texts with ==, in, starts_with or matches_glob"
    if read_time(text) is not None:
        return f'write time("{text}")'
    if read_clock(text) is not None:
        return f'write clock("{text}")'
    try:
        float(text)
    except ValueError:
        return 'write a number without quotes, a time as time("2026-12-31T00:00:00Z"); compare texts with == and in'
    return f"write the number without quotes: {text}"
