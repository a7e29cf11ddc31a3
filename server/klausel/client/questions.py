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
    return _split(subject, "Subject") if isinstance(subject, str) else _entity(subject)


def action_as_json(action: Action | str) -> dict[str, Any]:
    """An action over the wire."""
    return {"name": action} if isinstance(action, str) else _with({"name": action.name}, action.properties)


def resource_as_json(resource: Resource | str) -> dict[str, Any]:
    """A resource over the wire; raises ValueError for a text that is no `type:id`."""
    return _split(resource, "Resource") if isinstance(resource, str) else _entity(resource)


def with_context(body: dict[str, Any], context: Properties | None) -> dict[str, Any]:
    """A body with its context, where there is one."""
    return {**body, "context": dict(context)} if context else body


def _split(written: str, kind: str) -> dict[str, Any]:
    type_, colon, id_ = written.partition(":")
    if not type_ or not colon or not id_:
        raise ValueError(f'"{written}" is no {kind.lower()}; write type:id, or {kind}(type, id, properties)')
    return {"type": type_, "id": id_}


def _entity(entity: Subject | Resource) -> dict[str, Any]:
    return _with({"type": entity.type} if entity.id is None else {"type": entity.type, "id": entity.id}, entity.properties)


def _with(members: dict[str, Any], properties: Properties) -> dict[str, Any]:
    return {**members, "properties": dict(properties)} if properties else members
