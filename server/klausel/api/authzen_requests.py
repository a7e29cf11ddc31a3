"""Reading AuthZEN requests: JSON values to core values, every missing or wrongly typed field named in the error.

Source: OpenID AuthZEN Authorization API 1.0, sections on the information model and the evaluation APIs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from klausel.api.errors import ApiError
from klausel.core.terms.request import NO_PROPERTIES, NOW, Action, Request, Resource, Subject

ENTITIES = ("subject", "action", "resource", "context")
NOW_FAULT = "context.now is the clock of the service, which no caller may set; leave it out"
SEMANTICS = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")

Json = dict[str, Any]


def read_evaluation(body: Json) -> Request:
    """The request of one evaluation; raises `ApiError` (400). Unknown fields are ignored."""
    try:
        subject, action, resource = body["subject"], body["action"], body["resource"]
        read = Request(
            Subject(subject["type"], subject["id"], subject.get("properties", NO_PROPERTIES)),
            Action(action["name"], action.get("properties", NO_PROPERTIES)),
            Resource(resource["type"], resource["id"], resource.get("properties", NO_PROPERTIES)),
            body.get("context", NO_PROPERTIES),
        )
    except (KeyError, TypeError, AttributeError):
        raise _first_fault(body) from None
    (subject_type, subject_id, subject_properties, _), (name, action_properties), resource_read, context = read
    if (
        type(subject_type) is not str
        or type(subject_id) is not str
        or type(name) is not str
        or type(resource_read.type) is not str
        or type(resource_read.id) is not str
        or not _is_object(subject_properties)
        or not _is_object(action_properties)
        or not _is_object(resource_read.properties)
        or not _is_object(context)
    ):
        raise _first_fault(body)
    check_context(context)
    return read


def check_context(context: Mapping[str, object]) -> None:
    """Raises `ApiError` (400) for a context in which the caller says what time it is."""
    if NOW in context:
        raise ApiError(400, NOW_FAULT)


def _is_object(value: object) -> bool:
    return type(value) is dict or value is NO_PROPERTIES


def _first_fault(body: Json) -> ApiError:
    for entity, fields in (("subject", ("type", "id")), ("action", ("name",)), ("resource", ("type", "id"))):
        if entity not in body:
            return ApiError(400, f"{entity} is missing; send an object")
        if not isinstance(body[entity], dict):
            return ApiError(400, f"{entity} is not an object; send one")
        for field in fields:
            if field not in body[entity]:
                return ApiError(400, f"{entity}.{field} is missing; send a string")
            if not isinstance(body[entity][field], str):
                return ApiError(400, f"{entity}.{field} is not a string; send one")
        if not isinstance(body[entity].get("properties", {}), dict):
            return ApiError(400, f"{entity}.properties is not an object; send one")
    return ApiError(400, "context is not an object; send one")


def read_semantic(body: Json) -> str:
    """The semantic of a batch; raises `ApiError` (400) for one that does not exist."""
    options = body.get("options", {})
    if not isinstance(options, dict):
        raise ApiError(400, "options is not an object; send one")
    semantic = options.get("evaluations_semantic", SEMANTICS[0])
    if semantic not in SEMANTICS:
        raise ApiError(400, f"options.evaluations_semantic is none of {', '.join(SEMANTICS)}")
    return str(semantic)


def read_items(body: Json, most: int) -> list[object]:
    """The items of a batch, empty when the body is to be read as one evaluation; raises `ApiError` (400)."""
    items = body.get("evaluations", [])
    if not isinstance(items, list):
        raise ApiError(400, "evaluations is not a list; send one")
    if len(items) > most:
        raise ApiError(400, f"evaluations has {len(items)} items, more than {most}; send several requests")
    return items


def read_merged_items(body: Json, items: list[object]) -> Iterator[Request | ApiError]:
    """Each item joined with the defaults of the body, or the error of that item; a key in an item replaces the whole."""
    defaults: Mapping[str, object] = {key: body[key] for key in ENTITIES if key in body}
    subject = _whole_subject(defaults.get("subject"))
    for item in items:
        if type(item) is not dict:
            yield ApiError(400, "the item is not an object; send one")
            continue
        if subject is not None and "subject" not in item:
            read = _with_subject(subject, defaults, item)
            if read is not None:
                yield read
                continue
        try:
            yield read_evaluation({**defaults, **item})
        except ApiError as error:
            yield error


def _whole_subject(value: object) -> Subject | None:
    """The subject that a body gives to its items, read once; None when it is missing or at fault."""
    if not isinstance(value, dict):
        return None
    type_, id_, properties = value.get("type"), value.get("id"), value.get("properties", NO_PROPERTIES)
    if isinstance(type_, str) and isinstance(id_, str) and _is_object(properties):
        return Subject(type_, id_, properties)
    return None


def _with_subject(subject: Subject, defaults: Mapping[str, Any], item: Json) -> Request | None:
    """The request of an item that leaves out the subject; None when it has a fault, to be named by `read_evaluation`."""
    try:
        action = item["action"] if "action" in item else defaults["action"]
        resource = item["resource"] if "resource" in item else defaults["resource"]
        name, type_, id_ = action["name"], resource["type"], resource["id"]
        action_properties = action.get("properties", NO_PROPERTIES)
        properties = resource.get("properties", NO_PROPERTIES)
        context = item["context"] if "context" in item else defaults.get("context", NO_PROPERTIES)
    except (KeyError, TypeError, AttributeError):
        return None
    if type(name) is type(type_) is type(id_) is str and (
        _is_object(action_properties) and _is_object(properties) and _is_object(context) and NOW not in context
    ):
        return Request(subject, Action(name, action_properties), Resource(type_, id_, properties), context)
    return None
