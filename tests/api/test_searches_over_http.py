"""AuthZEN's searches over HTTP: what results hold, pages and their tokens, and every error."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from doors import SEARCHES, Door, Doors, Json, asking, demo_people, grant

PLACE = {"account": "acme", "workspace": "support"}
ASKED: Json = asking("leo", "view", "scorecard", "s1", **PLACE)
PEOPLE: Json = {**ASKED, "subject": {"type": "user"}}
PLACES: Json = {**asking("ada", "view_settings", "workspace", account="acme")}
ACTIONS: Json = {**asking("leo", "", "quiz", "q1", **PLACE, status="published")}


def ids(told: Json) -> list[str]:
    return [result["id"] for result in told["results"]]


def test_subjects_are_those_for_whom_the_evaluation_is_true(service: Door) -> None:
    told = service.post(SEARCHES["subject"], PEOPLE).json
    assert list(told) == ["page", "results"]
    assert told["page"] == {"next_token": "", "count": 4, "total": 4}
    assert told["results"] == [{"type": "user", "id": id_} for id_ in ("ada", "leo", "max", "mia")]


def test_the_id_of_what_is_searched_for_is_ignored(service: Door) -> None:
    told = service.post(SEARCHES["subject"], {**PEOPLE, "subject": {"type": "user", "id": "nobody"}}).json
    assert ids(told) == ["ada", "leo", "max", "mia"]


def test_resources_are_the_domains_that_are_known(service: Door) -> None:
    found = service.post(SEARCHES["resource"], PLACES).json
    assert found["results"] == [{"type": "workspace", "id": "sales"}, {"type": "workspace", "id": "support"}]
    leads = service.post(SEARCHES["resource"], {**PLACES, "subject": {"type": "user", "id": "leo"}}).json
    assert ids(leads) == ["support"]
    accounts = asking("grace", "view_settings", "account")
    assert ids(service.post(SEARCHES["resource"], accounts).json) == ["globex"]


def test_a_workspace_without_its_account_and_what_is_not_stored_is_not_found(service: Door) -> None:
    for asked in (asking("ada", "view_settings", "workspace"), asking("ada", "view", "scorecard", **PLACE)):
        assert service.post(SEARCHES["resource"], asked).json["results"] == []


def test_actions_have_their_name_alone(service: Door) -> None:
    told = service.post(SEARCHES["action"], {key: value for key, value in ACTIONS.items() if key != "action"}).json
    assert told["results"] == [{"name": "create"}, {"name": "take"}, {"name": "edit"}]
    assert service.post(SEARCHES["action"], {**ACTIONS, "action": 5}).json == told


@pytest.mark.parametrize("part", SEARCHES)
def test_pages_lead_through_all_results_once(service: Door, part: str) -> None:
    asked = {"subject": PEOPLE, "resource": PLACES, "action": ACTIONS}[part]
    whole = service.post(SEARCHES[part], asked).json["results"]
    found: list[Json] = []
    page: Json = {"limit": 1}
    while True:
        told = service.post(SEARCHES[part], {**asked, "page": page}).json
        assert told["page"]["count"] == len(told["results"])
        found += told["results"]
        if told["page"]["next_token"] == "":
            break
        assert "total" not in told["page"]
        page = {"limit": 1, "token": told["page"]["next_token"]}
    assert found == whole
    first = service.post(SEARCHES[part], {**asked, "page": {"limit": 1}}).json
    rest = service.post(SEARCHES[part], {**asked, "page": {"token": first["page"]["next_token"]}}).json
    assert first["results"] + rest["results"] == whole


@pytest.mark.parametrize("part", SEARCHES)
def test_a_page_without_length_only_says_whether_there_is_something(service: Door, part: str) -> None:
    asked = {"subject": PEOPLE, "resource": PLACES, "action": ACTIONS}[part]
    told = service.post(SEARCHES[part], {**asked, "page": {"limit": 0}}).json
    assert told["results"] == []
    assert told["page"]["count"] == 0
    token = told["page"]["next_token"]
    again = service.post(SEARCHES[part], {**asked, "page": {"token": token}}).json
    assert again["results"] == service.post(SEARCHES[part], asked).json["results"]


def test_a_token_is_bound_to_its_question_and_signed(service: Door) -> None:
    token = service.post(SEARCHES["subject"], {**PEOPLE, "page": {"limit": 1}}).json["page"]["next_token"]
    others = [
        {**PEOPLE, "action": {"name": "edit"}},
        {**PEOPLE, "context": {"ip": "::1"}},
        {**PEOPLE, "resource": {**PEOPLE["resource"], "id": "s2"}},
        {**PEOPLE, "subject": {"type": "service"}},
    ]
    for other in others:
        assert service.post(SEARCHES["subject"], {**other, "page": {"token": token}}).status == 409
    assert service.post(SEARCHES["resource"], {**ASKED, "page": {"token": token}}).status == 409
    forged = base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)[:16] + b"leo").decode()
    for wrong in (forged, "x", token + "é", token[:-4], "====", "A" * 1000):
        answer = service.post(SEARCHES["subject"], {**PEOPLE, "page": {"token": wrong}})
        # The description of the API says how a token is written; which there are, nobody else knows.
        assert (answer.status, answer.message[:10]) == (400 if wrong in (token + "é", "====") else 409, "page.token")


def test_a_token_holds_in_other_processes_and_after_a_restart(opened: Any) -> None:
    doors: Doors = opened()
    grant(doors.service, demo_people())
    token = doors.lane.post(SEARCHES["subject"], {**PEOPLE, "page": {"limit": 2}}).json["page"]["next_token"]
    assert ids(opened().lane.post(SEARCHES["subject"], {**PEOPLE, "page": {"token": token}}).json) == ["max", "mia"]


@pytest.mark.parametrize(
    "change",
    [
        {"subject": {"type": "nothing"}},
        {"subject": {"type": "a:b"}},
        {"action": {"name": "fly"}},
        {"resource": {"type": "nothing", "id": "x", "properties": PLACE}},
        {"resource": {"type": "scorecard", "id": "x"}},
        {"resource": {"type": "scorecard", "id": "x", "properties": {"workspace": "support"}}},
    ],
)
def test_what_is_not_known_is_an_empty_list(service: Door, change: Json) -> None:
    told = service.post(SEARCHES["subject"], {**PEOPLE, **change}).json
    assert told == {"page": {"next_token": "", "count": 0, "total": 0}, "results": []}


def test_a_limit_is_a_whole_number_however_it_is_written(service: Door) -> None:
    told = [service.post(SEARCHES["subject"], {**PEOPLE, "page": {"limit": limit}}).body for limit in (1, 1.0)]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("subject", {"subject": {}}, "subject.type is missing; send a string"),
        ("subject", {"action": None}, "action is missing; send an object"),
        ("subject", {"resource": {"type": "scorecard"}}, "resource.id is missing; send a string"),
        ("resource", {"subject": {"type": "user"}}, "subject.id is missing; send a string"),
        (
            "action",
            {"subject": {"type": "user", "id": "leo"}, "resource": {"type": 1, "id": "x"}},
            "resource.type is not a string; send one",
        ),
        ("subject", {"page": []}, "page is not an object; send one"),
        ("subject", {"page": {"limit": -1}}, "page.limit is not a whole number from 0 on"),
        ("subject", {"page": {"limit": True}}, "page.limit is not a whole number from 0 on"),
        ("subject", {"page": {"limit": 1.5}}, "page.limit is not a whole number from 0 on"),
        ("subject", {"page": {"token": 5}}, "page.token is not a string; send one"),
        ("subject", {"page": {"properties": 5}}, "page.properties is not an object; send one"),
    ],
)
def test_a_fault_is_named(service: Door, part: str, change: Json, message: str) -> None:
    answer = service.post(SEARCHES[part], {**PEOPLE, **change})
    assert (answer.status, answer.message) == (400, message)


def test_null_means_absent(service: Door) -> None:
    empty = {"page": {"limit": None, "token": None, "properties": None}, "context": None}
    assert ids(service.post(SEARCHES["subject"], {**PEOPLE, **empty}).json) == ["ada", "leo", "max", "mia"]
    assert ids(service.post(SEARCHES["subject"], {**PEOPLE, "page": None}).json) == ["ada", "leo", "max", "mia"]


def test_a_revocation_holds_at_the_next_search(opened: Any) -> None:
    doors: Doors = opened()
    grant(doors.service, demo_people())
    gone = [{"subject": "user:leo", "role": "lead", "domain": "acme/support"}]
    assert doors.lane.post("/v1/assignments", {"revoke": gone}).status == 200
    assert ids(doors.lane.post(SEARCHES["subject"], PEOPLE).json) == ["ada", "max", "mia"]
