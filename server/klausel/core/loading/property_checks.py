"""Checking conditions, and the values in policy tests, by the declared types of properties."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from klausel.core.conditions.tree import (
    Atom,
    Attribute,
    Comparison,
    Condition,
    Literal,
    Match,
    Operand,
    Truth,
    atoms,
    attributes_of,
)
from klausel.core.conditions.tree import ListOf as ListOfLiterals
from klausel.core.loading.fields import ProblemList
from klausel.core.policy.properties import (
    TEXT,
    Declarations,
    IdOf,
    ListOf,
    NoProperty,
    OneOf,
    Parts,
    Plain,
    PropertyType,
    PropertyTypes,
)
from klausel.core.terms.problem import Place, did_you_mean
from klausel.core.text.yaml_nodes import Fields, Items, Node, Text

_PLAIN_WORDS = {"text": "a text", "number": "a number", "boolean": "true or false", "time": "a time"}
_ORDERS = ("<", "<=", ">", ">=")
PlaceIn = Callable[[Text, Sequence[str]], tuple[Place, bool]]
"""Where one of some texts stands in a condition: in its own text (True), or in a named condition that it uses."""


def check_condition(
    text: Text,
    condition: Condition,
    all_declarations: Sequence[Declarations],
    resource_types: Collection[str],
    place_in: PlaceIn,
    problems: ProblemList,
) -> None:
    """Reports what can never be as a condition has it, for requests about one of these resource types.

    Where there are several, a property is missing only if none of them has it.
    """
    if all(declarations.are_empty for declarations in all_declarations):
        return
    lacking = [_lacking(condition, declarations) for declarations in all_declarations]
    in_none = set(lacking[0]).intersection(*lacking[1:])
    for attribute in (attribute for attribute in lacking[0] if attribute in in_none):
        _report_missing(text, attribute, lacking[0][attribute], all_declarations[0], place_in, problems)
    for declarations in all_declarations:
        for atom in dict.fromkeys(atoms(condition)):
            fault = _fault(atom, _Types(declarations, resource_types))
            if fault is not None:
                place, _ = place_in(text, [fault.at, *map(str, attributes_of(atom))])
                problems.add(place, fault.id, fault.message, fault.hint)


def _lacking(condition: Condition, declarations: Declarations) -> dict[Attribute, NoProperty]:
    found: dict[Attribute, NoProperty] = {}
    for attribute in (name for atom in atoms(condition) for name in attributes_of(atom)):
        type_ = declarations.type_of(attribute)
        if isinstance(type_, NoProperty):
            found[attribute] = type_
    return found


def _report_missing(
    text: Text,
    attribute: Attribute,
    lacking: NoProperty,
    declarations: Declarations,
    place_in: PlaceIn,
    problems: ProblemList,
) -> None:
    place, is_inline = place_in(text, [str(attribute)])
    holder = lacking.holder
    if holder == "resource":
        holder = f"resource type {declarations.resource_type}"
    message = f'{holder} has no property "{lacking.missing}"'
    hint = f"{did_you_mean(lacking.missing, lacking.known)}{_known(lacking)}"
    if lacking.is_part_of is not None:
        message = f"{holder} is {in_words(lacking.is_part_of)}, so it has no parts"
        hint = f"compare {holder} itself, or declare its parts"
    if not is_inline:
        place, message = text.place, f"{message}, which this condition reads by another"
    problems.add(place, "unknown-property", message, hint)


def _known(lacking: NoProperty) -> str:
    if not lacking.known:
        return "No property is declared there; declare it"
    return f"Declared are {', '.join(lacking.known)}"


def in_words(type_: PropertyType) -> str:
    """A type as the end of a sentence."""
    match type_:
        case Plain(kind):
            return _PLAIN_WORDS[kind]
        case IdOf(of):
            return f"the id of a {of}" if of else "the id of who asks"
        case ListOf(items):
            return f"a list of {items}"
        case _:
            return str(type_)


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong in an atom; `at` is what to look for in the text."""

    id: str
    message: str
    hint: str
    at: str


@dataclass(frozen=True, slots=True)
class _Types:
    """The types of what atoms compare; None for what nothing is known of."""

    declarations: Declarations
    resource_types: Collection[str]

    def of(self, attribute: Attribute) -> PropertyType | None:
        type_ = self.declarations.type_of(attribute)
        return None if isinstance(type_, NoProperty) else type_

    def named(self, attribute: Attribute) -> str:
        is_of_type = attribute.root == "resource" and self.declarations.resource_type
        return f"{attribute} of {self.declarations.resource_type}" if is_of_type else str(attribute)


def _fault(atom: Atom, types: _Types) -> _Fault | None:
    match atom:
        case Truth(attribute):
            type_ = types.of(attribute)
            if type_ is not None and type_ != Plain("boolean"):
                hint = "compare it with something, or declare it as boolean"
                return _unlike(
                    f"{types.named(attribute)} is {in_words(type_)}, so it is never true or false itself", hint, attribute
                )
        case Match(matcher, attribute):
            type_ = types.of(attribute)
            if type_ is not None and not (type_ == TEXT or isinstance(type_, OneOf | IdOf)):
                message = f"{types.named(attribute)} is {in_words(type_)}, which no pattern matches"
                return _unlike(message, f"{matcher} needs a text", attribute)
        case Comparison(operator, left, right) if operator in ("in", "not in"):
            return _fault_in_membership(left, right, types)
        case Comparison(operator, left, right):
            if operator in _ORDERS:
                fault = next(filter(None, (_fault_in_order(side, types) for side in (left, right))), None)
                if fault is not None:
                    return fault
            return _fault_in_pair(left, right, types)
    return None


def _unlike(message: str, hint: str, attribute: Attribute) -> _Fault:
    return _Fault("unlike-types", message, hint, str(attribute))


def _fault_in_order(side: Operand, types: _Types) -> _Fault | None:
    if not isinstance(side, Attribute):
        return None
    type_ = types.of(side)
    if type_ is None or type_ in (Plain("number"), Plain("time")):
        return None
    hint = "declare it as number or time, or compare it with == or in"
    return _Fault("no-order", f"{types.named(side)} is {in_words(type_)}, which has no order", hint, str(side))


def _fault_in_membership(left: Operand, right: Operand, types: _Types) -> _Fault | None:
    if isinstance(left, Attribute) and isinstance(types.of(left), ListOf | Parts):
        type_ = types.of(left)
        assert type_ is not None
        return _unlike(
            f"{types.named(left)} is {in_words(type_)}, so it is in no list", "compare one value with a list", left
        )
    if isinstance(right, ListOfLiterals):
        return next(filter(None, (_fault_in_pair(left, item, types) for item in right.items)), None)
    if not isinstance(right, Attribute):
        return None
    type_ = types.of(right)
    if type_ is None:
        return None
    if not isinstance(type_, ListOf):
        hint = "compare it with ==, or declare it as a list"
        return _unlike(f"{types.named(right)} is {in_words(type_)}, so nothing is in it", hint, right)
    named = f"an item of {types.named(right)}"
    if isinstance(left, Literal):
        return _fault_in_literal(named, type_.items, left, right)
    return _fault_of_types(left, types.of(left), named, type_.items, types) if isinstance(left, Attribute) else None


def _fault_in_pair(left: Operand, right: Operand, types: _Types) -> _Fault | None:
    if isinstance(left, Literal) and isinstance(right, Attribute):
        left, right = right, left
    if not isinstance(left, Attribute):
        return None
    type_ = types.of(left)
    if isinstance(right, Attribute):
        return _fault_of_types(left, type_, types.named(right), types.of(right), types)
    if type_ is None or not isinstance(right, Literal):
        return None
    return _fault_in_literal(types.named(left), type_, right, left)


def _fault_in_literal(named: str, type_: PropertyType, literal: Literal, at: Attribute) -> _Fault | None:
    kind = _kind_of_value(literal.value)
    if isinstance(type_, OneOf) and kind == "text":
        if literal.value in type_.values:
            return None
        hint = f"{did_you_mean(str(literal.value), type_.values)}It is {type_}"
        return _Fault("unknown-value", f"{named} is never {literal}", hint, str(literal))
    if _kind(type_) == kind:
        return None
    hint = f"compare it with {_PLAIN_WORDS.get(_kind(type_), 'one of its items, by in')}"
    if type_ == Plain("time"):
        hint = 'write time("2026-03-01T12:00:00Z")'
    return _unlike(f"{named} is {in_words(type_)}, so it is never {literal}", hint, at)


def _fault_of_types(
    left: Attribute, of_left: PropertyType | None, right: str, of_right: PropertyType | None, types: _Types
) -> _Fault | None:
    if of_left is None or of_right is None or _can_be_equal(of_left, of_right, types.resource_types):
        return None
    message = f"{types.named(left)} is {in_words(of_left)}, and {right} {in_words(of_right)}"
    return _unlike(message, "compare what is of one type, or change a declaration", left)


def _can_be_equal(one: PropertyType, other: PropertyType, resource_types: Collection[str]) -> bool:
    match one, other:
        case OneOf(values), OneOf(others):
            return not set(values).isdisjoint(others)
        case IdOf(of), IdOf(of_other):
            return of == of_other or ("" in (of, of_other) and of + of_other not in resource_types)
        case (OneOf(), IdOf()) | (IdOf(), OneOf()):
            return False
        case _:
            return _kind(one) == _kind(other) and _kind(one) not in ("list", "parts")


def _kind(type_: PropertyType) -> str:
    match type_:
        case Plain(kind):
            return kind
        case OneOf() | IdOf():
            return "text"
        case ListOf():
            return "list"
        case Parts():
            return "parts"


def _kind_of_value(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "text"


def check_values(
    fields: Fields,
    values: Mapping[str, object],
    types: PropertyTypes | None,
    what: str,
    problems: ProblemList,
    flag: Node | None,
    free: Collection[str] = (),
) -> None:
    """Reports the values of a policy test that are not as declared; where `flag` says that they are not, that all are.

    `values` are those of the entries of `fields` that are properties; those that are `free` need no declaration.
    """
    is_flagged = problems.flag(flag, "undeclared")
    faulty = list(_faulty_values(fields, values, types, what, free))
    if flag is None:
        for place, id_, message, hint in faulty:
            problems.add(place, id_, message, hint)
    elif not is_flagged:
        problems.add(flag.place, "wrong-kind", "undeclared says nothing unless true", "write true, or leave it out")
    elif not faulty:
        message = f"every property of {what} is as declared" if types is not None else f"nothing is declared of {what}"
        problems.add(flag.place, "wrong-value", message, "leave undeclared out")


def _faulty_values(
    fields: Fields, values: Mapping[str, object], types: PropertyTypes | None, what: str, free: Collection[str] = ()
) -> Iterator[tuple[Place, str, str, str]]:
    """What is not as declared among the properties of a policy test: place, problem id, message and hint."""
    if types is None:
        return
    for key, node in fields.entries:
        if key.value not in values:
            continue
        type_ = types.get(key.value)
        value = values[key.value]
        if type_ is None:
            if key.value not in free:
                declared = f"Declared are {', '.join(types)}" if types else "No property is declared there; declare it"
                yield (
                    key.place,
                    "unknown-property",
                    f'{what} has no property "{key.value}"',
                    did_you_mean(key.value, types) + declared,
                )
        elif value is not None:
            yield from _faulty_value(key, node, value, type_)


def _faulty_value(key: Text, node: Node, value: object, type_: PropertyType) -> Iterator[tuple[Place, str, str, str]]:
    if isinstance(type_, Parts) and isinstance(node, Fields) and isinstance(value, Mapping):
        yield from _faulty_values(node, value, dict(type_.parts), key.value)
    elif isinstance(type_, ListOf) and isinstance(node, Items) and isinstance(value, list):
        for item, of_item in zip(node.values, value, strict=True):
            if not type_.items.fits(of_item):
                yield _wrong(item, f"an item of {key.value}", type_.items)
    elif not type_.fits(value):
        yield _wrong(node, key.value, type_)


def _wrong(node: Node, what: str, type_: PropertyType) -> tuple[Place, str, str, str]:
    shown = f'"{node.value}"' if isinstance(node, Text) else "a list" if isinstance(node, Items) else "a mapping"
    hint = "write a value of this type, or say undeclared: true, to test what follows from one that is not"
    if isinstance(type_, OneOf) and isinstance(node, Text):
        hint = f"{did_you_mean(node.value, type_.values)}{hint[0].upper()}{hint[1:]}"
    elif isinstance(node, Text) and _kind(type_) == "text" and not node.is_quoted:
        hint = f'a text stands in quotes here: "{node.value}"'
    return node.place, "wrong-value", f"{what} is {in_words(type_)}, not {shown}", hint
