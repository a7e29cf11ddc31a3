"""Conditions of the policies in the languages of the peers.

Only what means exactly the same there is translated: allows with equality, membership in a list of literals, and plain
attributes, joined by `and` and `or`. Anything else raises `Untranslatable`, and the peer is named as missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from klausel.core.conditions.tree import (
    OWN_ATTRIBUTES,
    AllOf,
    AnyOf,
    Attribute,
    Comparison,
    Condition,
    ListOf,
    Literal,
    Operand,
    Truth,
)
from klausel.core.policy.policy_set import Grant


class Untranslatable(Exception):
    """A policy says something that a peer's language cannot say in the same sense."""


@dataclass(frozen=True, slots=True)
class Language:
    """How a peer writes the parts of a condition; `present` is the test that a property is there, if one is needed."""

    own: Mapping[tuple[str, str], str]
    read: Callable[[str, str], str]
    present: Callable[[str, str], str] | None
    equal: Callable[[str, str], str]
    member: Callable[[str, str], str]


def translate(grant: Grant, language: Language) -> str | None:
    """The condition of an allow in a peer's language; None when it has none. Raises `Untranslatable`."""
    if grant.condition is None:
        return None
    if grant.effect != "allow":
        raise Untranslatable(f"a deny with a condition at {grant.source}")
    return _condition(grant.condition, language)


def _condition(condition: Condition, language: Language) -> str:
    match condition:
        case AllOf(parts):
            return " && ".join(f"({_condition(part, language)})" for part in parts)
        case AnyOf(parts):
            return " || ".join(f"({_condition(part, language)})" for part in parts)
        case Comparison("==", left, right):
            return _guarded((left, right), language.equal(_operand(left, language), _operand(right, language)), language)
        case Comparison("in", left, ListOf() as right):
            return _guarded((left,), language.member(_operand(left, language), _operand(right, language)), language)
        case Truth(attribute, wanted):
            return _guarded((attribute,), language.equal(_operand(attribute, language), json.dumps(wanted)), language)
        case _:
            raise Untranslatable(f"the comparison {condition}")


def _guarded(operands: tuple[Operand, ...], test: str, language: Language) -> str:
    guards = []
    for operand in operands:
        if isinstance(operand, Attribute) and not is_own(operand) and language.present is not None:
            guards.append(language.present(operand.root, operand.path[0]))
    return " && ".join([*guards, test])


def _operand(operand: Operand, language: Language) -> str:
    match operand:
        case Literal(value):
            if isinstance(value, float):
                raise Untranslatable(f"the number {value}")
            return json.dumps(value, ensure_ascii=False)
        case ListOf(items):
            return "[" + ", ".join(_operand(item, language) for item in items) + "]"
        case Attribute(root, path):
            if is_own(operand):
                if (root, path[0]) not in language.own:
                    raise Untranslatable(f"the attribute {operand}")
                return language.own[root, path[0]]
            if len(path) > 1 or not path[0].isidentifier() or root not in ("subject", "resource"):
                raise Untranslatable(f"the attribute {operand}")
            return language.read(root, path[0])


def is_own(attribute: Attribute) -> bool:
    """Whether it is the entity's own attribute, such as `subject.id`, and no property."""
    return len(attribute.path) == 1 and attribute.path[0] in OWN_ATTRIBUTES[attribute.root]
