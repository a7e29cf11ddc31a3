"""A database that fails: decisions are denied with a reason, other questions get a 5xx that tells nothing of the cause."""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

import pytest
from doors import (
    ALLOWED,
    ASSIGNMENTS,
    DENIED,
    EVALUATION,
    EXPLAIN,
    FILTER,
    PERMISSIONS,
    POLICY,
    SEARCHES,
    Doors,
    Json,
    asking,
    demo_people,
    grant,
    policies_alone,
)

from klausel.api.service_log import JsonLines
from klausel.storage.sql import file_check
from klausel.storage.sql.access import READS_AT_ONCE
from klausel.storage.sql.database import access_of

WHY = "the database of role assignments did not answer, so nothing is known of roles; the service's log says why"
REASON = {"error": {"status": 503, "message": WHY}, "reason": WHY}
WHY_CROWDED = (
    "too many questions waited for the database of role assignments at once, so nothing is known of roles; ask again"
)
CROWDED = {"error": {"status": 503, "message": WHY_CROWDED}, "reason": WHY_CROWDED}
LEAKS = (b"SELECT", b"casbin_rule", b"klausel_state", b"sqlite", b"SQLite", b"no such table", b"Traceback", b".db", b"Error")


@pytest.fixture
def doors(opened: Callable[..., Doors], caplog: pytest.LogCaptureFixture) -> Doors:
    caplog.set_level(logging.CRITICAL, "klausel")
    doors = opened(policies=policies_alone())
    grant(doors.service, demo_people())
    return doors


def drop(folder: Path, *tables: str) -> None:
    connection = sqlite3.connect(folder / "own.db")
    for table in tables:
        connection.execute(f"DROP TABLE {table}")
    connection.commit()
    connection.close()


ALL_TABLES = ("casbin_rule", "klausel_state", "klausel_change")


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("tables", [ALL_TABLES, ("klausel_state",)])
def test_a_failing_database_denies_with_a_reason_even_whom_the_service_knew(
    doors: Doors, door_name: str, tmp_path: Path, tables: tuple[str, ...], is_known: bool
) -> None:
    door = doors.named(door_name)
    if is_known:
        assert door.allows(ALLOWED)
    drop(tmp_path, *tables)
    for _ in range(2):
        assert door.evaluate(ALLOWED) == {"decision": False, "context": REASON}
        assert door.evaluate(DENIED) == {"decision": False, "context": REASON}
        assert door.evaluate_all({**ALLOWED, "evaluations": [{}, {}]}) == [{"decision": False, "context": REASON}] * 2


def test_a_table_that_is_gone_denies_whom_the_service_did_not_know(doors: Doors, door_name: str, tmp_path: Path) -> None:
    drop(tmp_path, "casbin_rule")
    assert doors.named(door_name).evaluate(ALLOWED) == {"decision": False, "context": REASON}


def test_a_question_for_which_there_was_no_place_says_so_and_counts_apart(doors: Doors) -> None:
    """The database answers all the while; more than may wait for it ask at once."""
    access = access_of(doors.service.store.engine)
    access.may_be_in_line = lambda: 0
    told: list[list[Json]] = []
    # A thread of its own has no connection yet, and so needs a place.
    both = {**ALLOWED, "evaluations": [{}, {}]}
    thread = threading.Thread(target=lambda: told.append(doors.lane.evaluate_all(both)))
    with ExitStack() as places:
        for _ in range(READS_AT_ONCE):
            places.enter_context(access.reading())
        thread.start()
        thread.join()
    assert told == [[{"decision": False, "context": CROWDED}] * 2]
    assert doors.service.failures.counts() == {"database": 0, "crowded": 2, "internal": 0}
    assert doors.lane.allows(ALLOWED)


@pytest.mark.skipif(sys.platform == "win32", reason="open files are not written over there")
def test_a_file_that_is_written_over_is_neither_ready_nor_told_from_until_it_is_good_again(
    doors: Doors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_check, "TIMES_BETWEEN_CHECKS", 0)

    def shell(command: str) -> None:
        # Closing the file here would take the locks away that SQLite has on it.
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)

    assert doors.lane.allows(ALLOWED)
    assert doors.flask.get("/readyz").status == 200
    shell("sync; cp own.db good.db; cp own.db-wal good.db-wal; head -c 200000 /dev/urandom > own.db; : > own.db-wal")
    unready = doors.flask.get("/readyz")
    assert (unready.status, unready.message) == (
        503,
        "the database of role assignments cannot be read any more; the service's log says why",
    )
    assert doors.lane.evaluate(ALLOWED) == {"decision": False, "context": REASON}
    shell("cat good.db > own.db; cat good.db-wal > own.db-wal")
    assert doors.flask.get("/readyz").status == 200
    assert doors.lane.allows(ALLOWED)


LISTS = [
    (SEARCHES["subject"], ALLOWED),
    (SEARCHES["resource"], asking("ada", "view_settings", "workspace", account="acme")),
    (SEARCHES["action"], ALLOWED),
    (FILTER, ALLOWED),
    (PERMISSIONS, {"subject": ALLOWED["subject"], "resources": [ALLOWED["resource"]]}),
]


@pytest.mark.parametrize(("path", "body"), LISTS)
@pytest.mark.parametrize("is_known", [True, False])
def test_no_list_is_told_as_if_it_were_whole(
    doors: Doors, door_name: str, tmp_path: Path, path: str, body: Json, is_known: bool
) -> None:
    door = doors.named(door_name)
    if is_known:
        assert door.post(path, body).status == 200
    drop(tmp_path, *ALL_TABLES)
    for _ in range(2):
        answer = door.post(path, body)
        assert answer.status == 503
        assert not any(leak in answer.body for leak in LEAKS)


@pytest.mark.parametrize(("path", "body"), LISTS)
def test_no_list_is_told_by_policies_that_are_too_old(
    opened: Callable[..., Doors], door_name: str, path: str, body: Json
) -> None:
    door = opened(max_policy_age_seconds=0.01).named(door_name)
    time.sleep(0.05)
    answer = door.post(path, body)
    assert (answer.status, answer.message[:32]) == (503, "the policies could not be refres")


def test_what_needs_no_database_is_answered_as_ever(doors: Doors, door_name: str, tmp_path: Path) -> None:
    door = doors.named(door_name)
    drop(tmp_path, *ALL_TABLES)
    malformed = asking("leo", "edit", "quiz", account="a/b")
    told = door.evaluate_all({**ALLOWED, "evaluations": [malformed, {}, {"action": 1}, malformed]})
    assert [item["context"].get("reason") for item in told] == [
        'the account contains "/"',
        REASON["reason"],
        None,
        'the account contains "/"',
    ]
    assert door.post(EVALUATION, {}).status == 400
    assert door.get("/healthz").status == 200
    assert door.get(POLICY).status == 200


def test_the_failure_is_logged_in_one_line_a_request(
    doors: Doors, door_name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drop(tmp_path, *ALL_TABLES)
    with caplog.at_level(logging.ERROR, "klausel"):
        doors.named(door_name).evaluate_all({**ALLOWED, "evaluations": [{}] * 100})
    (record,) = caplog.records
    assert record.exc_info is None
    assert "no such table" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_a_failure_is_logged_with_the_id_of_its_request(doors: Doors, door_name: str, tmp_path: Path) -> None:
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    log = logging.getLogger("klausel")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        drop(tmp_path, *ALL_TABLES)
        door = doors.named(door_name)
        door.ask("POST", EVALUATION, json.dumps(ALLOWED).encode(), headers={"X-Request-ID": "question-7"})
        door.ask("GET", ASSIGNMENTS, headers={"X-Request-ID": "question-8"})
        door.ask("GET", ASSIGNMENTS)
    finally:
        log.removeHandler(handler)
    ids = [json.loads(line).get("request_id") for line in written.getvalue().splitlines()]
    assert ids == ["question-7", "question-8", None]


def test_other_questions_get_a_5xx_that_tells_nothing_of_the_cause(doors: Doors, door_name: str, tmp_path: Path) -> None:
    door = doors.named(door_name)
    drop(tmp_path, *ALL_TABLES)
    row = {"subject": "user:new", "role": "user", "domain": "acme"}
    for answer in (
        door.post(EXPLAIN, ALLOWED),
        door.post(ASSIGNMENTS, {"grant": [row]}),
        door.get(ASSIGNMENTS),
        door.ask("DELETE", f"{ASSIGNMENTS}?subject=user:ann&account=acme"),
    ):
        assert answer.status in (500, 503)
        assert not any(leak in answer.body for leak in LEAKS)


def test_a_service_without_its_tables_is_not_ready(doors: Doors, tmp_path: Path) -> None:
    assert doors.lane.get("/readyz").status == 200
    drop(tmp_path, *ALL_TABLES)
    assert doors.lane.get("/readyz").status == 503


def test_a_service_whose_database_cannot_be_opened_is_not_ready_but_alive(
    doors: Doors, tmp_path: Path, door_name: str
) -> None:
    door = doors.named(door_name)
    doors.service.store.close()
    for file in tmp_path.glob("own.db*"):
        file.unlink()
    (tmp_path / "own.db").mkdir()
    assert door.get("/readyz").status == 503
    assert door.get("/healthz").status == 200
    assert door.evaluate(ALLOWED) == {"decision": False, "context": REASON}
    assert door.post(EXPLAIN, ALLOWED).status in (500, 503)


def test_a_database_that_answers_again_is_used_again(doors: Doors, tmp_path: Path, door_name: str) -> None:
    door = doors.named(door_name)
    assert door.allows(ALLOWED)
    doors.service.store.close()
    (tmp_path / "own.db").rename(tmp_path / "away.db")
    (tmp_path / "own.db").mkdir()
    assert not door.allows(ALLOWED)
    (tmp_path / "own.db").rmdir()
    (tmp_path / "away.db").rename(tmp_path / "own.db")
    assert door.evaluate(ALLOWED) == {"decision": True}
    assert door.get("/readyz").status == 200
