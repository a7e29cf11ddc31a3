"""The routes of menus and of list filters: what a subject may do to some resources, and to which of a type it may do that."""

from __future__ import annotations

from klausel.api.access import check_reach
from klausel.api.authzen_requests import request_of
from klausel.api.errors import ApiError
from klausel.api.questions import check_model
from klausel.api.request_shapes import FILTER, PERMISSIONS
from klausel.api.shapes import Json
from klausel.core.filters.json_form import filter_as_json
from klausel.core.terms.caller import Caller
from klausel.core.terms.identifiers import fault_in_domain
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


def answer_filter(service: Service, body: Json, caller: Caller | None) -> Json:
    """The answer to `POST /v1/filter`; raises `ApiError` (400), `PoliciesTooOld` and `StorageError`.

    Under a model with a matcher of its own, which no filter can speak for, it raises `ApiError` with 501.
    """
    check_model(service)
    read = FILTER.read(body, "")
    domain: str | None = read.get("domain")
    if domain is not None:
        fault = fault_in_domain(domain)
        if fault:
            raise ApiError(400, f"domain {fault}")
    check_reach(caller, [domain])
    return filter_as_json(service.filter(request_of(read), domain))
