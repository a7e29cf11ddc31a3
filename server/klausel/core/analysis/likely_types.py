"""The types that properties most likely have, by what conditions do with them and policy tests send of them.

No type is proposed under which a condition would mean something else for any value of that kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.tree import (
    OWN_ATTRIBUTES,
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
    atoms,
    attributes_of,
    kind_of_operand,
    operands_of,
)
from klausel.core.conditions.values import kind_of
from klausel.core.policy.fitting import fitted, wanted_cases
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.policy_test import PolicyTest
from klausel.core.policy.properties import (
    TEXT,
    TIME,
    Declarations,
    IdOf,
    ItemType,
    Kind,
    NoProperty,
    OneOf,
    Parts,
    Plain,
    PropertyType,
    PropertyTypes,
)
from klausel.core.policy.properties import ListOf as ListType

MOST_VALUES = 12
_Name = tuple[str, Attribute]
"""A property, by the resource type that it is one of; empty for those of subjects, actions and the context."""


@dataclass(frozen=True, slots=True)
class LikelyTypes:
    """The types found for what is not declared yet, by resource type (empty: others) and root.

    `unknown` are the properties for which there is none, each with the reason.
    """

    found: Mapping[tuple[str, str], PropertyTypes]
    unknown: tuple[str, ...]


@dataclass(slots=True)
class _Evidence:
    """What is known of one property: types that conditions need, texts that it is compared with, and the values in tests.

    `is_open` when more is done with its texts than comparing them with written ones.
    """

    needed: dict[PropertyType, None] = field(default_factory=dict)
    texts: dict[str, None] = field(default_factory=dict)
    sent: list[object] = field(default_factory=list)
    is_open: bool = False


def likely_types(policy: PolicySet, tests: Sequence[PolicyTest]) -> LikelyTypes:
    """The likely types of all that conditions read and tests send, and that is not declared."""
    evidence: dict[_Name, _Evidence] = {}
    for resource_type, condition in _conditions(policy):
        for atom in atoms(condition):
            for attribute in attributes_of(atom):
                if _is_undeclared(policy, resource_type, attribute):
                    _look(atom, attribute, evidence.setdefault(_name(resource_type, attribute), _Evidence()), condition)
    for resource_type, attribute, value in _sent(tests):
        if _is_undeclared(policy, resource_type, attribute):
            evidence.setdefault(_name(resource_type, attribute), _Evidence()).sent.append(value)
    return _as_declarations({name: _type(policy, name, one) for name, one in evidence.items()})


def _conditions(policy: PolicySet) -> Iterator[tuple[str, Condition]]:
    for grant in policy.grants:
        if grant.written is not None:
            yield grant.resource_type, grant.written
    for invariant in policy.invariants:
        if invariant.condition is not None:
            for resource_type in dict.fromkeys(thing.resource_type for thing in invariant.things):
                declared = policy.resource_types[resource_type].properties
                reads = {name.path[0] for atom in atoms(invariant.condition) for name in attributes_of(atom)}
                # An invariant about many types reads what only some of them have.
                if len(invariant.things) == 1 or reads & set(declared or ()):
                    yield resource_type, invariant.condition


def _name(resource_type: str, attribute: Attribute) -> _Name:
    return resource_type if attribute.root == "resource" else "", attribute


def _is_undeclared(policy: PolicySet, resource_type: str, attribute: Attribute) -> bool:
    type_ = policy.declarations(resource_type).type_of(attribute)
    return type_ is None or (isinstance(type_, NoProperty) and type_.is_part_of is None)


def _look(atom: Atom, attribute: Attribute, evidence: _Evidence, condition: Condition) -> None:
    """Adds what an atom tells of a property that it reads."""
    match atom:
        case Truth():
            evidence.needed[Plain("boolean")] = None
        case Call(function, arguments):
            evidence.is_open = evidence.is_open or function != "has"
            for parameter, argument in zip(FUNCTIONS[function].parameters, arguments, strict=True):
                if argument == attribute and parameter.kinds == ("text",):
                    evidence.needed[TEXT] = None
                elif argument == attribute and parameter.kinds == ("list",):
                    others = [item for other in arguments if isinstance(other, ListOf) for item in other.items]
                    evidence.needed.update(dict.fromkeys(map(ListType, _items(others))))
        case Comparison(operator, left, right) if operator in ("in", "not in"):
            if right == attribute:
                evidence.needed.update(dict.fromkeys(map(ListType, _items([left], condition))))
            elif isinstance(right, ListOf):
                for item in right.items:
                    _add(item, evidence, condition)
            else:
                evidence.is_open = True
        case Comparison(_, left, right):
            for side, other in ((left, right), (right, left)):
                if side == attribute:
                    _add(other, evidence, condition)
    for operand in operands_of(atom):
        if isinstance(operand, Computed):
            _look_inside(operand, attribute, evidence)


def _look_inside(operand: Computed, attribute: Attribute, evidence: _Evidence) -> None:
    for parameter, argument in zip(FUNCTIONS[operand.function].parameters, operand.arguments, strict=True):
        if argument == attribute and parameter.kinds:
            kind = "time" if operand.function == "time" else parameter.kinds[0]
            if kind in ("text", "number", "time"):
                evidence.needed[Plain(cast(Kind, kind))] = None
        elif isinstance(argument, Computed):
            _look_inside(argument, attribute, evidence)


def _add(other: Operand, evidence: _Evidence, condition: Condition) -> None:
    if isinstance(other, Literal) and isinstance(other.value, str):
        evidence.texts[other.value] = None
        evidence.needed.setdefault(TEXT)
        return
    evidence.needed.update(dict.fromkeys(_items([other], condition)))
    evidence.is_open = evidence.is_open or isinstance(other, Attribute)


def _items(others: Iterable[Operand], condition: Condition | None = None) -> Iterator[ItemType]:
    """The types of what a property, or the items of one, are compared with, as far as they are known."""
    for other in others:
        if other == Attribute("subject", ("id",)):
            yield IdOf(_subject_type(condition))
            continue
        kind = kind_of(other.value) if isinstance(other, Literal) else kind_of_operand(other)
        if kind in ("text", "number", "boolean", "time"):
            yield Plain(kind)


def _subject_type(condition: Condition | None) -> str:
    """The type of subject that a condition is about: the one that it names, else user."""
    of_subject = Attribute("subject", ("type",))
    for atom in atoms(condition) if condition is not None else ():
        if isinstance(atom, Comparison) and atom.operator == "==" and of_subject in (atom.left, atom.right):
            named = [side.value for side in (atom.left, atom.right) if isinstance(side, Literal)]
            if named and isinstance(named[0], str):
                return named[0]
    return "user"


def _sent(tests: Iterable[PolicyTest]) -> Iterator[tuple[str, Attribute, object]]:
    for test in tests:
        for expectation in test.expectations:
            request = expectation.request
            roots = {"subject": request.subject.properties, "resource": request.resource.properties}
            for root, properties in (*roots.items(), ("context", request.context)):
                yield from ((request.resource.type, *one) for one in _leaves(root, (), properties))


def _leaves(root: str, path: tuple[str, ...], values: Mapping[str, object]) -> Iterator[tuple[Attribute, object]]:
    for name, value in values.items():
        if len(path) == 0 and name in OWN_ATTRIBUTES[root]:
            continue
        if isinstance(value, Mapping):
            yield from _leaves(root, (*path, name), value)
        elif value is not None:
            yield Attribute(root, (*path, name)), value


def _type(policy: PolicySet, name: _Name, evidence: _Evidence) -> PropertyType | str:
    """The one type that is right for all that is known of a property; why there is none, as the end of a sentence."""
    needed = list(evidence.needed)
    if any(isinstance(one, IdOf) for one in needed):
        # The id of somebody is a text, too.
        needed = [one for one in needed if one != TEXT]
    sent = list(dict.fromkeys(map(_type_of_value, evidence.sent)))
    if not needed:
        needed = [one for one in sent if one is not None]
        evidence.is_open = True
    if not needed:
        return "nothing tells its type"
    if len(needed) > 1:
        return f"it is taken as {' and as '.join(map(str, needed))}"
    if not all(map(needed[0].fits, evidence.sent)):
        odd = next(value for value in evidence.sent if not needed[0].fits(value))
        return f"conditions take it as {needed[0]}, but a policy test sends {odd!r}, and does not say undeclared: true"
    if needed[0] == TEXT and not evidence.is_open:
        values = tuple(map(str, dict.fromkeys([*evidence.texts, *evidence.sent])))
        if 1 < len(values) <= MOST_VALUES and _means_the_same(policy, name, OneOf(values)):
            return OneOf(values)
    return needed[0]


def _type_of_value(value: object) -> PropertyType | None:
    match kind_of(value):
        case "text":
            return TIME if TIME.fits(value) else TEXT
        case "number" | "boolean" as kind:
            return Plain(kind)
        case "list" if isinstance(value, list) and value:
            items = {_type_of_value(item) for item in value}
            item = items.pop()
            return ListType(item) if not items and isinstance(item, Plain) else None
    return None


def _means_the_same(policy: PolicySet, name: _Name, type_: PropertyType) -> bool:
    """Whether no condition of a grant becomes another one by this declaration."""
    of_type, attribute = name
    if len(attribute.path) > 1:
        return False
    declared = {attribute.path[0]: type_}
    for grant in policy.grants:
        if grant.written is None or (of_type and grant.resource_type != of_type):
            continue
        resource = declared if of_type else None
        others = {} if of_type else {attribute.root: declared}
        alone = Declarations(grant.resource_type, resource, others)
        if fitted(grant.written, wanted_cases(grant.effect), alone) is not grant.written:
            return False
    return True


def _as_declarations(types: Mapping[_Name, PropertyType | str]) -> LikelyTypes:
    found: dict[tuple[str, str], dict[str, PropertyType]] = {}
    unknown = []
    for (resource_type, attribute), type_ in types.items():
        if isinstance(type_, str):
            unknown.append(f"{attribute}{f' of {resource_type}' if resource_type else ''}: {type_}")
            continue
        for name in reversed(attribute.path[1:]):
            type_ = Parts(((name, type_),))
        declared = found.setdefault((resource_type, attribute.root), {})
        first = attribute.path[0]
        other = declared.get(first)
        if other is None:
            declared[first] = type_
        elif isinstance(other, Parts) and isinstance(type_, Parts):
            declared[first] = replace(other, parts=(*other.parts, *type_.parts))
        else:
            unknown.append(f"{attribute}: {first} has parts, and is compared itself")
    return LikelyTypes(found, tuple(unknown))
