"""On PostgreSQL, who waits in line is read in one round trip with whoever gets the next place; each gets its own rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import text
from storage_people import row

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database
from klausel.storage.sql.access import READS_AT_ONCE, Limits, Question
from klausel.storage.sql.database import StorageError, access_of

LIMITS = Limits(read_seconds=30.0, write_seconds=30.0)
PEOPLE = [f"user:p{number}" for number in range(6)]


@pytest.fixture
def bounded(postgresql_schema_url: str, roles: RoleModel) -> Iterator[AssignmentStore]:
    """A store with the limits of a service, in which each of the people has something else, and one belongs to a group."""
    store = AssignmentStore(open_database(postgresql_schema_url, LIMITS))
    rows = [row("ann", "admin", "a0"), *(row(person.removeprefix("user:"), "user", "a0") for person in PEOPLE[1:])]
    rows += [row(f"p{number}", "lead", f"a0/w{number}") for number in range(1, 5)]
    rows += [Assignment("user:p5", "group:team", ""), Assignment("group:team", "agent", "a0/w9")]
    store.write(roles, rows, [])
    yield store
    store.close()


def all_in_line(store: AssignmentStore, asks: list[Callable[[], object]]) -> list[object]:
    """What each is told when all of them waited in line for one place."""
    access, told = access_of(store.engine), dict[int, object]()

    def ask(number: int) -> None:
        try:
            told[number] = asks[number]()
        except StorageError as error:
            told[number] = error

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(asks))]
    with ExitStack() as places:
        for _ in range(READS_AT_ONCE - 1):
            places.enter_context(access.reading())
        with access.reading():
            for thread in threads:
                thread.start()
            give_up_at = time.monotonic() + 20
            while access.in_line < len(asks):
                assert time.monotonic() < give_up_at
                time.sleep(0.001)
        for thread in threads:
            thread.join()
    return [told[number] for number in range(len(asks))]


def sizes_asked(store: AssignmentStore) -> list[int]:
    """How many questions went to the server together each time from now on."""
    sizes: list[int] = []
    ask_all = store.reader._ask_all

    def noted(questions: list[Question]) -> None:
        sizes.append(len(questions))
        ask_all(questions)

    store.reader._ask_all = noted  # type: ignore[method-assign]
    return sizes


def test_each_is_told_its_own_rows(bounded: AssignmentStore) -> None:
    reader = bounded.reader
    asks = [lambda person=person: reader.held_by(person) for person in PEOPLE]  # type: ignore[misc]
    asks.append(lambda: reader.entities([("subject", "user", "p1")]))
    alone = [ask() for ask in asks]
    sizes = sizes_asked(bounded)
    for _ in range(3):
        assert all_in_line(bounded, asks) == alone
    assert sizes[0] == len(asks)


def test_a_connection_that_the_server_closed_is_replaced_for_all(bounded: AssignmentStore) -> None:
    reader = bounded.reader
    asks = [lambda person=person: reader.held_by(person) for person in PEOPLE]  # type: ignore[misc]
    alone = [ask() for ask in asks]
    with bounded.engine.connect() as other:
        for held in reader._idle:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": held._connection.info.backend_pid})
    assert all_in_line(bounded, asks) == alone
