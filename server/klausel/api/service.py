"""What the HTTP doors share: the policy in force, the role assignments, and the two questions asked of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from klausel.core.decision import Decision, RolesHeld, decide
from klausel.core.explanation import Explanation, explain
from klausel.core.request import Request
from klausel.core.standing import Standing
from klausel.settings import Settings
from klausel.storage.assignment_store import AssignmentStore
from klausel.storage.policy_files import LoadedPolicy

_log = logging.getLogger(__name__)


class StandingReader(Protocol):
    """Resolves standings from the stored role assignments."""

    def refresh(self) -> None:
        """Learns what other processes have changed; called once a request."""

    def roles_in(self, subject_key: str, domain: str | None) -> frozenset[str]:
        """The names that a subject holds in a domain."""


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that answer requests; all of them may be used from several threads."""

    settings: Settings
    policy: LoadedPolicy
    store: AssignmentStore
    standings: StandingReader
    is_ready: Callable[[], bool]

    def decide(self, request: Request) -> Decision:
        """The decision; whatever fails on the way is a deny with its reason."""
        compiled = self.policy.compiled
        roles_held: RolesHeld = self.standings.roles_in
        try:
            return decide(compiled.policy, compiled, roles_held, request)
        except Exception:
            _log.exception("a decision failed and was answered with deny")
            return Decision(False, None, None, "the decision failed inside the service; its log says why")

    def explain(self, request: Request) -> Explanation:
        """The explanation of the decision; errors of the database pass."""
        policy = self.policy.compiled.policy

        def standing_of(subject: str) -> Standing:
            return Standing.of(policy.roles, self.store.held_by(subject))

        return explain(policy, self.policy.compiled, standing_of, request)
