"""What other processes change in PostgreSQL, told as they commit, and a heartbeat that proves that nothing was missed."""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from klausel.storage.sql.access import Limits, StorageError
from klausel.storage.sql.database import access_of, driver_connection, explained_errors, make_engine
from klausel.storage.sql.history import History, KnownState, OtherSchema
from klausel.storage.sql.tables import CHANNEL

HEARTBEATS_PER_STALENESS = 4
MOST_SECONDS_PER_HEARTBEAT = 1.0
SECONDS_BETWEEN_READINGS = 0.02
"""A storm of notifications is read in pieces of so long; the first is read at once. Every worker of every replica reads."""
SECONDS_BEFORE_ANOTHER_TRY = 0.25
MOST_TRIES_TO_CATCH_UP = 100
SECONDS_TO_COME_BACK = 10.0
"""How long a listener may be away before the service is not ready: for a busy machine, or a server that starts again."""

Listener = Callable[[frozenset[str] | None], None]
"""Is told the subjects that changed, None for perhaps all."""

_log = logging.getLogger(__name__)


def boot_clock() -> float:
    """Seconds that never go back, and go on while this process, and where the system can tell the machine, is paused."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))


class ChangeFeed:
    """Follows the state of a database, and tells listeners whom each step changed, before `known` names the state after it.

    So what a listener keeps, having dropped those that it was told, is never older than `known`. While `is_trusted`, that was
    the state of the database at most `max_staleness` seconds ago: the feed asks again several times within that, and at each
    notification. It is not while the connection is down, the database does not answer in time, or this process was paused.
    Who reads `trusted_until` first, then what it kept, may tell that while `clock` is before it.
    """

    def __init__(self, url: URL, limits: Limits, max_staleness: float, clock: Callable[[], float] = boot_clock) -> None:
        self.max_staleness = max_staleness
        self.known: KnownState | None = None
        self.reconnects = 0
        self._other_schema: str | None = None
        self._is_cut = False
        self.process: int | None = None
        """The number that the server gave the connection."""
        self.clock = clock
        self.trusted_until = float("-inf")
        self._heard_at = float("-inf")
        self._seconds_per_heartbeat = min(max_staleness / HEARTBEATS_PER_STALENESS, MOST_SECONDS_PER_HEARTBEAT)
        # Places and limits of its own: it waits for nobody, and what it meets says nothing of other connections.
        self._engine = make_engine(url, hold_connections=True, limits=limits)
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._wakes, self._is_woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="changes-of-others", daemon=True)
        self._thread.start()

    @property
    def is_trusted(self) -> bool:
        """Whether what was kept may be told."""
        return self.clock() < self.trusted_until

    @property
    def staleness(self) -> float:
        """How many seconds ago the database was last known to be in the state `known`; infinite while nothing is trusted."""
        trusted_until = self.trusted_until
        age = self.clock() - (trusted_until - self.max_staleness)
        return age if age < self.max_staleness else float("inf")

    @property
    def is_long_unheard(self) -> bool:
        """Whether nothing was heard for longer than a connection takes that was cut, or never yet."""
        return self.clock() - self._heard_at > self.max_staleness + SECONDS_TO_COME_BACK

    def refuse_other_schema(self) -> None:
        """Raises `OtherSchema` where the tables were of another version when the feed read them last."""
        if self._other_schema is not None:
            raise OtherSchema(self._other_schema)

    def add_listener(self, listener: Listener) -> None:
        """Tells `listener` of every step from now on."""
        with self._lock:
            self._listeners = [*self._listeners, listener]

    def remove_listener(self, listener: Listener) -> None:
        """Ends what `add_listener` began; does nothing for an unknown one."""
        self._listeners = [known for known in self._listeners if known != listener]

    def catch_up(self, history: History) -> KnownState:
        """Takes the steps up to the state that the database is in now, read over another connection. Raises StorageError."""
        for _ in range(MOST_TRIES_TO_CATCH_UP):
            now = self._step(history, confirms=False)
            if now is not None:
                return now
        raise StorageError("so much is changed in the database at once that its state cannot be followed; try again")

    def close(self) -> None:
        """Stops following; nothing is trusted any more."""
        self._closed.set()
        self.trusted_until = float("-inf")
        with suppress(OSError):
            self._wakes.send(b".")
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        self._wakes.close()
        self._is_woken.close()

    def _step(self, history: History, confirms: bool) -> KnownState | None:
        """Reads what changed and takes it; None where another thread took a step meanwhile, for then it must be read again.

        Nothing is locked while the database is waited for.
        """
        before = self.known
        asked_at = self.clock()
        now, subjects = (history.state(), None) if before is None else history.changes_since(before)
        with self._lock:
            if self.known is not before:
                return None
            if now != before:
                for listener in self._listeners:
                    listener(subjects)
                self.known = now
            if confirms and not self._closed.is_set():
                self._heard_at = asked_at
                self.trusted_until = asked_at + self.max_staleness
        return now

    def _run(self) -> None:
        while not self._closed.is_set():
            connection = None
            try:
                connection = _Listening(self._engine)
                self.process = connection.process
                self._follow(connection)
            except Exception as error:
                self.trusted_until = float("-inf")
                self.reconnects += 1
                # What only cannot be reached is of the version that it was.
                if isinstance(error, OtherSchema):
                    self._other_schema = str(error)
                if not self._is_cut and not self._closed.is_set():
                    _log.warning("changes of role assignments cannot be followed, so each decision reads them: %s", error)
                    self._is_cut = True
            finally:
                if connection is not None:
                    connection.close()
            self._closed.wait(SECONDS_BEFORE_ANOTHER_TRY)

    def _follow(self, connection: _Listening) -> None:
        while not self._closed.is_set():
            connection.is_notified = False
            began = self.clock()
            if self._step(connection.history, confirms=True) is None:
                continue
            self._other_schema = None
            if self._is_cut:
                _log.warning("changes of role assignments are followed again, and what is remembered is told again")
                self._is_cut = False
            at = began + self._seconds_per_heartbeat
            while not self._closed.is_set() and not connection.is_notified and (left := at - self.clock()) > 0:
                known = self.known
                connection.wait(left, self._is_woken, known.lineage if known is not None else "")
            pause = began + SECONDS_BETWEEN_READINGS - self.clock()
            if pause > 0:
                self._closed.wait(pause)


class _Listening:
    """A connection that listens; `is_notified` once another session changed something."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._access = access_of(engine)
        self.is_notified = False
        self._lineage = ""
        with self._access.reading(), explained_errors(engine):
            driver: Any = driver_connection(engine)
            self._driver = driver
            try:
                driver.autocommit = True
                driver.add_notify_handler(self._note)
                driver.execute(f"LISTEN {CHANNEL}")
            except Exception:
                self.close()
                raise
        self.history = History(self._ask, "%s")
        self.process: int = driver.info.backend_pid

    def wait(self, seconds: float, waker: socket.socket, lineage: str) -> None:
        """Waits for a notification about the database of this lineage, but not longer than so."""
        self._lineage = lineage
        poll = select.poll()
        poll.register(self._driver.fileno(), select.POLLIN)
        poll.register(waker.fileno(), select.POLLIN)
        if any(found == self._driver.fileno() for found, _ in poll.poll(max(seconds, 0) * 1000)):
            with explained_errors(self._engine):
                self._driver.pgconn.consume_input()
                while (notification := self._driver.pgconn.notifies()) is not None:
                    self._tell(bytes(notification.extra).decode("utf-8", "replace"))

    def close(self) -> None:
        with suppress(Exception):
            self._driver.close()

    def _note(self, notification: Any) -> None:
        self._tell(notification.payload)

    def _tell(self, payload: str) -> None:
        # Several databases of Klausel may share one of PostgreSQL, in schemas of their own.
        if not self._lineage or payload.startswith(f"{self._lineage}-"):
            self.is_notified = True

    def _ask(self, query: str, parameters: tuple[object, ...]) -> list[Any]:
        with self._access.reading(), explained_errors(self._engine):
            rows: list[Any] = self._driver.execute(query, parameters).fetchall()
            return rows
