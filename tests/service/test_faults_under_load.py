"""Replicas under load meet faults: nothing is wrongly allowed, lost or half done, and all goes on without a restart.

The scripts of `scripts/faults` do the same at full length, and say how long it took.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from faults.failover import Standby, url_of_both, wait_for_standby
from faults.linearizability import role_model
from faults.many_clients import run
from faults.pooler import PgBouncer, pgbouncer
from faults.storm import Storm
from faults.under_load import CLIENTS, ROOT, Database, Load, Replica, running_database
from ports import wait_until
from silent_servers import Proxy, program_or_skip

from klausel.core.policy.assignment import Assignment
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.change_log.verification import verify_log
from klausel.storage.schema import names_of_missing_indexes, open_database
from klausel.storage.sql.access import Limits, StorageError

MAX_STALENESS = 0.3
PAUSE = 0.05
"""Of each client between its rounds: without it, each test has both cores for itself for as long as it takes."""
FOR_A_WHILE = 4 * MAX_STALENESS
ONE_WORKER = ["--workers", "1"]
LIMITS = ["--max-staleness", str(MAX_STALENESS)]
pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")


@dataclass(frozen=True)
class World:
    """Two replicas on a PostgreSQL of their own, which they are told of changes by through a proxy."""

    folder: Path
    database: Database
    listening: Proxy
    replicas: list[Replica]


def need_postgresql() -> None:
    for name in ("initdb", "pg_ctl", "pg_basebackup"):
        program_or_skip(name)


@contextlib.contextmanager
def closing_all(replicas: list[Replica]) -> Iterator[list[Replica]]:
    try:
        for replica in replicas:
            replica.wait()
        yield replicas
    finally:
        for replica in replicas:
            replica.close()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    need_postgresql()
    with running_database(options="-c fsync=off") as (folder, database):
        listening = Proxy("127.0.0.1", database.port)
        told = database.url.replace(str(database.port), str(listening.port))
        try:
            open_database(database.url).dispose()
            options = [*LIMITS, "--listen-url", told]
            with closing_all([Replica(database.url, folder, ROOT / "policies", *options) for _ in range(2)]) as replicas:
                yield World(folder, database, listening, replicas)
        finally:
            listening.close()
            database.stop("immediate")


def assert_nothing_was_wrong(load: Load, database: str, since: float) -> None:
    """From the fault's end on writes are taken again; what was told before, meanwhile and after it was right."""
    wait_until(lambda: load.last_success > since, "no write is taken after the fault")
    # Long enough that all are changed and asked about again.
    time.sleep(FOR_A_WHILE)
    load.end(database)
    assert load.faults == {}, load.told()
    assert load.counts["answers"] > 50, load.told()
    engine = open_database(database)
    try:
        assert not verify_log(engine, {}).findings
    finally:
        engine.dispose()


def crashed(world: World) -> None:
    world.database.stop("immediate")
    time.sleep(MAX_STALENESS)
    world.database.start()


def frozen(world: World) -> None:
    world.database.send(signal.SIGSTOP)
    time.sleep(FOR_A_WHILE)
    world.database.send(signal.SIGCONT)


def listeners_cut(world: World) -> None:
    world.listening.stop_forwarding()
    time.sleep(2 * FOR_A_WHILE)
    world.listening.go_on()


def workers_killed(world: World) -> None:
    for replica in world.replicas:
        replica.kill_a_worker()


def replica_paused(world: World) -> None:
    world.replicas[1].send(signal.SIGSTOP)
    time.sleep(FOR_A_WHILE)
    world.replicas[1].send(signal.SIGCONT)


def storm_of_notifications(world: World) -> None:
    with Storm(world.database.url, 1000) as storm:
        time.sleep(FOR_A_WHILE)
        wait_until(lambda: storm.written > 100, "the storm does not begin")


@pytest.mark.parametrize("happen", [crashed, workers_killed, storm_of_notifications])
def test_with_tokens_nothing_wrong_is_told_and_nothing_is_lost(world: World, happen: Callable[[World], None]) -> None:
    assert_harmless(world, happen, with_tokens=True)


@pytest.mark.parametrize("happen", [frozen, listeners_cut, replica_paused])
def test_without_tokens_nothing_is_told_that_is_older_than_it_may_be(world: World, happen: Callable[[World], None]) -> None:
    assert_harmless(world, happen, with_tokens=False)


def assert_harmless(world: World, happen: Callable[[World], None], with_tokens: bool) -> None:
    with Load([replica.url for replica in world.replicas], MAX_STALENESS, with_tokens, PAUSE) as load:
        wait_until(lambda: load.counts["writes acknowledged"] >= CLIENTS, "the clients do not begin")
        happen(world)
        assert_nothing_was_wrong(load, world.database.url, time.monotonic())


def test_a_service_goes_on_at_the_standby_that_was_promoted() -> None:
    need_postgresql()
    with running_database(options="-c fsync=off") as (folder, primary):
        standby = Standby(primary, folder / "standby")
        try:
            with closing_all([Replica(url_of_both(primary, standby), folder, ROOT / "policies", *LIMITS, *ONE_WORKER)]) as (
                service,
            ):
                wait_for_standby(primary)
                assert_only_commands_read(standby)
                with Load([service.url], MAX_STALENESS, pause=PAUSE) as load:
                    wait_until(lambda: load.counts["writes acknowledged"] >= CLIENTS, "the clients do not begin")
                    primary.stop("immediate")
                    standby.promote()
                    assert_nothing_was_wrong(load, standby.url, time.monotonic())
        finally:
            standby.stop()


def assert_only_commands_read(standby: Standby) -> None:
    """A service that names the standby alone allowed what had been revoked at the primary, for as long as it was late."""
    with pytest.raises(StorageError, match=r"is a standby, which may be late.*name its primary server"):
        open_database(standby.url, Limits(read_seconds=10))
    engine = open_database(standby.url, creates=False)
    assert names_of_missing_indexes(engine) == []
    engine.dispose()


@contextlib.contextmanager
def behind_a_pooler(world: World) -> Iterator[str]:
    """The URL of the database through a pooler, as the manual asks for it."""
    program = pgbouncer()
    if program is None:
        pytest.skip("PgBouncer is not installed, so nothing tells how a service does behind it (apt-get install pgbouncer)")
    pooler = PgBouncer(program, world.database, world.folder)
    try:
        yield f"{pooler.url}?prepare_threshold=none"
    finally:
        pooler.close()


def test_a_service_works_behind_a_pooler_in_transaction_mode(world: World) -> None:
    with behind_a_pooler(world) as url:
        options = [*LIMITS, *ONE_WORKER, "--listen-url", world.database.url]
        with closing_all([Replica(url, world.folder, ROOT / "policies", *options)]) as (behind,):
            with Load([behind.url, world.replicas[0].url], MAX_STALENESS, pause=PAUSE) as load:
                wait_until(lambda: load.counts["writes acknowledged"] >= CLIENTS, "the clients do not begin")
                assert_nothing_was_wrong(load, world.database.url, time.monotonic())
            # A busy machine makes some wait too long; without what the manual asks for, most fail.
            assert load.counts["answers failed"] < load.counts["answers"] / 5, load.told()


def test_an_import_leaves_nothing_at_a_connection_of_a_pooler_that_others_get_in_the_middle_of_theirs(world: World) -> None:
    with behind_a_pooler(world) as url:
        wait_until(lambda: can_connect(url), "the pooler does not start")
        with contextlib.closing(AssignmentStore(open_database(url))) as store:
            rows = [Assignment("user:through-a-pooler", "user", "acme")]
            assert store.import_rows(role_model(), rows).added == 1
        with psycopg.connect(url.partition("?")[0], prepare_threshold=None) as others:
            left = others.execute("SELECT to_regclass('pg_temp.klausel_stage'), current_setting('work_mem')").fetchone()
    assert left == (None, "4MB")


def can_connect(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url.partition("?")[0]):
        return True
    return False


def test_a_sigterm_ends_what_was_started_with_a_database(world: World) -> None:
    assert world.database.port
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)


def test_more_callers_than_have_room_are_all_answered(tmp_path: Path) -> None:
    options = ["--max-connections", "100", *ONE_WORKER]
    database = f"sqlite:///{tmp_path}/people.db"
    with closing_all([Replica(database, tmp_path, ROOT / "policies", *options)]) as (service,):
        assert not asyncio.run(run(service.port, clients=200, seconds=2.0)), (
            "an answer is wrong or missing, or a probe failed"
        )
