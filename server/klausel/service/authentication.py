"""Who calls: a caller is known by what it proves, or is not answered."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from klausel.core.terms.caller import Caller
from klausel.storage.callers.keys import PREFIX, ApiKey, KeyStore
from klausel.storage.sql.database import StorageError

SECONDS_KEPT = 1.0
"""How long a key that was found is not looked up again, where nobody is known to have written."""
MOST_KEPT = 10_000
SECONDS_BETWEEN_NOTES = 30.0
SECONDS_GATHERED = 0.5
"""How long uses of API keys are gathered before they are written."""

_log = logging.getLogger(__name__)


class Unauthenticated(Exception):
    """Nobody knows who calls; the text says why in one sentence."""


class CannotTell(Exception):
    """Nobody can find out now who calls; the text says why in one sentence."""


class TooManyRequests(Exception):
    """A caller asks faster than it may; it may go on after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("more requests than this caller may send")
        self.seconds = seconds


class Proofs(Protocol):
    """One kind of proof that callers may send as a bearer token."""

    def is_one(self, token: str) -> bool:
        """Whether a token looks like a proof of this kind."""

    def caller_of(self, token: str) -> Caller:
        """Who proves itself by a token; raises `Unauthenticated`, `StorageError` and `CannotTell`."""


class ApiKeys:
    """Callers by their API keys; one that is revoked ends as soon as that write is seen, in every process.

    `mark` is that of `marks_of_writes`: what was found under another one, or while there was none, is looked up again.
    """

    depends_on = ("keys that are revoked", "the moment", "other processes", "whether other processes are heard")

    def __init__(
        self, store: KeyStore, clock: Callable[[], float] = time.time, mark: Callable[[], Hashable | None] = lambda: ""
    ) -> None:
        self._store = store
        self._clock = clock
        self._mark = mark
        self._found: dict[tuple[bytes, Hashable], tuple[float, ApiKey | None]] = {}
        self._uses = KeyUses(store)

    def is_one(self, token: str) -> bool:
        """Whether a token is written as an API key is."""
        return token.startswith(PREFIX)

    def caller_of(self, token: str) -> Caller:
        """The caller that was given a key; raises `Unauthenticated` for one that is unknown, expired or revoked."""
        key = self._find(token)
        if key is None:
            raise Unauthenticated("there is no such API key")
        now = self._clock()
        state = key.state(now)
        if state != "good":
            raise Unauthenticated(f"this API key is {state}")
        self._uses.note(key.id, int(now))
        return key.caller

    def close(self) -> None:
        """Writes when keys were used, as far as that is not written, and ends."""
        self._uses.close()

    def _find(self, token: str) -> ApiKey | None:
        # Read first: a write after it may or may not be in what is found.
        mark = self._mark()
        place = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest(), mark
        known = self._found.get(place)
        if known is not None and time.monotonic() - known[0] < SECONDS_KEPT:
            return known[1]
        key = self._store.find(token)
        if mark is not None:
            # What is no key is remembered too, so that who goes on sending it does not keep the database busy.
            if len(self._found) >= MOST_KEPT:
                self._found.clear()
            self._found[place] = (time.monotonic(), key)
        return key


class KeyUses:
    """Notes in the background when API keys were used last: no answer waits for it, and a key used only once is noted too."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._used: dict[str, int] = {}
        self._noted: dict[str, float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closing = threading.Event()

    def note(self, id_: str, when: int) -> None:
        """Notes a use; what is written of it is at most `SECONDS_BETWEEN_NOTES` too old."""
        self._used[id_] = when
        if self._is_due(id_):
            with self._lock:
                self._used[id_] = when  # what was noted without the lock may just have been taken away
                if self._thread is None and not self._is_closing.is_set():
                    self._thread = threading.Thread(target=self._write_soon, name="klausel-key-use", daemon=True)
                    self._thread.start()

    def close(self) -> None:
        """Writes what waits, and ends."""
        with self._lock:
            self._is_closing.set()
            thread = self._thread
        if thread is not None:
            thread.join()
        self._write()

    def _is_due(self, id_: str) -> bool:
        return time.monotonic() - self._noted.get(id_, -inf) > SECONDS_BETWEEN_NOTES

    def _write_soon(self) -> None:
        while self._thread is not None:
            # Many keys that are used at once take one write.
            self._is_closing.wait(SECONDS_GATHERED)
            self._write()
            with self._lock:
                if self._is_closing.is_set() or not any(map(self._is_due, list(self._used))):
                    self._thread = None

    def _write(self) -> None:
        with self._lock:
            used, self._used = dict(self._used), {}
            recent = {id_: at for id_, at in self._noted.items() if not self._is_due(id_)}
            self._noted = recent | dict.fromkeys(used, time.monotonic())
        try:
            for when in set(used.values()):
                self._store.note_use([id_ for id_, at in used.items() if at == when], when)
        except StorageError as error:
            _log.warning("when API keys were used last is not noted: %s", error)


class RateLimit:
    """How many requests a second each caller may send to this process; a second's worth of them at once."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, name: str) -> None:
        """Counts one request; raises `TooManyRequests`."""
        now = time.monotonic()
        most = max(1.0, self._per_second)
        with self._lock:
            # Taken out and put in again, so that who asked longest ago comes first.
            left, at = self._left.pop(name, (most, now))
            left = min(most, left + (now - at) * self._per_second)
            if len(self._left) >= MOST_KEPT:
                del self._left[next(iter(self._left))]
            self._left[name] = (left if left < 1 else left - 1, now)
        if left < 1:
            raise TooManyRequests((1 - left) / self._per_second)


@dataclass(frozen=True, slots=True)
class Authentication:
    """Finds out who calls by the proofs that are taken; nobody is answered without one."""

    proofs: Sequence[Proofs]
    rate_limit: RateLimit | None = None

    def caller(self, environ: Mapping[str, object]) -> Caller:
        """Who sent a request; raises `Unauthenticated`, `TooManyRequests`, `StorageError` and `CannotTell`."""
        header = environ.get("HTTP_AUTHORIZATION")
        if not isinstance(header, str) or not header:
            raise Unauthenticated("the request does not say who calls; send a header Authorization: Bearer …")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("the header Authorization is not of the form: Bearer …")
        token = token.strip()
        for proofs in self.proofs:
            if proofs.is_one(token):
                caller = proofs.caller_of(token)
                if self.rate_limit is not None:
                    self.rate_limit.take(caller.name)
                return caller
        raise Unauthenticated("the bearer token is of no kind that is taken here")
