"""Declared types built into conditions: what is not of its type counts as unknown, so it never allows and never lifts a deny.

What comes out are ordinary conditions, so deciding, proving, comparing and Casbin's rows need to know nothing of types. No
condition has a negation above its atoms; so for an allow each atom may become any that is true in the same cases, and for a
deny any that is false in the same cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal as Choice

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
    attributes_of,
    negate,
)
from klausel.core.policy.properties import Declarations, IdOf, OneOf, Plain, PropertyType
from klausel.core.policy.properties import ListOf as ListType

Wanted = Choice["true", "false"]
"""Which cases of a condition count: those where it is true (for an allow), or those where it is false (for a deny)."""


def wanted_cases(effect: Choice["allow", "deny"]) -> Wanted:
    """The cases of its condition that a grant goes by: an allow holds where it is true, a deny unless it is false."""
    return "true" if effect == "allow" else "false"


def fitted(condition: Condition, wanted: Wanted, declarations: Declarations) -> Condition:
    """A condition with the same wanted cases as this one where all is as declared, and with no others; itself where it is so."""
    if declarations.are_empty:
        return condition
    if isinstance(condition, AllOf | AnyOf):
        parts = tuple(fitted(part, wanted, declarations) for part in condition.parts)
        if all(new is old for new, old in zip(parts, condition.parts, strict=True)):
            return condition
        return _joined(type(condition), parts)
    return _fitted_atom(condition, wanted, declarations)


def _joined(kind: type[AllOf] | type[AnyOf], parts: Iterable[Condition]) -> Condition:
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,)))
    return kind(tuple(dict.fromkeys(flat))) if len(dict.fromkeys(flat)) > 1 else flat[0]


def _fitted_atom(atom: Atom, wanted: Wanted, declarations: Declarations) -> Condition:
    guards = tuple(dict.fromkeys(_guards(atom, declarations)))
    if not guards:
        return atom
    if isinstance(atom, Comparison) and isinstance(atom.left, Literal) and atom.operator in ("==", "!="):
        atom = Comparison(atom.operator, atom.right, atom.left)
    if isinstance(atom, Comparison) and isinstance(atom.left, Attribute) and isinstance(atom.right, Literal | ListOf):
        type_ = declarations.type_of(atom.left)
        if isinstance(type_, OneOf):
            found = _among_the_declared(atom, atom.left, type_.values, wanted)
            if found is not None:
                return found
    if wanted == "true":
        return _joined(AllOf, (atom, *guards))
    return _joined(AnyOf, (atom, *map(negate, guards)))


def _among_the_declared(atom: Comparison, attribute: Attribute, values: Sequence[str], wanted: Wanted) -> Condition | None:
    """The comparison of one of some texts with texts, as one with those for which it turns out as wanted; None without any."""
    named = [
        item.value
        for item in (atom.right.items if isinstance(atom.right, ListOf) else (atom.right,))
        if isinstance(item, Literal)
    ]
    if atom.operator not in ("==", "!=", "in", "not in"):
        return None
    is_true_for_named = atom.operator in ("==", "in")
    chosen = [value for value in values if (value in named) == (is_true_for_named == (wanted == "true"))]
    if not chosen:
        return None
    if set(chosen) == set(named) and is_true_for_named == (wanted == "true"):
        return atom
    among = one_of(attribute, chosen)
    return among if wanted == "true" else negate(among)


def one_of(attribute: Attribute, values: Sequence[str]) -> Comparison:
    """The comparison that is true for these texts."""
    if len(values) == 1:
        return Comparison("==", attribute, Literal(values[0]))
    return Comparison("in", attribute, ListOf(tuple(map(Literal, values))))


def _guards(atom: Atom, declarations: Declarations) -> Iterator[Condition]:
    """What must be true of the values that an atom reads, beside what its own kind already asks of them."""
    for attribute in attributes_of(atom):
        type_ = declarations.type_of(attribute)
        if isinstance(type_, OneOf):
            yield one_of(attribute, type_.values)
    if not isinstance(atom, Comparison) or not (isinstance(atom.left, Attribute) and isinstance(atom.right, Attribute)):
        return
    left, right = _side(atom.left, declarations), _side(atom.right, declarations)
    if atom.operator in ("in", "not in"):
        right = right.items if isinstance(right, ListType) else None
    kinds = [_kind(type_) for type_ in (left, right)]
    is_text_anyway = _is_own(atom.left) or (_is_own(atom.right) and atom.operator not in ("in", "not in"))
    is_text_anyway = is_text_anyway or isinstance(left, OneOf)
    for kind in dict.fromkeys(kind for kind in kinds if kind is not None):
        if not (kind == "text" and is_text_anyway):
            yield _of_kind(atom.left, kind)


def _side(attribute: Attribute, declarations: Declarations) -> PropertyType | None:
    type_ = declarations.type_of(attribute)
    return type_ if isinstance(type_, Plain | OneOf | IdOf | ListType) else None


def _kind(type_: PropertyType | None) -> str | None:
    match type_:
        case Plain("time") | OneOf() | IdOf():
            return "text"
        case Plain(kind):
            return kind
        case _:
            return None


def _of_kind(attribute: Attribute, kind: str) -> Condition:
    if kind == "number":
        return AnyOf((Comparison("<=", attribute, Literal(0)), Comparison(">", attribute, Literal(0))))
    if kind == "boolean":
        return Comparison("in", attribute, ListOf((Literal(True), Literal(False))))
    return Match("matches_glob", attribute, "*")


def _is_own(operand: Operand) -> bool:
    return isinstance(operand, Attribute) and len(operand.path) == 1 and operand.path[0] in OWN_ATTRIBUTES[operand.root]
