"""How long a database is waited for, and by how many threads at once: nothing waits for ever, and never all of them."""

from __future__ import annotations

import threading
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
        self.place = place
        self._reads = _Places("questions", limits.reads_at_once)
        self._writes = _Places("writes", WRITES_AT_ONCE)
        self._silent_since: float | None = None
        self._trial = threading.Lock()

    @property
    def is_silent(self) -> bool:
        """Whether the database did not answer in time when it was asked last."""
        return self._silent_since is not None

    def reading(self) -> _Turn:
        """Within it a thread may ask the database, for `read_seconds` at most; entering raises StorageError."""
        return _Turn(self, self.limits.read_seconds, self._reads)

    def writing(self) -> _Turn:
        """As `reading`, for `write_seconds`."""
        return _Turn(self, self.limits.write_seconds, self._writes)


class _Places:
    """As many threads as may wait at once, of one kind: writes that are slow let no question be refused.

    `is_crowded` once one waited in vain for a place, until one of this kind comes free.
    """

    __slots__ = ("free", "is_crowded", "what")

    def __init__(self, what: str, number: int) -> None:
        self.what = what
        self.is_crowded = False
        self.free: SimpleQueue[None] = SimpleQueue()
        for _ in range(number):
            self.free.put(None)


class _Turn:
    """The time in which a thread may ask; no generator, for every reading of a decision goes through it."""

    __slots__ = ("_access", "_before", "_began", "_is_trial", "_places", "_seconds")

    def __init__(self, access: Access, seconds: float | None, places: _Places) -> None:
        self._access = access
        self._seconds = seconds
        self._places = places

    def __enter__(self) -> None:
        access, seconds = self._access, self._seconds
        if seconds is None:
            return
        self._is_trial = False
        self._began = monotonic()
        if access._silent_since is not None:
            self._seconds = seconds = self._begin_trial(access._silent_since, seconds)
        try:
            self._places.free.get_nowait()
        except Empty:
            self._wait_for_place()
        self._before = deadline()
        at = self._began + seconds
        _own.at = at if self._before is None else min(self._before, at)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        seconds, access = self._seconds, self._access
        if seconds is None:
            return
        _own.at = self._before
        self._places.is_crowded = False
        self._places.free.put(None)
        if kind is None:
            if access._silent_since is not None:
                access._silent_since = None
        elif issubclass(kind, StorageError):
            if monotonic() - self._began >= _ALMOST * min(seconds, access.limits.connect_seconds):
                access._silent_since = access._silent_since or self._began
            elif self._is_trial:
                access._silent_since = None
        if self._is_trial:
            access._trial.release()

    def _begin_trial(self, since: float, seconds: float) -> float:
        """Makes this the one thread that finds out whether the database answers again; how long it may take."""
        access = self._access
        if not access._trial.acquire(blocking=False):
            raise StorageError(
                f"{access.place} has not answered for {self._began - since:.1f} s, so nobody else waits for it; it is asked "
                "again all the time, see whether it runs and is reached"
            )
        self._is_trial = True
        # All others are refused meanwhile.
        return min(seconds, access.limits.read_seconds or seconds)

    def _wait_for_place(self) -> None:
        access, places = self._access, self._places
        try:
            places.free.get(timeout=0 if places.is_crowded else SECONDS_FOR_A_PLACE)
        except Empty:
            places.is_crowded = True
            if self._is_trial:
                access._trial.release()
            raise StorageError(
                f"{access.place} is too slow: as many {places.what} as may wait for it at once do so already; "
                "see what holds it up"
            ) from None
