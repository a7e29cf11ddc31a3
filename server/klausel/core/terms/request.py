"""The values of one question: subject, action, resource, context. Immutable, cheap to build, never with defaults shared."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

NO_PROPERTIES: Mapping[str, object] = MappingProxyType({})
NOW = "now"
"""The member of the context that holds the time of the question; only `asked_at` puts it there, never a caller."""


class Subject(NamedTuple):
    """Who asks; `roles` are the names it holds where it asks (see `klausel.core.decisions.effective_roles`)."""

    type: str
    id: str
    properties: Mapping[str, object] = NO_PROPERTIES
    roles: frozenset[str] = frozenset()


class Resource(NamedTuple):
    """What it is asked about."""

    type: str
    id: str
    properties: Mapping[str, object] = NO_PROPERTIES


class Action(NamedTuple):
    """What the subject wants to do."""

    name: str
    properties: Mapping[str, object] = NO_PROPERTIES


class Request(NamedTuple):
    """One question: may this subject do this to that, in this context?"""

    subject: Subject
    action: Action
    resource: Resource
    context: Mapping[str, object] = NO_PROPERTIES


def sent_with(request: Request) -> tuple[tuple[str, Mapping[str, object]], ...]:
    """The properties that a request sends, by whose they are, as conditions name it."""
    subject, action, resource, context = request
    return (
        ("subject", subject.properties),
        ("action", action.properties),
        ("resource", resource.properties),
        ("context", context),
    )


def read_request(said: Mapping[str, Any]) -> Request:
    """The request that a JSON object says as AuthZEN has it, its values as they are: nothing of them is checked.

    Raises KeyError, TypeError or AttributeError for an object of another form.
    """
    subject, action, resource = said["subject"], said["action"], said["resource"]
    return Request(
        Subject(subject["type"], subject["id"], subject.get("properties", NO_PROPERTIES)),
        Action(action["name"], action.get("properties", NO_PROPERTIES)),
        Resource(resource["type"], resource["id"], resource.get("properties", NO_PROPERTIES)),
        said.get("context", NO_PROPERTIES),
    )


def asked_at(request: Request, now: datetime | None) -> Request:
    """The same question, asked at a time; None where that is not known, so that conditions about it are unknown."""
    subject, action, resource, context = request
    if now is not None:
        return Request(subject, action, resource, {**context, NOW: now} if context else {NOW: now})
    return Request(subject, action, resource, {name: value for name, value in context.items() if name != NOW})
