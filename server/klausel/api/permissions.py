"""The route of menus: all that a subject may do to each of some resources."""

from __future__ import annotations

from klausel.api.authzen_requests import NOW_FAULT, Json
from klausel.api.errors import ApiError
from klausel.api.questions import check_entity, check_model, properties_of
from klausel.core.filters.json_form import filter_as_json
from klausel.core.terms.caller import Caller
from klausel.core.terms.request import NOW, Resource, Subject
from klausel.service.decision_service import Service
from klausel.service.permissions import Menu, permissions


def answer_permissions(service: Service, body: Json, caller: Caller | None = None) -> Json:
    """The answer to `POST /v1/permissions`; raises `ApiError` (400, 501), `PoliciesTooOld` and `StorageError`."""
    check_model(service)
    subject = check_entity(body.get("subject"), "subject", ("type", "id"))
    who = Subject(subject["type"], subject["id"], properties_of(subject, "subject.properties"))
    resources = _resources(body, service.settings.max_batch)
    context = properties_of(body, "context")
    if NOW in context:
        raise ApiError(400, NOW_FAULT)
    with_conditions = body.get("conditions")
    if with_conditions is not None and not isinstance(with_conditions, bool):
        raise ApiError(400, "conditions is neither true nor false")
    menus = permissions(service, who, resources, context, with_conditions=with_conditions is True, caller=caller)
    return {"permissions": [_as_json(menu, with_conditions is True) for menu in menus]}


def _resources(body: Json, most: int) -> list[Resource]:
    items = body.get("resources")
    if items is None:
        raise ApiError(400, "resources is missing; send a list")
    if not isinstance(items, list):
        raise ApiError(400, "resources is not a list; send one")
    if len(items) > most:
        raise ApiError(400, f"resources has {len(items)} items, more than {most}; send several requests")
    read = []
    for index, item in enumerate(items):
        name = f"resources[{index}]"
        entity = check_entity(item, name, ("type", "id"))
        read.append(Resource(entity["type"], entity["id"], properties_of(entity, f"{name}.properties")))
    return read


def _as_json(menu: Menu, with_conditions: bool) -> Json:
    told: Json = {"actions": list(menu.allowed)}
    if with_conditions:
        told["conditional"] = [
            {"action": action, "condition": filter_as_json(condition)["condition"]}
            for action, condition in menu.conditional.items()
        ]
    return told
