"""`POST /v1/filter`: its members, its errors, and that it fails closed."""

from __future__ import annotations

from typing import Any

import pytest
from doors import FILTER, Door, Doors, Json, demo_people, grant

ASKED: Json = {"subject": {"type": "user", "id": "leo"}, "action": {"name": "view"}, "resource": {"type": "dashboard"}}


def test_it_says_which_rows_belong_on_a_list(service: Door) -> None:
    told = service.post(FILTER, {**ASKED, "domain": "acme/sales"}).json
    assert told["filter"] == "when"
    assert {"operator": "==", "left": {"property": ["owner"]}, "right": {"value": "leo"}} in told["condition"]["and"]


@pytest.mark.parametrize(
    "change",
    [
        {"subject": {"type": "user", "id": "nobody"}},
        {"subject": {"type": "user", "id": ""}},
        {"subject": {"type": "a:b", "id": "leo"}},
        {"action": {"name": "fly"}},
        {"resource": {"type": "unknown"}},
        {"domain": "globex"},
    ],
)
def test_whoever_may_nothing_gets_never(service: Door, change: Json) -> None:
    assert service.post(FILTER, {**ASKED, **change}).json == {"filter": "never"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subject": None}, "subject is missing; send an object"),
        ({"subject": {"type": "user"}}, "subject.id is missing; send a string"),
        ({"action": {"name": 5}}, "action.name is not a string; send one"),
        ({"resource": "dashboard"}, "resource is not an object; send one"),
        ({"resource": {"type": "dashboard", "properties": []}}, "resource.properties is not an object; send one"),
        ({"context": 1}, "context is not an object; send one"),
        ({"context": {"now": 1}}, "context.now is the clock of the service, which no caller may set; leave it out"),
        ({"domain": 1}, "domain is not a string; send one"),
        ({"domain": "acme/"}, "domain has an empty part"),
    ],
)
def test_a_fault_is_named(service: Door, change: Json, message: str) -> None:
    answer = service.post(FILTER, {**ASKED, **change})
    assert (answer.status, answer.message) == (400, message)


def test_null_for_what_is_optional_means_absent(service: Door) -> None:
    asked = {**ASKED, "context": None, "domain": None, "resource": {"type": "dashboard", "properties": None}}
    assert service.post(FILTER, asked).json == service.post(FILTER, ASKED).json


def test_a_revocation_holds_at_the_next_question(opened: Any) -> None:
    doors: Doors = opened()
    grant(doors.service, demo_people())
    assert doors.lane.post(FILTER, ASKED).json["filter"] == "when"
    rows = [{"subject": "user:leo", "role": role, "domain": f"acme/{place}"} for role, place in HELD_BY_LEO]
    assert doors.lane.post("/v1/assignments", {"revoke": rows}).status == 200
    assert doors.lane.post(FILTER, ASKED).json == {"filter": "never"}


HELD_BY_LEO = (("lead", "support"), ("agent", "sales"))
