"""Reading AuthZEN requests: JSON values to core values, every missing or wrongly typed field named in the error.

Source: OpenID AuthZEN Authorization API 1.0, sections on the information model and the evaluation APIs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from klausel.api.errors import ApiError
from klausel.api.json_body import BodyError
from klausel.api.request_shapes import BATCH, EXPLANATION, OPTIONS, OPTIONS_OF_BATCH
from klausel.api.shapes import Json
from klausel.core.terms.request import NO_PROPERTIES, NOW, Action, Request, Resource, Subject, read_request

ENTITIES = ("subject", "action", "resource", "context")


def read_evaluation(body: Json) -> Request:
    """The request of one evaluation; raises `ApiError` (400). Unknown fields are ignored.

    A quick way reads what almost all send. Whatever it does not take is read by the table of shapes, which alone refuses.
    """
    try:
        read = read_request(body)
    except (KeyError, TypeError, AttributeError):
        return _by_shape(body)
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
        or NOW in context
    ):
        return _by_shape(body)
    return read


def _by_shape(body: Json) -> Request:
    return request_of(EXPLANATION.read(body, ""))


def request_of(read: Json) -> Request:
    """The request in a body that was read by its shape; what it leaves open has an empty id or name."""
    subject, action, resource = read["subject"], read.get("action", {}), read["resource"]
    return Request(
        Subject(subject["type"], subject.get("id", ""), subject.get("properties", NO_PROPERTIES)),
        Action(action.get("name", ""), action.get("properties", NO_PROPERTIES)),
        Resource(resource["type"], resource.get("id", ""), resource.get("properties", NO_PROPERTIES)),
        read.get("context", NO_PROPERTIES),
    )


def _is_object(value: object) -> bool:
    return type(value) is dict or value is NO_PROPERTIES


def read_options(body: Json) -> Json:
    """The options of one evaluation; raises `ApiError` (400). What is no object is ignored, as unknown members are."""
    options = body.get("options")
    return OPTIONS.read(options, "options") if type(options) is dict else {}


def read_batch_options(body: Json) -> Json:
    """The options of a batch; raises `ApiError` (400). Unknown ones are ignored."""
    options = body.get("options")
    return {} if options is None else OPTIONS_OF_BATCH.read(options, "options")


def read_items(body: Json, most: int) -> list[object]:
    """The items of a batch, empty when the body is to be read as one evaluation; raises `ApiError` (400)."""
    items = body.get(BATCH)
    if items is None:
        return []
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
            yield ApiError(400, item.message if type(item) is BodyError else "the item is not an object; send one")
            continue
        if subject is not None and "subject" not in item:
            read = _with_subject(subject, defaults, item)
            if read is not None:
                yield read
                continue
        merged = {**defaults, **item}
        if "context" in defaults and "context" in item and item["context"] is None:
            merged["context"] = defaults["context"]  # null means that it is not there
        try:
            yield read_evaluation(merged)
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
