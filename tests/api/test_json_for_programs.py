"""Whatever the service answers as JSON has a version, in its address or as a member, and a schema that names all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_pages import Browser, calling
from doors import ALLOWED, EVALUATION, Doors, demo_people, grant, open_doors
from jsonschema import Draft202012Validator
from stored_entities import write_policies

from klausel.api.access import SCOPES_OF_ROUTES
from klausel.api.openapi import openapi_document

PATHS = openapi_document("http://127.0.0.1:8080")["paths"]
TRIED = {"subject": "user:leo", "action": "edit", "type": "quiz", "id": "q1", "domain": "acme/support"}
ASKED: dict[str, list[dict[str, str]]] = {
    "/console": [{}, {"subject": "user:leo", "domain": "acme/support"}],
    "/console/roles": [{}],
    "/console/try": [TRIED, {**TRIED, "time": "2026-03-01T12:00"}],
    "/console/who-can": [{"action": "edit", "type": "quiz", "domain": "acme/support"}],
    "/console/what-can": [{"subject": "user:leo", "domain": "acme/support"}],
    "/console/changes": [{}, {"before": "HEAD"}],
    "/console/people": [{}],
    "/console/person": [{"subject": "user:leo", "domain": "acme/support"}],
    "/console/decisions": [{}],
    "/console/decision": [{"id": "RECORD"}],
    "/console/playground": [{}, {"file": "FILE"}],
    "/v1/policy": [{}],
    "/v1/policy/types": [{}],
    "/v1/casbin-js": [{"subject": "user:leo"}],
    "/v1/casbin-js/{domain}": [{"subject": "user:leo"}],
    "/v1/assignments": [{"subject": "user:leo"}],
    "/v1/assignment-log": [{}],
    "/v1/entity-log": [{}],
    "/v1/entities": [{"kind": "subject", "type": "user"}],
}
"""The queries of each GET that answers a program about policies, people or decisions."""
OF_STANDARDS = ("/.well-known/", "/scim/", "/openapi.json", "/healthz", "/readyz", "/metrics")
"""What others have set the form of, or has nothing but a state in it."""
VERSIONED = ("/v1/", "/access/v1/")


@pytest.fixture
def asker(opened: Callable[..., Doors], tmp_path: Path) -> tuple[Browser, Doors, str]:
    """Somebody with every scope, and the id of a recorded decision."""
    settings: dict[str, Any] = {"authentication": "keys", "host": "0.0.0.0", "public_url": "https://klausel.example"}
    doors = opened(**settings, decision_log=str(tmp_path / "decisions.jsonl"), decision_log_strict=True)
    grant(doors.service, demo_people())
    scopes = sorted({scope for needed in SCOPES_OF_ROUTES.values() for scope in needed} - {"assign_on_behalf"})
    browser = calling(doors, *scopes)
    sent = {**browser._headers, "X-Klausel-Record": "yes"}
    record = doors.lane.ask("POST", EVALUATION, json.dumps(ALLOWED).encode(), headers=sent).headers["X-Klausel-Record"]
    return browser, doors, str(record)


def unnamed(value: object, schema: dict[str, Any], place: str = "") -> list[str]:
    """The members of a value that its schema does not name, wherever it names any."""
    if "anyOf" in schema:
        fitting = [one for one in schema["anyOf"] if Draft202012Validator(one).is_valid(value)]
        return min((unnamed(value, one, place) for one in fitting), key=len)
    if isinstance(value, list):
        return [name for item in value for name in unnamed(item, schema.get("items", {}), f"{place}[]")]
    if not isinstance(value, dict):
        return []
    others = schema.get("additionalProperties")
    named = schema.get("properties") or dict.fromkeys(value, others or {})
    found = [f"{place}.{name}" for name in value if name not in named]
    return found + [name for key in value if key in named for name in unnamed(value[key], named[key], f"{place}.{key}")]


def test_every_route_that_answers_programs_is_asked_here_or_is_of_a_standard() -> None:
    readers = {path for path, methods in PATHS.items() if "get" in methods and path not in OF_STANDARDS}
    answering = {
        path
        for path in readers
        if not path.startswith(OF_STANDARDS)
        and "application/json" in PATHS[path]["get"]["responses"].get("200", {}).get("content", {})
    }
    assert answering == set(ASKED), "say what to ask it; a page of the console without a twin has none in api/page_shapes.py"
    pages = {path.replace("<path:", "{").replace(">", "}") for method, path in SCOPES_OF_ROUTES if method == "GET"}
    scoped = {path for path in pages if path.startswith("/console") and SCOPES_OF_ROUTES["GET", path]}
    assert scoped <= answering, "a page has a JSON twin; give its shape to _page in api/operations.py"


@pytest.mark.parametrize("path", ASKED)
def test_an_answer_has_a_version_and_is_all_in_its_schema(path: str, asker: tuple[Browser, Doors, str]) -> None:
    browser, _, record = asker
    is_page = path.startswith("/console")
    schema = PATHS[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    for asked in ASKED[path]:
        files = browser.twin("/console/playground")["files"] if "file" in asked else [""]
        given = {name: text.replace("RECORD", record).replace("FILE", files[0]) for name, text in asked.items()}
        address = path.replace("{domain}", "acme/support")
        answer = browser.get(address, **given, **({"format": "json"} if is_page else {}))
        assert answer.status == 200, answer.body
        told = answer.json
        if is_page:
            assert next(iter(told)) == "version"
            assert told["version"] == 1
        else:
            assert path.startswith(VERSIONED)
        Draft202012Validator(schema).validate(told)
        assert unnamed(told, schema) == []


def test_members_of_groups_times_and_stored_properties_are_in_the_schemas(tmp_path: Path) -> None:
    todo = {"kind": "resource", "type": "todo", "id": "1", "domain": "acme/red", "properties": {"owner": "ann"}}
    ann = {"kind": "subject", "type": "user", "id": "ann", "properties": {"email": "ann@example.com"}}
    until = "2999-01-01T00:00:00Z"
    granted = [
        {"subject": "user:ann", "group": "group:ops"},
        {"subject": "group:ops", "role": "editor", "domain": "acme", "until": until},
    ]
    asked = {
        "/console/what-can": {"subject": "user:ann", "domain": "acme", "format": "json"},
        "/console/person": {"subject": "user:ann", "domain": "acme", "format": "json"},
        "/v1/assignments": {"domain": "acme"},
        "/v1/assignment-log": {},
        "/v1/entities": {"kind": "resource", "type": "todo"},
        "/v1/entity-log": {},
    }
    with open_doors(tmp_path / "own.db", **write_policies(tmp_path)) as doors:
        assert doors.lane.post("/v1/entities", {"put": [todo, ann], "by": "cara"}).status == 200
        assert doors.lane.post("/v1/assignments", {"grant": granted}).status == 200
        for path, query in asked.items():
            told = Browser(doors.service).get(path, **query).json
            schema = PATHS[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            Draft202012Validator(schema).validate(told)
            assert any(value for name, value in told.items() if name != "version")
            assert unnamed(told, schema) == [], path


def test_the_answers_to_forms_have_them_too(asker: tuple[Browser, Doors, str]) -> None:
    browser, _, _ = asker
    forms = {
        "/console/person": {"change": "grant", "subject": "user:new", "role": "user", "domain": "acme"},
        "/console/playground": {"changes": "{}"},
    }
    described = {
        path
        for path, methods in PATHS.items()
        if "application/json" in methods.get("post", {}).get("responses", {}).get("200", {}).get("content", {})
        and path.startswith("/console")
    }
    assert described == set(forms)
    for path, fields in forms.items():
        answer = browser.send(f"{path}?format=json", fields)
        assert answer.status == 200, answer.body
        assert answer.json["version"] == 1
        schema = PATHS[path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator(schema).validate(answer.json)
        assert unnamed(answer.json, schema) == []
