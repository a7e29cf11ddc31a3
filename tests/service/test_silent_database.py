"""A database that falls silent: decisions are denied with the reason in time, the rest goes on, and all comes back by itself.

The bounds in seconds are wide: they tell a limit from no limit.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest
from serving import Served
from silent_servers import OwnPostgres, Proxy
from sqlalchemy.engine import make_url
from versions import batch

from klausel.storage.sql.access import READS_AT_ONCE

READ_SECONDS = 0.5
WIDE_SECONDS = 15.0
LIMITS: dict[str, Any] = {
    "database_connect_seconds": READ_SECONDS,
    "database_read_seconds": READ_SECONDS,
    "database_write_seconds": 2.0,
    "database_lock_seconds": 0.5,
    "max_staleness_seconds": 0.2,
}
QUESTION = {name: value for name, value in batch().items() if name != "evaluations"} | {"action": {"name": "view"}}
"""Allowed, as long as the database answers."""
ROW = {"subject": "user:new", "role": "user", "domain": "acme"}


def decide(served: Served) -> dict[str, Any]:
    answer = served.ask("POST", "/access/v1/evaluation", QUESTION)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.get_json()
    return told


def assert_no_answer_of_the_policies(told: dict[str, Any]) -> None:
    assert told["decision"] is False
    assert told["context"]["error"]["status"] == 503
    assert "database" in told["context"]["error"]["message"]


def metric(served: Served, name: str) -> float:
    text = served.ask("GET", "/metrics").get_data(as_text=True)
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def assert_comes_back(served: Served) -> None:
    give_up_at = time.monotonic() + WIDE_SECONDS
    while decide(served) != {"decision": True}:
        assert time.monotonic() < give_up_at, "the service does not notice that the database answers again"
        time.sleep(0.05)
    assert served.ask("GET", "/readyz").status_code == 200
    assert metric(served, "klausel_database_silent") == 0
    assert served.ask("POST", "/v1/assignments", {"grant": [ROW]}).status_code == 200


def wait_until_nothing_kept_is_told(served: Served) -> None:
    """On PostgreSQL what is kept may be told for `max_staleness_seconds` more."""
    feed = served.service.store.feed
    give_up_at = time.monotonic() + WIDE_SECONDS
    while feed is not None and feed.is_trusted:
        assert time.monotonic() < give_up_at, "what is kept is trusted although nothing of the database is heard"
        time.sleep(0.02)


def assert_denied_in_time(served: Served) -> None:
    """Many ask at once, again and again: each is denied, and nobody waits for long."""
    wait_until_nothing_kept_is_told(served)
    before = metric(served, "klausel_decisions_failed_total")
    began = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        for told in pool.map(lambda _: decide(served), range(60)):
            assert_no_answer_of_the_policies(told)
    assert time.monotonic() - began < WIDE_SECONDS
    assert metric(served, "klausel_decisions_failed_total") == before + 60
    assert metric(served, "klausel_database_silent") == 1


def assert_the_rest_is_answered(served: Served) -> None:
    began = time.monotonic()
    assert served.ask("GET", "/healthz").status_code == 200
    assert served.ask("GET", "/readyz").status_code == 503
    assert served.ask("GET", "/v1/policy").status_code == 200
    written = served.ask("POST", "/v1/assignments", {"grant": [ROW]})
    assert written.status_code == 503
    assert written.headers["Retry-After"]
    assert served.ask("GET", "/v1/assignments").status_code == 503
    assert served.ask("POST", "/v1/explain", QUESTION).status_code == 503
    assert time.monotonic() - began < WIDE_SECONDS


@pytest.fixture
def proxy(postgresql_schema_url: str) -> Iterator[tuple[Proxy, str]]:
    url = make_url(postgresql_schema_url)
    proxy = Proxy(url.host or "127.0.0.1", url.port or 5432)
    through = url.set(host="127.0.0.1", port=proxy.port)
    yield proxy, through.render_as_string(hide_password=False)
    proxy.close()


def test_a_proxy_that_stops_forwarding(proxy: tuple[Proxy, str], opened: Callable[..., Served]) -> None:
    between, url = proxy
    served = opened(database=url, **LIMITS)
    assert decide(served) == {"decision": True}
    between.stop_forwarding()
    assert_denied_in_time(served)
    assert_the_rest_is_answered(served)
    between.go_on()
    assert_comes_back(served)


def test_a_server_that_refuses_connections_is_told_as_silent_until_it_is_back(
    proxy: tuple[Proxy, str], opened: Callable[..., Served]
) -> None:
    between, url = proxy
    served = opened(database=url, **LIMITS)
    assert decide(served) == {"decision": True}
    assert metric(served, "klausel_database_silent") == 0
    between.hang_up()
    wait_until_nothing_kept_is_told(served)
    for _ in range(3):
        assert_no_answer_of_the_policies(decide(served))
        assert metric(served, "klausel_database_silent") == 1
    between.answer_again()
    # Nobody asks anything else meanwhile.
    give_up_at = time.monotonic() + WIDE_SECONDS
    while metric(served, "klausel_database_silent"):
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    assert_comes_back(served)


def test_a_worker_opens_its_connections_ahead_where_they_can_be_had(
    proxy: tuple[Proxy, str], opened: Callable[..., Served]
) -> None:
    between, url = proxy
    served = opened(database=url, **LIMITS)
    reader = served.service.store.reader
    with closing(psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))) as other:
        other.autocommit = True

        def connections() -> int:
            row = other.execute("SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()").fetchone()
            return int(row[0]) if row else 0

        before = connections()
        reader.open_ahead()
        assert connections() >= before + READS_AT_ONCE
    between.hang_up()
    reader.open_ahead()
    assert_no_answer_of_the_policies(decide(served))
    between.answer_again()
    assert_comes_back(served)


def test_a_locked_table(postgresql_schema_url: str, opened: Callable[..., Served]) -> None:
    served = opened(database=postgresql_schema_url, **LIMITS)
    assert decide(served) == {"decision": True}
    plain = make_url(postgresql_schema_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as other:
        other.execute("LOCK TABLE casbin_rule, klausel_state IN ACCESS EXCLUSIVE MODE")
        assert_denied_in_time(served)
        assert served.ask("GET", "/healthz").status_code == 200
        assert served.ask("POST", "/v1/assignments", {"grant": [ROW]}).status_code == 503
        other.rollback()
    assert_comes_back(served)


def test_a_start_waits_longer_than_a_decision_for_what_reads_all_role_assignments(
    postgresql_schema_url: str, opened: Callable[..., Served]
) -> None:
    opened(database=postgresql_schema_url)  # makes the tables
    plain = make_url(postgresql_schema_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as other:
        # Of ten million assignments counting the roles takes as long as here the lock is held.
        other.execute("LOCK TABLE casbin_rule IN ACCESS EXCLUSIVE MODE")
        unlocks = threading.Timer(1.0, other.rollback)
        unlocks.start()
        served = opened(database=postgresql_schema_url, database_read_seconds=0.2)
        unlocks.join()
    assert_comes_back(served)


def test_a_frozen_server(own_postgres: OwnPostgres, opened: Callable[..., Served]) -> None:
    served = opened(database=own_postgres.url, **LIMITS)
    assert decide(served) == {"decision": True}
    own_postgres.freeze()
    assert_denied_in_time(served)
    assert_the_rest_is_answered(served)
    own_postgres.thaw()
    assert_comes_back(served)


def test_a_server_that_ends(own_postgres: OwnPostgres, opened: Callable[..., Served]) -> None:
    served = opened(database=own_postgres.url, **LIMITS)
    assert decide(served) == {"decision": True}
    own_postgres.close()
    for _ in range(3):
        assert_no_answer_of_the_policies(decide(served))
    assert metric(served, "klausel_database_silent") == 1


def test_writes_that_wait_hold_no_decision_up(opened: Callable[..., Served], sqlite_url: str) -> None:
    served = opened(**LIMITS)
    path = make_url(str(served.service.store.engine.url)).database or ""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            writes = [pool.submit(served.ask, "POST", "/v1/assignments", {"grant": [ROW]}) for _ in range(8)]
            for _ in range(50):
                assert decide(served) == {"decision": True}
            assert [write.result().status_code for write in writes] == [503] * 8
        assert time.monotonic() - began < WIDE_SECONDS
    assert served.ask("POST", "/v1/assignments", {"grant": [ROW]}).status_code == 200


def test_a_file_that_nobody_else_may_read_denies_in_time(opened: Callable[..., Served]) -> None:
    served = opened(**LIMITS)
    served.service.store.close()
    path = make_url(str(served.service.store.engine.url)).database or ""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        assert_denied_in_time(served)
        assert served.ask("GET", "/healthz").status_code == 200
    assert_comes_back(served)


def test_no_more_threads_wait_than_have_places(proxy: tuple[Proxy, str], opened: Callable[..., Served]) -> None:
    between, url = proxy
    served = opened(database=url, **{**LIMITS, "database_read_seconds": 3.0, "database_connect_seconds": 3.0})
    assert decide(served) == {"decision": True}
    between.stop_forwarding()
    wait_until_nothing_kept_is_told(served)
    waiting: list[float] = []

    def ask() -> None:
        began = time.monotonic()
        assert_no_answer_of_the_policies(decide(served))
        waiting.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seconds > 2.5 for seconds in waiting) <= 8
    between.go_on()
    assert_comes_back(served)
