"""The route of menus: all that a subject may do to each of some resources."""

from __future__ import annotations

from klausel.api.errors import ApiError
from klausel.api.questions import check_model
from klausel.api.request_shapes import PERMISSIONS
from klausel.api.shapes import Json
from klausel.core.filters.json_form import filter_as_json
from klausel.core.terms.caller import Caller
from klausel.core.terms.request import NO_PROPERTIES, Resource, Subject
from klausel.service.decision_service import Service
from klausel.service.permissions import Menu, permissions


def answer_permissions(service: Service, body: Json, caller: Caller | None) -> Json:
    """The answer to `POST /v1/permissions`; raises `ApiError` (400, 501), `PoliciesTooOld` and `StorageError`."""
    check_model(service)
    items, most = body.get("resources"), service.settings.max_batch
    if isinstance(items, list) and len(items) > most:
        raise ApiError(400, f"resources has {len(items)} items, more than {most}; send several requests")
    read = PERMISSIONS.read(body, "")
    subject, context = read["subject"], read.get("context", {})
    who = Subject(subject["type"], subject["id"], subject.get("properties", NO_PROPERTIES))
    resources = [Resource(one["type"], one["id"], one.get("properties", NO_PROPERTIES)) for one in read["resources"]]
    with_conditions = read.get("conditions", False)
    menus = permissions(service, who, resources, context, with_conditions=with_conditions, caller=caller)
    return {"permissions": [_as_json(menu, with_conditions) for menu in menus]}


def _as_json(menu: Menu, with_conditions: bool) -> Json:
    told: Json = {"actions": list(menu.allowed)}
    if with_conditions:
        told["conditional"] = [
            {"action": action, "condition": filter_as_json(condition)["condition"]}
            for action, condition in menu.conditional.items()
        ]
    return told
