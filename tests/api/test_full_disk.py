"""A disk that is full under the decision log, and that has room again: what callers, probes and metrics are told meanwhile.

The bound of a process on the size of its files stands for the disk: it cuts a write in the middle, as a full disk does.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from doors import ALLOWED, EVALUATION, demo_people, grant, open_doors
from werkzeug.test import Client

from klausel.api.lane import EvaluationLane
from klausel.app import create_flask_app

resource = pytest.importorskip("resource", reason="only systems with bounds of processes can be made short of disk")
ROOM = 30_000
SECONDS = 30


@contextmanager
def disk_is_full() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Client]:
    """A client of a service with a decision log in a folder; afterwards the log is written to its end."""
    with open_doors(folder / "own.db", decision_log=str(folder / "decisions.jsonl"), **settings) as doors:
        grant(doors.service, demo_people())
        log = doors.service.decision_log
        assert log is not None
        try:
            yield Client(EvaluationLane(doors.service, create_flask_app(doors.service).wsgi_app))
        finally:
            log.close()


def ask(client: Client) -> Any:
    answer = client.post(EVALUATION, json=ALLOWED, headers={"Host": "localhost"})
    return answer.get_json() if answer.status_code == 200 else answer.status_code


def is_ready(client: Client) -> bool:
    return client.get("/readyz", headers={"Host": "localhost"}).status_code == 200


def dropped(client: Client) -> int:
    text = client.get("/metrics", headers={"Host": "localhost"}).get_data(as_text=True)
    (number,) = re.findall(r'klausel_decision_log_records_total\{.*result="dropped"\} (\S+)', text)
    return int(float(number))


def test_a_full_disk_is_counted_and_holds_nothing_up_and_the_log_goes_on_when_there_is_room(tmp_path: Path) -> None:
    asked = 0
    with serving(tmp_path, decision_log_queue=20) as client:
        with disk_is_full():
            give_up_at = time.monotonic() + SECONDS
            while not dropped(client):
                assert time.monotonic() < give_up_at, "nothing is dropped, though no disk is left"
                for _ in range(10):
                    assert ask(client) == {"decision": True}
                    asked += 1
            assert is_ready(client)
        lost = dropped(client)
        time.sleep(0.7)  # the next try of the writer
        assert ask(client) == {"decision": True}
        asked += 1
    records = [json.loads(line) for line in whole_lines(tmp_path / "decisions.jsonl")]
    assert sum("decision" in record for record in records) + lost == asked
    assert sum(record.get("dropped", 0) for record in records) == lost


def whole_lines(file: Path) -> list[bytes]:
    """The lines of a log but those that were cut in the middle."""
    return [line for line in file.read_bytes().splitlines() if line.endswith(b"}")]


def test_a_strict_log_lets_nothing_out_while_the_disk_is_full_and_is_ready_again_afterwards(tmp_path: Path) -> None:
    with serving(tmp_path, decision_log_strict=True) as client:
        with disk_is_full():
            answers = [ask(client) for _ in range(100)]
            told = answers.index(503)
            assert answers[:told] == [{"decision": True}] * told
            assert answers[told:] == [503] * (100 - told)
            # A probe tries again. There may be room for what is shorter than a record, which is of no use.
            for _ in range(20):
                assert not is_ready(client)
                assert ask(client) == 503
        assert is_ready(client)
        assert ask(client) == {"decision": True}
    decided = [line for line in whole_lines(tmp_path / "decisions.jsonl") if b'"decision":true' in line]
    assert len(decided) == told + 1
