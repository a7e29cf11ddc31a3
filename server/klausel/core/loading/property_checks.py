"""Checking conditions, and the values in policy tests, by the declared types of properties."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.tree import (
    ORDERING,
    SUBJECT_TYPE,
    Atom,
    Attribute,
    Call,
    Comparison,
    Computed,
    Condition,
    Literal,
    Operand,
    Truth,
    atoms,
    attributes_of,
    kind_of_operand,
    literals_compared_with,
)
from klausel.core.conditions.tree import ListOf as ListOfLiterals
from klausel.core.conditions.values import ORDERED, kind_of
from klausel.core.loading.fields import ProblemList
from klausel.core.loading.json_values import is_text_without_quotes
from klausel.core.policy.properties import (
    TEXT,
    TIME,
    Declarations,
    IdOf,
    ListOf,
    NoProperty,
    OneOf,
    Parts,
    Plain,
    PropertyType,
    PropertyTypes,
    kind_of_type,
    misspelt,
)
from klausel.core.terms.problem import Place, Problem, did_you_mean
from klausel.core.text.yaml_nodes import Fields, Items, Node, Text

_BETWEEN_VALUES = re.compile(r"\s*[,;|/]\s*|\s+or\s+|\s+and\s+")
_PLAIN_WORDS = {"text": "a text", "number": "a number", "boolean": "true or false", "time": "a time"}
_WORDS_OF_KINDS = {**_PLAIN_WORDS, "duration": "a duration", "clock": "a time of day", "list": "a list", "parts": "parts"}
_TRUTHS = {
    **dict.fromkeys(("true", "yes", "on", "y"), "true"),
    **dict.fromkeys(("false", "no", "off", "n"), "false"),
}
A_VALUE = "a value of this type"
_OR_UNDECLARED = f"{A_VALUE}, or say undeclared: true, to test what follows from one that is not"
PlaceIn = Callable[[Text, Sequence[str], str], Place]
"""Where a text stands in the first of some others that is there, in a condition's text or in a named condition that it uses."""


def check_condition(
    text: Text,
    condition: Condition,
    all_declarations: Sequence[Declarations],
    resource_types: Collection[str],
    place_in: PlaceIn,
    problems: ProblemList,
) -> None:
    """Reports what can never be as a condition has it, for requests about one of these resource types.

    Where there are several, a property is missing only if none of them has it. One that is missing, and like none that is
    declared, is left to lint.
    """
    if all(declarations.are_empty for declarations in all_declarations):
        return
    lacking = [_lacking(condition, declarations) for declarations in all_declarations]
    in_none = set(lacking[0]).intersection(*lacking[1:])
    for attribute in (attribute for attribute in lacking[0] if attribute in in_none):
        if lacking[0][attribute].is_fault:
            _report_missing(text, attribute, lacking[0][attribute], all_declarations[0], place_in, problems)
    for declarations in all_declarations:
        for atom in dict.fromkeys(atoms(condition)):
            fault = _fault(atom, _Types(declarations, resource_types))
            if fault is not None:
                sought = [fault.at, fault.at.replace('"', "'"), *map(str, attributes_of(atom))]
                place = place_in(text, sought, fault.at.strip('"'))
                problems.add(place, fault.id, fault.message, fault.hint)


def check_subject_types(
    text: Text, condition: Condition, subject_types: Collection[str], place_in: PlaceIn, problems: ProblemList
) -> None:
    """Reports where a condition asks whether somebody is of a type that is not among those that are declared."""
    for atom in dict.fromkeys(atoms(condition)):
        for literal in literals_compared_with(SUBJECT_TYPE, atom):
            if literal.value not in subject_types:
                sought = str(literal)
                place = place_in(text, [sought, sought.replace('"', "'"), str(SUBJECT_TYPE)], sought.strip('"'))
                hint = (
                    f"{problems.did_you_mean(str(literal.value), subject_types)}Name one of subject_types in properties.yaml"
                )
                problems.add(place, "unknown-value", f"{SUBJECT_TYPE} is never {literal}", hint)


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
    place = place_in(text, [str(attribute)], lacking.missing if lacking.is_part_of is None else "")
    holder = lacking.holder
    if holder == "resource":
        holder = f"resource type {declarations.resource_type}"
    message = f'{holder} has no property "{lacking.missing}"'
    hint = f"{did_you_mean(lacking.missing, lacking.known)}Declared are {', '.join(lacking.known)}; declare it, if it is another"
    if lacking.is_part_of is not None:
        message = f"{holder} is {in_words(lacking.is_part_of)}, so it has no parts"
        hint = f"compare {holder} itself, or declare its parts"
    problems.add(place, "unknown-property", message, hint)


def in_words(type_: PropertyType) -> str:
    """A type as the end of a sentence."""
    match type_:
        case Plain(kind):
            return _PLAIN_WORDS[kind]
        case IdOf(of):
            return f"the id of {'an' if of[0] in 'aeio' else 'a'} {of}" if of else "the id of who asks"
        case ListOf(items):
            return f"a list of {items}"
        case Parts(parts):
            return f"parts: {', '.join(name for name, _ in parts)}"
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

    def named(self, operand: Operand) -> str:
        is_of_type = isinstance(operand, Attribute) and operand.root == "resource"
        return f"{operand} of {self.declarations.resource_type}" if is_of_type else str(operand)


def _fault(atom: Atom, types: _Types) -> _Fault | None:
    match atom:
        case Truth(attribute):
            type_ = types.of(attribute)
            if type_ is not None and type_ != Plain("boolean"):
                hint = "compare it with something, or declare it as boolean"
                message = f"{types.named(attribute)} is {in_words(type_)}, so it is never true or false itself"
                return _unlike(message, hint, attribute)
            return None
        case Call(function, arguments):
            return _fault_in_arguments(function, arguments, types) or _fault_in_lists(function, arguments, types)
        case Comparison(operator, left, right):
            inner = next(filter(None, (_fault_inside(side, types) for side in (left, right))), None)
            if inner is not None:
                return inner
            if operator in ("in", "not in"):
                return _fault_in_membership(left, right, types)
            if operator in ORDERING:
                fault = next(filter(None, (_fault_in_order(side, types) for side in (left, right))), None)
                if fault is not None:
                    return fault
            return _fault_in_pair(left, right, types)


def _unlike(message: str, hint: str, at: Operand) -> _Fault:
    return _Fault("unlike-types", message, hint, str(at))


def _fault_inside(operand: Operand, types: _Types) -> _Fault | None:
    return _fault_in_arguments(operand.function, operand.arguments, types) if isinstance(operand, Computed) else None


def _fault_in_arguments(function: str, arguments: Sequence[Operand], types: _Types) -> _Fault | None:
    """What of the arguments of a function can never be of a kind that it takes."""
    for parameter, argument in zip(FUNCTIONS[function].parameters, arguments, strict=True):
        inner = _fault_inside(argument, types)
        if inner is not None:
            return inner
        type_ = types.of(argument) if isinstance(argument, Attribute) else None
        if type_ is not None and parameter.kinds and not _is_taken(type_, parameter.kinds):
            kinds = " or ".join(_WORDS_OF_KINDS[kind] for kind in parameter.kinds)
            message = f"{types.named(argument)} is {in_words(type_)}, and {function} needs {kinds}"
            return _unlike(message, f"write {FUNCTIONS[function].example}", argument)
    return None


def _is_taken(type_: PropertyType, kinds: Collection[str]) -> bool:
    kind = kind_of_type(type_)
    # A time is sent as a text, so what reads texts could be asked about it; only what reads times is meant.
    return kind in kinds and not (isinstance(type_, OneOf | IdOf) and "time" in kinds)


def _fault_in_lists(function: str, arguments: Sequence[Operand], types: _Types) -> _Fault | None:
    """What of two lists can never be in both."""
    if function not in ("overlaps", "subset of"):
        return None
    one, other = arguments
    for list_, literals in ((one, other), (other, one)):
        if isinstance(list_, Attribute) and isinstance(literals, ListOfLiterals):
            return next(filter(None, (_fault_in_membership(item, list_, types) for item in literals.items)), None)
    if not isinstance(one, Attribute) or not isinstance(other, Attribute):
        return None
    items = [type_.items if isinstance(type_ := types.of(side), ListOf) else None for side in (one, other)]
    named = f"an item of {types.named(one)}", f"one of {types.named(other)}"
    return _fault_of_types(one, named, (items[0], items[1]), types)


def _fault_in_order(side: Operand, types: _Types) -> _Fault | None:
    type_ = types.of(side) if isinstance(side, Attribute) else None
    if type_ is None or kind_of_type(type_) in ORDERED:
        return None
    hint = "declare it as number or time, or compare it with == or in"
    return _Fault("no-order", f"{types.named(side)} is {in_words(type_)}, which has no order", hint, str(side))


def _fault_in_membership(left: Operand, right: Operand, types: _Types) -> _Fault | None:
    of_left = types.of(left) if isinstance(left, Attribute) else None
    if isinstance(of_left, ListOf | Parts):
        message = f"{types.named(left)} is {in_words(of_left)}, so it is in no list"
        return _unlike(message, "compare one value with a list, or write overlaps or subset of", left)
    if isinstance(right, ListOfLiterals):
        return next(filter(None, (_fault_in_pair(left, item, types) for item in right.items)), None)
    of_right = types.of(right) if isinstance(right, Attribute) else None
    if of_right is None:
        return None
    if not isinstance(of_right, ListOf):
        hint = "compare it with ==, or declare it as a list"
        return _unlike(f"{types.named(right)} is {in_words(of_right)}, so nothing is in it", hint, right)
    named = f"an item of {types.named(right)}"
    if TIME in (of_left, of_right.items):
        return _unlike("times that are sent in a list are compared with nothing", "send one time", right)
    if isinstance(left, Literal):
        return _fault_in_literal(named, of_right.items, left, right)
    return _fault_of_types(left, (types.named(left), named), (of_left, of_right.items), types)


def _fault_in_pair(left: Operand, right: Operand, types: _Types) -> _Fault | None:
    """What of two things that are compared shows that they can never be equal; `left` may be an item of a list."""
    if isinstance(left, Literal):
        left, right = right, left
    of_left, of_right = (types.of(side) if isinstance(side, Attribute) else None for side in (left, right))
    if isinstance(right, Literal):
        return None if of_left is None else _fault_in_literal(types.named(left), of_left, right, left)
    for side, type_, other in ((left, of_left, right), (right, of_right, left)):
        kind = kind_of_operand(other) if isinstance(other, Computed) else None
        # What is sent as a text can be read as a time, where it is declared as no more than that.
        if type_ is not None and kind is not None and kind != kind_of_type(type_) and (type_, kind) != (TEXT, "time"):
            message = f"{types.named(side)} is {in_words(type_)}, and {other} {_WORDS_OF_KINDS[kind]}"
            return _unlike(message, "compare what is of one type, or change a declaration", side)
    return _fault_of_types(left, (types.named(left), types.named(right)), (of_left, of_right), types)


def _fault_in_literal(named: str, type_: PropertyType, literal: Literal, at: Operand) -> _Fault | None:
    kind = kind_of(literal.value)
    if isinstance(type_, OneOf) and kind == "text":
        if literal.value in type_.values:
            return None
        several = [one for one in _BETWEEN_VALUES.split(str(literal.value)) if one]
        if len(several) > 1 and set(several) <= set(type_.values):
            values = ", ".join(f'"{one}"' for one in several)
            hint = f"write each in quotes of its own, in a list behind `in`: in [{values}]"
        else:
            hint = f"{did_you_mean(str(literal.value), type_.values)}It is {type_}"
        return _Fault("unknown-value", f"{named} is never {literal}", hint, str(literal))
    if kind_of_type(type_) == kind:
        return None
    instead = {"list": "one of its items, by in", "parts": "one of its parts"}
    of_type = kind_of_type(type_) or ""
    hint = f"compare it with {instead.get(of_type) or _PLAIN_WORDS[of_type]}"
    if type_ == TIME:
        hint = 'write time("2026-03-01T12:00:00Z")'
    return _unlike(f"{named} is {in_words(type_)}, so it is never {literal}", hint, at)


def _fault_of_types(
    at: Operand,
    named: tuple[str, str],
    both: tuple[PropertyType | None, PropertyType | None],
    types: _Types,
) -> _Fault | None:
    one, other = both
    if one is None or other is None or _can_be_equal(one, other, types.resource_types):
        return None
    message = f"{named[0]} is {in_words(one)}, and {named[1]} {in_words(other)}"
    return _unlike(message, "compare what is of one type, or change a declaration", at)


def _can_be_equal(one: PropertyType, other: PropertyType, resource_types: Collection[str]) -> bool:
    match one, other:
        case OneOf(values), OneOf(others):
            return not set(values).isdisjoint(others)
        case IdOf(of), IdOf(of_other):
            return of == of_other or ("" in (of, of_other) and of + of_other not in resource_types)
        case (OneOf(), IdOf()) | (IdOf(), OneOf()):
            return False
        case _:
            return kind_of_type(one) == kind_of_type(other) and kind_of_type(one) not in ("list", "parts")


Sent = tuple[Fields, Mapping[str, object], PropertyTypes | None, str]
"""Entries of a policy test, the values of those that are properties, what is declared of them, and whose they are in words."""


def check_values(
    all_sent: Sequence[Sent],
    problems: ProblemList,
    flag: Node | None,
    free: Collection[str] = (),
    further: Sequence[Problem] = (),
    cure: str = _OR_UNDECLARED,
) -> None:
    """Reports the values of a policy test that are not as declared; where `flag` says that they are not, that all are.

    Properties that are `free` need no declaration. `further` are values that were found not to be as declared already.
    """
    is_flagged = problems.flag(flag, "undeclared")
    faulty = [*further, *(problem for sent in all_sent for problem in _faulty_values(*sent, cure, free))]
    if flag is None:
        problems.found += [problem for problem in faulty if problem is not None]
    elif not is_flagged:
        problems.add(flag.place, "wrong-kind", "undeclared says nothing unless true", "write true, or leave it out")
    elif not faulty:
        whose = " and ".join(what for _, _, _, what in all_sent)
        is_any_declared = any(types is not None for _, _, types, _ in all_sent)
        message = f"everything sent of {whose} is as declared" if is_any_declared else f"nothing is declared of {whose}"
        problems.add(flag.place, "wrong-value", message if whose else "nothing is sent", "leave undeclared out")


def _faulty_values(
    fields: Fields,
    values: Mapping[str, object],
    types: PropertyTypes | None,
    what: str,
    cure: str,
    free: Collection[str] = (),
) -> Iterator[Problem | None]:
    """What is not as declared among the properties of a policy test.

    None for what is like nothing that is declared: it is left to lint, which says it once.
    """
    if types is None:
        return
    for key, node in fields.entries:
        if key.value not in values:
            continue
        type_ = types.get(key.value)
        value = values[key.value]
        if type_ is None:
            if key.value not in free:
                yield _undeclared(key, (*types, *free), what)
        elif value is not None:
            yield from _faulty_value(key, node, value, type_, cure)


def _undeclared(key: Text, known: Collection[str], what: str) -> Problem | None:
    if misspelt(key.value, known):
        message = f'{what} has no property "{key.value}"'
        hint = f"{did_you_mean(key.value, known)}Declared are {', '.join(known)}; declare it, if it is another"
        return Problem(key.place, "unknown-property", message, hint)
    return None


def _faulty_value(key: Text, node: Node, value: object, type_: PropertyType, cure: str) -> Iterator[Problem | None]:
    if isinstance(type_, Parts) and isinstance(node, Fields) and isinstance(value, Mapping):
        yield from _faulty_values(node, value, dict(type_.parts), key.value, cure)
    elif isinstance(type_, Parts):
        yield _wrong(node, key.value, type_, cure)
    elif isinstance(type_, ListOf) and isinstance(node, Items) and isinstance(value, list):
        for item, of_item in zip(node.values, value, strict=True):
            if not type_.items.fits(of_item):
                yield _wrong(item, f"an item of {key.value}", type_.items, cure)
    elif not type_.fits(value):
        yield _wrong(node, key.value, type_, cure)


def _wrong(node: Node, what: str, type_: PropertyType, cure: str) -> Problem:
    shown = f'"{node.value}"' if isinstance(node, Text) else "a list" if isinstance(node, Items) else "a mapping"
    hint = f"write {cure}"
    meant = _TRUTHS.get(node.value.lower()) if isinstance(node, Text) and kind_of_type(type_) == "boolean" else None
    if meant is not None:
        hint = f"write {meant}, in small letters and without quotes"
    near = did_you_mean(node.value, type_.values) if isinstance(type_, OneOf) and isinstance(node, Text) else ""
    if near:
        hint = f"{near[0].lower()}{near[1:]}Write {cure}"
    elif (
        isinstance(node, Text)
        and kind_of_type(type_) == "text"
        and not node.is_quoted
        and not is_text_without_quotes(node.value)
    ):
        hint = f'a text stands in quotes here: "{node.value}"'
    return Problem(node.place, "wrong-value", f"{what} is {in_words(type_)}, not {shown}", hint)
