"""Conditions: the checked expression tree over subject, resource, action and context, and what it means.

Every comparison is *true*, *false* or *unknown* (None): unknown when an attribute is missing, null or of another type
than the comparison needs. `and`, `or` and `not` are Kleene's. What operators and functions mean stands in `functions`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal as Choice
from typing import cast

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.values import Kind, Scalar, all_true, any_true, kind_of, literal_text
from klausel.core.terms.request import NOW, Request

ROOTS = ("subject", "resource", "action", "context")
OWN_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "subject": ("id", "type"),
    "resource": ("id", "type"),
    "action": ("name",),
    "context": (),
}
Operator = Choice["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
ORDERING: tuple[Operator, ...] = ("<", "<=", ">", ">=")
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")


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


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A value written in the expression. `1` and `true` are two values, though Python calls them equal."""

    value: Scalar

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[bool, Scalar]:
        return isinstance(self.value, bool), self.value

    def __str__(self) -> str:
        return literal_text(self.value)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of values written in the expression."""

    items: tuple[Literal, ...]

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.items))}]"


@dataclass(frozen=True, slots=True)
class Computed:
    """A value that a function of the table makes of others: `time(resource.expires)`, `context.now - resource.created`."""

    function: str
    arguments: tuple[Operand, ...]

    def __str__(self) -> str:
        return _call_text(self.function, self.arguments)


Operand = Attribute | Literal | ListOf | Computed
Term = Attribute | Computed
"""What has a value only with a request."""
CONTEXT_NOW = Attribute("context", (NOW,))
"""The time at which it is asked; the clock of the service says it, never the caller."""
SUBJECT_TYPE = Attribute("subject", ("type",))
RESOURCE_TYPE = Attribute("resource", ("type",))
ACTION_NAME = Attribute("action", ("name",))


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
class Call:
    """An atom: a function of the table that is true (`wanted`) or false of its arguments; not one that has an opposite."""

    function: str
    arguments: tuple[Operand, ...]
    wanted: bool = True

    def __str__(self) -> str:
        text = _call_text(self.function, self.arguments)
        return text if self.wanted else f"not {text}"


def _call_text(name: str, arguments: tuple[Operand, ...]) -> str:
    match FUNCTIONS[name].form:
        case "call":
            return f"{name}({', '.join(map(str, arguments))})"
        case "between":
            return f" {name} ".join(map(str, arguments))
        case "before":
            return f"{name} {arguments[0]}"


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


Atom = Comparison | Truth | Call
Condition = Atom | AllOf | AnyOf


def negate(condition: Condition) -> Condition:
    """The condition that is true exactly where this one is false, and unknown where it is unknown."""
    match condition:
        case AllOf(parts):
            return AnyOf(tuple(map(negate, parts)))
        case AnyOf(parts):
            return AllOf(tuple(map(negate, parts)))
        case Comparison(operator, left, right):
            return Comparison(cast(Operator, FUNCTIONS[operator].opposite), left, right)
        case Truth(attribute, wanted):
            return Truth(attribute, not wanted)
        case Call(function, arguments, wanted):
            return Call(function, arguments, not wanted)


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
            mirrored = cast(Operator | None, FUNCTIONS[operator].mirrored)
            if mirrored and (isinstance(left, Literal) or (isinstance(right, Term) and str(right) < str(left))):
                operator, left, right = mirrored, right, left
            if operator in ("==", "!=") and isinstance(left, Attribute) and isinstance(right, Literal):
                if isinstance(right.value, bool):
                    return Truth(left, right.value == (operator == "=="))
            elif isinstance(right, ListOf):
                right = _with_sorted_items(right)
            return Comparison(operator, left, right)
        case Call(function, arguments, wanted):
            arguments = tuple(_with_sorted_items(one) if isinstance(one, ListOf) else one for one in arguments)
            if FUNCTIONS[function].mirrored == function:
                arguments = tuple(sorted(arguments, key=str))
            return Call(function, arguments, wanted)
        case _:
            return condition


def with_near_words(condition: Condition) -> Iterator[Condition]:
    """The condition with one word changed for the one that it is most often confused with, such as `<` for `<=`."""
    match condition:
        case AllOf(parts) | AnyOf(parts):
            for position, part in enumerate(parts):
                for changed in with_near_words(part):
                    yield type(condition)((*parts[:position], changed, *parts[position + 1 :]))
        case Comparison(operator, left, right):
            near = cast(Operator | None, FUNCTIONS[operator].near)
            if near is not None:
                yield Comparison(near, left, right)
        case Call(function, arguments, wanted):
            other = FUNCTIONS[function].near
            if other is not None:
                yield Call(other, arguments, wanted)


def _with_sorted_items(list_: ListOf) -> ListOf:
    items = {str(item): item for item in list_.items}
    return ListOf(tuple(items[text] for text in sorted(items)))


def atoms(condition: Condition) -> Iterator[Atom]:
    """The atoms of a condition, in the order of the text, repeated ones too."""
    if isinstance(condition, AllOf | AnyOf):
        for part in condition.parts:
            yield from atoms(part)
    else:
        yield condition


def operands_of(atom: Atom) -> tuple[Operand, ...]:
    """What an atom compares, in the order of the text."""
    match atom:
        case Comparison(_, left, right):
            return left, right
        case Truth(attribute):
            return (attribute,)
        case Call(_, arguments):
            return arguments


def terms_of(atom: Atom) -> list[Term]:
    """What of an atom has a value only with a request, in the order of the text, repeated ones too."""
    return [operand for operand in operands_of(atom) if isinstance(operand, Attribute | Computed)]


def kinds_taken(atom: Call | Computed, term: Term) -> set[Kind]:
    """The kinds that a function takes where it is given a term; none where any."""
    parameters = FUNCTIONS[atom.function].parameters
    return {
        kind
        for parameter, argument in zip(parameters, atom.arguments, strict=True)
        if argument == term
        for kind in parameter.kinds
    }


def holds_a_list(term: Term, atom: Atom) -> bool:
    """Whether an atom looks at the elements of a list under a name."""
    if isinstance(atom, Call):
        return "list" in kinds_taken(atom, term)
    return isinstance(atom, Comparison) and atom.operator == "in" and atom.right == term


def attributes_in(operand: Operand) -> list[Attribute]:
    """The attributes that a value is read from, in the order of the text, repeated ones too."""
    if isinstance(operand, Attribute):
        return [operand]
    return [name for one in operand.arguments for name in attributes_in(one)] if isinstance(operand, Computed) else []


def attributes_of(atom: Atom) -> list[Attribute]:
    """The attributes that an atom reads, in the order of the text, repeated ones too."""
    return [name for operand in operands_of(atom) for name in attributes_in(operand)]


def is_about_the_subject_itself(atom: Atom) -> bool:
    """Whether an atom reads nothing but the subject's own id and type."""
    own: set[Attribute] = {Attribute("subject", (name,)) for name in OWN_ATTRIBUTES["subject"]}
    return own.issuperset(attributes_of(atom))


def literals_of(atom: Atom) -> list[Literal]:
    """The values that an atom compares with, those of lists too; not those that other values are computed from."""
    found: list[Literal] = []
    for operand in operands_of(atom):
        found += operand.items if isinstance(operand, ListOf) else [operand] if isinstance(operand, Literal) else []
    return found


def literals_compared_with(attribute: Attribute, atom: Atom) -> list[Literal]:
    """The values that an atom asks an attribute to be, or not to be; none where it asks anything else."""
    if not isinstance(atom, Comparison) or atom.operator in ORDERING or terms_of(atom) != [attribute]:
        return []
    return literals_of(atom)


def kind_of_operand(operand: Operand) -> Kind | None:
    """The kind of a value as far as it is known without a request; None for a property, which may be anything."""
    match operand:
        case Literal(value):
            return kind_of(value)
        case ListOf():
            return "list"
        case Computed(function):
            return cast(Kind, FUNCTIONS[function].gives)
        case Attribute(root, path):
            if operand == CONTEXT_NOW:
                return "time"
            return "text" if len(path) == 1 and path[0] in OWN_ATTRIBUTES[root] else None


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
    return truth_of(atom, [value_of(operand, request) for operand in operands_of(atom)])


def truth_of(atom: Atom, values: Sequence[object]) -> bool | None:
    """True, False or None (unknown) of one atom whose operands have these values; never raises."""
    match atom:
        case Comparison(operator):
            return compare(operator, values[0], values[1])
        case Truth(_, wanted):
            return values[0] is wanted if isinstance(values[0], bool) else None
        case Call(function, _, wanted):
            truth = FUNCTIONS[function](*values)
            return None if truth is None else truth is wanted


def value_of(operand: Operand, request: Request) -> object:
    """The value of an operand in a request; None when an attribute is missing or null. Lists come as lists."""
    match operand:
        case Attribute(root, path):
            return _attribute(getattr(request, root), root, path)
        case Literal(value):
            return value
        case ListOf(items):
            return [item.value for item in items]
        case Computed(function, arguments):
            return FUNCTIONS[function](*(value_of(argument, request) for argument in arguments))


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
    return cast(bool | None, FUNCTIONS[operator].meaning(left, right))
