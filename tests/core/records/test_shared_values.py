"""What the items of a batch share is written once, and read back as if each record had it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from decision_logs import KeptLines, head_of, one_by_one

from klausel.core.decisions.decide import Decision
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.records.batch_record import Noted
from klausel.core.records.recorded import BadRecord, Recorded
from klausel.core.records.shared_values import LARGE_BYTES, each_record
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.service.recording import Recording
from klausel.storage.decision_log.files import Block, records_in
from klausel.storage.decision_log.queue import DecisionLog

LARGE: list[dict[str, Any]] = [
    {"note": "x" * 2 * LARGE_BYTES},
    {"note": ["y"] * LARGE_BYTES},
    {"note": 10**30, "z": "z" * LARGE_BYTES},
]
DENY = Decision(False, None, "acme")
COLUMNS = ["shared", "index", "action", "type", "id", "properties", "duration_us"]


def read_back(lines: list[bytes]) -> list[Recorded]:
    found = [record for _, record in records_in(Block("log", 1, b"".join(lines)))]
    assert all(isinstance(record, Recorded) for record in found), found
    return found  # type: ignore[return-value]


def lines_of(log: DecisionLog, requests: list[Request]) -> tuple[list[bytes], list[bytes]]:
    """The lines of a batch as it is recorded, and as its items would be one by one."""
    head = head_of(log, "evaluations")
    noted: list[Noted] = [(index, request, DENY, None, 1000) for index, request in enumerate(requests)]
    return log.lines_of_batch(head, noted) if noted else [], [log.line(head, one) for one in noted]


@pytest.mark.parametrize("masks", [(), ("/subject/properties/note", "/context/*")])
def test_a_batch_reads_back_as_its_items_one_by_one(masks: tuple[str, ...]) -> None:
    log = DecisionLog(KeptLines(), strict=True, masks=masks)
    chance = Random(5)
    for _ in range(30):
        some = [*LARGE, {}, {"small": True}]
        requests = [
            Request(
                Subject("user", "ann", chance.choice(some)),
                Action("view", chance.choice(some)),
                Resource("doc", chance.choice("abc"), chance.choice(some)),
                chance.choice(some),
            )
            for _ in range(chance.randrange(40))
        ]
        lines, plain = lines_of(log, requests)
        assert sorted(map(repr, read_back(lines))) == sorted(map(repr, read_back(plain)))


@pytest.mark.parametrize("most_askers", [1, 4])
def test_a_table_of_a_batch_says_who_asks_once_where_all_are_of_one(most_askers: int) -> None:
    log = DecisionLog(KeptLines(), strict=True)
    chance = Random(6)
    subjects = [Subject("user", "ann", {}), Subject("user", "ann", {"a": 1}), Subject("user", "bob"), Subject("bot", "ann")]
    roles = [None, EffectiveRoles((("lead", "acme"), ("user", "other/one")), {}), EffectiveRoles((("user", "acme"),), {})]
    for _ in range(40):
        askers = [
            (
                chance.choice(subjects),
                chance.choice(roles),
                chance.choice(["acme", "acme/a", None]),
                chance.choice([{}, {"x": 1}]),
            )
            for _ in range(chance.randint(1, most_askers))
        ]
        noted: list[Noted] = []
        for index in range(chance.randint(1, 30)):
            subject, held, domain, context = chance.choice(askers)
            resource = Resource("doc", f"d{index}", chance.choice([{}, {"status": "open"}]))
            decision = Decision(chance.random() < 0.5, None, domain)
            noted.append((index, Request(subject, Action("view"), resource, context), decision, held, index * 100))
        (line,) = log.lines_of_batch(head_of(log, "evaluations"), noted)
        alone = [json.loads(log.line(head_of(log, "evaluations"), one)) for one in noted]
        assert json.loads(line)["columns"] == COLUMNS
        told = [{**one, "request_id": None} for one in each_record(json.loads(line))]
        assert told == [{**one, "request_id": None} for one in one_by_one(json.loads(line))]
        assert told == [{**one, "request_id": None, "time": told[0]["time"]} for one in alone]
        if most_askers == 1:
            assert line.count(b'"roles":') == line.count(b'"subject":') == 1


def test_values_of_a_batch_are_written_a_few_times_small_or_large() -> None:
    log = DecisionLog(KeptLines(), strict=True)
    large = Request(Subject("user", "ann", {"note": "x" * 500_000}), Action("view"), Resource("doc", "d1"))
    lines, _ = lines_of(log, [large] * 1000)
    assert sum(map(len, lines)) < 2_500_000
    assert len(read_back(lines)) == 1000
    equal = [large._replace(subject=Subject("user", "ann", {"note": "x" * 500_000})) for _ in range(100)]
    assert sum(map(len, lines_of(log, equal)[0])) < 700_000
    small = large._replace(subject=Subject("user", "ann", {"note": "x"}))
    lines, plain = lines_of(log, [small] * 100)
    assert len(lines) == 1
    assert sum(map(len, lines)) * 4 < sum(map(len, plain))


@pytest.mark.parametrize(
    "fault",
    [
        {"decisions": 1, "shared": []},
        {"decisions": [], "shared": {}},
        {"decisions": [{"shared": {"subject": 1}}], "shared": [1]},
        {"decisions": [{"shared": {"subject": -1}}], "shared": [1]},
        {"decisions": [{"shared": {"subject": True}}], "shared": [1, 2]},
        {"decisions": [7], "shared": []},
        {"decisions": [{}], "shared": []},
        {"decisions": [[0, 0, "view", "doc", "d1", None, 1]], "shared": [{}], "columns": []},
        {"decisions": [[0, 0, "view", "doc", "d1", None, 1]], "shared": [{}], "columns": COLUMNS[::-1]},
        {"decisions": [[0, 0, "view", "doc", "d1", None]], "shared": [{}], "columns": COLUMNS},
        {"decisions": [[1, 0, "view", "doc", "d1", None, 1]], "shared": [{}], "columns": COLUMNS},
        {"decisions": [[-1, 0, "view", "doc", "d1", None, 1]], "shared": [{}], "columns": COLUMNS},
        {"decisions": [[0, 0, "view", "doc", "d1", None, 1]], "shared": [7], "columns": COLUMNS},
        {"decisions": [[0, 0, "view", "doc", "d1", None, 1]], "shared": 7, "columns": COLUMNS},
        {"decisions": {}, "shared": [], "columns": COLUMNS},
    ],
)
def test_a_line_whose_values_are_not_there_is_no_record(fault: dict[str, object]) -> None:
    found = [record for _, record in records_in(Block("log", 1, json.dumps({"time": "t", **fault}).encode()))]
    assert all(isinstance(record, BadRecord) for record in found)
    assert found or fault["decisions"] == []


def test_what_is_named_between_two_items_of_a_batch_stands_from_then_on() -> None:
    kept = KeptLines()
    recording = Recording(DecisionLog(kept, strict=True), "evaluations", {"REMOTE_ADDR": "::1"})
    request = Request(Subject("user", "ann"), Action("view"), Resource("doc", "a"))
    for revision in ("a-1", "a-2"):
        recording.name_revision(revision)
        for _ in range(2):
            recording.note(request, DENY, 1000)
    recording.end()
    records = kept.records
    assert [one["assignments_revision"] for one in records] == ["a-1", "a-1", "a-2", "a-2"]
    assert [one["index"] for one in records] == [0, 1, 2, 3]
