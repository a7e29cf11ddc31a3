"""What the HTTP doors share: the policy in force, the role assignments, and the two questions asked of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from klausel.core.decision import Decision, decide
from klausel.core.explanation import Explanation, explain
from klausel.core.request import Request
from klausel.core.standing import Standing
from klausel.settings import Settings
from klausel.storage.assignment_store import AssignmentStore
from klausel.storage.database import StorageError
from klausel.storage.policy_files import LoadedPolicy

Decide = Callable[[Request], Decision]
"""Answers one question; never raises."""

_log = logging.getLogger(__name__)
_FAILED = Decision(False, None, None, "the decision failed inside the service; its log says why")


class _FailedBefore(Exception):
    """The database failed at an earlier question of the same request."""


class StandingReader(Protocol):
    """Resolves standings from the stored role assignments."""

    def refresh(self) -> None:
        """Learns what other processes have changed; called once a request."""

    def roles_in(self, subject_key: str, domain: str | None) -> frozenset[str]:
        """The names that a subject holds in a domain."""

    def standing_of(self, subject_key: str) -> Standing:
        """A subject's whole standing."""


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that answer requests; all of them may be used from several threads."""

    settings: Settings
    policy: LoadedPolicy
    store: AssignmentStore
    standings: StandingReader
    is_ready: Callable[[], bool]

    def decider(self) -> Decide:
        """What answers the questions of one HTTP request; whatever fails on the way is a deny with its reason.

        Standings are refreshed when the first question needs one. Where the database fails, it is asked no more: nothing is
        decided by standings that may be old, and a long batch does not wait for it again and again.
        """
        policy, plan, standings = self.policy.compiled.policy, self.policy.compiled, self.standings
        answers: bool | None = None  # whether the database does; None before it was asked

        def roles_held(subject_key: str, domain: str | None) -> frozenset[str]:
            nonlocal answers
            if answers is False:
                raise _FailedBefore
            try:
                if answers is None:
                    standings.refresh()
                    answers = True
                return standings.roles_in(subject_key, domain)
            except StorageError:
                answers = False
                raise

        def decide_one(request: Request) -> Decision:
            try:
                return decide(policy, plan, roles_held, request)
            except _FailedBefore:
                return _FAILED
            except Exception:
                _log.exception("a decision failed and was answered with deny")
                return _FAILED

        return decide_one

    def explain(self, request: Request) -> Explanation:
        """The explanation of the decision; errors of the database pass."""
        compiled, standings = self.policy.compiled, self.standings

        def standing_of(subject: str) -> Standing:
            standings.refresh()
            return standings.standing_of(subject)

        return explain(compiled.policy, compiled, standing_of, request)
