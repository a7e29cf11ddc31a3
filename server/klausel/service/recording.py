"""Recording: the decisions of one HTTP request on their way into the decision log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING

from klausel.core.conditions.values import time_text
from klausel.core.decisions.decide import Decision
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.records.batch_record import Noted
from klausel.core.records.decision_record import Record
from klausel.core.terms.caller import Caller
from klausel.core.terms.request import Request
from klausel.storage.decision_log.queue import DecisionLog

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

RECORD_ID = "X-Klausel-Record"
"""The header that asks for the id of what is recorded, and that carries it in the answer."""
GIVEN_RECORD_ID = "klausel.record_id"
Decide = Callable[[Request], Decision]
"""Answers one question; never raises."""


class Recording:
    """Notes the decisions of one HTTP request, and hands them to the log before the answer is sent."""

    # These are given to the class: to set each of them for each request takes time.
    effective_roles: EffectiveRoles | None = None
    """Of the subject of the decision that is being made, once it was read."""

    asked: Request | None = None
    """The question that was really decided, where stored properties were joined to the one that was sent."""

    policy: bytes = b"null"
    """The version by which it is decided, as `LoadedPolicy.recorded_as` names it; to be set before anything is noted."""

    revision: str | None = None
    """A state of the role assignments that all decisions have seen; once some are noted, `name_revision` sets it."""

    _index: int | None = None
    _lines: list[bytes] | None = None
    _more: Record | None = None

    def __init__(self, log: DecisionLog, route: str, environ: WSGIEnvironment) -> None:
        """`route` is `evaluation`, `evaluations` or `explain`."""
        self._came = time_ns()
        self._log = log
        self._route = route
        caller: Caller | None = environ.get("klausel.caller")
        self._caller: str = environ.get("REMOTE_ADDR", "") if caller is None else caller.logged_as
        self._request_id: str | None = environ.get("HTTP_X_REQUEST_ID")
        self._noted: list[Noted] = []
        if environ.get("HTTP_X_KLAUSEL_RECORD"):
            # The answer tells it: whoever asked can name its records, and nobody else pays for that.
            environ[GIVEN_RECORD_ID] = log.new_id()
            self._more = {"id": environ[GIVEN_RECORD_ID]}
        if route == "evaluations":
            self._index = 0

    def name_revision(self, revision: str) -> None:
        """Notes a state of the role assignments that all decisions after this call have seen."""
        if self._noted:
            self._write()
        self.revision = revision

    def name_now(self, now: datetime) -> None:
        """Notes the time that all decisions after this call take for the present."""
        self._write()
        self._more = {**(self._more or {}), "now": time_text(now)}

    def noting(self, decide: Decide) -> Decide:
        """What decides as `decide` does, and notes each decision."""
        # As `note` does it, without a call: it is paid for with each decision.
        keeps, note = self._log.keeps, self._noted.append

        def decide_and_note(request: Request) -> Decision:
            self.effective_roles = self.asked = None
            began = perf_counter_ns()
            decision = decide(request)
            took = perf_counter_ns() - began
            index = self._index
            if keeps is None or keeps(decision):
                note((index, self.asked or request, decision, self.effective_roles, took))
            if index is not None:
                self._index = index + 1
            return decision

        return decide_and_note

    def note(self, request: Request | None, decision: Decision, nanoseconds: int) -> None:
        """Notes one decision; `request` is None for what was no question."""
        index, keeps = self._index, self._log.keeps
        if keeps is None or keeps(decision):
            self._noted.append((index, request, decision, self.effective_roles, nanoseconds))
        if index is not None:
            self._index = index + 1

    def note_fault(self, message: str) -> None:
        """Notes an item of a batch that was denied because it is no question."""
        self.effective_roles = None
        self.note(None, Decision(False, None, None, message), 0)

    def end(self) -> None:
        """Hands everything over. Raises `NotRecorded` where the log is strict and cannot be written."""
        noted = self._noted
        if self._index is None and len(noted) == 1 and self._lines is None:
            of_request = (
                noted[0],
                self._came,
                self._request_id,
                self._route,
                self._caller,
                self.policy,
                self.revision,
                self._more,
            )
            self._log.record_single(of_request)
            return
        self._write()
        if self._lines is not None:
            self._log.record(self._lines, self._caller)

    def _write(self) -> None:
        """Makes lines of what was noted since the last call."""
        noted = self._noted
        if not noted:
            return
        log = self._log
        if self._request_id is None:
            self._request_id = log.new_id()
        head = log.head(self._came, self._request_id, self._route, self._caller, self.policy, self.revision, self._more)
        lines = [log.line(head, noted[0])] if len(noted) == 1 else log.lines_of_batch(head, noted)
        self._lines = lines if self._lines is None else self._lines + lines
        noted.clear()
