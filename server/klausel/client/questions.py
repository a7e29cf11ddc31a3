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
        subject = _entity(self.subject, Subject)
        resource = _entity(self.resource, Resource)
        action = Action(self.action) if isinstance(self.action, str) else self.action
        body: dict[str, Any] = {
            "subject": _with(subject.properties, type=subject.type, id=subject.id),
            "action": _with(action.properties, name=action.name),
            "resource": _with(resource.properties, type=resource.type, id=resource.id),
        }
        return {**body, "context": dict(self.context)} if self.context else body


def _entity(written: Any, kind: type[Any]) -> Any:
    if not isinstance(written, str):
        return written
    type_, colon, id_ = written.partition(":")
    if not type_ or not colon or not id_:
        raise ValueError(
            f'"{written}" is no {kind.__name__.lower()}; write type:id, or {kind.__name__}(type, id, properties)'
        )
    return kind(type_, id_)


def _with(properties: Properties, **members: str | None) -> dict[str, Any]:
    entity: dict[str, Any] = {name: value for name, value in members.items() if value is not None}
    return {**entity, "properties": dict(properties)} if properties else entity
