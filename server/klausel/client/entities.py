"""Stored properties of subjects and resources: how applications write and read them. See `klausel.client.methods`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from klausel.client.answers import CallFailed
from klausel.client.calls import Call, Pages, read_list, read_object
from klausel.client.methods import Client, claims
from klausel.client.questions import Properties

PATH = "/v1/entities"
EntityKind = Literal["subject", "resource"]
EntityKey = tuple[EntityKind, str, str]
"""Kind, type and id: what no two stored entities share."""


@dataclass(frozen=True, slots=True)
class Entity:
    """What is stored of a subject or a resource. The `domain` is where a resource lies; a subject has none."""

    kind: EntityKind
    type: str
    id: str
    properties: Properties = field(default_factory=dict)
    domain: str | None = None

    @property
    def key(self) -> EntityKey:
        """What `delete` takes."""
        return self.kind, self.type, self.id

    def as_json(self) -> dict[str, Any]:
        """As it goes over the wire."""
        where = {} if self.domain is None else {"domain": self.domain}
        return {"kind": self.kind, "type": self.type, "id": self.id, **where, "properties": dict(self.properties)}


@dataclass(frozen=True, slots=True)
class EntitiesWritten:
    """The revision after a write, how many entities are new or other than before, and how many went."""

    revision: str
    stored: int
    removed: int


def write_entities(
    client: Client,
    put: Sequence[Entity] = (),
    delete: Sequence[EntityKey] = (),
    *,
    by: str | None = None,
    reason: str | None = None,
    ticket: str | None = None,
) -> Call[EntitiesWritten]:
    """Stores and deletes up to 1,000 entities at once, all or none. To put replaces all that is stored of each.

    The same write again changes nothing. Never sent twice by itself.
    """

    def read(answer: Any) -> EntitiesWritten:
        whole = read_object(answer)
        return EntitiesWritten(str(whole["revision"]), int(whole["stored"]), int(whole["removed"]))

    gone = [{"kind": kind, "type": type_, "id": id_} for kind, type_, id_ in delete]
    body = {"put": [one.as_json() for one in put], "delete": gone, **claims(by, reason, ticket)}
    return Call("POST", PATH, read, body, is_safe=False, forgets=True)


def delete_entity(
    client: Client,
    kind: EntityKind,
    type: str,
    id: str,
    *,
    by: str | None = None,
    reason: str | None = None,
    ticket: str | None = None,
) -> Call[bool]:
    """Takes away what is stored of one subject or resource; false where nothing was. Never sent twice by itself."""
    parameters = {"kind": kind, "type": type, "id": id, **claims(by, reason, ticket)}
    return Call("DELETE", PATH, _was_there, parameters=parameters, is_safe=False, forgets=True)


def entity(client: Client, kind: EntityKind, type: str, id: str) -> Call[Entity | None]:
    """What is stored of one subject or resource; None where nothing is."""

    def read(answer: Any) -> Entity | None:
        return next(iter(_entities(answer)[0]), None)

    return Call("GET", PATH, read, parameters={"kind": kind, "type": type, "id": id})


def entities(
    client: Client, kind: EntityKind, type: str, *, domain: str | None = None, limit: int | None = None
) -> Pages[Entity]:
    """All stored entities of a type by their ids, page after page; with `domain` those there and below.

    `limit` is the length of a page.
    """
    asked = {"kind": kind, "type": type, "domain": domain, "limit": None if limit is None else str(limit)}

    def page(cursor: str | None) -> Call[tuple[list[Entity], str | None]]:
        parameters = {name: value for name, value in (*asked.items(), ("cursor", cursor)) if value is not None}
        return Call("GET", PATH, _entities, parameters=parameters)

    return Pages(page)


def _was_there(answer: Any) -> bool:
    return int(read_object(answer)["removed"]) > 0


def _entities(answer: Any) -> tuple[list[Entity], str | None]:
    try:
        found = [
            Entity(one["kind"], one["type"], one["id"], one.get("properties") or {}, one.get("domain"))
            for one in read_list(answer, "entities")
        ]
    except KeyError:
        raise CallFailed("the service gave an entity without its kind, type or id") from None
    return found, read_object(answer).get("next_cursor")
