"""The declared types of properties: what a request may send of a resource, of who asks, of an action, and as context.

What is not of its declared type counts as unknown wherever a condition reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from types import MappingProxyType
from typing import Literal

from klausel.core.conditions.tree import CONTEXT_NOW, OWN_ATTRIBUTES, Attribute
from klausel.core.conditions.values import read_time
from klausel.core.terms.problem import nearest_name
from klausel.core.terms.request import Request

PLAIN_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "text": "any text",
        "number": "a number, whole or not",
        "boolean": "true or false",
        "time": "a text such as 2026-03-01T12:00:00Z",
    }
)
"""The types without parts, and what is of them."""
LIST_OF = "list of"
ID = " id"

Kind = Literal["text", "number", "boolean", "time"]


@dataclass(frozen=True, slots=True)
class Plain:
    """Any text, number, boolean or time."""

    kind: Kind

    def __str__(self) -> str:
        return self.kind

    def fits(self, value: object) -> bool:
        """Whether a value that is not null is of this type."""
        match self.kind:
            case "text":
                return isinstance(value, str)
            case "number":
                return isinstance(value, int | float) and not isinstance(value, bool) and value == value
            case "boolean":
                return isinstance(value, bool)
            case "time":
                return isinstance(value, str) and read_time(value) is not None


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these texts, at least one."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"one of {', '.join(self.values)}"

    def fits(self, value: object) -> bool:
        """Whether a value that is not null is of this type."""
        return isinstance(value, str) and value in self.values


@dataclass(frozen=True, slots=True)
class IdOf:
    """The id of a subject or resource of a type; of a subject of any type, for none."""

    type: str

    def __str__(self) -> str:
        return f"{self.type}{ID}" if self.type else "the id of who asks"

    def fits(self, value: object) -> bool:
        """Whether a value that is not null is of this type."""
        return isinstance(value, str)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list. Of texts, numbers and the like, an item of another kind counts as unknown for itself; among the texts that a
    list may hold, one that is none of them makes the whole list unknown.
    """

    items: ItemType

    def __str__(self) -> str:
        return f"{LIST_OF} {self.items}"

    def fits(self, value: object) -> bool:
        """Whether a value that is not null is of this type."""
        if not isinstance(value, list | tuple):
            return False
        return not isinstance(self.items, OneOf) or all(map(self.items.fits, value))


@dataclass(frozen=True, slots=True)
class Parts:
    """Names with a type each, in the order of the file; whatever has no parts lacks them."""

    parts: tuple[tuple[str, PropertyType], ...]

    def __str__(self) -> str:
        return "{" + ", ".join(f"{name}: {type_}" for name, type_ in self.parts) + "}"

    def fits(self, value: object) -> bool:
        """Whether a value that is not null is of this type; what the parts hold is looked at part by part."""
        return True


ItemType = Plain | OneOf | IdOf
PropertyType = Plain | OneOf | IdOf | ListOf | Parts
PropertyTypes = Mapping[str, PropertyType]


def type_as_json(type_: PropertyType) -> dict[str, object]:
    """A JSON object; its members are described in docs/http.md under GET /v1/policy/types."""
    match type_:
        case Plain(kind):
            return {"type": kind}
        case OneOf(values):
            return {"type": "one of", "values": list(values)}
        case IdOf(of):
            return {"type": "id", "of": of}
        case ListOf(items):
            return {"type": "list", "items": type_as_json(items)}
        case Parts(parts):
            return {"type": "parts", "parts": {name: type_as_json(part) for name, part in parts}}


TEXT = Plain("text")
TIME = Plain("time")
_OF_OWN: Mapping[tuple[str, str], PropertyType] = {
    ("subject", "id"): IdOf(""),
    ("subject", "type"): TEXT,
    ("resource", "type"): TEXT,
    ("action", "name"): TEXT,
}


def kind_of_type(type_: PropertyType | None) -> str | None:
    """The kind of the values of a type: text, number, boolean, time, list or parts; None for no type."""
    match type_:
        case Plain(kind):
            return kind
        case OneOf() | IdOf():
            return "text"
        case ListOf():
            return "list"
        case Parts():
            return "parts"
    return None


@dataclass(frozen=True, slots=True)
class NoProperty:
    """What is found where declarations leave nothing: the names that are declared at the place where `missing` is not.

    `is_part_of` is the type that has no parts; None where the holder has some.
    """

    holder: str
    missing: str
    known: tuple[str, ...]
    is_part_of: PropertyType | None = None

    @property
    def is_fault(self) -> bool:
        """Whether it cannot be meant: it is misspelt, or a part of what has none."""
        return self.is_part_of is not None or misspelt(self.missing, self.known) is not None


def misspelt(name: str, known: Collection[str]) -> str | None:
    """The known name that a name is likely a slip of; None where it may well be another one, as `author_id` beside `author`."""
    near = nearest_name(name, known)
    if near is None or abs(len(near) - len(name)) > _LETTERS or SequenceMatcher(None, name, near).ratio() < _ALIKE:
        return None
    return near


_LETTERS = 2
_ALIKE = 0.7


@dataclass(frozen=True, slots=True)
class Declarations:
    """What is declared of the requests about one resource type; None where nothing is, and so anything may be sent.

    `naming` are the properties by which requests say in which domain a resource lies: they are texts.
    """

    resource_type: str
    of_resource: PropertyTypes | None = None
    of_others: Mapping[str, PropertyTypes] = field(default_factory=lambda: MappingProxyType({}))
    naming: Collection[str] = ()

    def of_root(self, root: str) -> PropertyTypes | None:
        """What is declared of the properties of one of the four; None where nothing is."""
        return self.of_resource if root == "resource" else self.of_others.get(root)

    @property
    def are_empty(self) -> bool:
        """Whether nothing is declared."""
        return self.of_resource is None and not self.of_others

    def type_of(self, attribute: Attribute) -> PropertyType | NoProperty | None:
        """The type of an attribute; None where nothing is declared of its root."""
        root, path = attribute.root, attribute.path
        if len(path) == 1 and path[0] in OWN_ATTRIBUTES[root]:
            return _OF_OWN.get((root, path[0]), IdOf(self.resource_type))
        if attribute == CONTEXT_NOW:
            return TIME
        types = self.of_root(root)
        is_naming = root == "resource" and path[0] in self.naming
        if types is None or (is_naming and path[0] not in types):
            return TEXT if is_naming and len(path) == 1 else None
        found: PropertyType = Parts(tuple(types.items()))
        for number, name in enumerate(path):
            known = dict(found.parts) if isinstance(found, Parts) else {}
            if name not in known:
                holder = str(Attribute(root, path[:number])) if number else root
                if root == "resource" and not number:
                    known.update(dict.fromkeys(self.naming, TEXT))
                return NoProperty(holder, name, tuple(known), None if isinstance(found, Parts) else found)
            found = known[name]
        return found


def misfits(declarations: Declarations, request: Request) -> Iterator[tuple[Attribute, object, PropertyType]]:
    """What a request sends that is not of its declared type, with that type."""
    sent = {
        "subject": request.subject.properties,
        "resource": request.resource.properties,
        "action": request.action.properties,
        "context": request.context,
    }
    for root, properties in sent.items():
        types = declarations.of_root(root)
        if types is not None:
            yield from _misfits(types, properties, root, ())


def _misfits(
    types: PropertyTypes, properties: Mapping[str, object], root: str, path: tuple[str, ...]
) -> Iterator[tuple[Attribute, object, PropertyType]]:
    for name, type_ in types.items():
        value = properties.get(name)
        if value is None:
            continue
        if not type_.fits(value):
            yield Attribute(root, (*path, name)), value, type_
        elif isinstance(type_, Parts) and isinstance(value, Mapping):
            yield from _misfits(dict(type_.parts), value, root, (*path, name))
