"""How many times the database is waited for: each is a tenth of a second and more where it is far away."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest
from silent_servers import Proxy
from sqlalchemy.engine import make_url
from storage_people import row

from klausel.core.policy.roles import RoleModel
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database
from klausel.storage.sql.access import READS_AT_ONCE, Limits
from klausel.storage.sql.database import access_of, driver_connection, make_engine, read_url

LIMITS = Limits(connect_seconds=30.0, read_seconds=30.0, write_seconds=30.0)


class Counting(Proxy):
    """Counts how often the client sends something after the server did, or first."""

    round_trips = 0

    def __init__(self, host: str, port: int) -> None:
        self._client_was_last: dict[frozenset[socket.socket], bool] = {}
        super().__init__(host, port)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        is_client, pair = source.getsockname()[1] == self.port, frozenset((source, sink))
        with suppress(OSError):
            while data := source.recv(65536):
                if is_client and not self._client_was_last.get(pair):
                    self.round_trips += 1
                self._client_was_last[pair] = is_client
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def count(self, does: Callable[[], object]) -> int:
        """How many round trips that takes."""
        before = self.round_trips
        does()
        return self.round_trips - before


@pytest.fixture
def far_away(postgresql_schema_url: str) -> Iterator[tuple[Counting, str]]:
    url = make_url(postgresql_schema_url)
    proxy = Counting(url.host or "127.0.0.1", url.port or 5432)
    yield proxy, url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    proxy.close()


def test_a_connection_costs_no_more_than_the_driver_needs(far_away: tuple[Counting, str]) -> None:
    proxy, url = far_away
    engine = make_engine(read_url(url), hold_connections=True, limits=LIMITS)
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    opened = []
    # Kept open until the end: saying goodbye would be counted, too.
    needed = proxy.count(lambda: opened.append(psycopg.connect(plain)))
    for _ in range(2):
        assert proxy.count(lambda: opened.append(driver_connection(engine))) == needed
    for connection in opened:
        connection.close()


def test_who_is_not_remembered_costs_one_round_trip_and_a_burst_of_them_few(
    far_away: tuple[Counting, str], roles: RoleModel
) -> None:
    proxy, url = far_away
    store = AssignmentStore(open_database(url, LIMITS))
    people = [f"user:p{number}" for number in range(3 * READS_AT_ONCE)]
    store.write(
        roles, [row("ann", "admin", "acme"), *(row(one.removeprefix("user:"), "user", "acme") for one in people)], []
    )
    store.reader.open_ahead()
    assert proxy.count(lambda: store.reader.held_by(people[0])) == 1
    access = access_of(store.engine)
    turns = [access.reading() for _ in range(READS_AT_ONCE)]
    for turn in turns:
        turn.__enter__()
    with ThreadPoolExecutor(len(people)) as pool:
        found = [pool.submit(store.reader.held_by, person) for person in people]
        while len(access._reads.line) < len(people):
            pass

        def answer() -> None:
            turns.pop().__exit__(None, None, None)
            assert all(one.result().pairs == (("user", "acme"),) for one in found)

        assert proxy.count(answer) == 1
    # The last first: each gives the thread back the limit that it had before.
    for turn in reversed(turns):
        turn.__exit__(None, None, None)
    store.close()
