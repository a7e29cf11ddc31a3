"""What `/openapi.json` says of the policies in force: what it takes is taken, and what it does not is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from doors import Door, Doors, Json, open_doors
from jsonschema import Draft202012Validator

from klausel.api.described_policy import STORED
from klausel.core.policy.entity_faults import MOST_DEPTH, fault_in_value

ASSIGNMENTS, ENTITIES = "/v1/assignments", "/v1/entities"
ROLES = """
levels:
  region: {constant: world}
  shop: {named_by: shop}
roles:
  head: {level: region}
  seller: {level: shop}
"""
FEATURE = """
resource_types:
  order:
    actions: [view]
    properties:
      {buyer: user id, total: number, paid: boolean, due: time, state: [open, sent], tags: list of text, to: {city: text}}
  note:
    actions: [view]
grants:
  - {allow: seller, to: view, resource: order}
"""


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    policies = tmp_path / "policies"
    (policies / "features").mkdir(parents=True)
    (policies / "roles.yaml").write_text(ROLES)
    (policies / "features" / "orders.yaml").write_text(FEATURE)
    (policies / "properties.yaml").write_text("stored: {resources: [order, note], subjects: user}\n")
    with open_doors(tmp_path / "klausel.db", policies=str(policies)) as opened:
        yield opened


def body_of(door: Door, path: str) -> Json:
    document = door.get("/openapi.json").json
    told: Json = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    # Where its references lead to.
    return {**told, "schema": {**told["schema"], "components": document["components"]}}


@pytest.mark.parametrize("path", [ASSIGNMENTS, ENTITIES])
def test_the_example_is_taken(doors: Doors, path: str) -> None:
    told = body_of(doors.flask, path)
    Draft202012Validator(told["schema"]).validate(told["example"])
    assert doors.flask.post(path, told["example"]).status == 200


def row(role: str, domain: str, subject: str = "user:ann") -> Json:
    return {"grant": [{"subject": subject, "role": role, "domain": domain}]}


def order(**properties: object) -> Json:
    return {"put": [{"kind": "resource", "type": "order", "id": "7", "domain": "world/x", "properties": properties}]}


def entity(kind: str, type_: str, **more: object) -> Json:
    return {"put": [{"kind": kind, "type": type_, "id": "7", **more}]}


@pytest.mark.parametrize(
    ("path", "body", "is_taken"),
    [
        (ASSIGNMENTS, row("head", "world"), True),
        (ASSIGNMENTS, row("seller", "world/north"), True),
        (ASSIGNMENTS, row("seller", "world/*x"), True),
        (ASSIGNMENTS, row("head", "world", "urn%3Ax:ann"), True),
        (ASSIGNMENTS, row("head", "elsewhere"), False),
        (ASSIGNMENTS, row("seller", "world"), False),
        (ASSIGNMENTS, row("seller", "world/*"), False),
        (ASSIGNMENTS, row("seller", "world/a/b"), False),
        (ASSIGNMENTS, row("buyer", "world"), False),
        (ASSIGNMENTS, row("head", "world", "ann"), False),
        (ASSIGNMENTS, row("head", "world", "user:a\nb"), False),
        (ENTITIES, order(buyer="ann", total=1.5, paid=True, state="sent", tags=["x"], to={"city": "Bonn"}), True),
        (ENTITIES, order(due="2026-03-01T12:00:00Z", total=None), True),
        (ENTITIES, order(total="1"), False),
        (ENTITIES, order(state="lost"), False),
        (ENTITIES, order(other=1), False),
        (ENTITIES, order(shop="x"), False),
        (ENTITIES, entity("resource", "note", properties={"any": ["thing", 1, {"deep": [None], "": 1}]}), True),
        (ENTITIES, entity("resource", "note", properties={'a"b': 1}), False),
        (ENTITIES, entity("resource", "note", properties={"id": "8"}), False),
        (ENTITIES, entity("resource", "note", domain="world"), True),
        (ENTITIES, entity("resource", "note", domain="mars"), False),
        (ENTITIES, entity("subject", "user", properties={"email": "a@b"}), True),
        (ENTITIES, entity("subject", "user", properties=dict.fromkeys(map(str, range(100)), 1)), True),
        (ENTITIES, entity("subject", "user", properties=dict.fromkeys(map(str, range(101)), 1)), False),
        (ENTITIES, entity("subject", "user", domain="world"), False),
        (ENTITIES, entity("subject", "order"), False),
        (ENTITIES, entity("resource", "user"), False),
    ],
)
def test_what_is_described_is_what_is_taken(doors: Doors, path: str, body: Json, is_taken: bool) -> None:
    if path == ASSIGNMENTS and is_taken:
        doors.flask.post(path, row("head", "world"))
    schema = body_of(doors.flask, path)["schema"]
    assert Draft202012Validator(schema).is_valid(body) == is_taken
    answer = doors.flask.post(path, body)
    assert answer.status == (200 if is_taken else 400), answer.body


def test_who_proves_nothing_is_not_told_the_names(tmp_path: Path) -> None:
    with open_doors(tmp_path / "klausel.db", authentication="keys") as opened:
        told = opened.flask.get("/openapi.json")
        assert told.status == 200
        assert b"account_manager" not in told.body


def test_it_tells_how_deep_a_stored_value_may_be() -> None:
    schemas = {"components": {"schemas": STORED}}
    told = Draft202012Validator({**STORED[f"Stored{MOST_DEPTH}"], **schemas})
    for innermost in (1, "a", [], {}):
        inside_lists: object = innermost
        inside_objects: object = innermost
        for deep in range(MOST_DEPTH + 2):
            for value in (inside_lists, inside_objects):
                assert told.is_valid(value) == (fault_in_value(value, MOST_DEPTH) is None), (deep, value)
            inside_lists, inside_objects = [inside_lists], {"a": inside_objects}


@pytest.mark.parametrize(("value", "is_stored"), [(2**53, True), (2**60, False), (float(2**60), True), (-1.79e308, True)])
def test_a_number_that_no_description_can_tell_from_a_good_one_is_a_conflict(
    doors: Doors, value: float, is_stored: bool
) -> None:
    schema = body_of(doors.flask, ENTITIES)["schema"]
    for body in (order(total=value), entity("resource", "note", properties={"any": [{"deep": value}]})):
        Draft202012Validator(schema).validate(body)
        answer = doors.flask.post(ENTITIES, body)
        assert answer.status == (200 if is_stored else 409)
        assert is_stored or answer.message.endswith(" is too large for an exact number; send it as a text")
        body["put"].append({"kind": "subject", "type": "none", "id": "1", "properties": {}})
        assert doors.flask.post(ENTITIES, body).status == 400


def test_too_many_bytes_are_a_conflict_for_no_description_can_count_them(doors: Doors) -> None:
    body = entity("resource", "note", properties={"text": "ä" * 5000})
    Draft202012Validator(body_of(doors.flask, ENTITIES)["schema"]).validate(body)
    answer = doors.flask.post(ENTITIES, body)
    assert (answer.status, answer.message) == (
        409,
        "put[0].properties: the properties take more than 8192 bytes as JSON; store less",
    )
