"""What a policy set declares beside its grants, as statements that two sets can be compared by; and what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from klausel.core.policy.entity import WrittenEntity
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.properties import PropertyTypes
from klausel.core.policy.roles import Level


@dataclass(frozen=True, slots=True)
class Declaration:
    """One statement, with the roles, the resource type and the action that it is about; empty where it is about none."""

    text: str
    roles: tuple[str, ...] = ()
    resource_type: str = ""
    action: str = ""


def declarations(policy: PolicySet) -> Iterator[Declaration]:
    """Every level, role, link of inheritance, type with its actions and properties, and pair of roles that are kept apart."""
    roles = policy.roles
    for level in roles.levels:
        yield Declaration(f"level {level.name} {_naming(level)}")
        if level.requires_role_above:
            yield Declaration(f"level {level.name} requires a role above")
    for role in roles.roles.values():
        yield Declaration(f"role {role.name} at level {role.level}", (role.name,))
        if role.keep_one:
            yield Declaration(f"role {role.name} is kept by one at least", (role.name,))
        if role.is_privileged:
            yield Declaration(f"role {role.name} is privileged", (role.name,))
        for old in role.was:
            yield Declaration(f"role {role.name} was called {old}", (role.name,))
        for contained in role.contains:
            yield Declaration(f"role {role.name} contains {contained}", (role.name, contained))
        for contained, place in role.contains_in:
            yield Declaration(f"role {role.name} contains {contained} in {place}", (role.name, contained))
    for pair in roles.separate:
        yield Declaration(f"nobody holds both {' and '.join(pair)}", pair)
    for declared in policy.resource_types.values():
        for action in declared.actions:
            yield Declaration(f"action {action} of {declared.name}", (), declared.name, action)
        for action in declared.privileged:
            yield Declaration(f"action {action} of {declared.name} is privileged", (), declared.name, action)
        for action, name in declared.asked_in.items():
            yield Declaration(f"{action} {declared.name} is asked at level {name}", (), declared.name, action)
        for name, type_ in (declared.properties or {}).items():
            yield Declaration(f"property {name} of {declared.name} is {type_}", (), declared.name)
    for root, properties in policy.properties.items():
        for name, type_ in properties.items():
            yield Declaration(f"property {root}.{name} is {type_}")


def _naming(level: Level) -> str:
    if level.constant is not None:
        return f"is always {level.constant}"
    ways = [f"by the property {level.named_by}"] if level.named_by else []
    ways += [f"by the id of a {level.identified_by}"] if level.identified_by else []
    return f"at depth {level.depth} is named {' and '.join(ways)}"


def changed_types(before: PolicySet, after: PolicySet) -> Iterator[str]:
    """What is declared otherwise, a sentence for each resource type, and for subjects, actions and the context."""
    for name, now in after.resource_types.items():
        was = before.resource_types.get(name)
        changes = _changes(was.properties, now.properties) if was is not None else ()
        if changes:
            yield f"properties of {name}: {'; '.join(changes)} ({now.place.source})"
    for root in dict.fromkeys((*before.properties, *after.properties)):
        changes = _changes(before.properties.get(root), after.properties.get(root))
        if changes:
            yield f"properties of {root}: {'; '.join(changes)}"


def _changes(before: PropertyTypes | None, after: PropertyTypes | None) -> tuple[str, ...]:
    """How declarations differ: what is no longer declared, is new, or has another type."""
    old, new = before or {}, after or {}
    changes = [f"{name} is no longer declared" for name in old if name not in new]
    for name, type_ in new.items():
        if name not in old:
            changes.append(f"{name} is declared as {type_}")
        elif old[name] != type_:
            changes.append(f"{name} is {type_}; it was {old[name]}")
    return tuple(changes)


def changed_entities(before: PolicySet, after: PolicySet, of_type: str | None = None) -> Iterator[str]:
    """What is written otherwise, a sentence for each subject and resource; decisions about these may be others.

    With a resource type only what may change decisions about it: its resources, and all subjects.
    """
    for key in dict.fromkeys((*before.entities, *after.entities)):
        if key[0] == "resource" and of_type not in (None, key[1]):
            continue
        was, now = before.entities.get(key), after.entities.get(key)
        if was is not None and now is not None:
            changes = tuple(_changes_of_entity(was, now))
            if changes:
                yield f"what is written of the {key[0]} {now.entity.name}: {'; '.join(changes)} ({now.place.source})"
        elif now is not None:
            yield f"the {key[0]} {now.entity.name} is written in {now.place.source} now, with {_properties(now)}"
        elif was is not None:
            yield f"the {key[0]} {was.entity.name} is no longer written; it was in {was.place.source}, with {_properties(was)}"


def _properties(written: WrittenEntity) -> str:
    said = ", ".join(f"{name} {_value(value)}" for name, value in written.entity.properties.items())
    return said or "no property"


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _changes_of_entity(was: WrittenEntity, now: WrittenEntity) -> Iterator[str]:
    if was.entity.domain != now.entity.domain:
        old, new = (f"lies in {one.entity.domain}" if one.entity.domain else "names no domain" for one in (was, now))
        yield f"it {new}; before, it {old}"
    before, after = was.entity.properties, now.entity.properties
    yield from (f"{name} is gone; it was {_value(value)}" for name, value in before.items() if name not in after)
    for name, value in after.items():
        if name not in before:
            yield f"{name} is {_value(value)}"
        elif json.dumps(before[name], sort_keys=True) != json.dumps(value, sort_keys=True):
            yield f"{name} is {_value(value)}; it was {_value(before[name])}"
