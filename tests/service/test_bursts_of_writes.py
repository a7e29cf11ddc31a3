"""Many writes at once are served in turn by a service that listens, on either database, and it stays ready meanwhile."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from command_line import LONGEST_SECONDS
from running_service import QUESTION, running
from silent_servers import OwnPostgres

from klausel.storage.sql.access import IN_LINE, SECONDS_FOR_A_PLACE, WRITES_AT_ONCE

WRITES = 30
WRITE_SECONDS = 30.0
LONG = ("--database-write-seconds", str(WRITE_SECONDS), "--database-lock-seconds", str(WRITE_SECONDS))


def client_of(port: int) -> httpx.Client:
    # Each of a hundred would read the certificates of all authorities, which takes longer than all that it asks here.
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LONGEST_SECONDS, verify=False)


@contextmanager
def asked_all_the_time(port: int) -> Iterator[tuple[Counter[str], list[float]]]:
    """Counts what readiness, health and a question tell while the block runs, each asked by itself, and how long health took."""
    told: Counter[str] = Counter()
    seconds: list[float] = []
    is_over = threading.Event()

    def on_and_on(ask: Callable[[httpx.Client], str]) -> None:
        with client_of(port) as client:
            while not is_over.is_set():
                told[ask(client)] += 1
                time.sleep(0.01)

    def health(client: httpx.Client) -> str:
        began = time.monotonic()
        answer = client.get("/healthz")
        seconds.append(time.monotonic() - began)
        return f"healthz {answer.status_code}"

    def ready(client: httpx.Client) -> str:
        return f"readyz {client.get('/readyz').status_code}"

    def question(client: httpx.Client) -> str:
        return f"question {client.post('/access/v1/evaluation', json=QUESTION).json()['decision']}"

    asking = [threading.Thread(target=on_and_on, args=(ask,)) for ask in (health, ready, question)]
    for one in asking:
        one.start()
    try:
        yield told, seconds
    finally:
        is_over.set()
        for one in asking:
            one.join()


def write_at_once(port: int, number: int, round_: int = 0) -> list[tuple[int, float]]:
    """The answers to so many writes, each of another account, sent at once over connections of their own; after which seconds."""
    together = threading.Barrier(number)

    def write(at: int) -> tuple[int, float]:
        row = {"subject": f"user:new-{round_}-{at}", "role": "admin", "domain": f"account-{at}"}
        with client_of(port) as client:
            together.wait()
            began = time.monotonic()
            answer = client.post("/v1/assignments", json={"grant": [row]})
            return answer.status_code, time.monotonic() - began

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(write, range(number)))


def statuses(answers: list[tuple[int, float]]) -> Counter[int]:
    return Counter(status for status, _ in answers)


@pytest.mark.parametrize("place", ["sqlite_url", "postgresql_schema_url"])
def test_a_burst_of_writes_is_served_in_turn(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url: str = request.getfixturevalue(place)
    with running(tmp_path, "--database", url, "--demo", *LONG) as (_, port), asked_all_the_time(port) as (told, _):
        for round_ in range(3):
            assert statuses(write_at_once(port, WRITES, round_)) == {200: WRITES}
    assert told.keys() == {"readyz 200", "healthz 200", "question True"}


def test_writes_that_are_slow_one_by_one_are_served_in_turn(sqlite_url: str, tmp_path: Path) -> None:
    """Another writer has the file most of the time, so all writes together take longer than one waits for a place."""
    path = sqlite_url.removeprefix("sqlite:///")
    is_over = threading.Event()

    def hold_up() -> None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=WRITE_SECONDS)) as other:
            while not is_over.is_set():
                other.execute("BEGIN IMMEDIATE")
                is_over.wait(0.05)
                other.execute("COMMIT")
                time.sleep(0.02)

    with running(tmp_path, "--database", sqlite_url, "--demo", *LONG) as (_, port), asked_all_the_time(port) as (told, _):
        holding = threading.Thread(target=hold_up)
        holding.start()
        try:
            began = time.monotonic()
            answers = write_at_once(port, WRITES)
            took = time.monotonic() - began
        finally:
            is_over.set()
            holding.join()
    # So it was not that others are refused after a while.
    assert took > SECONDS_FOR_A_PLACE
    assert statuses(answers) == {200: WRITES}
    assert told.keys() == {"readyz 200", "healthz 200", "question True"}


def test_a_burst_of_writes_at_a_frozen_database_holds_nothing_else_up(own_postgres: OwnPostgres, tmp_path: Path) -> None:
    limit = 8.0
    options = ("--database-write-seconds", str(limit), "--database-read-seconds", "3", "--max-staleness", "0.5")
    with running(tmp_path, "--database", own_postgres.url, "--demo", *options) as (_, port):
        own_postgres.freeze()
        try:
            with asked_all_the_time(port) as (told, seconds):
                # More than the service has threads.
                answers = write_at_once(port, 4 * WRITES)
        finally:
            own_postgres.thaw()
        assert statuses(answers) == {503: 4 * WRITES}
        # Once it is known to be silent, nobody waits in line any more.
        assert sum(took > 0.9 * limit for _, took in answers) <= WRITES_AT_ONCE
        assert max(seconds) < limit / 2
        assert told["readyz 503"]


def test_a_burst_of_writes_at_a_locked_file_holds_nothing_else_up(sqlite_url: str, tmp_path: Path) -> None:
    limit = 5.0
    options = ("--database-write-seconds", str(limit), "--database-lock-seconds", str(limit))
    with running(tmp_path, "--database", sqlite_url, "--demo", *options) as (_, port):
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with asked_all_the_time(port) as (told, seconds):
                answers = write_at_once(port, 4 * WRITES)
        assert statuses(answers) == {503: 4 * WRITES}
        assert sum(took > 0.9 * limit for _, took in answers) <= WRITES_AT_ONCE + IN_LINE
        assert max(seconds) < limit / 2
        assert told.keys() == {"readyz 200", "healthz 200", "question True"}
        assert statuses(write_at_once(port, 1)) == {200: 1}
