"""Reading questions that leave something open: which subjects, which resources, which actions."""

from __future__ import annotations

from typing import Literal

from klausel.api.authzen_requests import NOW_FAULT, Json, check_context
from klausel.api.errors import ApiError
from klausel.core.terms.request import NO_PROPERTIES, NOW, Action, Request, Resource, Subject
from klausel.service.decision_service import Service

Open = Literal["subject", "resource", "action"]
"""What a question is about; of a subject or a resource only the type counts, of an action nothing."""

_FIELDS = {"subject": ("type", "id"), "action": ("name",), "resource": ("type", "id")}


def read_question(body: Json, open_: Open | None) -> Request:
    """The question, its open part with an empty id or name; raises `ApiError` (400). Unknown fields are ignored."""
    subject = _entity(body, "subject", open_)
    action = {} if open_ == "action" else _entity(body, "action", open_)
    resource = _entity(body, "resource", open_)
    context = properties_of(body, "context")
    if NOW in context:
        raise ApiError(400, NOW_FAULT)
    return Request(
        Subject(subject["type"], "" if open_ == "subject" else subject["id"], properties_of(subject, "subject.properties")),
        Action(action.get("name", ""), properties_of(action, "action.properties")),
        Resource(
            resource["type"], "" if open_ == "resource" else resource["id"], properties_of(resource, "resource.properties")
        ),
        _context_of(body),
    )


def _context_of(body: Json) -> Json:
    context = properties_of(body, "context")
    check_context(context)
    return context


def _entity(body: Json, name: str, open_: Open | None) -> Json:
    return check_entity(body.get(name), name, _FIELDS[name][:1] if name == open_ else _FIELDS[name])


def check_model(service: Service) -> None:
    """Raises `ApiError` (501) under a model with a matcher of its own: what is found from grants alone would not be true."""
    other_model = service.live.in_force.policy.compiled.other_model
    if other_model is not None:
        raise ApiError(501, f"the matcher of the model in force is not Klausel's ({other_model}), so this cannot be told")


def check_entity(entity: object, name: str, fields: tuple[str, ...]) -> Json:
    """An object with these fields, all strings; raises `ApiError` (400), which calls it by this name."""
    if entity is None:
        raise ApiError(400, f"{name} is missing; send an object")
    if not isinstance(entity, dict):
        raise ApiError(400, f"{name} is not an object; send one")
    for field in fields:
        if not isinstance(entity.get(field), str):
            raise ApiError(
                400, f"{name}.{field} {'is not a string; send one' if field in entity else 'is missing; send a string'}"
            )
    return entity


def properties_of(holder: Json, name: str) -> Json:
    """The object under the last part of a name such as `subject.properties`, empty where there is none or null."""
    value = holder.get(name.rpartition(".")[2])
    if value is None:
        return dict(NO_PROPERTIES)
    if not isinstance(value, dict):
        raise ApiError(400, f"{name} is not an object; send one")
    return value
