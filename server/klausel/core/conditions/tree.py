"""Conditions: the checked expression tree over subject, resource, action and context, and what it means.

Every comparison is *true*, *false* or *unknown* (None): unknown when an attribute is missing, null or of another type
than the comparison needs. `and`, `or` and `not` are Kleene's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from typing import Any
from typing import Literal as Choice

from klausel.core.conditions.patterns import matches_glob, matches_path
from klausel.core.terms.request import Request

ROOTS = ("subject", "resource", "action", "context")
OWN_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "subject": ("id", "type"),
    "resource": ("id", "type"),
    "action": ("name",),
    "context": (),
}
Operator = Choice["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
Matcher = Choice["matches_glob", "matches_path"]
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
Scalar = str | bool | int | float
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")

_MIRRORED: Mapping[str, Operator] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NEGATED: Mapping[Operator, Operator] = {
    "==": "!=",
    "!=": "==",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
    "in": "not in",
    "not in": "in",
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """A value of the request: `resource.owner` is the property `owner` of the resource, `subject.id` its own id."""

    root: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        parts = [
            f".{name}" if _PLAIN_NAME.fullmatch(name) else f"[{json.dumps(name, ensure_ascii=False)}]" for name in self.path
        ]
        return self.root + "".join(parts)


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written in the expression."""

    value: Scalar

    def __str__(self) -> str:
        return json.dumps(self.value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of values written in the expression."""

    items: tuple[Literal, ...]

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.items))}]"


Operand = Attribute | Literal | ListOf


@dataclass(frozen=True, slots=True)
class Comparison:
    """An atom: one comparison of two operands."""

    operator: Operator
    left: Operand
    right: Operand

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


@dataclass(frozen=True, slots=True)
class Truth:
    """An atom: an attribute that must itself be true (`wanted`) or false."""

    attribute: Attribute
    wanted: bool = True

    def __str__(self) -> str:
        return str(self.attribute) if self.wanted else f"not {self.attribute}"


@dataclass(frozen=True, slots=True)
class Match:
    """An atom: an attribute matches (`wanted`) or does not match a literal pattern."""

    matcher: Matcher
    attribute: Attribute
    pattern: str
    wanted: bool = True

    def __str__(self) -> str:
        call = f"{self.matcher}({self.attribute}, {json.dumps(self.pattern, ensure_ascii=False)})"
        return call if self.wanted else f"not {call}"


@dataclass(frozen=True, slots=True)
class AllOf:
    """`and` of two or more conditions."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`or` of two or more conditions."""

    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return " or ".join(str(part) for part in self.parts)


Atom = Comparison | Truth | Match
Condition = Atom | AllOf | AnyOf


def negate(condition: Condition) -> Condition:
    """The condition that is true exactly where this one is false, and unknown where it is unknown."""
    match condition:
        case AllOf(parts):
            return AnyOf(tuple(map(negate, parts)))
        case AnyOf(parts):
            return AllOf(tuple(map(negate, parts)))
        case Comparison(operator, left, right):
            return Comparison(_NEGATED[operator], left, right)
        case Truth(attribute, wanted):
            return Truth(attribute, not wanted)
        case Match(matcher, attribute, pattern, wanted):
            return Match(matcher, attribute, pattern, not wanted)


def with_one_spelling(condition: Condition) -> Condition:
    """The same condition for all spellings that differ in order, repetition, direction or a comparison with true and false.

    Conditions with the same result mean the same; the converse need not hold.
    """
    match condition:
        case AllOf(parts) | AnyOf(parts):
            spelled = {str(part): part for part in map(with_one_spelling, parts)}
            sorted_parts = tuple(spelled[text] for text in sorted(spelled))
            return sorted_parts[0] if len(sorted_parts) == 1 else type(condition)(sorted_parts)
        case Comparison(operator, left, right):
            if operator in _MIRRORED and (
                isinstance(left, Literal) or (isinstance(right, Attribute) and str(right) < str(left))
            ):
                operator, left, right = _MIRRORED[operator], right, left
            if operator in ("==", "!=") and isinstance(left, Attribute) and isinstance(right, Literal):
                if isinstance(right.value, bool):
                    return Truth(left, right.value == (operator == "=="))
            elif isinstance(right, ListOf):
                items = {str(item): item for item in right.items}
                right = ListOf(tuple(items[text] for text in sorted(items)))
            return Comparison(operator, left, right)
        case _:
            return condition


def atoms(condition: Condition) -> Iterator[Atom]:
    """The atoms of a condition, in the order of the text, repeated ones too."""
    if isinstance(condition, AllOf | AnyOf):
        for part in condition.parts:
            yield from atoms(part)
    else:
        yield condition


def attributes_of(atom: Atom) -> list[Attribute]:
    """The attributes that an atom reads, in the order of the text, repeated ones too."""
    operands = (atom.left, atom.right) if isinstance(atom, Comparison) else (atom.attribute,)
    return [operand for operand in operands if isinstance(operand, Attribute)]


def matches_every_text(match: Match) -> bool:
    """Whether a pattern asks no more of its attribute than that it is a text."""
    return match.matcher == "matches_glob" and match.pattern == "*"


def all_true(values: Collection[bool | None]) -> bool | None:
    """Kleene's `and`: false when one is false, else unknown when one is unknown, else true."""
    return False if False in values else None if None in values else True


def any_true(values: Collection[bool | None]) -> bool | None:
    """Kleene's `or`: true when one is true, else unknown when one is unknown, else false."""
    return True if True in values else None if None in values else False


def evaluate(condition: Condition, request: Request) -> bool | None:
    """True, False or None (unknown) for a request; never raises."""
    match condition:
        case AllOf(parts):
            return all_true([evaluate(part, request) for part in parts])
        case AnyOf(parts):
            return any_true([evaluate(part, request) for part in parts])
        case _:
            return evaluate_atom(condition, request)


def evaluate_atom(atom: Atom, request: Request) -> bool | None:
    """True, False or None (unknown) of one atom for a request; never raises."""
    match atom:
        case Comparison(operator, left, right):
            return compare(operator, value_of(left, request), value_of(right, request))
        case Truth(attribute, wanted):
            value = value_of(attribute, request)
            return value is wanted if isinstance(value, bool) else None
        case Match(matcher, attribute, pattern, wanted):
            value = value_of(attribute, request)
            if not isinstance(value, str):
                return None
            matched = matches_glob(value, pattern) if matcher == "matches_glob" else matches_path(value, pattern)
            return matched is wanted


def value_of(operand: Operand, request: Request) -> object:
    """The value of an operand in a request; None when an attribute is missing or null. Lists come as lists."""
    match operand:
        case Literal(value):
            return value
        case ListOf(items):
            return [item.value for item in items]
        case Attribute(root, path):
            return _attribute(getattr(request, root), root, path)


def _attribute(entity: object, root: str, path: tuple[str, ...]) -> object:
    if len(path) == 1 and path[0] in OWN_ATTRIBUTES[root]:
        value: object = getattr(entity, path[0])
        return value
    value = entity if root == "context" else getattr(entity, "properties")  # noqa: B009
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def compare(operator: Operator, left: object, right: object) -> bool | None:
    """True, False or None (unknown) of one comparison; types are never coerced, `1` and `1.0` are the same number."""
    if operator == "in":
        return _contained(left, right)
    if operator == "not in":
        contained = _contained(left, right)
        return None if contained is None else not contained
    kind = _kind(left)
    if kind is None or kind != _kind(right) or (kind == "boolean" and operator not in ("==", "!=")):
        return None
    return bool(_COMPARE[operator](left, right))


def _contained(item: object, container: object) -> bool | None:
    """Kleene's `or` over the comparisons with each element; unknown when the container is no list."""
    if _kind(item) is None or not isinstance(container, list | tuple):
        return None
    answer: bool | None = False
    for element in container:
        equal = compare("==", item, element)
        if equal:
            return True
        if equal is None:
            answer = None
    return answer


def _kind(value: object) -> str | None:
    """`string`, `boolean` or `number`; None for anything that cannot be compared, such as NaN."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number" if value == value else None
    return None
