"""What the policies in force add to the description of the API: their roles, domains and stored types, and examples of them.

Shapes mark in their schema what depends on policies (`BY_POLICY`). The description that is made without a policy set has no
marks, and says of such texts only how they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from klausel.api.request_shapes import DOMAIN_ID, STORED_TEXT
from klausel.api.shapes import BY_POLICY, Json
from klausel.core.policy.entity_faults import MOST_DEPTH, MOST_PROPERTIES
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.properties import ListOf, OneOf, Parts, Plain, PropertyType
from klausel.core.policy.roles import Level

_TEXT: Json = {"type": "string", "pattern": STORED_TEXT}
_NUMBER: Json = {
    "type": "number",
    "description": "A whole number beyond 2^53 is refused with 409 where it is written without a fraction; send it as a text.",
}
_PLAIN: list[Json] = [{"type": "null"}, {"type": "boolean"}, _NUMBER, _TEXT]
_NAME: Json = {"pattern": r'^[^"\\\u0000-\u001f\u007f-\u009f\u2028\u2029]+$'}
_PART: Json = {"pattern": r'^[^"\\\u0000]*$'}


def _stored_within(depth: int) -> Json:
    return {"$ref": f"#/components/schemas/Stored{depth}"} if depth else {"not": {}}


STORED: Mapping[str, Json] = {
    f"Stored{depth}": {
        "description": f"What may be stored of a property that no type is declared of, at most {depth} deep.",
        "anyOf": [
            *_PLAIN,
            {"type": "array", "items": _stored_within(depth - 1)},
            {"type": "object", "propertyNames": _PART, "additionalProperties": _stored_within(depth - 1)},
        ],
    }
    for depth in range(1, MOST_DEPTH + 1)
}
"""By their names among the schemas: no schema that names itself tells how deep a value may be."""
_OWN = ("id", "type")


def described(told: Any, policy: PolicySet | None) -> Any:
    """A part of the description as it is under a policy set; without one, with no marks."""
    if isinstance(told, dict):
        name = told.get(BY_POLICY)
        rest = {key: described(one, policy) for key, one in told.items() if key != BY_POLICY}
        return rest if policy is None or name is None else _BY_NAME[name](rest, policy)
    return [described(one, policy) for one in told] if isinstance(told, list) else told


def example_of_change(policy: PolicySet) -> Json | None:
    """A change of role assignments with a declared role of the top level; None where no role is declared."""
    level = next((level for level in policy.roles.levels if _roles_of(policy, level)), None)
    if level is None:
        return None
    domain = "/".join(_example_of(one) for one in policy.roles.levels[: level.depth])
    return {"grant": [{"subject": "user:ann", "role": _roles_of(policy, level)[0], "domain": domain}], "by": "kim"}


def example_of_entities(policy: PolicySet) -> Json | None:
    """A change of stored properties of a stored type; None where nothing is stored."""
    kinds = _stored(policy)
    if not kinds:
        return None
    kind, type_ = kinds[0]
    return {"put": [{"kind": kind, "type": type_, "id": "7", "properties": {}}], "by": "kim", "ticket": "HR-12"}


def _roles_of(policy: PolicySet, level: Level) -> list[str]:
    return [role.name for role in policy.roles.roles.values() if role.level == level.name]


def _example_of(level: Level) -> str:
    return level.constant or {1: "acme", 2: "support"}.get(level.depth, level.name)


def _stored(policy: PolicySet) -> list[tuple[str, str]]:
    subjects = [("subject", type_) for type_ in sorted(policy.stored_subjects)]
    return [*(("resource", type_) for type_ in sorted(policy.stored_resources)), *subjects]


def _domain_of(levels: tuple[Level, ...]) -> str:
    """The pattern of the domains of just these levels."""
    return "/".join(DOMAIN_ID if level.constant is None else _literal(level.constant) for level in levels)


def _literal(text: str) -> str:
    """A text as a pattern that matches it alone, in every dialect."""
    return "".join(one if one.isalnum() or one in "_- " else f"[{one}]" if one not in "\\]^" else f"\\{one}" for one in text)


def _row(told: Json, policy: PolicySet) -> Json:
    """A row for each level: its roles, in its domains; and the membership of a group."""
    role, member = told["anyOf"]
    rows = []
    for level in policy.roles.levels:
        if names := _roles_of(policy, level):
            domain = {**role["properties"]["domain"], "pattern": f"^{_domain_of(policy.roles.levels[: level.depth])}$"}
            roles = {**role["properties"]["role"], "enum": names}
            rows.append({**role, "properties": {**role["properties"], "role": roles, "domain": domain}})
    return {**told, "anyOf": [*rows, member]}


def _entity(told: Json, policy: PolicySet) -> Json:
    """An entity of each stored type, with the properties that it declares; as it is, where nothing is stored."""
    return {"anyOf": [_entity_of(told, policy, *one) for one in _stored(policy)]} if _stored(policy) else told


def _entity_of(told: Json, policy: PolicySet, kind: str, type_: str) -> Json:
    properties = {**told["properties"], "kind": {"const": kind}, "type": {"const": type_}}
    if "properties" in properties:
        declarations = policy.declarations(type_)
        types = declarations.of_root(kind)
        naming = declarations.naming if kind == "resource" else ()
        about = {"description": properties["properties"]["description"]}
        properties["properties"] = {**_properties(types, (*_OWN, *naming)), **about}
        levels = _levels_of_entity(policy, type_)
        if kind == "subject" or not levels:
            del properties["domain"]
        else:
            patterns = [f"^{_domain_of(levels[: depth + 1])}$" for depth in range(len(levels))]
            places: list[Json] = [{"type": "string", "pattern": pattern} for pattern in patterns]
            properties["domain"] = {
                "anyOf": [*places, {"const": ""}, {"type": "null"}],
                "description": properties["domain"]["description"],
            }
    return {**told, "properties": properties}


def _levels_of_entity(policy: PolicySet, type_: str) -> tuple[Level, ...]:
    """The levels that a domain of such a resource may name, whatever its id is."""
    levels = policy.roles.levels
    for position, level in enumerate(levels):
        if level.identified_by == type_ or (level.constant is None and level.named_by is None):
            return levels[:position]
    return levels


def _properties(types: Mapping[str, PropertyType] | None, never: tuple[str, ...]) -> Json:
    if types is None:
        name = {**_NAME, "not": {"enum": list(never)}}
        told = {"type": "object", "propertyNames": name, "maxProperties": MOST_PROPERTIES}
        return {**told, "additionalProperties": _stored_within(MOST_DEPTH)}
    told = {name: _or_null(_value(type_)) for name, type_ in types.items() if name not in never}
    return {"type": "object", "properties": told, "additionalProperties": False}


def _value(type_: PropertyType) -> Json:
    match type_:
        case Plain("number"):
            return _NUMBER
        case Plain("boolean"):
            return {"type": "boolean"}
        case Plain("time"):
            return {"type": "string", "format": "date-time"}
        case OneOf(values):
            return {"type": "string", "enum": list(values)}
        case ListOf(items):
            return {"type": "array", "items": _value(items)}
        case Parts(parts):
            return {"type": "object", "properties": {name: _or_null(_value(part)) for name, part in parts}}
    return _TEXT


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


_BY_NAME: Mapping[str, Callable[[Json, PolicySet], Json]] = {"row": _row, "entity": _entity}
"""By mark."""
EXAMPLES: Mapping[str, Callable[[PolicySet], Json | None]] = {
    "change_assignments": example_of_change,
    "change_entities": example_of_entities,
}
"""By operation, an example that the policies in force take; None for that of the table."""
