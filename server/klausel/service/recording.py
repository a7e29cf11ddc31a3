"""Recording: the decisions of one HTTP request on their way into the decision log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from time import perf_counter_ns
from typing import TYPE_CHECKING

from klausel.core.conditions.values import time_text
from klausel.core.decisions.decide import Decision
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.records.decision_record import Record
from klausel.core.records.shared_values import SharedValues
from klausel.core.terms.caller import Caller
from klausel.core.terms.request import Request
from klausel.service.pipeline import LoadedPolicy
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

    __slots__ = ("_head", "_index", "_lines", "_log", "_shared", "asked", "effective_roles")

    def __init__(self, log: DecisionLog, route: str, environ: WSGIEnvironment) -> None:
        """`route` is `evaluation`, `evaluations` or `explain`."""
        self._log = log
        caller: Caller | None = environ.get("klausel.caller")
        name = environ.get("REMOTE_ADDR", "") if caller is None else caller.logged_as
        self._head = log.head(route, environ.get("HTTP_X_REQUEST_ID"), name)
        if environ.get("HTTP_X_KLAUSEL_RECORD"):
            # The answer tells it: whoever asked can name its records, and nobody else pays for that.
            self._head["id"] = environ[GIVEN_RECORD_ID] = log.new_id()
        self._index = 0 if route == "evaluations" else None
        self._shared: SharedValues | None = None
        self._lines: list[bytes] = []
        self.effective_roles: EffectiveRoles | None = None
        """Of the subject of the decision that is being made, once it was read."""

        self.asked: Request | None = None
        """The question that was really decided, where stored properties were joined to the one that was sent."""

    def name_policy(self, policy: LoadedPolicy) -> None:
        """Notes by which policy it is decided; to be called before anything is noted."""
        head = self._head
        head["policy"] = _version(policy)
        head["assignments_revision"] = None
        self._begin_otherwise()

    def name_revision(self, revision: str) -> None:
        """Notes a state of the role assignments that all decisions after this call have seen."""
        self._head["assignments_revision"] = revision
        self._begin_otherwise()

    def name_now(self, now: datetime) -> None:
        """Notes the time that all decisions after this call take for the present."""
        self._head["now"] = time_text(now)
        self._begin_otherwise()

    def _begin_otherwise(self) -> None:
        """Forgets how the records of a batch began so far."""
        if self._shared is not None:
            self._shared.beginning = None

    def noting(self, decide: Decide) -> Decide:
        """What decides as `decide` does, and notes each decision."""

        def decide_and_note(request: Request) -> Decision:
            self.effective_roles = self.asked = None
            began = perf_counter_ns()
            decision = decide(request)
            self.note(self.asked or request, decision, perf_counter_ns() - began)
            return decision

        return decide_and_note

    def note(self, request: Request | None, decision: Decision, nanoseconds: int) -> None:
        """Notes one decision; `request` is None for what was no question."""
        log, index = self._log, self._index
        if log.keeps(decision):
            noted = (self._head, index, request, decision, self.effective_roles, nanoseconds)
            if index is None:
                self._lines.append(log.line(*noted))
            else:
                if self._shared is None:
                    self._shared = SharedValues()
                log.add_line(self._lines, self._shared, *noted)
        if index is not None:
            self._index = index + 1

    def note_fault(self, message: str) -> None:
        """Notes an item of a batch that was denied because it is no question."""
        self.effective_roles = None
        self.note(None, Decision(False, None, None, message), 0)

    def end(self) -> None:
        """Hands everything over. Raises `NotRecorded` where the log is strict and cannot be written."""
        last = None if self._shared is None else self._shared.end()
        if last is not None:
            self._lines.append(last)
        self._log.record(self._lines, str(self._head["caller"]))


_last_version: tuple[LoadedPolicy, Record] | None = None


def _version(policy: LoadedPolicy) -> Record:
    """The member `policy` of a record; made once for each policy set that comes into force."""
    global _last_version
    known = _last_version
    if known is None or known[0] is not policy:
        version: Record = {"digest": policy.files_digest}
        if policy.commit is not None:
            version |= {"commit": policy.commit.id, "dirty": policy.commit.dirty}
        known = _last_version = (policy, version)
    return known[1]
