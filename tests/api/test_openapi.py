"""The description of the API: complete, valid, and true of the requests that are read and the answers that are given."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from doors import ROOT, Door, Doors, Json
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from versions import write_set
from werkzeug.test import TestResponse

from klausel.api.openapi import openapi_document, reference_page
from klausel.api.operations import OPERATIONS, Operation
from klausel.api.shapes import BY_POLICY
from klausel.app import create_flask_app

DOCUMENT = openapi_document("http://127.0.0.1:8080")
OPERATIONS_TOLD = [(method, path, told) for path, methods in DOCUMENT["paths"].items() for method, told in methods.items()]
BODIES = [
    (path, told)
    for method, path, told in OPERATIONS_TOLD
    if "application/json" in told.get("requestBody", {}).get("content", {})
]


def test_the_description_is_valid_openapi(demo: Doors, service: Door) -> None:
    document = service.get("/openapi.json").json
    policy = demo.service.policy.compiled.policy
    assert document == json.loads(json.dumps(openapi_document("http://127.0.0.1:8080", policy)))
    for told in (document, DOCUMENT):
        assert list(OpenAPIV31SpecValidator(told).iter_errors()) == []
        assert BY_POLICY not in json.dumps(told)


def test_the_description_is_kept_until_other_policies_are_in_force(opened: Callable[..., Doors], tmp_path: Path) -> None:
    folder = write_set(tmp_path)
    doors = opened(policies=str(folder), settle_seconds=0.0)
    client = create_flask_app(doors.service).test_client()

    def asked(**headers: str) -> TestResponse:
        return client.get("/openapi.json", headers={"Host": "localhost", **headers})

    first = asked()
    assert asked().data == first.data
    tag = first.headers["ETag"]
    for known in (tag, f'"other", {tag}', "*"):
        again = asked(**{"If-None-Match": known})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert asked(**{"If-None-Match": '"other"'}).data == first.data
    roles = folder / "roles.yaml"
    roles.write_text(roles.read_text() + "  newcomer: {level: account}\n")
    assert doors.service.reload_policy() == "taken"
    other = asked(**{"If-None-Match": tag})
    assert other.status_code == 200
    assert b"newcomer" in other.data
    assert b"newcomer" not in first.data


def test_each_route_is_described_and_nothing_else(demo: Doors) -> None:
    routes = {
        (method, rule.rule)
        for rule in create_flask_app(demo.service).url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    odd = sorted(set(OPERATIONS) ^ routes)
    assert not odd, f"api/operations.py has an entry for each route, and for no other: see {odd}"
    names = [operation.name for operation in OPERATIONS.values()]
    assert len(names) == len(set(names))


def test_each_operation_says_what_it_answers_and_which_errors_there_are() -> None:
    for method, path, told in OPERATIONS_TOLD:
        assert told["summary"], (method, path)
        good = {"200", "201", "204"} & told["responses"].keys()
        assert len(good) == 1
        shapeless = [name for name, content in told["responses"][good.pop()].get("content", {}).items() if not content]
        assert "application/json" not in shapeless, f"{method} {path} answers JSON; say its shape in api/answer_shapes.py"
        assert "403" in told["responses"]
        assert all("description" in answer for answer in told["responses"].values())
        if (path, told) in BODIES:
            assert told["requestBody"]["content"]["application/json"]["example"]


def described(schema: Json, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Each member that a body may have, with its schema; of a list the first item stands for all."""
    for name, inner in schema.get("properties", {}).items():
        yield (*place, name), inner
        yield from described(inner, (*place, name))
        items = inner.get("items", {})
        for choice in items.get("anyOf", (items,)):
            yield from described(choice, (*place, name, "0"))


ROW = {"subject": "user:ann", "role": "editor", "domain": "acme"}
TYPED = [
    pytest.param(path, place, inner, id=f"{path} {'.'.join(place)}")
    for path, told in BODIES
    for place, inner in described(told["requestBody"]["content"]["application/json"]["schema"])
    if "type" in inner or inner == {"not": {}}
]


@pytest.mark.parametrize(("path", "place", "schema"), TYPED)
def test_each_member_that_is_described_is_read(service: Door, path: str, place: tuple[str, ...], schema: Json) -> None:
    body = json.loads(json.dumps(OPERATIONS["POST", path].example))
    holder: Any = body
    for step in place[:-1]:
        if isinstance(holder, list):
            holder = holder[0]
        else:
            holder = holder.setdefault(step, [dict(ROW)] if step in ("grant", "revoke") else {})
    if place[-1] == "group":
        del holder["role"], holder["domain"]
    holder[place[-1]] = object_of_no_type(schema)
    answer = service.post(path, body)
    assert answer.status == 400
    assert place[-1] in answer.message


def object_of_no_type(schema: Json) -> object:
    """A value that the schema does not take."""
    return 1.5 if "object" in schema.get("type", ()) or "array" in schema.get("type", ()) else [1.5]


@pytest.mark.parametrize(("path", "told"), BODIES, ids=[path for path, _ in BODIES])
def test_an_example_is_read_and_its_answer_is_as_described(service: Door, path: str, told: Json) -> None:
    content = told["requestBody"]["content"]["application/json"]
    Draft202012Validator(content["schema"]).validate(content["example"])
    answer = service.post(path, content["example"])
    # The roles and types of the examples are declared by no policy, and nothing is stored under these.
    assert answer.status == {"/v1/assignments": 400, "/v1/entities": 409}.get(path, 200), answer.body
    if answer.status == 200:
        Draft202012Validator(told["responses"]["200"]["content"]["application/json"]["schema"]).validate(answer.json)


GETS = [
    (address, operation)
    for (method, address), operation in OPERATIONS.items()
    if method == "GET" and operation.answer is not None and operation.media_type == "application/json"
]


@pytest.mark.parametrize(("address", "operation"), GETS, ids=[address for address, _ in GETS])
def test_the_parameters_that_are_described_are_those_that_are_read(
    service: Door, address: str, operation: Operation
) -> None:
    answer = service.get(address.replace("<path:domain>", "acme") + "?nonsense=1")
    told = answer.json.get("error", {}).get("message", "")
    read = set(filter(None, told.partition('unknown parameter "nonsense"; there are ')[2].split(", ")))
    assert read == set(operation.parameters), f"GET {address} reads {read}: say so in `parameters` of api/operations.py"


def test_the_reference_page_is_made_from_the_description() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert page == reference_page(), "run scripts/http-reference"
