"""Conditions in Casbin's syntax, in two two-valued forms, and the functions that this text calls.

*certain* is true exactly where the condition is true (for allow), *possible* where it is not false (for deny).
Negation is pushed to the atoms, so that unknown never turns into true on its way up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, time, timedelta
from operator import ge, gt, le, lt
from typing import Any

from klausel.core.conditions.functions import FUNCTIONS, OPPOSITE, Function
from klausel.core.conditions.tree import (
    OWN_ATTRIBUTES,
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
    Operator,
    Truth,
    compare,
    negate,
)
from klausel.core.conditions.values import USUAL_LENGTH, USUAL_TIMES, Kind, kind_of, time_text, usual_time
from klausel.enforcer.matcher.fold import FOLDED, JOINED

ALWAYS = "True"

_FIELDS = {"subject": "r.sub", "resource": "r.obj", "action": "r.act", "context": "r.ctx"}


def certain_text(condition: Condition | None) -> str:
    """Casbin text that is True exactly where the condition is true; for an allow."""
    return _text(condition, lambda atom: _atom(atom)) if condition else ALWAYS


def possible_text(condition: Condition | None) -> str:
    """Casbin text that is True exactly where the condition is true or unknown; for a deny."""
    return _text(condition, lambda atom: "!" + _atom(negate(atom))) if condition else ALWAYS


def _text(condition: Condition, atom_text: Callable[[Atom], str]) -> str:
    if isinstance(condition, AllOf):
        return " && ".join(
            f"({_text(part, atom_text)})" if isinstance(part, AnyOf) else _text(part, atom_text) for part in condition.parts
        )
    if isinstance(condition, AnyOf):
        return " || ".join(_text(part, atom_text) for part in condition.parts)
    return atom_text(condition)


def _atom(atom: Condition) -> str:
    match atom:
        case Comparison(operator, left, right):
            return _call(FUNCTIONS[operator].in_casbin, (left, right))
        case Truth(attribute, wanted):
            return f"{'is_true' if wanted else 'is_false'}({_operand(attribute)})"
        case Call(function, arguments, wanted):
            name = FUNCTIONS[function].in_casbin
            return _call(name if wanted else OPPOSITE + name, arguments)
        case _:
            raise TypeError(f"{atom!r} is not an atom")


def _call(name: str, arguments: tuple[Operand, ...]) -> str:
    return f"{name}({', '.join(map(_operand, arguments))})"


def _operand(operand: Operand) -> str:
    match operand:
        case Attribute(root, path):
            if len(path) == 1 and path[0] in OWN_ATTRIBUTES[root]:
                return f"{_FIELDS[root]}.{path[0]}"
            holder = _FIELDS[root] if root == "context" else f"{_FIELDS[root]}.properties"
            return f"attribute({holder}, {', '.join(map(_literal, path))})"
        case Literal(value):
            return _literal(value)
        case ListOf(items):
            return f"[{', '.join(_literal(item.value) for item in items)}]"
        case Computed(function, arguments):
            return _call(FUNCTIONS[function].in_casbin, arguments)


def _literal(value: object) -> str:
    """A literal in which Casbin's rewriting of `!`, `&&`, `||`, `p.` and `r.` finds nothing to rewrite."""
    match value:
        case datetime():
            return f"time({_literal(time_text(value))})"
        case timedelta():
            seconds, rest = divmod(value, timedelta(seconds=1))
            return f"seconds({value.total_seconds()!r})" if rest else f"seconds({seconds})"
        case time():
            return f"clock({_literal(value.isoformat())})"
    if not isinstance(value, str):
        return repr(value)
    return '"' + "".join(c if c.isalnum() or c in "_- " else _escape(ord(c)) for c in value) + '"'


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def attribute(holder: object, name: str, *more: str) -> object:
    """For conditions in Casbin: the value under a path of names; None when any part is missing."""
    if type(holder) is not dict and not isinstance(holder, Mapping):
        return None
    value = holder.get(name)
    return attribute(value, *more) if more else value


setattr(attribute, FOLDED, True)


def _is_equal(left: object, right: object) -> bool:
    if type(left) is str:
        return left == right
    return compare("==", left, right) is True


def _is_different(left: object, right: object) -> bool:
    if type(left) is type(right) is str:
        return left != right
    return compare("!=", left, right) is True


def _is_in(item: object, container: object) -> bool:
    # No other kind equals a text, so that an element of another kind, which makes a "no" unknown, never makes a "yes".
    if type(item) is str and type(container) is list:
        return item in container
    return compare("in", item, container) is True


def _is_not_in(item: object, container: object) -> bool:
    if type(item) is str and type(container) is list and set(map(type, container)) <= {str}:
        return item not in container
    return compare("not in", item, container) is True


def _ordering(operator: Operator, holds: Callable[[Any, Any], bool]) -> Callable[[object, object], bool]:
    """An ordering that looks at once at what is most often compared: two values of one type."""
    meaning, known_time = FUNCTIONS[operator].meaning, USUAL_TIMES.get

    def is_in_order(left: object, right: object) -> bool:
        kind = type(left)
        if kind is type(right) and (
            kind in _IN_ORDER or (kind is datetime and left.tzinfo is not None is not right.tzinfo)  # type: ignore[attr-defined]
        ):
            return holds(left, right)
        return meaning(left, right) is True

    # How long ago something was is asked so often that the three calls that it takes are made one.
    def is_difference_in_order(end: object, start: object, limit: object) -> bool:
        return is_in_order(_difference(end, start), limit)

    def is_past_in_order(end: Any, start: Any, limit: object) -> bool:
        try:
            began = known_time(start)
            if began is not None:
                # Python subtracts this from times with a zone alone, and orders durations with durations alone.
                return holds(end - began, limit)
        except TypeError:
            pass
        return is_difference_in_order(end, _time(start), limit)

    setattr(is_difference_in_order, JOINED, {(1, _time): is_past_in_order})
    setattr(is_in_order, JOINED, {(0, _difference): is_difference_in_order})
    return is_in_order


_IN_ORDER = frozenset({int, float, timedelta})
"""Types of which two values are in order or, as NaN, in none; then no ordering is true."""


def _difference(end: object, start: object) -> object:
    if type(end) is type(start) is datetime and end.tzinfo is not None is not start.tzinfo:
        return end - start
    return FUNCTIONS["-"](end, start)


def _time(value: object) -> object:
    return usual_time(value) if type(value) is str and len(value) == USUAL_LENGTH else FUNCTIONS["time"](value)


_QUICK_VALUES: Mapping[str, Callable[..., object]] = {"-": _difference, "time": _time}
"""Functions that look at once at what they are most often given."""


def _functions() -> Iterator[tuple[str, Callable[..., object]]]:
    """What the table's entries are to Casbin: true or not, so that unknown never counts as true."""
    for entry in FUNCTIONS.values():
        if entry.turned is not None:
            continue
        if entry.gives != "truth":
            value = _QUICK_VALUES.get(entry.name) or _value_of(entry)
            # Its value for literals is found once, when a plan is made.
            setattr(value, FOLDED, True)
            yield entry.in_casbin, value
            continue
        yield entry.in_casbin, _when(entry, True)
        if entry.opposite is None:
            yield OPPOSITE + entry.in_casbin, _when(entry, False)


def _when(entry: Function, wanted: bool) -> Callable[..., bool]:
    # What takes values of any kind, and what is written, needs no look at its kind; one or two arguments are the usual number.
    meaning = entry.meaning
    if entry.name == "has":
        return (lambda value: value is not None) if wanted else (lambda value: value is None)
    kinds = [() if parameter.is_written else parameter.kinds for parameter in entry.parameters]
    if kinds == [()]:
        return lambda one: meaning(one) is wanted
    if len(kinds) != 2:
        return lambda *values: entry(*values) is wanted
    if kinds == [(), ()]:
        return lambda one, other: meaning(one, other) is wanted
    takes_one, takes_other = map(_taking, kinds)
    if not kinds[1]:
        return lambda one, other: (type(one) in takes_one or kind_of(one) in kinds[0]) and meaning(one, other) is wanted
    return lambda one, other: (
        (type(one) in takes_one or kind_of(one) in kinds[0])
        and (type(other) in takes_other or kind_of(other) in kinds[1])
        and meaning(one, other) is wanted
    )


def _taking(kinds: Iterable[Kind]) -> frozenset[type]:
    """The types of which every value is of one of these kinds."""
    return frozenset(type_ for kind in kinds for type_ in _ALWAYS_OF_KIND.get(kind, ()))


_ALWAYS_OF_KIND: Mapping[Kind, tuple[type, ...]] = {"text": (str,), "list": (list, tuple)}


def _value_of(entry: Function) -> Callable[..., object]:
    """The value of an entry, None where it is unknown."""
    meaning = entry.meaning
    kinds = [parameter.kinds for parameter in entry.parameters]
    takes = [_taking(one) for one in kinds]
    if len(kinds) == 1:
        return lambda one: meaning(one) if type(one) in takes[0] or kind_of(one) in kinds[0] else None
    if len(kinds) == 2:
        first, second = kinds
        return lambda one, other: meaning(one, other) if kind_of(one) in first and kind_of(other) in second else None
    return lambda *values: entry(*values)


CASBIN_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "attribute": attribute,
    **dict(_functions()),
    "is_equal": _is_equal,
    "is_different": _is_different,
    "is_less": _ordering("<", lt),
    "is_at_most": _ordering("<=", le),
    "is_greater": _ordering(">", gt),
    "is_at_least": _ordering(">=", ge),
    "is_in": _is_in,
    "is_not_in": _is_not_in,
    "is_true": lambda value: value is True,
    "is_false": lambda value: value is False,
}
"""The functions that condition texts call, by name; none of them ever raises on values that JSON can hold."""
