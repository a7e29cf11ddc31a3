"""The condition of a filter: what a resource's id and properties must be, so that a subject may act on it.

Everything else of the request is filled in already. Only that matters whether it is certainly true, so nothing here is
negated but single comparisons, and what is unknown counts as false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from klausel.core.conditions.tree import (
    Atom,
    Attribute,
    Call,
    Comparison,
    Computed,
    ListOf,
    Literal,
    Operand,
    attributes_in,
    attributes_of,
    evaluate_atom,
    value_of,
)
from klausel.core.conditions.values import Kind, kind_of
from klausel.core.terms.identifiers import fault_in_domain_id
from klausel.core.terms.request import Action, Request, Resource, Subject

_NOBODY = Subject("", "")
_NO_ACTION = Action("")


@dataclass(frozen=True, slots=True)
class Missing:
    """True where the resource has no such property, or a null one."""

    attribute: Attribute

    def __str__(self) -> str:
        return f"missing {self.attribute}"


@dataclass(frozen=True, slots=True)
class NamesDomain:
    """True where each attribute is a good id of a domain, and all joined by `/` have at most so many characters."""

    attributes: tuple[Attribute, ...]
    characters: int

    def __str__(self) -> str:
        return f"names_domain({', '.join(map(str, self.attributes))}, {self.characters})"


@dataclass(frozen=True, slots=True)
class InDomains:
    """True where the texts of the attributes, joined by `/`, are one of these domains, each of as many parts."""

    attributes: tuple[Attribute, ...]
    domains: frozenset[str]

    def __str__(self) -> str:
        return f"domain({', '.join(map(str, self.attributes))}) in {sorted(self.domains)}"


@dataclass(frozen=True, slots=True)
class Every:
    """`and` of two or more parts."""

    parts: tuple[FilterCondition, ...]

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Some) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Some:
    """`or` of two or more parts."""

    parts: tuple[FilterCondition, ...]

    def __str__(self) -> str:
        return " or ".join(str(part) for part in self.parts)


Leaf = Atom | Missing | NamesDomain | InDomains
FilterCondition = Leaf | Every | Some
Filter = FilterCondition | bool
"""A condition, or what it always comes to: True for every resource of the type, False for none."""


def holds(condition: Filter, resource: Resource) -> bool:
    """Whether a filter takes a resource; a null property counts as a missing one. Never raises."""
    match condition:
        case bool():
            return condition
        case Every(parts):
            return all(holds(part, resource) for part in parts)
        case Some(parts):
            return any(holds(part, resource) for part in parts)
        case Missing(attribute):
            return _value(attribute, resource) is None
        case NamesDomain(attributes, characters):
            ids = [_value(attribute, resource) for attribute in attributes]
            good = [id_ for id_ in ids if isinstance(id_, str) and fault_in_domain_id(id_) is None]
            return len(good) == len(ids) and len("/".join(good)) <= characters
        case InDomains(attributes, domains):
            ids = [_value(attribute, resource) for attribute in attributes]
            texts = [id_ for id_ in ids if isinstance(id_, str)]
            return len(texts) == len(ids) and "/".join(texts) in domains
        case _:
            return evaluate_atom(condition, Request(_NOBODY, _NO_ACTION, resource)) is True


def _value(attribute: Attribute, resource: Resource) -> object:
    return value_of(attribute, Request(_NOBODY, _NO_ACTION, resource))


def every(parts: Iterable[Filter]) -> Filter:
    """`and`, simplified: each part once, values that one attribute must equal intersected, what others imply left out."""
    found = _parts_of(parts, Every)
    if found is None:
        return False
    equals = {text: equal for text, part in found.items() if (equal := equal_to(part)) is not None}
    values: dict[Attribute, dict[str, Literal]] = {}
    for attribute, literals in equals.values():
        known = values.get(attribute, literals)
        values[attribute] = {text: literal for text, literal in known.items() if text in literals}
    others = {text: part for text, part in found.items() if text not in equals}
    if others and not _simplify_others(others, found, values):
        return False
    kept: dict[str, FilterCondition] = {}
    for text in found:
        if text in equals:
            attribute = equals[text][0]
            among = _is_among(attribute, values[attribute].values())
            if isinstance(among, bool):
                return False
            kept[str(among)] = among
        elif text in others:
            kept[text] = others[text]
    return _joined(kept, Every)


def _simplify_others(
    others: dict[str, FilterCondition], found: dict[str, FilterCondition], values: dict[Attribute, dict[str, Literal]]
) -> bool:
    """Takes out what the rest of `and` implies, and from the values what they exclude; False where nothing is left at all."""
    kinds = set(filter(None, map(_kind_told, found.values()))) if any(map(_kind_asked, others.values())) else set()
    asks_presence = any(isinstance(part, Missing) or _has(part) is not None for part in others.values())
    present = {attribute for part in found.values() for attribute in _present_in(part)} if asks_presence else set()
    there = present | {attribute for part in others.values() if (attribute := _has(part)) is not None}
    for text, part in list(others.items()):
        if isinstance(part, Missing) and part.attribute in there:
            return False
        narrowing = _narrowing(part)
        if narrowing is not None and narrowing[0] in values:
            attribute, fits = narrowing
            values[attribute] = {text: literal for text, literal in values[attribute].items() if fits(text, literal)}
            del others[text]
        elif (
            _has(part) in present
            or _kind_asked(part) in kinds
            or (isinstance(part, Some) and any(str(inner) in found for inner in part.parts))
        ):
            del others[text]
    return True


def _has(part: FilterCondition) -> Attribute | None:
    """The attribute that must be there, whatever it is; None for other parts."""
    if isinstance(part, Call) and part.function == "has" and part.wanted and isinstance(part.arguments[0], Attribute):
        return part.arguments[0]
    return None


def _kind_told(part: FilterCondition) -> tuple[Operand, Kind] | None:
    """What is of a certain kind wherever this comparison with given values is true; None for other parts."""
    match part:
        case Comparison(_, Attribute() | Computed() as operand, Literal(value)):
            kinds = {kind_of(value)}
        case Comparison(_, Attribute() | Computed() as operand, ListOf(items)):
            kinds = {kind_of(item.value) for item in items}
        case _:
            return None
    kind = kinds.pop() if len(kinds) == 1 else None
    return None if kind is None else (operand, kind)


def _kind_asked(part: FilterCondition) -> tuple[Operand, Kind] | None:
    """What must be of a certain kind, and nothing else: `it == value or it != value`; None for other parts."""
    if not isinstance(part, Some) or len(part.parts) != 2:
        return None
    one, other = part.parts
    if not isinstance(one, Comparison) or not isinstance(other, Comparison):
        return None
    is_either = {one.operator, other.operator} == {"==", "!="} and (one.left, one.right) == (other.left, other.right)
    return _kind_told(one) if is_either else None


def _present_in(part: FilterCondition) -> Iterable[Attribute]:
    """What is there wherever a part is true, apart from `has` itself: all else is unknown of what is missing."""
    match part:
        case Missing() | Every() | Call("has"):
            return ()
        case Some():
            asked = _kind_asked(part)
            return () if asked is None else attributes_in(asked[0])
        case NamesDomain(attributes) | InDomains(attributes):
            return attributes
        case _:
            return attributes_of(part)


def _narrowing(part: FilterCondition) -> tuple[Attribute, Callable[[str, Literal], bool]] | None:
    """The attribute of which a part excludes values, or asks the kind, and whether a value, with its text, is left."""
    asked = _kind_asked(part)
    if asked is not None and isinstance(asked[0], Attribute):
        return asked[0], lambda _, literal: kind_of(literal.value) == asked[1]
    match part:
        case Comparison("!=", Attribute() as attribute, Literal() as literal):
            items: tuple[Literal, ...] = (literal,)
        case Comparison("not in", Attribute() as attribute, ListOf(items)):
            pass
        case _:
            return None
    texts, kinds = set(map(_text, items)), {kind_of(item.value) for item in items}
    return attribute, lambda text, literal: text not in texts and kinds <= {kind_of(literal.value)}


def some(parts: Iterable[Filter]) -> Filter:
    """`or`, simplified: each part once, values that one attribute may equal in one list, what others imply left out."""
    found = _parts_of(parts, Some)
    if found is None:
        return True
    values: dict[Attribute, dict[str, Literal]] = {}
    for part in found.values():
        equal = equal_to(part)
        if equal is not None:
            values.setdefault(equal[0], {}).update(equal[1])
    kept: dict[str, FilterCondition] = {}
    for text, part in found.items():
        equal = equal_to(part)
        if equal is not None:
            among = _is_among(equal[0], values[equal[0]].values())
            assert not isinstance(among, bool)
            kept[str(among)] = among
        elif not (isinstance(part, Every) and any(str(inner) in found for inner in part.parts)):
            kept[text] = part
    return _joined(kept, Some)


def _parts_of(parts: Iterable[Filter], kind: type[Every] | type[Some]) -> dict[str, FilterCondition] | None:
    """Each part once, by its text; None where one settles the whole."""
    found: dict[str, FilterCondition] = {}
    for part in parts:
        if isinstance(part, bool):
            if part is not (kind is Every):
                return None
        else:
            for inner in part.parts if isinstance(part, kind) else (part,):
                found[str(inner)] = inner
    return found


def _joined(parts: dict[str, FilterCondition], kind: type[Every] | type[Some]) -> Filter:
    if not parts:
        return kind is Every
    return next(iter(parts.values())) if len(parts) == 1 else kind(tuple(parts.values()))


def equal_to(part: FilterCondition) -> tuple[Attribute, dict[str, Literal]] | None:
    """The attribute and the values, by their text, of a part that says that it equals one of them; None for other parts."""
    match part:
        case Comparison("==", Attribute() as attribute, Literal() as literal):
            return attribute, {_text(literal): literal}
        case Comparison("in", Attribute() as attribute, ListOf(items)):
            return attribute, {_text(item): item for item in items}
    return None


def _text(literal: Literal) -> str:
    """A text that is the same for values that are equal, `1` and `1.0`, and for no others."""
    value = literal.value
    if isinstance(value, str):
        return f'"{value}'  # no other value begins so
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(literal)


def is_among(attribute: Attribute, values: Iterable[str]) -> Filter:
    """The filter that an attribute equals one of these texts."""
    return _is_among(attribute, map(Literal, values))


def _is_among(attribute: Attribute, literals: Iterable[Literal]) -> Filter:
    items = tuple(literals)
    if not items:
        return False
    return Comparison("==", attribute, items[0]) if len(items) == 1 else Comparison("in", attribute, ListOf(items))
