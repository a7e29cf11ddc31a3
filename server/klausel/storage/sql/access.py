"""How long a database is waited for, and by how many threads at once: nothing waits for ever, and never all of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, NoReturn

from klausel.storage.sql.open_file import OpenFile
from klausel.storage.sql.storage_error import StorageError

__all__ = ["StorageError"]

READS_AT_ONCE = 8
WRITES_AT_ONCE = 3
IN_LINE = 27
"""How many more wait for their turn, each within its limit, as long as the database is not silent: a burst is served in turn."""
READS_IN_LINE = 24
"""How many of these may be readings, so that writes find some room in line."""
SECONDS_BETWEEN_ANSWERS = 0.5
"""As long as answers come at least so often, no reading is refused for want of room in line, until one waited in vain."""
SECONDS_FOR_A_PLACE = 0.25
"""How long all others wait for one of these places. Where one waits in vain, the next do not wait at all until nobody waits."""
SHARE_IN_LINE = 0.5
"""How much of its time a reading waits in line at most: what is left must do for an answer."""
_ALMOST = 0.9


class Crowded(StorageError):
    """As many as may wait for the database do so already. It says nothing of whether the database answers."""


class OutOfReach(StorageError):
    """No connection to the database was to be had, or it broke: asking is refused at once, so nobody waits for it."""


class Locked(StorageError):
    """Another process wrote for longer than a write waits."""


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


class Question:
    """What one reading asks. Whoever has a place may ask it along with its own, in one round trip to a server."""

    __slots__ = ("_failure", "_rows", "is_along", "is_done", "lock", "parameters", "query")

    def __init__(self, query: str, parameters: tuple[object, ...]) -> None:
        self.query = query
        self.parameters = parameters
        self.is_along = self.is_done = False
        self.lock = threading.Lock()
        self.lock.acquire()
        self._rows: list[Any] = []
        self._failure: BaseException | None = None

    @property
    def rows(self) -> list[Any]:
        """The answer. Raises the StorageError of whoever asked."""
        if self._failure is not None:
            kind = type(self._failure) if isinstance(self._failure, StorageError) else StorageError
            raise kind(str(self._failure)) from self._failure
        return self._rows

    def answer(self, rows: list[Any]) -> None:
        """Takes the rows that were found."""
        self._rows = rows

    def end(self, failure: BaseException | None) -> None:
        """Wakes who waits for it, when it was asked along."""
        self._failure = failure
        self.is_done = True
        self.lock.release()


class Access:
    """The way of all threads to one database, `place` in words; a `file` is the one that all its connections have open.

    Once it did not answer in time, one thread at a time finds out whether it answers again; the others are refused at once.
    """

    def __init__(self, place: str, limits: Limits, file: OpenFile | None = None) -> None:
        self.limits = limits
        self.file = file
        self.place = place
        self._silent_since: float | None = None
        self.is_out_of_reach = False
        self._reads = _Places(self, "questions", limits.reads_at_once, READS_IN_LINE)
        self._writes = _Places(self, "writes", WRITES_AT_ONCE, IN_LINE)
        self.may_be_in_line: Callable[[], int] = lambda: IN_LINE
        self.answered_at = float("-inf")
        """When a reading was answered last, as `monotonic` counts."""
        self._trial = threading.Lock()

    @property
    def is_silent(self) -> bool:
        """Whether the database did not answer in time when it was read last. A write may have waited for those of others."""
        return self._silent_since is not None

    @property
    def answers(self) -> bool:
        """Whether the database answered when it was asked last."""
        return self._silent_since is None and not self.is_out_of_reach

    @property
    def in_line(self) -> int:
        """How many threads wait for their turn to read or write, longer than just `SECONDS_FOR_A_PLACE`."""
        return min(self._reads.in_line + self._writes.in_line, IN_LINE)

    def reading(self, question: Question | None = None) -> _Turn:
        """Within it a thread may ask the database, for `read_seconds` at most; entering raises StorageError.

        Who brings a question gets those to ask: its own with those of others that wait in line, or none, where it is answered.
        """
        return _Turn(self, self.limits.read_seconds, self._reads, question)

    def writing(self) -> _Turn:
        """As `reading`, for `write_seconds`."""
        return _Turn(self, self.limits.write_seconds, self._writes)


class _Places:
    """As many threads as may wait for the database at once, of one kind: slow writes let no question be refused.

    Who finds none free waits in line, first come first served: the first as long as they may while the database is not
    silent, all others for `SECONDS_FOR_A_PLACE`. It `is_crowded` once one of those waited in vain, until nobody is in line.

    Who reads may take along the questions of those in line. They wait on, without a place, so no more of them than may wait
    in line anyway: else all threads might wait for a database that falls silent just then.
    """

    __slots__ = ("_access", "_along", "_free", "_lock", "_most_in_line", "is_crowded", "line", "what")

    def __init__(self, access: Access, what: str, number: int, most_in_line: int) -> None:
        self.what = what
        self.is_crowded = False
        self.line: deque[_InLine] = deque()
        self._along = 0
        self._access = access
        self._lock = threading.Lock()
        self._free = number
        self._most_in_line = most_in_line

    @property
    def in_line(self) -> int:
        """How many wait longer than `SECONDS_FOR_A_PLACE`."""
        return min(len(self.line) + self._along, self._most_in_line)

    def take(self, until: float, question: Question | None = None) -> bool:
        """Waits for a place, up to a moment; whether there is one, which must be left, or the question goes along."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            if self.is_crowded and not self._waits_on(len(self.line)):
                return False
            mine = _InLine(question)
            self.line.append(mine)
        while not mine.lock.acquire(timeout=max(min(SECONDS_FOR_A_PLACE, until - monotonic()), 0.0)):
            with self._lock:
                if mine not in self.line:
                    return True  # it was given, or taken along, just now
                if monotonic() < until and self._waits_on(self.line.index(mine)):
                    continue
                self.line.remove(mine)
                self.is_crowded = True
                return False
        return True

    def leave(self) -> None:
        """Gives a place to the first in line."""
        with self._lock:
            if self.line:
                self.line.popleft().lock.release()
            else:
                self._free += 1
            if not self.line:
                self.is_crowded = False

    def take_along(self) -> list[Question]:
        """The questions of those in line that may go along with one that has a place; `let_go` must follow."""
        if not self.line:
            return []
        with self._lock:
            room = max(self._most_in_line - self._along, 0)
            found = [one for one in self.line if one.question is not None][:room]
            for one in found:
                self.line.remove(one)
            questions = [one.question for one in found if one.question is not None]
            for question in questions:
                question.is_along = True
            self._along += len(questions)
            if not self.line:
                self.is_crowded = False
        return questions

    def let_go(self, questions: list[Question], failure: BaseException | None) -> None:
        """Wakes those whose questions were taken along."""
        for question in questions:
            question.end(failure)
        with self._lock:
            self._along -= len(questions)

    def _waits_on(self, before: int) -> bool:
        """Whether who has so many before it in line may wait on."""
        access = self._access
        if access.is_silent:
            return False
        others = access._writes if self is access._reads else access._reads
        most = min(self._most_in_line, access.may_be_in_line() - others.in_line)
        if before + self._along < most:
            return True
        is_reading = self is access._reads
        return is_reading and not self.is_crowded and monotonic() - access.answered_at < SECONDS_BETWEEN_ANSWERS


class _InLine:
    """One that waits: its lock is released when it has a place, or when its question was asked along."""

    __slots__ = ("lock", "question")

    def __init__(self, question: Question | None) -> None:
        self.question = question
        if question is not None:
            self.lock = question.lock
        else:
            self.lock = threading.Lock()
            self.lock.acquire()


class _Turn:
    """The time in which a thread may ask; no generator, for every reading of a decision goes through it."""

    __slots__ = ("_access", "_along", "_before", "_began", "_is_trial", "_places", "_question", "_seconds")

    def __init__(self, access: Access, seconds: float | None, places: _Places, question: Question | None = None) -> None:
        self._access = access
        self._seconds = seconds
        self._places = places
        self._question = question

    def __enter__(self) -> list[Question]:
        access, seconds, question = self._access, self._seconds, self._question
        mine = [] if question is None else [question]
        if seconds is None:
            return mine
        self._is_trial = False
        self._began = monotonic()
        if access._silent_since is not None:
            self._seconds = seconds = self._begin_trial(access._silent_since, seconds)
        at = self._began + seconds
        share = SHARE_IN_LINE if self._places is access._reads else 1.0
        # Whoever finds out whether the database answers does so itself.
        if not self._places.take(self._began + share * seconds, None if self._is_trial else question):
            self._refuse()
        if question is not None and question.is_along:
            self._seconds = None
            self._wait_for(question, at)
            return []
        self._before = deadline()
        # What was spent in line says nothing of whether the database answers.
        self._began = monotonic()
        self._seconds = at - self._began
        _own.at = at if self._before is None else min(self._before, at)
        self._along = self._places.take_along() if mine and not self._is_trial else []
        return mine + self._along

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        seconds, access = self._seconds, self._access
        if seconds is None:
            return
        _own.at = self._before
        if self._along:
            self._places.let_go(self._along, error)
        self._places.leave()
        if kind is None:
            if self._places is access._reads:
                access.answered_at = monotonic()
            if access._silent_since is not None:
                access._silent_since = None
            if access.is_out_of_reach:
                access.is_out_of_reach = False
        elif issubclass(kind, StorageError):
            access.is_out_of_reach = issubclass(kind, OutOfReach)
            if monotonic() - self._began >= _ALMOST * min(seconds, access.limits.connect_seconds):
                # A write may only have waited for those of others, in line or for their locks: then all else goes on.
                if self._places is access._reads:
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

    def _wait_for(self, question: Question, at: float) -> None:
        """Waits until a question was asked along. Raises StorageError where that takes longer than until a moment."""
        if question.is_done or question.lock.acquire(timeout=max(at - monotonic(), 0.0)):
            return
        if not question.is_done:
            raise StorageError(f"{self._access.place} did not answer in time; see what holds it up")

    def _refuse(self) -> NoReturn:
        access, places = self._access, self._places
        if self._is_trial:
            access._trial.release()
        raise Crowded(
            f"{access.place} is too slow: as many {places.what} as may wait for it at once do so already; "
            "see what holds it up"
        )
