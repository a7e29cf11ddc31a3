"""The condition of a filter: what a resource's id and properties must be, so that a subject may act on it.

Everything else of the request is filled in already. Only that matters whether it is certainly true, so nothing here is
negated but single comparisons, and what is unknown counts as false.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from klausel.core.conditions.tree import Atom, Attribute, Comparison, ListOf, Literal, evaluate_atom, value_of
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
    values: dict[Attribute, dict[str, Literal]] = {}
    for part in found.values():
        equal = equal_to(part)
        if equal is not None:
            attribute, literals = equal
            known = values.get(attribute, literals)
            values[attribute] = {text: literal for text, literal in known.items() if text in literals}
    kept: dict[str, FilterCondition] = {}
    for text, part in found.items():
        equal = equal_to(part)
        if equal is not None:
            among = _is_among(equal[0], values[equal[0]].values())
            if isinstance(among, bool):
                return False
            kept[str(among)] = among
        elif isinstance(part, Missing) and part.attribute in values:
            return False
        elif not (isinstance(part, Some) and any(str(inner) in found for inner in part.parts)):
            kept[text] = part
    return _joined(kept, Every)


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
