"""How long a database is waited for, and by how many threads at once: nothing waits for ever, and never all of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic

READS_AT_ONCE = 8
WRITES_AT_ONCE = 3
SECONDS_FOR_A_PLACE = 0.25
"""How long a thread waits for one of these places. Where it waits in vain, others do not wait at all until one comes free."""
_ALMOST = 0.9


class StorageError(Exception):
    """The database cannot do what was asked; the message is one sentence that says how to fix it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds after which is given up: connecting, a whole reading, a whole write, and a write's wait for those of others.

    None sets no limit, and lets any number of threads wait: for commands, which take as long as it takes.
    """

    connect_seconds: float = 10.0
    read_seconds: float | None = None
    write_seconds: float | None = None
    lock_seconds: float = 30.0
    reads_at_once: int = READS_AT_ONCE


COMMAND_LIMITS = Limits()

_own = threading.local()


@contextmanager
def answering_within(seconds: float | None) -> Iterator[None]:
    """What this thread asks of a database inside it must be answered within so many seconds in all; None changes nothing."""
    before = deadline()
    if seconds is not None:
        at = monotonic() + seconds
        _own.at = at if before is None else min(before, at)
    try:
        yield
    finally:
        _own.at = before


def deadline() -> float | None:
    """When what this thread asks must be answered, as `monotonic` counts; None where it may wait."""
    at: float | None = getattr(_own, "at", None)
    return at


class Access:
    """The way of all threads to one database, `place` in words.

    Once it did not answer in time, one thread at a time finds out whether it answers again; the others are refused at once.
    """

    def __init__(self, place: str, limits: Limits) -> None:
        self.limits = limits
        self._place = place
        self._reads = _places(limits.reads_at_once)
        self._writes = _places(WRITES_AT_ONCE)
        self._is_crowded = False
        self._silent_since: float | None = None
        self._trial = threading.Lock()

    @property
    def is_silent(self) -> bool:
        """Whether the database did not answer in time when it was asked last."""
        return self._silent_since is not None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within it a thread may ask the database, for `read_seconds` at most. Raises StorageError."""
        seconds = self.limits.read_seconds
        if seconds is None:
            yield
            return
        with self._trying(seconds), self._taking(self._reads, "questions"), answering_within(seconds):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """As `reading`, for `write_seconds`."""
        seconds = self.limits.write_seconds
        if seconds is None:
            yield
            return
        if self.is_silent and self.limits.read_seconds is not None:
            # Whoever finds out whether it answers again keeps all others waiting.
            seconds = min(seconds, self.limits.read_seconds)
        with self._trying(seconds), self._taking(self._writes, "writes"), answering_within(seconds):
            yield

    @contextmanager
    def _trying(self, seconds: float) -> Iterator[None]:
        since, began = self._silent_since, monotonic()
        is_trial = since is not None and self._trial.acquire(blocking=False)
        if since is not None and not is_trial:
            raise StorageError(
                f"{self._place} has not answered for {began - since:.1f} s, so nobody else waits for it; it is asked again "
                "all the time, see whether it runs and is reached"
            )
        try:
            yield
        except StorageError:
            if monotonic() - began >= _ALMOST * min(seconds, self.limits.connect_seconds):
                self._silent_since = began if since is None else since
            elif is_trial:
                self._silent_since = None
            raise
        else:
            if since is not None:
                self._silent_since = None
        finally:
            if is_trial:
                self._trial.release()

    @contextmanager
    def _taking(self, places: SimpleQueue[None], what: str) -> Iterator[None]:
        try:
            places.get(timeout=0 if self._is_crowded else SECONDS_FOR_A_PLACE)
        except Empty:
            self._is_crowded = True
            raise StorageError(
                f"{self._place} is too slow: as many {what} as may wait for it at once do so already; see what holds it up"
            ) from None
        try:
            yield
        finally:
            self._is_crowded = False
            places.put(None)


def _places(number: int) -> SimpleQueue[None]:
    places: SimpleQueue[None] = SimpleQueue()
    for _ in range(number):
        places.put(None)
    return places
