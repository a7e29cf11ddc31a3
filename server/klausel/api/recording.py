"""Recording: the decisions of one HTTP request on their way into the decision log."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from klausel.api.errors import ApiError
from klausel.core.decision import Decision
from klausel.core.decision_record import Asked, Call, Record
from klausel.core.request import Request
from klausel.core.standing import Standing
from klausel.storage.decision_log import DecisionLog, NotRecorded
from klausel.storage.policy_files import Commit, LoadedPolicy

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Decide = Callable[[Request], Decision]
"""Answers one question; never raises."""


class Recording:
    """Notes the decisions of one HTTP request, and hands them to the log before the answer is sent."""

    __slots__ = (
        "_asked",
        "_body_bytes",
        "_caller",
        "_log",
        "_next",
        "_request_id",
        "_route",
        "_time",
        "policy",
        "revision",
        "standing",
    )

    def __init__(self, log: DecisionLog, route: str, environ: WSGIEnvironment, body_bytes: int) -> None:
        """`route` is `evaluation`, `evaluations` or `explain`."""
        self._log = log
        self._route = route
        self._caller: str = environ.get("REMOTE_ADDR", "")
        self._request_id: str | None = environ.get("HTTP_X_REQUEST_ID")
        self._body_bytes = body_bytes
        self._time = time.time_ns()
        self._asked: list[tuple[int, Asked]] = []
        self._next = 0
        self.policy: LoadedPolicy | None = None
        """By which it is decided."""
        self.revision: str | None = None
        """A state of the role assignments that the decisions had seen."""
        self.standing: Standing | None = None
        """Of the subject of the decision that is being made, once it was read."""

    def noting(self, decide: Decide) -> Decide:
        """What decides as `decide` does, and notes each decision."""

        def decide_and_note(request: Request) -> Decision:
            self.standing = None
            began = time.perf_counter_ns()
            decision = decide(request)
            self.note(request, decision, time.perf_counter_ns() - began)
            return decision

        return decide_and_note

    def note(self, request: Request | None, decision: Decision, duration_nanoseconds: int) -> None:
        """Notes one decision; `request` is None for what was no question."""
        if self._log.keeps(decision):
            self._asked.append((self._next, Asked(request, decision, self.standing, duration_nanoseconds)))
        self._next += 1

    def note_fault(self, message: str) -> None:
        """Notes an item of a batch that was denied because it is no question."""
        self.standing = None
        self.note(None, Decision(False, None, None, message), 0)

    def end(self) -> None:
        """Hands everything over. Raises `ApiError` (503) where the log is strict and cannot be written."""
        log, policy = self._log, self.policy
        assert policy is not None
        call = Call(
            self._time,
            self._request_id or log.new_request_id(),
            self._route,
            self._caller,
            _version(policy.files_digest, policy.commit),
            self.revision,
            log.sample_rate,
            self._asked,
        )
        try:
            log.record(call, self._body_bytes)
        except NotRecorded:
            message = "the decision cannot be recorded, so it is not told; the service's own log says why"
            raise ApiError(503, message) from None


@lru_cache(maxsize=4)
def _version(digest: str, commit: Commit | None) -> Record:
    version: Record = {"digest": digest}
    return version if commit is None else version | {"commit": commit.id, "dirty": commit.dirty}
