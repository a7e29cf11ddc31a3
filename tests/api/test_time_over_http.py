"""The time of a decision is the clock of the service: no caller sets it, one batch has one time, and records keep it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from decision_logs import records_in_file
from doors import EVALUATION, EVALUATIONS, EXPLAIN, FILTER, Doors, Json, open_doors

from klausel.core.records.recorded import Recorded, read_recorded
from klausel.core.replay.replay import Replay
from klausel.core.terms.request import Request

RULES = """\
resource_types: {page: {actions: [read, drop]}}
grants:
  - {allow: anyone, to: read, resource: page, when: context.now < resource.expires}
  - {allow: anyone, to: drop, resource: page}
  - {deny: anyone, to: drop, resource: page, when: context.now - resource.created < days(30)}
"""


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Doors, Path]]:
    folder = tmp_path_factory.mktemp("timed")
    (folder / "policies" / "features").mkdir(parents=True)
    (folder / "policies" / "roles.yaml").write_text("levels: {site: {constant: main}}\nroles: {clerk: {level: site}}\n")
    (folder / "policies" / "features" / "pages.yaml").write_text(RULES, encoding="utf-8")
    log = folder / "decisions.jsonl"
    with open_doors(folder / "klausel.db", policies=str(folder / "policies"), decision_log=str(log)) as doors:
        yield doors, log
        decision_log = doors.service.decision_log
        assert decision_log is not None
        decision_log.close()


def written(minutes_from_now: float, zone: timedelta = timedelta()) -> str:
    moment = datetime.now(UTC) + timedelta(minutes=minutes_from_now) + zone
    sign, hours = ("-" if zone < timedelta() else "+"), abs(zone) // timedelta(hours=1)
    return f"{moment:%Y-%m-%dT%H:%M:%S}{sign}{hours:02d}:00"


def asking(action: str, context: Json | None = None, **properties: object) -> Json:
    resource = {"type": "page", "id": "p1", "properties": properties}
    asked: Json = {"subject": {"type": "user", "id": "ann"}, "action": {"name": action}, "resource": resource}
    return asked if context is None else {**asked, "context": context}


@pytest.mark.parametrize("hours", [-11, -5, 0, 1, 14])
def test_instants_decide_whatever_zone_they_are_written_in(timed: tuple[Doors, Path], door_name: str, hours: int) -> None:
    door, zone = timed[0].named(door_name), timedelta(hours=hours)
    assert door.allows(asking("read", expires=written(2, zone)))
    assert not door.allows(asking("read", expires=written(-2, zone)))
    assert not door.allows(asking("drop", created=written(-60, zone)))
    assert door.allows(asking("drop", created=written(-31 * 24 * 60, zone)))


def test_what_is_no_time_never_allows_and_never_lifts_a_deny(timed: tuple[Doors, Path], door_name: str) -> None:
    door = timed[0].named(door_name)
    for value in (None, 5, "tomorrow", "2999-01-01", "2999-01-01T00:00:00", ["2999-01-01T00:00:00Z"]):
        assert not door.allows(asking("read", expires=value))
        assert not door.allows(asking("drop", created=value))


@pytest.mark.parametrize("now", ["2020-01-01T00:00:00Z", None, 5, {}])
def test_a_caller_that_says_what_time_it_is_is_refused(timed: tuple[Doors, Path], door_name: str, now: object) -> None:
    door = timed[0].named(door_name)
    asked = asking("read", {"now": now}, expires="2021-01-01T00:00:00Z")
    for path in (EVALUATION, EXPLAIN, FILTER):
        answer = door.post(path, asked)
        assert (answer.status, "context.now is the clock of the service" in answer.message) == (400, True)
    batch = {**asked, "evaluations": [{}, {"context": {}}]}
    first, second = door.post(EVALUATIONS, batch).json["evaluations"]
    assert first["decision"] is False
    assert "context.now" in first["context"]["error"]["message"]
    assert second == {"decision": False}


def test_an_explanation_shows_the_time_as_a_text(timed: tuple[Doors, Path], door_name: str) -> None:
    told = timed[0].named(door_name).explain(asking("read", expires=written(60)))
    (seen,) = told["decided_by"]["condition"]["comparisons"]
    assert (seen["text"], seen["value"]) == ("context.now < time(resource.expires)", True)
    assert abs(datetime.fromisoformat(seen["read"]["context.now"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_filter_has_the_time_filled_in(timed: tuple[Doors, Path], door_name: str) -> None:
    asked = asking("read")
    del asked["resource"]["id"]
    condition = timed[0].named(door_name).post(FILTER, asked).json["condition"]
    expires = {"function": "time", "arguments": [{"property": ["expires"]}]}
    assert (condition["operator"], condition["left"]) == (">", expires)
    assert condition["right"]["function"] == "time"


def test_a_record_keeps_the_time_and_replay_takes_it_again(timed: tuple[Doors, Path]) -> None:
    doors, log = timed
    asked = asking("read", {"channel": "web"}, expires=written(2))
    assert doors.lane.decisions({"evaluations": [asked, asked]}) == [True, True]
    decision_log = doors.service.decision_log
    assert decision_log is not None
    while decision_log.counts().waiting:
        time.sleep(0.01)
    records = [one for one in records_in_file(log) if one.get("context") == {"channel": "web"}]
    assert [one["now"] for one in records] == [records[0]["now"]] * 2
    compiled = doors.service.policy.compiled
    replay = Replay(compiled.policy, compiled)

    def decided(record: Json) -> bool:
        recorded = read_recorded(json.loads(json.dumps(record)))
        assert isinstance(recorded, Recorded)
        assert isinstance(recorded.request, Request)
        return replay.decide(recorded).allowed

    assert decided(records[0])
    assert not decided({**records[0], "now": "2999-01-01T00:00:00Z"})
    older = {name: value for name, value in records[0].items() if name != "now"}  # of a version that wrote none
    assert decided(older)
    assert not decided({**older, "time": "2999-01-01T00:00:00.000000Z"})
