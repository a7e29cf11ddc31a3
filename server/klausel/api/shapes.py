"""What JSON values of requests and answers are like: a shape reads a value, says what is wrong with it, and is a JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from klausel.api.errors import ApiError
from klausel.core.terms.moment import read_instant, read_moment

Json = dict[str, Any]
BY_POLICY = "x-by-policy"
"""The mark of a schema of which the policies in force say more; `api/described_policy.py` does."""


class Shape(Protocol):
    """What a value is like."""

    @property
    def article(self) -> str:
        """What to send, for messages: `an object`."""

    def read(self, value: object, place: str) -> Any:
        """The value, when it is as it must be; raises `ApiError` (400), which names its place and how to fix it."""

    def schema(self) -> Json:
        """The shape as a JSON Schema (draft 2020-12)."""


@dataclass(frozen=True)
class Text:
    """A string; one of `choices` where there are some.

    `pattern` tells callers how it is written; whoever takes it apart says what is wrong with another.
    """

    about: str = ""
    choices: tuple[str, ...] = ()
    takes_null: bool = False
    article: str = "a string"
    pattern: str = ""

    def read(self, value: object, place: str) -> str | None:
        """A string, or the null that it takes."""
        if type(value) is str and (not self.choices or value in self.choices):
            return value
        if value is None and self.takes_null:
            return None
        if self.choices:
            raise ApiError(400, f"{place} is none of {', '.join(self.choices)}")
        raise ApiError(400, f"{place} is not a string; send one")

    def schema(self) -> Json:
        """As a JSON Schema."""
        choices: Json = {"enum": list(self.choices)} if self.choices else {}
        pattern: Json = {"pattern": self.pattern} if self.pattern else {}
        schema = {"type": "string", **choices, **pattern, **_about(self.about)}
        return _or_null(schema) if self.takes_null else schema


@dataclass(frozen=True)
class Instant:
    """A string that names an instant, as RFC 3339 writes it."""

    about: str = ""
    article: str = "a string"

    def read(self, value: object, place: str) -> str:
        """The instant as the service writes it: in UTC, with `Z`."""
        if not isinstance(value, str):
            raise ApiError(400, f"{place} is not a string; write an instant such as 2026-03-01T12:00:00Z, or leave it out")
        try:
            return read_instant(value)
        except ValueError as error:
            raise ApiError(400, f"{place}: {error}") from None

    def schema(self) -> Json:
        """As a JSON Schema."""
        return {"type": "string", "format": "date-time", "pattern": "^[1-9][^.]+$", **_about(self.about)}


@dataclass(frozen=True)
class Moment:
    """A string that names a day, or a time as RFC 3339 writes it; what else is read, `read_moment` says."""

    about: str = ""
    article: str = "a string"

    def read(self, value: object, place: str) -> int:
        """The microseconds since 1970 of the moment."""
        try:
            return read_moment(str(value))
        except ValueError as error:
            raise ApiError(400, f"{place}: {error}") from None

    def schema(self) -> Json:
        """As a JSON Schema."""
        return {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}], **_about(self.about)}


@dataclass(frozen=True)
class Flag:
    """True or false."""

    about: str = ""
    article: str = "true or false"

    def read(self, value: object, place: str) -> bool:
        """A boolean."""
        if not isinstance(value, bool):
            raise ApiError(400, f"{place} is neither true nor false")
        return value

    def schema(self) -> Json:
        """As a JSON Schema."""
        return {"type": "boolean", **_about(self.about)}


@dataclass(frozen=True)
class Whole:
    """A whole number from 0 on."""

    about: str = ""
    article: str = "a whole number"

    def read(self, value: object, place: str) -> int:
        """An integer, however it is written: 20.0 is 20, as JSON Schema has it."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
            raise ApiError(400, f"{place} is not a whole number from 0 on")
        return int(value)

    def schema(self) -> Json:
        """As a JSON Schema."""
        return {"type": "integer", "minimum": 0, **_about(self.about)}


@dataclass(frozen=True)
class Anything:
    """Any JSON value, which is not looked at here."""

    about: str = ""
    article: str = "a value"

    def read(self, value: object, place: str) -> object:
        """The value as it is."""
        return value

    def schema(self) -> Json:
        """As a JSON Schema."""
        return _about(self.about)


@dataclass(frozen=True)
class Field:
    """A field of a form, which is empty where it says nothing."""

    of: Shape
    article: str = "a string"

    def read(self, value: object, place: str) -> object:
        """What the field holds, None where it is empty."""
        return None if value == "" else self.of.read(value, place)

    def schema(self) -> Json:
        """As a JSON Schema."""
        return {"anyOf": [{"type": "string", "maxLength": 0}, self.of.schema()]}


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    of: tuple[object, ...]
    about: str = ""
    article: str = "a value"

    def read(self, value: object, place: str) -> object:
        """The value."""
        if value not in self.of:
            raise ApiError(400, f"{place} is none of {', '.join(map(str, self.of))}")
        return value

    def schema(self) -> Json:
        """As a JSON Schema."""
        return {"enum": list(self.of), **_about(self.about)}


@dataclass(frozen=True)
class Many:
    """A list."""

    of: Shape
    about: str = ""
    least: int = 0
    article: str = "a list"

    def read(self, value: object, place: str) -> list[Any]:
        """Each item as its shape reads it."""
        if not isinstance(value, list):
            raise ApiError(400, f"{place} is not a list; send one")
        return [self.of.read(item, f"{place}[{index}]") for index, item in enumerate(value)]

    def schema(self) -> Json:
        """As a JSON Schema."""
        least: Json = {"minItems": self.least} if self.least else {}
        return {"type": "array", "items": self.of.schema(), **least, **_about(self.about)}


@dataclass(frozen=True)
class Members:
    """An object with these members; those of `optional` may be missing or null, and then are not there for the reader.

    Others are ignored. Where it `is_closed` they are refused, with the hint for their name, and null is no value. `forbidden` are
    names that must not come, with the message why. `values` is what members are like whose names are not known, and `any_of`
    are shapes one of which the whole has, which its route checks. Of what has a mark `by_policy` the policies say more.
    """

    needed: Mapping[str, Shape] = field(default_factory=dict)
    optional: Mapping[str, Shape] = field(default_factory=dict)
    about: str = ""
    is_closed: bool = False
    forbidden: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    values: Shape | None = None
    any_of: tuple[Shape, ...] = ()
    by_policy: str = ""
    article: str = "an object"

    def read(self, value: object, place: str) -> Json:
        """The members that are known; of an object that declares none, all that there are."""
        if not isinstance(value, dict):
            raise ApiError(400, f"{place} is not an object; send one")
        for name, message in self.forbidden.items():
            if name in value:
                raise ApiError(400, message)
        if self.is_closed:
            unknown = [name for name in value if name not in self.needed and name not in self.optional]
            if unknown:
                known = ", ".join((*self.needed, *self.optional))
                where = f"{place} has an " if place else ""
                hint = self.hints.get(unknown[0], f"there are {known}")
                raise ApiError(400, f'{where}unknown field "{unknown[0]}"; {hint}')
        if not self.needed and not self.optional:
            return value
        read = {}
        for name, shape in self.needed.items():
            inside = f"{place}.{name}" if place else name
            if value.get(name) is None and not (self.is_closed and name in value):
                raise ApiError(400, f"{inside} is missing; send {shape.article}")
            read[name] = shape.read(value[name], inside)
        for name, shape in self.optional.items():
            if value.get(name) is not None or (self.is_closed and name in value):
                read[name] = shape.read(value[name], f"{place}.{name}" if place else name)
        return read

    def schema(self) -> Json:
        """As a JSON Schema."""
        properties = {name: shape.schema() for name, shape in self.needed.items()}
        properties |= {
            name: shape.schema() if self.is_closed else _or_null(shape.schema()) for name, shape in self.optional.items()
        }
        properties |= {name: {"not": {}} for name in self.forbidden}
        told: Json = {"type": "object", **({"properties": properties} if properties else {})}
        if self.needed:
            told["required"] = list(self.needed)
        if self.is_closed:
            told["additionalProperties"] = False
        elif self.values is not None:
            told["additionalProperties"] = self.values.schema()
        if self.any_of:
            told["anyOf"] = [shape.schema() for shape in self.any_of]
        return {**told, **_about(self.about), **_mark(self.by_policy)}


@dataclass(frozen=True)
class OneOf:
    """A value of one of several shapes, for answers: nothing is read by it."""

    of: tuple[Shape, ...]
    about: str = ""
    by_policy: str = ""
    article: str = "a value"

    def read(self, value: object, place: str) -> object:
        """The value as it is."""
        return value

    def schema(self) -> Json:
        """As a JSON Schema."""
        return {"anyOf": [shape.schema() for shape in self.of], **_about(self.about), **_mark(self.by_policy)}


def _about(text: str) -> Json:
    return {"description": text} if text else {}


def _mark(name: str) -> Json:
    return {BY_POLICY: name} if name else {}


def _or_null(schema: Json) -> Json:
    """What also takes null."""
    if "enum" in schema:
        return {**schema, "type": [schema["type"], "null"], "enum": [*schema["enum"], None]}
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]} if schema.keys() - {"description"} else schema
