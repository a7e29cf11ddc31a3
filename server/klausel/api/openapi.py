"""The description of the API as OpenAPI 3.1, made from the table of operations, and a reference page for people from that."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import cache
from hashlib import sha256

from klausel import __version__
from klausel.api import answer_shapes
from klausel.api.access import scopes_of_route
from klausel.api.described_policy import EXAMPLES, STORED, described
from klausel.api.errors import SCIM_TYPE
from klausel.api.http import to_json
from klausel.api.operations import OPERATIONS, Operation
from klausel.api.request_shapes import FORMAT_OF_LISTS
from klausel.api.shapes import Json, Text
from klausel.core.policy.policy_set import PolicySet
from klausel.service.recording import RECORD_ID

_CHARACTERS_OF_TAG = 32
_ANY_PLACE = Text()
_PLACE = re.compile(r"<(?:path:)?(\w+)>")
_ERRORS = {
    400: "The request is wrong; the message says what, and how to fix it.",
    401: "Nothing proves who calls.",
    403: "The caller may not ask this, or the `Host` is another site's.",
    404: "There is nothing here.",
    405: "This cannot be done here.",
    409: "What is asked does not fit what is there: the state afterwards would be forbidden, or the files are refused.",
    412: "It was changed meanwhile.",
    413: "The body is too large.",
    415: "The body is of another type than this route takes.",
    429: "The caller asks too often; `Retry-After` says when to ask again.",
    500: "The service failed; its log says why.",
    501: "The model in force has a matcher of its own, so this cannot be told; or this part of SCIM is not served.",
    503: "The service cannot answer now; ask again.",
}
_RECORD_ASKED: Json = {
    "type": "string",
    "description": "Anything in it asks for the id of the records of this request, which the same header of the answer tells.",
}
_RECORD_TOLD: Json = {
    "type": "string",
    "description": "The id of its records, for `klausel decisions find --record-id`; where there is a decision log.",
}
_OF_ALL = (403, 500)
_OF_BODIES = (400, 413, 503)
_OF_FORMS = (*_OF_BODIES, 415)
_OF_SCOPES = (401, 429, 503)


def openapi_document(base_url: str, policy: PolicySet | None = None) -> Json:
    """The whole description, for a service that is reached under this address; with the names of a policy set, if given."""
    told: Json = described(_parts(), policy)
    if policy is not None:
        _give_examples(told, policy)
        told["components"]["schemas"].update(STORED)
    return {"openapi": "3.1.0", "info": _INFO, "servers": [{"url": base_url}], **told}


class Description:
    """The description as it is sent, with a tag of its bytes; made once for each policy set, by one thread for all."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._lock = threading.Lock()
        self._kept: dict[bool, tuple[PolicySet | None, bytes, str]] = {}

    def of(self, policy: PolicySet | None) -> tuple[bytes, str]:
        """That with the names of a policy set, the one in force; without names, where None is given."""
        has_names = policy is not None
        kept = self._kept.get(has_names)
        if kept is None or kept[0] is not policy:
            with self._lock:
                kept = self._kept.get(has_names)
                if kept is None or kept[0] is not policy:
                    body = to_json(openapi_document(self._base_url, policy))
                    kept = self._kept[has_names] = policy, body, sha256(body).hexdigest()[:_CHARACTERS_OF_TAG]
        return kept[1:]


_INFO = {
    "title": "Klausel",
    "version": __version__,
    "description": "Who may do what, by the policies in force. Deny is an answer (200), not an error.",
    "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
}


@cache
def _parts() -> Json:
    paths: dict[str, Json] = {}
    for (method, address), operation in OPERATIONS.items():
        paths.setdefault(_PLACE.sub(r"{\1}", address), {})[method.lower()] = _operation(method, address, operation)
    return {
        "paths": paths,
        "components": {
            "schemas": {"Error": answer_shapes.ERROR.schema()},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "Where the service runs with authentication."}
            },
        },
    }


def _give_examples(told: Json, policy: PolicySet) -> None:
    for operation in (operation for methods in told["paths"].values() for operation in methods.values()):
        make = EXAMPLES.get(operation["operationId"])
        example = None if make is None else make(policy)
        if example is not None:
            operation["requestBody"]["content"]["application/json"]["example"] = example


def _operation(method: str, address: str, operation: Operation) -> Json:
    scopes = scopes_of_route(method, address)
    told: Json = {"operationId": operation.name, "summary": operation.summary}
    if scopes:
        told["description"] = f"With authentication it needs the scope {' or '.join(f'`{scope}`' for scope in scopes)}."
        told["security"] = [{}, {"key": []}]
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": operation.places.get(name, _ANY_PLACE).schema()}
        for name in _PLACE.findall(address)
    ]
    parameters += [
        {"name": name, "in": "query", "required": name in operation.needed_parameters, "schema": shape.schema()}
        for name, shape in operation.parameters.items()
    ]
    if operation.is_recorded:
        parameters.append({"name": RECORD_ID, "in": "header", "required": False, "schema": _RECORD_ASKED})
    if parameters:
        told["parameters"] = parameters
    if operation.body is not None:
        content: Json = {"schema": operation.body.schema()}
        if operation.example is not None:
            content["example"] = operation.example
        told["requestBody"] = {"required": True, "content": {"application/json": content}}
    if operation.form is not None:
        content = {"schema": operation.form.schema()}
        told["requestBody"] = {"required": True, "content": {"application/x-www-form-urlencoded": content}}
    schema = {} if operation.answer is None else {"schema": operation.answer.schema()}
    if operation.takes_scim:
        told["requestBody"] = {"required": True, "content": {SCIM_TYPE: {"schema": {"type": "object"}}}}
    twin: Json = {} if operation.twin is None else {"application/json": {"schema": operation.twin.schema()}}
    if operation.parameters.get("format") is FORMAT_OF_LISTS:
        twin["text/csv"] = {"schema": {"type": "string"}}
    if operation.also_answers:
        twin[operation.also_answers] = {"schema": {"type": "string"}}
    content = {} if operation.status == 204 else {"content": {operation.media_type: schema, **twin}}
    told["responses"] = {str(operation.status): {"description": "The answer.", **content}}
    if operation.is_recorded:
        told["responses"]["200"]["headers"] = {RECORD_ID: {"schema": _RECORD_TOLD}}
    if operation.redirects:
        told["responses"]["303"] = {"description": "Look further at the address in `Location`."}
    for status in sorted(set(_statuses(operation, bool(scopes)))):
        told["responses"][str(status)] = _error(operation, status)
    return told


def _statuses(operation: Operation, has_scopes: bool) -> Iterator[int]:
    yield from _OF_ALL
    yield from operation.errors
    if operation.body is not None:
        yield from _OF_BODIES
    if operation.form is not None or operation.takes_scim:
        yield from _OF_FORMS
    if operation.parameters or operation.body is not None or has_scopes:
        yield 400
    if has_scopes:
        yield from _OF_SCOPES
    if operation.name == "readiness":
        yield 503


def _error(operation: Operation, status: int) -> Json:
    schema = {"schema": {"$ref": "#/components/schemas/Error"}}
    example = {"example": {"error": {"status": status, "message": _ERRORS[status]}}}
    content: Json = (
        {operation.media_type: {}}
        if operation.media_type in ("text/html", SCIM_TYPE)
        else {"application/json": {**schema, **example}}
    )
    if operation.twin is not None:
        content["application/json"] = schema
    return {"description": _ERRORS[status], "content": content}


def reference_page() -> str:
    """The description as a Markdown page."""
    document = described(_parts(), None)
    lines = [
        "# Reference: every route",
        "",
        "Made from the tables that the service reads requests by (`scripts/http-reference`); `GET /openapi.json` has all of it",
        "for programs, with the shapes of answers and errors. What the answers mean is told in [the guide](http.md).",
    ]
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            lines += ["", f"## {method.upper()} {path}", "", f"{told['summary']}. {told.get('description', '')}".rstrip()]
            parameters = told.get("parameters", ())
            if parameters:
                lines += ["", "| parameter | needed | what it is |", "|---|---|---|"]
                lines += [
                    f"| `{one['name']}` | {'yes' if one['required'] else ''} | {one['schema'].get('description', '')} |"
                    for one in parameters
                ]
            schema = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if schema is not None:
                lines += ["", "| member | needed | type | what it is |", "|---|---|---|---|", *_rows(schema, "")]
            statuses = ", ".join(status for status in told["responses"] if status[0] in "45")
            lines += ["", f"Errors: {statuses}."]
    return "\n".join(lines) + "\n"


def _rows(schema: Json, place: str) -> Iterator[str]:
    needed = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        inside = f"{place}.{name}" if place else name
        if inner == {"not": {}}:
            yield f"| `{inside}` | never | | |"
            continue
        yield f"| `{inside}` | {'yes' if name in needed else ''} | {_type(inner)} | {inner.get('description', '')} |"
        yield from _rows(inner, inside)
        items = inner.get("items")
        if isinstance(items, dict):
            for choice in items.get("anyOf", (items,)):
                yield from _rows(choice, f"{inside}[]")


def _type(schema: Json) -> str:
    kind = schema.get("type", "any")
    kinds = [kind] if isinstance(kind, str) else [one for one in kind if one != "null"]
    values = [f"`{value}`" for value in schema.get("enum", ()) if value is not None]
    return ", ".join(values) if values else ", ".join(kinds)
