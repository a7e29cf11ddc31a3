"""Conditions in the matcher of stock Casbin: comparisons for equality of flat texts and booleans; the rest is refused.

An allow is spelled so that it holds where the condition is true, a deny so that it holds where it is not false. "" is a
property that is missing, so each comparison says what it makes of that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from klausel.casbin_policies.stock_request import FieldKind, is_own, is_plain, is_plain_in_matcher
from klausel.core.conditions.tree import (
    AllOf,
    AnyOf,
    Atom,
    Attribute,
    Comparison,
    Condition,
    ListOf,
    Literal,
    Truth,
    atoms,
    attributes_of,
    negate,
)
from klausel.core.policy.policy_set import Effect
from klausel.core.policy.properties import Declarations, NoProperty, kind_of_type

FieldOf = Callable[[Attribute], str]
_OTHER = {"==": "!=", "!=": "==", "&&": "||", "||": "&&"}


class NotSpelled(Exception):
    """A condition that stock Casbin has no words for; says which part, and why, as a sentence."""


def spelled(condition: Condition, effect: Effect, kinds: Mapping[Attribute, FieldKind], field_of: FieldOf) -> str:
    """What a matcher says for the condition of a grant; needs the kinds that `kinds_in` found."""
    if isinstance(condition, AllOf | AnyOf):
        parts = [spelled(part, effect, kinds, field_of) for part in condition.parts]
        return _joined("&&" if isinstance(condition, AllOf) else "||", parts)
    return _spelled_atom(condition, effect, kinds, field_of)


def kinds_in(condition: Condition, declarations: Declarations) -> dict[Attribute, FieldKind]:
    """The attributes that a condition reads, each with the kind that its field has; raises `NotSpelled`.

    A property is a text where nothing says otherwise.
    """
    kinds: dict[Attribute, FieldKind] = {}
    pairs: list[tuple[Atom, Attribute, Attribute]] = []
    for atom in atoms(condition):
        others = _values(atom)
        for attribute in attributes_of(atom):
            _check_attribute(attribute, declarations)
            type_ = declarations.type_of(attribute)
            declared = "text" if is_own(attribute) else None if isinstance(type_, NoProperty) else kind_of_type(type_)
            if declared is not None:
                _note(kinds, attribute, declared, atom)
            for value in others:
                if isinstance(value, str) and not is_plain_in_matcher(value):
                    raise NotSpelled(f'stock Casbin would read the text {Literal(value)} otherwise in "{atom}"')
                _note(kinds, attribute, "boolean" if isinstance(value, bool) else _kind_of(value), atom)
        if isinstance(atom, Comparison) and isinstance(atom.left, Attribute) and isinstance(atom.right, Attribute):
            if atom.left == atom.right:
                raise NotSpelled(f'"{atom}" compares a property with itself')
            pairs.append((atom, atom.left, atom.right))
    for _ in pairs:
        for atom, left, right in pairs:
            for one, other in ((left, right), (right, left)):
                if one in kinds:
                    _note(kinds, other, kinds[one], atom)
    for _, left, right in pairs:
        kinds.setdefault(left, "text")
        kinds.setdefault(right, "text")
    return kinds


def _values(atom: Atom) -> Sequence[object]:
    """The values that an atom compares with; raises `NotSpelled` for all but equality of an attribute with something."""
    match atom:
        case Truth():
            return (True,)
        case Comparison("==" | "!=", Attribute(), Literal(value)) | Comparison("==" | "!=", Literal(value), Attribute()):
            return (value,)
        case Comparison("in" | "not in", Attribute(), ListOf(items)) if items:
            return tuple(item.value for item in items)
        case Comparison("==" | "!=", Attribute(), Attribute()):
            return ()
    raise NotSpelled(f'stock Casbin cannot ask "{atom}": its requests have flat texts and true or false, for ==, != and in')


def _check_attribute(attribute: Attribute, declarations: Declarations) -> None:
    if attribute.root == "resource" and attribute.path[0] in declarations.naming:
        raise NotSpelled(f'"{attribute}" names the domain, which is a field of its own there')
    if not all(map(is_plain, attribute.path)):
        raise NotSpelled(f'"{attribute}" cannot stand in a model of stock Casbin')


def _kind_of(value: object) -> str:
    return "text" if isinstance(value, str) else "number"


def _note(kinds: dict[Attribute, FieldKind], attribute: Attribute, kind: str, atom: Atom) -> None:
    if kind != "text" and kind != "boolean":
        raise NotSpelled(f'stock Casbin cannot ask "{atom}": "{attribute}" is a {kind}, and its requests have flat texts')
    if kinds.setdefault(attribute, cast(FieldKind, kind)) != kind:
        raise NotSpelled(f'"{atom}" compares "{attribute}", which is a text here and true or false there')


def _spelled_atom(atom: Atom, effect: Effect, kinds: Mapping[Attribute, FieldKind], field_of: FieldOf) -> str:
    """Of an allow it holds just where the atom is true; of a deny where it is not false, so where its opposite is not true."""
    if effect == "allow":
        sign, tests = _true_where(atom, kinds, field_of)
    else:
        sign, tests = _true_where(negate(atom), kinds, field_of)
        sign = _OTHER[sign]
        tests = [(one, _OTHER[operator], other) for one, operator, other in tests]
    return _joined(sign, [" ".join(test) for test in tests])


def _true_where(
    atom: Condition, kinds: Mapping[Attribute, FieldKind], field_of: FieldOf
) -> tuple[str, list[tuple[str, str, str]]]:
    """The tests of fields by which an atom is true, all of them (`&&`) or any (`||`)."""
    match atom:
        case Truth(attribute, wanted):
            return "||", [(field_of(attribute), "==", _text(wanted))]
        case Comparison("==" | "!=" as sign, Attribute() as left, Attribute() as right):
            one, other = field_of(left), field_of(right)
            there = [one] if sign == "==" else [one, other]
            return "&&", [*((field, "!=", '""') for field in there), (one, sign, other)]
    attribute, values, is_equal = _compared(atom, kinds)
    name = field_of(attribute)
    if is_equal:
        return "||", [(name, "==", _text(value)) for value in values]
    return "&&", [(name, "!=", '""'), *((name, "!=", _text(value)) for value in values)]


def _joined(sign: str, parts: Sequence[str]) -> str:
    return f"({f' {sign} '.join(parts)})" if len(parts) > 1 else parts[0]


def _compared(atom: object, kinds: Mapping[Attribute, FieldKind]) -> tuple[Attribute, Sequence[object], bool]:
    """The attribute of a comparison with values, these, and whether it is to be one of them; a boolean always is."""
    match atom:
        case Comparison("==" | "!=" as sign, Attribute() as attribute, Literal(value)):
            values, is_equal = [value], sign == "=="
        case Comparison("==" | "!=" as sign, Literal(value), Attribute() as attribute):
            values, is_equal = [value], sign == "=="
        case Comparison("in" | "not in" as sign, Attribute() as attribute, ListOf(items)):
            values, is_equal = [item.value for item in items], sign == "in"
        case _:
            raise NotSpelled(f'stock Casbin cannot ask "{atom}"')
    if kinds[attribute] == "boolean" and not is_equal:
        # Whoever sends "True" for true must not get through where it is to be not true.
        left = [other for other in (True, False) if other not in values]
        if not left:
            raise NotSpelled(f'"{atom}" can never be true')
        return attribute, left, True
    return attribute, values, is_equal


def _text(value: object) -> str:
    return f'"{str(value).lower() if isinstance(value, bool) else value}"'
