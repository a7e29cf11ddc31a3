"""JSON Schemas (draft-07) for the YAML files of a policy set, with its own names, for editors that complete and check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.parser import KEYWORDS
from klausel.core.loading.declared_names import DeclaredNames
from klausel.core.loading.file_schema import (
    FILES,
    GRANT,
    Entries,
    Flag,
    Free,
    Key,
    ListOf,
    Naming,
    OneOrMore,
    OneText,
    Table,
    Texts,
    TextsOrEntries,
    TypeOfProperty,
    Value,
)
from klausel.core.policy.invariant import EVERY, OUTSIDER
from klausel.core.policy.properties import LIST_OF, PLAIN_KINDS
from klausel.core.policy.roles import ANY_PREFIX, ANYONE
from klausel.core.terms.identifiers import ROLE_CHARACTERS, TYPE_CHARACTERS

Schema = dict[str, Any]

SCHEMA_NAMES = {kind: f"{kind}.schema.json" for kind in FILES}
"""The file name of the schema of each kind of file."""

_SCALAR = ["string", "number", "boolean"]  # where the loader reads a text, whatever other readers take it for
_TEXT: Schema = {"type": _SCALAR, "pattern": r"\S"}
_LETTER = r"[^\x00-@\[-\^`{-\x7f]"
_NOT_RESERVED = r"^(?!(?:any|anyone)$)"
_NAME = rf"{_NOT_RESERVED}{_LETTER}[^\x00-,/:-@\[-\^`{{-\x7f]*$"
_WORD = r"[^\x00-,/:-@\[-\^`{-\x7f]"
_IN_TYPE = r"[^\x00-\"$'-*,;<>\[-\^`{-}\x7f]"
_TYPE_OR_ACTION = rf"{_NOT_RESERVED}{_LETTER}(?:{_IN_TYPE}|(?<={_WORD}) (?={_WORD}))*$"
_CONDITION_NAME = rf"^(?!(?:any|anyone|{'|'.join(sorted(KEYWORDS))})$){_LETTER}[^\x00-/:-@\[-\^`{{-\x7f]*$"
_PLACE = r"^(?:\*|[^\s,:*/]+)(?:/(?:\*|[^\s,:*/]+))*$"
_PATTERNS: Mapping[Naming, str] = {
    "new name": _NAME,
    "new type": _TYPE_OR_ACTION,
    "new action": _TYPE_OR_ACTION,
    "new condition": _CONDITION_NAME,
}


def schemas_for(names: DeclaredNames) -> dict[str, Schema]:
    """The schema of each kind of file, by its file name."""
    return {SCHEMA_NAMES[kind]: _Writer(names).file(kind, value) for kind, value in FILES.items()}


class _Writer:
    """Writes one schema; texts that name the same share one definition."""

    def __init__(self, names: DeclaredNames) -> None:
        self._names = names
        self._definitions: dict[str, Schema] = {}

    def file(self, kind: str, value: Table | Entries) -> Schema:
        """The whole schema of a kind of file."""
        head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": f"Klausel: {kind}"}
        return {**head, **self._schema(value), "definitions": dict(sorted(self._definitions.items()))}

    def _schema(self, value: Value) -> Schema:
        match value:
            case OneText(naming):
                return self._text(naming)
            case Texts(naming, may_be_empty):
                item = self._text(naming)
                items = {"type": "array", "items": item, "uniqueItems": True, "minItems": 0 if may_be_empty else 1}
                return {"anyOf": [item, items]}
            case Flag(only_true):
                return {"enum": [True, "true"] if only_true else [True, False, "true", "false"]}
            case ListOf(kinds, exactly):
                return self._list([self._schema(kind) for kind in kinds], exactly)
            case OneOrMore(text, table):
                either = [self._schema(text), self._schema(table)]
                items = {"type": "array", "items": {"anyOf": either}, "uniqueItems": True, "minItems": 1}
                return {"anyOf": [*either, items]}
            case TextsOrEntries(texts, entries):
                return {"anyOf": [self._schema(texts), self._schema(entries)]}
            case Entries():
                return self._entries(value)
            case Table():
                return self._table(value)
            case Free():
                return {}
            case TypeOfProperty():
                self._definitions.setdefault("type", _TYPE)
                return {"$ref": "#/definitions/type"}

    def _list(self, kinds: list[Schema], exactly: int | None) -> Schema:
        if exactly is None:
            return {"type": ["array", "null"], "items": kinds[0]}
        size = {"type": "array", "minItems": exactly, "maxItems": exactly}
        return {"anyOf": [{**size, "items": kind} for kind in kinds]}

    def _entries(self, value: Entries) -> Schema:
        schema: Schema = {"type": ["object", "null"], "additionalProperties": self._schema(value.value)}
        if not value.may_be_null:
            schema["type"] = "object"
        if value.naming in _PATTERNS:
            schema["propertyNames"] = {"pattern": _PATTERNS[value.naming], "maxLength": _most_characters(value.naming)}
        elif value.naming == "action" and self._names.actions:
            schema["propertyNames"] = {"enum": [*self._names.actions]}
        return schema

    def _table(self, table: Table) -> Schema:
        schema: Schema = {
            "type": "object",
            "properties": {key.name: {"description": key.about, **self._schema(key.value)} for key in table.keys},
        }
        if not table.is_open:
            schema["additionalProperties"] = False
        if table.required:
            schema["required"] = [*table.required]
        if table.some_of or table.one_of:
            word, keys = ("oneOf", table.one_of) if table.one_of else ("anyOf", table.some_of)
            schema[word] = [{"required": [name]} for name in keys]
        rules = [*self._rules(table.keys)]
        if table is GRANT and self._names.actions:
            rules += self._actions_of_types()
            about = schema["properties"]["to"]["description"]
            schema["properties"]["to"] = {"description": about, "uniqueItems": True, "minItems": 1}
        if rules:
            schema["allOf"] = rules
        return schema

    def _rules(self, keys: tuple[Key, ...]) -> Iterable[Schema]:
        """What follows from the presence of a key: other keys are needed, or excluded."""
        for key in keys:
            then: Schema = {}
            if key.needs:
                then["required"] = [*key.needs]
            excluded = [other.name for other in keys if key.name in other.excludes]
            if excluded:
                then["properties"] = dict.fromkeys(excluded, False)
            if then:
                yield {"if": {"required": [key.name]}, "then": then}

    def _actions_of_types(self) -> Iterable[Schema]:
        """The actions that a grant on each resource type may name; any, where it names none, or several."""
        one = {"properties": {"resource": {"enum": [*self._names.resource_types]}}, "required": ["resource"]}
        yield {"if": {"not": one}, "then": {"properties": {"to": self._schema(Texts("action or *"))}}}
        for type_, actions in self._names.resource_types.items():
            if actions:
                item = _one_of([EVERY, *actions], f"an action of {type_}, or *")
                to = {"anyOf": [item, {"type": "array", "items": item}]}
                condition = {"properties": {"resource": {"const": type_}}, "required": ["resource"]}
                yield {"if": condition, "then": {"properties": {"to": to}}}

    def _text(self, naming: Naming) -> Schema:
        if naming == "text":
            return _TEXT
        if naming == "place":
            return {"type": _SCALAR, "pattern": _PLACE}
        if naming in _PATTERNS:
            return {"type": _SCALAR, "pattern": _PATTERNS[naming], "maxLength": _most_characters(naming)}
        key = naming.replace(" or *", "_or_all").replace(" ", "_")
        self._definitions[key] = self._named(naming)
        return {"$ref": f"#/definitions/{key}"}

    def _named(self, naming: Naming) -> Schema:
        names = self._names
        holders = [*names.roles, *(ANY_PREFIX + role for role in names.earned_anywhere)]
        anybody = [*holders, ANYONE] if holders else []
        anybody_or_none = [*anybody, OUTSIDER] if anybody else []
        every: Mapping[Naming, Callable[[], Schema]] = {
            "level": lambda: _one_of(names.levels, "a level of roles.yaml"),
            "role": lambda: _one_of(names.roles, "a role of roles.yaml", self._about_role),
            "holder": lambda: _one_of(holders, f"a role of roles.yaml, or `{ANY_PREFIX}<role>`", self._about_role),
            "grantee": lambda: _one_of(anybody, _GRANTEES, self._about_role),
            "grantee or outsider": lambda: _one_of(anybody_or_none, f"{_GRANTEES} or {OUTSIDER}", self._about_role),
            "resource type": lambda: _one_of(names.resource_types, _TYPES, self._about_type),
            "resource type or *": lambda: _one_of(_or_all(names.resource_types), f"{_TYPES}, or *", self._about_type),
            "subject type": lambda: _one_of(names.subject_types, "one of subject_types in properties.yaml"),
            "likely resource type": lambda: _one_of_or_text(names.resource_types, self._about_type),
            "action": lambda: _one_of(names.actions, "an action of a resource type"),
            "action or *": lambda: _one_of(_or_all(names.actions), "an action of a resource type, or *"),
            "condition": lambda: _condition(names.conditions),
        }
        return every[naming]()

    def _about_role(self, name: str) -> str:
        role = name.removeprefix(ANY_PREFIX)
        if role not in self._names.roles:
            return {ANYONE: "Every subject, also one without a role.", OUTSIDER: "Who holds no role there."}.get(name, "")
        level = self._names.roles[role]
        return f"At level {level}." if role == name else f"Holds {role} in at least one domain below the same top domain."

    def _about_type(self, name: str) -> str:
        return ", ".join(self._names.resource_types.get(name, ()))


def _most_characters(naming: Naming) -> int:
    return TYPE_CHARACTERS if _PATTERNS[naming] == _TYPE_OR_ACTION else ROLE_CHARACTERS


_WORDS = [*PLAIN_KINDS, "user id"]
_CHOICE: Schema = {"type": "array", "items": {"type": "string", "pattern": r"\S"}, "minItems": 1, "uniqueItems": True}
_TYPE: Schema = {
    "anyOf": [
        {"enum": [*_WORDS, *(f"{LIST_OF} {word}" for word in _WORDS)]},
        {
            "type": "string",
            "pattern": rf"^\s*(?:{LIST_OF}\s+)?{_TYPE_OR_ACTION.removeprefix(_NOT_RESERVED).removesuffix('$')}\s+id\s*$",
        },
        _CHOICE,
        {
            "type": "object",
            "properties": {LIST_OF: {"anyOf": [_CHOICE, {"$ref": "#/definitions/type"}]}},
            "required": [LIST_OF],
            "additionalProperties": False,
        },
        {"type": "object", "additionalProperties": {"$ref": "#/definitions/type"}, "minProperties": 1},
    ]
}
"""The types of properties; see `klausel.core.loading.property_types`."""

_GRANTEES = "a role of roles.yaml, `any <role>` for one below the top level, or anyone"
_TYPES = "a resource type that a feature file declares"


def _or_all(values: Iterable[str]) -> list[str]:
    """The names and `*`; nothing where no name is known."""
    names = [*values]
    return [EVERY, *names] if names else []


def _one_of(values: Iterable[str], what: str, about: Callable[[str], str] | None = None) -> Schema:
    """One of these names; any text where none is known, for nothing would be right then."""
    values = [*values]
    if not values:
        return _TEXT
    hint = f"This is not {what}. If it was added a moment ago, run `klausel schema`."
    # Other readers of YAML take these two names, without quotes, for no texts.
    twins = [name == "true" for name in values if name in ("true", "false")]
    schema: Schema = {"enum": [*values, *twins], "errorMessage": hint}
    if about is not None:
        schema["markdownEnumDescriptions"] = [*map(about, values)]
    return schema


def _condition(named: Mapping[str, str]) -> Schema:
    """A named condition or an expression; editors offer an example of each word that expressions have."""
    words = [{"label": entry.name, "description": entry.about, "body": entry.example} for entry in FUNCTIONS.values()]
    expression = {**_TEXT, "defaultSnippets": words}
    if not named:
        return expression
    return {"anyOf": [{"enum": [*named], "markdownEnumDescriptions": [*named.values()]}, expression]}


def _one_of_or_text(values: Iterable[str], about: Callable[[str], str]) -> Schema:
    """Any text; these names are offered."""
    values = [*values]
    if not values:
        return _TEXT
    return {"anyOf": [{"enum": values, "markdownEnumDescriptions": [*map(about, values)]}, _TEXT]}
