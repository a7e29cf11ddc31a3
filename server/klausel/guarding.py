"""What the guards of all frameworks share: objects as resources, and what a decision means for a request.

    guard.describe(Document, "document", {"account": "place.account", "owner": "owner"})

says once how objects of a class are asked about; single decisions and lists both come from it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from klausel.client import AsyncKlausel, CallFailed, Decision, Resource, Subject

__all__ = ["NEW", "Described", "GuardError", "Guarded", "Refusal", "Who", "lists_of"]

Who = Subject | str | None
"""Who is logged in: a subject, or `type:id`; None for nobody."""
Property = str | Callable[[Any], object] | None

MARK = "_klausel_guarded"
"""The attribute of a view that asks by itself, or is open on purpose."""
UNDECIDED = "no decision was asked for here"
NEW = "new"
"""The id under which an object is asked about that has none yet."""
_STEPS = re.compile(r"\.|__")
_LOGGER = logging.getLogger("klausel.guarding")


class GuardError(Exception):
    """The guard is used in a way that gives no question; nothing is allowed then."""


class Refusal(Exception):
    """A request is refused: 401 for nobody, 403 for a deny, 503 where no decision could be made. The message says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Described:
    """How objects of a class are asked about: their type, and by property where its value stands, as `describe` takes it."""

    type: str
    properties: Mapping[str, Property]

    def resource(self, thing: object) -> Resource:
        """The object as a resource. What is None is left out, as the database leaves out NULL."""
        found = {}
        for name, place in self.properties.items():
            value = place(thing) if callable(place) else None if place is None else _value_at(thing, place)
            if value is not None:
                found[name] = _as_sent(value, name)
        id_ = found.pop("id", None) if "id" in self.properties else _id_of(thing)
        return Resource(self.type, NEW if id_ is None else str(id_), found)

    def columns(self) -> Mapping[str, Any]:
        """By property its column. What is not described is on no row, as it is in no evaluation."""
        return _Columns({name: place for name, place in self.properties.items() if not callable(place)}, self.properties)


class _Columns(dict[str, Any]):
    """A mapping that gives None for every property that is not described, and nothing for `id` and what is computed."""

    def __init__(self, columns: Mapping[str, Any], described: Iterable[str]) -> None:
        super().__init__(columns)
        self._described = frozenset(described) | {"id"}

    def __contains__(self, name: object) -> bool:
        first = str(name).partition(".")[0]
        return super().__contains__(name) or first not in self._described

    def __missing__(self, name: str) -> None:
        return None


class Guarded:
    """The classes that are described, and what was decided about them."""

    def __init__(self) -> None:
        self._described: dict[type, Described] = {}
        self._has_told = False

    def tell_unwatched(self, fix: str) -> None:
        """Tells the log, once, that nothing refuses views whose guard was forgotten or does not stand where it works."""
        if not self._has_told:
            self._has_told = True
            _LOGGER.warning("views that ask nobody are not refused; %s, so that one whose guard was forgotten is", fix)

    def describe(self, class_: type, type_: str, properties: Mapping[str, Property] | Iterable[str] = (), /) -> None:
        """Says that objects of a class are resources of a type, with these properties and no others.

        `properties` gives each its attribute, a path of attributes (`"place.account"`, with `__` for Django), or a function of
        the object; a list of names stands for attributes of the same name. Properties that are functions cannot be in lists.
        """
        if not isinstance(properties, Mapping):
            properties = {name: name for name in properties}
        if "*" in properties:
            raise GuardError('"*" cannot be described; name the properties one by one')
        self._described[class_] = Described(type_, dict(properties))

    def described(self, class_: type) -> Described:
        """What was said about a class, or the nearest above it; raises `GuardError`."""
        for one in class_.__mro__:
            if one in self._described:
                return self._described[one]
        raise GuardError(
            f"nothing is described for {class_.__name__}; call guard.describe({class_.__name__}, type, properties)"
        )

    def resource(self, thing: object) -> Resource:
        """An object as a resource; raises `GuardError` for objects of unknown classes."""
        return thing if isinstance(thing, Resource) else self.described(type(thing)).resource(thing)


def check_subject(subject: object) -> Subject | str:
    """The subject; raises `Refusal` (401) where nobody is logged in, and `GuardError` for what is no subject."""
    if subject is None or subject == "":
        raise Refusal(401, "log in first")
    if not isinstance(subject, Subject | str):
        kind = type(subject).__name__
        raise GuardError(f"subject gave a {kind}; give a Subject, a text type:id, or None for nobody")
    return subject


def check_waits(klausel: object) -> None:
    """Raises `GuardError` for a client whose answers are awaited, where nothing awaits them."""
    if isinstance(klausel, AsyncKlausel):
        raise GuardError(
            "this guard does not await its client; give it a Klausel, or open_policies, instead of AsyncKlausel"
        )


def names_of(public: object, setting: str) -> frozenset[str]:
    """The names of what is open; raises `GuardError` for a single text, whose letters would be the names."""
    if isinstance(public, str):
        raise GuardError(f'{setting} is the text "{public}"; write a list of names, ["{public}"]')
    return frozenset(public)  # type: ignore[call-overload, no-any-return]


def undecided(view: str) -> Refusal:
    """The refusal of a view that no decision was asked for. The log names it, and says how to fix it."""
    _LOGGER.warning(
        "%s was refused, for no decision was asked for; let a guard stand before it, or say that it is public", view
    )
    return Refusal(403, UNDECIDED)


def check_decision(decision: Decision) -> None:
    """Raises `Refusal` for everything but a plain yes."""
    if decision.failed:
        raise Refusal(503, f"no decision could be made: {decision.reason}")
    if decision.allowed is not True:
        raise Refusal(403, decision.reason or "this is not allowed")


@contextmanager
def refused_without_answer() -> Iterator[None]:
    """Raises `Refusal` (503) where a question inside is not answered."""
    try:
        yield
    except CallFailed as error:
        raise Refusal(503, f"no decision could be made: {error}") from None


def _value_at(thing: object, path: str) -> object:
    """What stands at the end of a path of attributes; a list where the path leads through one, None where it breaks off."""
    *through, last = _STEPS.split(path)
    for position, step in enumerate(through):
        thing = _related(thing, step)
        if thing is None:
            return None
        if isinstance(thing, list | tuple | set):
            rest = ".".join((*through[position + 1 :], last))
            return [_value_at(one, rest) for one in thing]
    value = getattr(thing, last)
    return str(value) if type(value) is int and _is_key(thing, last) else value


def lists_of(model: Any) -> Mapping[str, Any]:
    """The relations of a model of Django that lead to many rows, by the name of the attribute that has them."""
    options = model._meta
    relations = [*options.many_to_many, *(relation for relation in options.related_objects if relation.multiple)]
    return {field.name if field.concrete else field.get_accessor_name(): field for field in relations}


def _related(thing: object, name: str) -> object:
    """An attribute; where it leads to many rows of Django, those."""
    if hasattr(type(thing), "_meta") and getattr(thing, "pk", None) is None and name in lists_of(type(thing)):
        return []  # Django has no answer before the first is saved
    found = getattr(thing, name)
    return list(found.all()) if hasattr(found, "get_queryset") else found


def _is_key(owner: object, name: str) -> bool:
    """Whether an attribute of a row is a primary or a foreign key: requests send those as texts."""
    mapper = getattr(type(owner), "__mapper__", None)
    if mapper is not None:
        columns = getattr(mapper.attrs.get(name), "columns", ())
        return any(column.primary_key or column.foreign_keys for column in columns)
    options = getattr(type(owner), "_meta", None)
    if options is None:
        return False
    if name == "pk":
        return True
    known = {one: field for field in options.concrete_fields for one in (field.name, field.attname)}
    return name in known and bool(known[name].primary_key or known[name].is_relation)


def _id_of(thing: object) -> object:
    mapper = getattr(type(thing), "__mapper__", None)
    if mapper is not None:
        keys = mapper.primary_key_from_instance(thing)
        if len(keys) != 1:
            raise GuardError(f'{type(thing).__name__} has {len(keys)} primary keys; describe the property "id"')
        return keys[0]
    return getattr(thing, "pk" if hasattr(type(thing), "_meta") else "id")


def _as_sent(value: object, name: str) -> object:
    """A value as JSON has it, and as a database compares it."""
    match value:
        case Enum():
            return _as_sent(value.value, name)
        case bool() | int() | float() | str():
            return value
        case datetime():
            # Times without a zone hold UTC, as they do in lists.
            return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).isoformat()
        case UUID():
            return str(value)
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case Mapping():
            return {str(key): _as_sent(one, name) for key, one in value.items() if one is not None}
        case list() | tuple() | set() | frozenset():
            # An item that is None stays as what nothing equals: left out, there would be less that a deny can be about.
            return [None if one is None else _as_sent(one, name) for one in value]
    raise GuardError(f'the property "{name}" holds a {type(value).__name__}, which is no value of JSON; use a function')
