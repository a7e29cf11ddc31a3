"""What the service records of the questions that it is asked, whichever door they come through."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from decision_logs import Json, records_in_file
from doors import (
    ALLOWED,
    DENIED,
    EVALUATION,
    EVALUATIONS,
    EXPLAIN,
    Door,
    Doors,
    demo_people,
    grant,
    open_doors,
    with_subject,
)

from klausel.core.records.decision_record import grant_id

Ask = Callable[..., list[Json]]


@pytest.fixture(params=["flask", "lane"])
def door_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Logged:
    """A service with a decision log, and what stands in it once the service has ended."""

    def __init__(self, doors: Doors, door: Door, file: Path) -> None:
        self.service = doors.service
        self.door = door
        self._file = file

    def records(self) -> list[Json]:
        log = self.service.decision_log
        assert log is not None
        log.close()
        return records_in_file(self._file)


@pytest.fixture
def opened(tmp_path: Path, door_name: str) -> Iterator[Callable[..., Logged]]:
    with ExitStack() as stack:

        def open_one(**settings: Any) -> Logged:
            file = tmp_path / "decisions.jsonl"
            settings = {"decision_log": str(file), **settings}
            doors = stack.enter_context(open_doors(tmp_path / "own.db", **settings))
            log = doors.service.decision_log
            assert log is not None
            stack.callback(log.close)
            grant(doors.service, demo_people())
            return Logged(doors, doors.named(door_name), file)

        yield open_one


def test_a_record_says_who_asked_what_and_why_it_was_decided_so(opened: Callable[..., Logged]) -> None:
    logged = opened()
    answer = logged.door.ask("POST", EVALUATION, json.dumps(ALLOWED).encode(), headers={"X-Request-ID": "abc"})
    assert answer.json == {"decision": True}
    loaded, revision = logged.service.policy, logged.service.store.revision()
    (record,) = logged.records()
    decided_by = next(grant for grant in loaded.compiled.policy.grants if str(grant) == record["grant"]["text"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record.pop("time"))
    assert record.pop("duration_us") > 0
    assert record.pop("policy") == {
        "digest": loaded.files_digest,
        **({"commit": loaded.commit.id, "dirty": loaded.commit.dirty} if loaded.commit else {}),
    }
    assert record.pop("caller") in ("127.0.0.1", "")
    assert (record.pop("number"), record.pop("sealed")["first"]) == (1, 1)
    assert record == {
        "request_id": "abc",
        "route": "evaluation",
        "subject": ALLOWED["subject"],
        "action": ALLOWED["action"],
        "resource": ALLOWED["resource"],
        "domain": "acme/support",
        "roles": [["agent", "acme/sales"], ["lead", "acme/support"], ["user", "acme"]],
        "decision": True,
        "grant": {"id": grant_id(decided_by), "source": decided_by.source, "text": str(decided_by)},
        "assignments_revision": revision,
    }


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS, EXPLAIN])
def test_an_answer_tells_the_id_of_its_records_where_it_is_asked_for(opened: Callable[..., Logged], path: str) -> None:
    logged = opened()
    body = json.dumps({"evaluations": [ALLOWED, ALLOWED]} if path == EVALUATIONS else ALLOWED).encode()
    plain = logged.door.ask("POST", path, body, headers={"X-Request-ID": "same"})
    asked = logged.door.ask("POST", path, body, headers={"X-Request-ID": "same", "X-Klausel-Record": "1"})
    assert "X-Klausel-Record" not in plain.headers
    records = logged.records()
    number = len(records) // 2
    assert {record.get("id") for record in records[:number]} == {None}
    assert {record["id"] for record in records[number:]} == {asked.headers["X-Klausel-Record"]}


def test_each_item_of_a_batch_is_a_record_under_the_same_request(opened: Callable[..., Logged]) -> None:
    logged = opened()
    items = [
        ALLOWED,
        DENIED,
        5,
        {**ALLOWED, "resource": {"type": "quiz", "id": "q", "properties": {"workspace": "support"}}},
    ]
    answers = logged.door.evaluate_all({"evaluations": items})
    records = logged.records()
    assert [record["index"] for record in records] == [0, 1, 2, 3]
    assert [record["decision"] for record in records] == [answer["decision"] for answer in answers]
    assert len({record["request_id"] for record in records}) == 1
    assert (records[2]["subject"], records[2]["failure"]) == (None, "the item is not an object; send one")
    assert records[3]["failure"] == answers[3]["context"]["reason"]
    assert (records[3]["roles"], records[3]["grant"]) == (None, None)


def test_what_a_batch_did_not_decide_any_more_is_not_recorded(opened: Callable[..., Logged]) -> None:
    logged = opened()
    logged.door.post(
        EVALUATIONS,
        {"evaluations": [ALLOWED, DENIED, ALLOWED], "options": {"evaluations_semantic": "deny_on_first_deny"}},
    )
    assert [record["decision"] for record in logged.records()] == [True, False]


def test_an_explanation_is_recorded_as_one(opened: Callable[..., Logged]) -> None:
    logged = opened()
    logged.door.post(EXPLAIN, ALLOWED)
    (record,) = logged.records()
    assert (record["route"], record["decision"], record["domain"]) == ("explain", True, "acme/support")


def test_an_error_is_no_decision(opened: Callable[..., Logged]) -> None:
    logged = opened()
    assert logged.door.post(EVALUATION, {"subject": {}}).status == 400
    assert logged.records() == []


def test_masked_values_are_not_in_the_file(opened: Callable[..., Logged]) -> None:
    logged = opened(decision_log_mask=("/subject/properties/email", "/context/*"))
    asked = {**with_subject(ALLOWED, properties={"email": "leo@example.com"}), "context": {"ip": "10.1.2.3"}}
    assert logged.door.evaluate(asked) == {"decision": True}
    (record,) = logged.records()
    assert record["masked"] == ["/subject/properties/email", "/context/ip"]
    assert "leo@example.com" not in json.dumps(record)
    assert "10.1.2.3" not in json.dumps(record)


def test_sampling_leaves_out_allows_and_no_deny(opened: Callable[..., Logged]) -> None:
    logged = opened(decision_log_sample_allows=0.2)
    for _ in range(3):
        logged.door.post(EVALUATIONS, {"evaluations": [ALLOWED, DENIED] * 100})
    records = logged.records()
    assert sum(not record["decision"] for record in records) == 300
    allows = [record for record in records if record["decision"]]
    assert 20 < len(allows) < 120
    assert {record["sample_rate"] for record in allows} == {0.2}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_without_its_record_a_strict_log_lets_no_answer_out(opened: Callable[..., Logged]) -> None:
    logged = opened(decision_log="/dev/full", decision_log_strict=True)
    for path, body in ((EVALUATION, ALLOWED), (EVALUATIONS, {"evaluations": [ALLOWED, ALLOWED]}), (EXPLAIN, ALLOWED)):
        answer = logged.door.post(path, body)
        assert answer.status == 503
        assert "recorded" in answer.message
        assert b'decision"' not in answer.body


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_does_not_hold_up_answers_unless_the_log_is_strict(opened: Callable[..., Logged]) -> None:
    logged = opened(decision_log="/dev/full")
    assert logged.door.evaluate(ALLOWED) == {"decision": True}


def test_a_change_of_roles_shows_in_the_next_record(opened: Callable[..., Logged]) -> None:
    logged = opened()
    before = logged.service.store.revision()
    logged.door.evaluate(ALLOWED)
    grant(logged.service, [("user:leo", "reviewer", "acme/support")])
    after = logged.service.store.revision()
    logged.door.evaluate(ALLOWED)
    first, second = logged.records()
    assert (first["assignments_revision"], second["assignments_revision"]) == (before, after)
    assert ["reviewer", "acme/support"] not in first["roles"]
    assert ["reviewer", "acme/support"] in second["roles"]


def test_the_database_can_hold_the_log(opened: Callable[..., Logged], tmp_path: Path) -> None:
    from klausel.storage.decision_log.sinks import blocks_in_database
    from klausel.storage.schema import open_database

    logged = opened(decision_log="database")
    logged.door.evaluate(ALLOWED)
    logged.door.evaluate(DENIED)
    assert logged.service.decision_log is not None
    logged.service.decision_log.close()
    engine = open_database(f"sqlite:///{tmp_path}/own.db")
    (block,) = blocks_in_database(engine)
    engine.dispose()
    assert [json.loads(line)["decision"] for line in block.data.splitlines()] == [True, False]
