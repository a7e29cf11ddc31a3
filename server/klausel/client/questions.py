"""Questions as applications write them, and as they go over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Properties = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """Who acts."""

    type: str
    id: str
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Action:
    """What is done."""

    name: str
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resource:
    """What it is done to; without an `id` where a filter asks about all of a type."""

    type: str
    id: str | None = None
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a batch. A subject or a resource may be written `type:id`, an action as its name."""

    subject: Subject | str
    action: Action | str
    resource: Resource | str
    context: Properties = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The body of an evaluation; raises ValueError for a text that is no `type:id`."""
        body = {
            "subject": subject_as_json(self.subject),
            "action": action_as_json(self.action),
            "resource": resource_as_json(self.resource),
        }
        return with_context(body, self.context)


def subject_as_json(subject: Subject | str) -> dict[str, Any]:
    """A subject over the wire; raises ValueError for a text that is no `type:id`."""
    found = Subject(*_split(subject, "Subject")) if isinstance(subject, str) else subject
    return _with(found.properties, type=found.type, id=found.id)


def action_as_json(action: Action | str) -> dict[str, Any]:
    """An action over the wire."""
    found = Action(action) if isinstance(action, str) else action
    return _with(found.properties, name=found.name)


def resource_as_json(resource: Resource | str) -> dict[str, Any]:
    """A resource over the wire; raises ValueError for a text that is no `type:id`."""
    found = Resource(*_split(resource, "Resource")) if isinstance(resource, str) else resource
    return _with(found.properties, type=found.type, id=found.id)


def with_context(body: dict[str, Any], context: Properties | None) -> dict[str, Any]:
    """A body with its context, where there is one."""
    return {**body, "context": dict(context)} if context else body


def _split(written: str, kind: str) -> tuple[str, str]:
    type_, colon, id_ = written.partition(":")
    if not type_ or not colon or not id_:
        raise ValueError(f'"{written}" is no {kind.lower()}; write type:id, or {kind}(type, id, properties)')
    return type_, id_


def _with(properties: Properties, **members: str | None) -> dict[str, Any]:
    entity: dict[str, Any] = {name: value for name, value in members.items() if value is not None}
    return {**entity, "properties": dict(properties)} if properties else entity
