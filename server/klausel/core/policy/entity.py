"""What is known of a subject or a resource before anybody asks: its properties and where it lies; joined to requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from klausel.core.policy.roles import RoleModel
from klausel.core.terms.identifiers import subject_key
from klausel.core.terms.problem import Place
from klausel.core.terms.request import NO_PROPERTIES, Request, Resource, Subject

EntityKind = Literal["subject", "resource"]
KINDS: tuple[EntityKind, ...] = ("subject", "resource")

EntityKey = tuple[EntityKind, str, str]
"""Kind, type and id."""


class Entity(NamedTuple):
    """A stored subject or resource; a resource lies in a domain, or says nothing of it (empty). Null stands for no value."""

    kind: EntityKind
    type: str
    id: str
    domain: str = ""
    properties: Mapping[str, object] = NO_PROPERTIES

    @classmethod
    def of_stored(cls, kind: Any, type_: str, id_: str, domain: str, properties: str) -> Entity:
        """The entity whose properties `properties_text` wrote."""
        return cls(kind, type_, id_, domain, json.loads(properties))

    @property
    def key(self) -> EntityKey:
        """What no two stored ones share."""
        return self.kind, self.type, self.id

    @property
    def name(self) -> str:
        """As subjects are written: `user:ann`, `todo:7`."""
        return subject_key(self.type, self.id)

    def as_json(self) -> dict[str, object]:
        """As requests and files have it; without a domain where it says none."""
        where = {"domain": self.domain} if self.domain else {}
        return {"kind": self.kind, "type": self.type, "id": self.id, **where, "properties": dict(self.properties)}


class WrittenEntity(NamedTuple):
    """What the files of the policies say of a subject or a resource: where it begins, and where each property stands."""

    entity: Entity
    place: Place
    places: Mapping[str, Place]


def properties_text(properties: Mapping[str, object]) -> str:
    """The one way to write properties as JSON."""
    return json.dumps(properties, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def joined(roles: RoleModel, request: Request, subject: Entity | None, resource: Entity | None) -> Request:
    """The request with what is stored of its subject and its resource, each where there is something; that wins.

    Where a resource is stored with a domain, nothing that the request sends says where it lies.
    """
    who, action, asked, context = request
    if subject is not None:
        type_, id_, sent, held = who
        who = Subject(type_, id_, {**sent, **subject.properties} if sent else subject.properties, held)
    if resource is not None:
        type_, id_, sent = asked
        properties = {**sent, **resource.properties}
        if resource.domain:
            levels, parts = roles.levels, resource.domain.split("/")
            for level, part in zip(levels, parts, strict=False):
                if level.named_by is not None and level.constant is None:
                    properties[level.named_by] = part
            for level in levels[len(parts) :]:
                properties.pop(level.named_by or "", None)
        asked = Resource(type_, id_, properties)
    return Request(who, action, asked, context)
