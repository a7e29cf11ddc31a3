"""Signing people in to the console, and out again."""

from __future__ import annotations

import time
from collections.abc import Callable

from klausel.core.terms.caller import Caller
from klausel.service.authentication import RateLimit, Unauthenticated
from klausel.storage.callers.keys import KeyStore
from klausel.storage.callers.sessions import SessionStore, SignIn


class SignIns:
    """The sign-ins of one service. Everything raises `StorageError`.

    None is kept in memory: each request looks it up, so what is ended or revoked ends at once, in every process.
    """

    def __init__(
        self,
        sessions: SessionStore,
        keys: KeyStore,
        seconds: float,
        rate_limit: RateLimit | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sessions, self._keys, self._seconds = sessions, keys, seconds
        self._rate_limit, self._clock = rate_limit, clock

    def with_key(self, key: str) -> tuple[str, SignIn]:
        """Signs in whoever was given an API key; raises `Unauthenticated` for one that does not count, and
        `TooManyRequests`.

        Gives what the browser has to keep, and what they may do. The sign-in ends with the key at the latest.
        """
        found = self._keys.find(key)
        now = self._clock()
        if found is None:
            raise Unauthenticated("there is no such API key")
        if found.state(now) != "good":
            raise Unauthenticated(f"this API key is {found.state(now)}")
        # Each sign-in is written down, so it counts as any other request of this caller.
        self._count(found.caller)
        self._keys.note_use([found.id], int(now))
        who = SignIn(found.caller)
        return self._sessions.begin(who, self._ends(now), found.id), who

    def with_proof(self, who: SignIn) -> str:
        """Signs in somebody of whom is known who they are; gives what the browser has to keep."""
        return self._sessions.begin(who, self._ends(self._clock()))

    def who(self, token: str) -> SignIn:
        """Who signed in; raises `Unauthenticated` where nobody did, or that has ended, and `TooManyRequests`."""
        found = self._sessions.find(token, self._clock())
        if found is None:
            raise Unauthenticated("this sign-in has ended; sign in again")
        self._count(found.caller)
        return found

    def end(self, token: str) -> None:
        """Signs out."""
        self._sessions.end(token)

    def _ends(self, now: float) -> int:
        return int(now + self._seconds)

    def _count(self, caller: Caller) -> None:
        if self._rate_limit is not None:
            self._rate_limit.take(caller.name)
