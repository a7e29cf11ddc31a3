"""Conditions in Casbin's syntax, in two two-valued forms, and the functions that this text calls.

*certain* is true exactly where the condition is true (for allow), *possible* where it is not false (for deny).
Negation is pushed to the atoms, so that unknown never turns into true on its way up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, time, timedelta

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
    Truth,
    compare,
    negate,
)
from klausel.core.conditions.values import kind_of, time_text
from klausel.enforcer.matcher.fold import FOLDED

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


def attribute(holder: object, *path: str) -> object:
    """The value under a path of names; None when any part is missing."""
    for name in path:
        if type(holder) is not dict and not isinstance(holder, Mapping):
            return None
        holder = holder.get(name)
    return holder


def _is_equal(left: object, right: object) -> bool:
    if type(left) is str:
        return left == right
    return compare("==", left, right) is True


def _functions() -> Iterator[tuple[str, Callable[..., object]]]:
    """What the table's entries are to Casbin: true or not, so that unknown never counts as true."""
    for entry in FUNCTIONS.values():
        if entry.turned is not None:
            continue
        if entry.gives != "truth":
            yield entry.in_casbin, _folded(entry)
            continue
        yield entry.in_casbin, _when(entry, True)
        if entry.opposite is None:
            yield OPPOSITE + entry.in_casbin, _when(entry, False)


def _when(entry: Function, wanted: bool) -> Callable[..., bool]:
    # What takes values of any kind, and what is written, needs no look at its kind; two arguments are the usual number.
    meaning = entry.meaning
    kinds = [() if parameter.is_written else parameter.kinds for parameter in entry.parameters]
    if len(kinds) != 2:
        return lambda *values: entry(*values) is wanted
    first, second = kinds
    if not first and not second:
        return lambda one, other: meaning(one, other) is wanted
    if not second:
        return lambda one, other: kind_of(one) in first and meaning(one, other) is wanted
    return lambda one, other: kind_of(one) in first and kind_of(other) in second and meaning(one, other) is wanted


def _folded(entry: Function) -> Callable[..., object]:
    """A function whose value for literals is found once, when a plan is made."""

    value = _value_of(entry)
    setattr(value, FOLDED, True)
    return value


def _value_of(entry: Function) -> Callable[..., object]:
    meaning = entry.meaning
    kinds = [parameter.kinds for parameter in entry.parameters]
    if len(kinds) == 1:
        return lambda one: meaning(one) if kind_of(one) in kinds[0] else None
    if len(kinds) == 2:
        first, second = kinds
        return lambda one, other: meaning(one, other) if kind_of(one) in first and kind_of(other) in second else None
    return lambda *values: entry(*values)


CASBIN_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "attribute": attribute,
    **dict(_functions()),
    "is_equal": _is_equal,
    "is_true": lambda value: value is True,
    "is_false": lambda value: value is False,
}
"""The functions that condition texts call, by name; none of them ever raises on values that JSON can hold."""
