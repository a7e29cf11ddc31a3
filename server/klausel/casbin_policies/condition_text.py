"""Conditions in Casbin's syntax, in two two-valued forms, and the functions that this text calls.

*certain* is true exactly where the condition is true (for allow), *possible* where it is not false (for deny).
Negation is pushed to the atoms, so that unknown never turns into true on its way up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from klausel.core.conditions.patterns import matches_glob, matches_path
from klausel.core.conditions.tree import (
    OWN_ATTRIBUTES,
    AllOf,
    AnyOf,
    Atom,
    Attribute,
    Comparison,
    Condition,
    ListOf,
    Literal,
    Match,
    Operand,
    Truth,
    compare,
    negate,
)

ALWAYS = "True"

_FIELDS = {"subject": "r.sub", "resource": "r.obj", "action": "r.act", "context": "r.ctx"}
_COMPARISONS = {
    "==": "is_equal",
    "!=": "is_different",
    "<": "is_less",
    "<=": "is_at_most",
    ">": "is_greater",
    ">=": "is_at_least",
    "in": "is_in",
    "not in": "is_not_in",
}


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
            return f"{_COMPARISONS[operator]}({_operand(left)}, {_operand(right)})"
        case Truth(attribute, wanted):
            return f"{'is_true' if wanted else 'is_false'}({_operand(attribute)})"
        case Match(matcher, attribute, pattern, wanted):
            name = matcher if wanted else f"not_{matcher}"
            return f"{name}({_operand(attribute)}, {_literal(pattern)})"
        case _:
            raise TypeError(f"{atom!r} is not an atom")


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


def _literal(value: object) -> str:
    """A literal in which Casbin's rewriting of `!`, `&&`, `||`, `p.` and `r.` finds nothing to rewrite."""
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
        if not isinstance(holder, Mapping):
            return None
        holder = holder.get(name)
    return holder


def _is_equal(left: object, right: object) -> bool:
    if type(left) is str:
        return left == right
    return compare("==", left, right) is True


def _comparison(operator: str) -> Callable[[object, object], bool]:
    def holds(left: object, right: object) -> bool:
        return compare(operator, left, right) is True  # type: ignore[arg-type]

    return holds


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "attribute": attribute,
    **{name: _comparison(operator) for operator, name in _COMPARISONS.items()},
    "is_equal": _is_equal,
    "is_true": lambda value: value is True,
    "is_false": lambda value: value is False,
    "matches_glob": lambda value, pattern: isinstance(value, str) and matches_glob(value, pattern),
    "not_matches_glob": lambda value, pattern: isinstance(value, str) and not matches_glob(value, pattern),
    "matches_path": lambda value, pattern: isinstance(value, str) and matches_path(value, pattern),
    "not_matches_path": lambda value, pattern: isinstance(value, str) and not matches_path(value, pattern),
}
"""The functions that condition texts call, by name; none of them ever raises on values that JSON can hold."""
