"""A process that is killed in the middle of a write: what it was told is there, and nothing is half there."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import closing
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection

import pytest
from storage_people import ROLES

from klausel.core.policy.assignment import Assignment
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.change_log.verification import verify_log
from klausel.storage.schema import open_database

ROWS_OF_WRITE = 20
KILLS = 3


def rows(number: int) -> list[Assignment]:
    return [Assignment(f"user:w{number}-{place}", "admin", f"a{number}-{place}") for place in range(ROWS_OF_WRITE)]


def write_on_and_on(url: str, first: int, told: Connection) -> None:
    """Writes, and tells each write that was acknowledged."""
    with closing(AssignmentStore(open_database(url))) as store:
        for number in range(first, first + 100_000):
            store.write(ROLES, rows(number), [])
            told.send(number)


@pytest.mark.parametrize("place", ["sqlite_url", "postgresql_schema_url"])
def test_each_write_of_a_killed_process_is_there_or_not_and_the_acknowledged_ones_are(
    place: str, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(place)
    open_database(url).dispose()
    chance = random.Random(5)
    acknowledged: set[int] = set()
    for kill in range(KILLS):
        here, there = Pipe(duplex=False)
        # Forked, which is quick: nothing of the database is open here.
        writer = get_context("fork").Process(target=write_on_and_on, args=(url, kill * 100_000, there))
        writer.start()
        there.close()
        acknowledged.add(here.recv())
        time.sleep(chance.uniform(0, 0.05))
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
    assert not verdict.findings
