"""The requests of the client and of the examples are as the JSON Schemas of the AuthZEN working group have them.

What those say, in short: bodies are closed, entities are open objects with string members, contexts and properties objects.
"""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from klausel.api import request_shapes
from klausel.api.operations import OPERATIONS
from klausel.client import Action, Klausel, Question, Resource, Subject, methods
from klausel.client.calls import EVALUATION, EVALUATIONS, PATHS, SEARCH_ACTION, SEARCH_RESOURCE, SEARCH_SUBJECT

Schema = dict[str, Any]
TEXT, OBJECT = {"type": "string"}, {"type": "object"}


def entity(*needed: str) -> Schema:
    members = {"type": TEXT, "id": TEXT, "name": TEXT, "properties": OBJECT}
    return {"type": "object", "required": list(needed), "properties": members}


def closed(needed: tuple[str, ...], **members: Schema) -> Schema:
    return {"type": "object", "required": list(needed), "properties": members, "additionalProperties": False}


WHOLE, ACTION, OF_TYPE = entity("type", "id"), entity("name"), entity("type")
PAGE = {"type": "object", "properties": {"token": TEXT, "limit": {"type": "number"}, "properties": OBJECT}}
ALL = ("subject", "action", "resource")
QUESTION = {"subject": WHOLE, "action": ACTION, "resource": WHOLE, "context": OBJECT}
OPTIONS = {"type": "object", "properties": {"evaluations_semantic": TEXT}}
PUBLISHED = {
    EVALUATION: closed(ALL, **QUESTION),
    EVALUATIONS: closed(
        ("evaluations",),
        subject=entity(),
        action=entity(),
        resource=entity(),
        evaluations={"type": "array", "items": closed((), **QUESTION)},
        options=OPTIONS,
    ),
    SEARCH_SUBJECT: closed(ALL, **{**QUESTION, "subject": OF_TYPE, "page": PAGE}),
    SEARCH_RESOURCE: closed(ALL, **{**QUESTION, "resource": OF_TYPE, "page": PAGE}),
    SEARCH_ACTION: closed(("subject", "resource"), subject=WHOLE, resource=WHOLE, context=OBJECT, page=PAGE),
}
"""By the endpoint that they are sent to."""

client = Klausel("http://localhost")
leo, quiz, context = Subject("user", "leo", {"deep": [{}]}), Resource("quiz", "q1", {"account": "acme"}), {"ip": "::1"}
edit = Action("edit", {"soft": True})
SENT = [
    methods.evaluate(client, leo, edit, quiz, context),
    methods.evaluate(client, "user:leo", "edit", "quiz:q1"),
    methods.evaluations(client, [Question(leo, edit, quiz, context)] * 2, reasons=True),
    *(methods.search_subjects(client, "user", edit, quiz, context, limit=5).page(token) for token in (None, "next")),
    *(methods.search_resources(client, leo, edit, Resource("quiz"), limit=5).page(token) for token in (None, "next")),
    *(methods.search_actions(client, leo, quiz, context).page(token) for token in (None, "next")),
]


@pytest.mark.parametrize("call", SENT, ids=lambda call: call.path)
def test_what_the_client_sends_is_as_the_working_group_has_it(call: Any) -> None:
    Draft202012Validator(PUBLISHED[call.path]).validate(call.body)


@pytest.mark.parametrize("endpoint", PUBLISHED)
def test_the_examples_of_the_description_are_as_the_working_group_has_them(endpoint: str) -> None:
    Draft202012Validator(PUBLISHED[endpoint]).validate(OPERATIONS["POST", PATHS[endpoint]].example)


def test_what_the_working_group_allows_is_read() -> None:
    page = {"token": "", "limit": 20.0, "properties": {"sort": ["id"]}}
    question = {
        "subject": {"type": "a b", "id": ""},
        "action": {"name": "", "properties": {}},
        "resource": {"type": "", "id": "1"},
    }
    bodies = {
        EVALUATION: (request_shapes.EXPLANATION, {**question, "context": {}}),
        EVALUATIONS: (request_shapes.EVALUATIONS, {"subject": {}, "evaluations": [{}], "options": {"more": 1}}),
        SEARCH_SUBJECT: (request_shapes.SEARCHES["subject"], {**question, "page": page}),
        SEARCH_RESOURCE: (request_shapes.SEARCHES["resource"], {**question, "page": {}}),
        SEARCH_ACTION: (
            request_shapes.SEARCHES["action"],
            {"subject": WHOLE_SUBJECT, "resource": WHOLE_SUBJECT, "page": page},
        ),
    }
    for endpoint, (shape, body) in bodies.items():
        Draft202012Validator(PUBLISHED[endpoint]).validate(body)
        assert shape.read(body, "")


WHOLE_SUBJECT = {"type": "user", "id": "leo"}
