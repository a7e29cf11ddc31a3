"""A process that is killed in the middle of a write: what it was told is there, and nothing is half there."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from typing import Any

import pytest
from storage_people import ROLES

from klausel.core.policy.assignment import Assignment
from klausel.storage.assignments import store as store_of_assignments
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.change_log.verification import verify_log
from klausel.storage.change_log.writer import log_rows
from klausel.storage.schema import open_database
from klausel.storage.sql import database

ROWS_OF_WRITE = 20
KILLS = 3
SECONDS_TO_FAIL = 0.5


def rows(number: int) -> list[Assignment]:
    return [Assignment(f"user:w{number}-{place}", "admin", f"a{number}-{place}") for place in range(ROWS_OF_WRITE)]


def write_on_and_on(url: str, first: int, told: Connection, break_it: Callable[[], None] | None) -> None:
    """Writes, and tells each write that was acknowledged."""
    if break_it is not None:
        break_it()
    with closing(AssignmentStore(open_database(url))) as store:
        for number in range(first, first + 100_000):
            store.write(ROLES, rows(number), [])
            told.send(number)


def check_killed_writers(url: str, break_it: Callable[[], None] | None = None) -> None:
    """Fails where a write is lost, half there, or not in the log; `break_it` breaks the process that writes."""
    open_database(url).dispose()
    chance = random.Random(5)
    acknowledged: set[int] = set()
    for kill in range(KILLS):
        here, there = Pipe(duplex=False)
        # Forked, which is quick: nothing of the database is open here.
        writer = get_context("fork").Process(target=write_on_and_on, args=(url, kill * 100_000, there, break_it))
        writer.start()
        there.close()
        acknowledged.add(here.recv())
        # What is broken may end itself at its weakest place.
        time.sleep(chance.uniform(0, 0.05) if break_it is None else SECONDS_TO_FAIL)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        try:
            while True:
                acknowledged.add(here.recv())
        except EOFError:
            here.close()
    with closing(AssignmentStore(open_database(url))) as store:
        stored = set(store.export_rows())
        assert acknowledged
        for number in acknowledged:
            assert stored.issuperset(rows(number)), "an acknowledged write is lost"
        begun = {int(row.subject.removeprefix("user:w").partition("-")[0]) for row in stored}
        assert all(stored.issuperset(rows(number)) for number in begun), "a write is half there"
        # At most the one that each was killed in was written and not told.
        assert len(begun - acknowledged) <= KILLS
        verdict = verify_log(store.engine, {})
        store.write(ROLES, rows(-1), [])
    assert not verdict.findings, "the log is not what was written"


@pytest.mark.parametrize("place", ["sqlite_url", "postgresql_schema_url"])
def test_each_write_of_a_killed_process_is_there_or_not_and_the_acknowledged_ones_are(
    place: str, request: pytest.FixtureRequest
) -> None:
    check_killed_writers(request.getfixturevalue(place))


# --- Broken on purpose, in the process that writes --------------------------------------------------------------------

write = AssignmentStore.write
writes_begun = itertools.count()


def die_in_the_second_write() -> None:
    if next(writes_begun):
        os.kill(os.getpid(), signal.SIGKILL)


def commits_nothing() -> None:
    @contextmanager
    def without_commit(connection: Any, accounts: object) -> Iterator[None]:
        with connection.begin() as transaction:
            yield
            transaction.rollback()

    vars(database)["write_transaction"] = without_commit


def acknowledges_before_it_commits() -> None:
    def write_later(*given: Any) -> str:
        threading.Timer(0.02, write, given).start()
        return ""

    AssignmentStore.write = write_later  # type: ignore[method-assign, assignment]


def writes_in_two_halves() -> None:
    def write_halves(self: AssignmentStore, roles: Any, grant: Any, revoke: Any) -> str:
        write(self, roles, grant[::2], revoke)
        die_in_the_second_write()
        return write(self, roles, grant[1::2], revoke)

    AssignmentStore.write = write_halves  # type: ignore[method-assign, assignment]


def logs_in_a_second_transaction() -> None:
    waiting: list[tuple[Any, ...]] = []

    def tell(self: AssignmentStore, change: object) -> None:
        die_in_the_second_write()
        with database.writing(self.engine, None) as connection:
            for given in waiting:
                log_rows(connection, *given)
        waiting.clear()

    vars(store_of_assignments)["log_rows"] = lambda _, *given: waiting.append(given)
    AssignmentStore.tell = tell  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (commits_nothing, "an acknowledged write is lost"),
        (acknowledges_before_it_commits, "an acknowledged write is lost"),
        (writes_in_two_halves, "a write is half there"),
        (logs_in_a_second_transaction, "the log is not what was written"),
    ],
)
def test_what_loses_or_halves_a_write_is_found(sqlite_url: str, break_it: Callable[[], None], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_killed_writers(sqlite_url, break_it)
