"""Declared types built into conditions: what is not of its type counts as unknown, so it never allows and never lifts a deny.

What comes out are ordinary conditions, so deciding, proving, comparing and Casbin's rows need to know nothing of types. No
condition has a negation above its atoms; so for an allow each atom may become any that is true in the same cases, and for a
deny any that is false in the same cases.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal as Choice

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.kinds import read_as
from klausel.core.conditions.tree import (
    OWN_ATTRIBUTES,
    AllOf,
    AnyOf,
    Atom,
    Attribute,
    Call,
    Comparison,
    Condition,
    ListOf,
    Literal,
    Operand,
    atoms,
    attributes_in,
    attributes_of,
    evaluate,
    negate,
    operands_of,
)
from klausel.core.conditions.values import Scalar
from klausel.core.policy.properties import TIME, Declarations, IdOf, NoProperty, OneOf, Plain, PropertyType, kind_of_type
from klausel.core.policy.properties import ListOf as ListType
from klausel.core.terms.request import Request

Wanted = Choice["true", "false"]
"""Which cases of a condition count: those where it is true (for an allow), or those where it is false (for a deny)."""

_SOME_TIME = datetime(2000, 1, 1, tzinfo=UTC)


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


def truth_as_declared(condition: Condition, declarations: Declarations, request: Request) -> bool | None:
    """True, False or None (unknown) of a condition as written, where what is not of its declared type is unknown."""
    if evaluate(fitted(condition, "true", declarations), request) is True:
        return True
    return False if evaluate(fitted(condition, "false", declarations), request) is False else None


def without_guards(condition: Condition, brought: Collection[Condition] = ()) -> Condition:
    """The condition as people read it: without what stands in it for declared types alone, beside what it guards.

    `brought` is what `brought_by_types` gives, for a condition about these declarations.
    """
    if not isinstance(condition, AllOf | AnyOf):
        return condition
    parts = condition.parts
    if isinstance(condition, AllOf):
        read = {attribute for part in parts for attribute in _there_if_true(part, brought)}
        parts = tuple(part for part in parts if not _is_guard(part, brought, read))
    return _joined(type(condition), (without_guards(part, brought) for part in parts))


def brought_by_types(conditions: Iterable[Condition], declarations: Declarations) -> frozenset[Condition]:
    """What asks of the properties in some conditions to be one, or a list, of the texts that are declared: of all of these."""
    found: set[Condition] = set()
    for attribute in {name for condition in conditions for atom in atoms(condition) for name in attributes_of(atom)}:
        match _type_of(attribute, declarations):
            case OneOf(values):
                found.add(one_of(attribute, values))
            case ListType(OneOf(values)):
                found.add(_all_of(attribute, values))
    return frozenset(found)


def _there_if_true(part: Condition, brought: Collection[Condition]) -> Iterable[Attribute]:
    """The attributes that are there wherever an atom is true; none of other conditions."""
    if isinstance(part, AllOf | AnyOf) or (isinstance(part, Call) and (part.function, part.wanted) == ("has", False)):
        return ()
    return () if _is_guard(part, brought) else attributes_of(part)


def _is_guard(part: Condition, brought: Collection[Condition], of: Collection[Attribute] | None = None) -> bool:
    """Whether a part asks for a declared type, as those that types bring; `of` any attribute, or one of these."""
    if not isinstance(part, AllOf | AnyOf) and part in brought:
        return of is None or any(attribute in of for attribute in attributes_of(part))
    match part:
        case AnyOf((Comparison("==", operand, Literal(sample)) as one, Comparison("!=") as other)):
            is_one = negate(one) == other and (type(sample), sample) in _SAMPLES_OF_GUARDS
        case Call("overlaps", (Attribute() as operand, ListOf(items)), wanted=False):
            is_one = all(item.value in _NEVER_SENT.values() for item in items)
        case _:
            return False
    return is_one and (of is None or any(attribute in of for attribute in attributes_in(operand)))


def _joined(kind: type[AllOf] | type[AnyOf], parts: Iterable[Condition]) -> Condition:
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,)))
    return kind(tuple(dict.fromkeys(flat))) if len(dict.fromkeys(flat)) > 1 else flat[0]


def _fitted_atom(atom: Atom, wanted: Wanted, declarations: Declarations) -> Condition:
    guards = tuple(dict.fromkeys(_guards(atom, wanted, declarations)))
    atom = _with_times(atom, declarations)
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


def _with_times(atom: Atom, declarations: Declarations) -> Atom:
    """The comparison in which the text of a declared time counts as the time that it names."""
    if not isinstance(atom, Comparison) or atom.operator in ("in", "not in"):
        return atom
    sides = [read_as("time", side) if _type_of(side, declarations) == TIME else side for side in (atom.left, atom.right)]
    return atom if sides == [atom.left, atom.right] else Comparison(atom.operator, *sides)


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


def _guards(atom: Atom, wanted: Wanted, declarations: Declarations) -> Iterator[Condition]:
    """What must be true of the values that an atom reads, beside what its own kind already asks of them."""
    if isinstance(atom, Call) and atom.function == "has":
        attribute = atom.arguments[0]
        # What is there but not of its type is neither there nor missing.
        if isinstance(attribute, Attribute) and atom.wanted == (wanted == "true"):
            yield from _being(attribute, declarations.type_of(attribute))
        return
    for operand in operands_of(atom):
        type_ = _type_of(operand, declarations)
        if isinstance(type_, OneOf) and isinstance(operand, Attribute):
            yield one_of(operand, type_.values)
        elif isinstance(type_, ListType) and isinstance(operand, Attribute):
            if isinstance(type_.items, OneOf):
                yield _all_of(operand, type_.items.values)
            elif isinstance(atom, Call):
                yield _all_of_kind(operand, kind_of_type(type_.items))
    if isinstance(atom, Call):
        for parameter, argument in zip(FUNCTIONS[atom.function].parameters, atom.arguments, strict=True):
            type_ = _type_of(argument, declarations)
            if isinstance(argument, Attribute) and isinstance(type_, Plain | IdOf) and len(parameter.kinds) > 1:
                # A text alone, where a list of some would do as well.
                yield from _being(argument, type_)
    if isinstance(atom, Comparison) and isinstance(atom.left, Attribute) and isinstance(atom.right, Attribute):
        yield from _same_kind(atom, atom.left, atom.right, declarations)


def _same_kind(atom: Comparison, left: Attribute, right: Attribute, declarations: Declarations) -> Iterator[Condition]:
    """That two properties are of the kind that is declared, for any two values of one kind can be the same."""
    types = [_type_of(left, declarations), _type_of(right, declarations)]
    is_in_list = atom.operator in ("in", "not in")
    if is_in_list:
        types[1] = types[1].items if isinstance(types[1], ListType) else None
    kinds = {kind for type_ in types if (kind := _SAMPLES.get(kind_of_type(type_))) is not None}
    is_text_anyway = _is_own(left) or (_is_own(right) and not is_in_list) or any(isinstance(one, OneOf) for one in types)
    if not (kinds == {""} and is_text_anyway):
        yield from (_is_of_one_kind(left, sample) for sample in kinds)


_SAMPLES: Mapping[str | None, str | int | bool] = {"text": "", "number": 0, "boolean": True}
"""A value of each kind that conditions compare as it is sent."""


_SAMPLES_OF_GUARDS = [(type(sample), sample) for sample in (*_SAMPLES.values(), _SOME_TIME)]


def _being(attribute: Attribute, type_: object) -> Iterator[Condition]:
    """That an attribute is of its type, as far as conditions can say so."""
    match type_:
        case OneOf(values):
            yield one_of(attribute, values)
        case ListType(OneOf(values)):
            yield _all_of(attribute, values)
        case ListType():
            # No list has something in common with an empty one.
            yield Call("overlaps", (attribute, ListOf(())), wanted=False)
        case Plain("time"):
            yield _is_of_one_kind(read_as("time", attribute), _SOME_TIME)
        case Plain() | IdOf():
            yield _is_of_one_kind(attribute, _SAMPLES[kind_of_type(type_)])


def _is_of_one_kind(operand: Operand, sample: Scalar) -> Condition:
    """True for each value of the kind of the sample, and unknown for every other."""
    return AnyOf((Comparison("==", operand, Literal(sample)), Comparison("!=", operand, Literal(sample))))


def _all_of(attribute: Attribute, values: Sequence[str]) -> Condition:
    return Call("subset of", (attribute, ListOf(tuple(map(Literal, values)))))


def _all_of_kind(attribute: Attribute, kind: str | None) -> Condition:
    """That a list holds nothing but values of a kind; not even one that no request sends."""
    if kind == "boolean":
        return Call("subset of", (attribute, ListOf((Literal(True), Literal(False)))))
    never_sent = _NEVER_SENT["number" if kind == "number" else "text"]
    return Call("overlaps", (attribute, ListOf((Literal(never_sent),))), wanted=False)


_NEVER_SENT: Mapping[str, str | float] = {"text": "\0", "number": -1.5e-300}


def _type_of(operand: Operand, declarations: Declarations) -> PropertyType | None:
    type_ = declarations.type_of(operand) if isinstance(operand, Attribute) else None
    return None if isinstance(type_, NoProperty) else type_


def _is_own(operand: Operand) -> bool:
    return isinstance(operand, Attribute) and len(operand.path) == 1 and operand.path[0] in OWN_ATTRIBUTES[operand.root]
