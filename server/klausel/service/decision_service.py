"""What the HTTP doors share: the policy in force, the role assignments, and the questions asked of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from klausel.core.decisions.decide import Decision, decide
from klausel.core.decisions.effective_roles import NOBODY, EffectiveRoles
from klausel.core.decisions.explain import Explanation, explain
from klausel.core.filters.derive import filter_of
from klausel.core.filters.tree import Filter
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.caller import Caller
from klausel.core.terms.identifiers import fault_in_subject, subject_key
from klausel.core.terms.request import Request, asked_at
from klausel.service.authentication import Authentication
from klausel.service.openid import OpenIdProvider
from klausel.service.pipeline import LoadedPolicy
from klausel.service.policy_in_force import InForce, LivePolicy, Outcome
from klausel.service.provisioning import Provisioner
from klausel.service.recording import Decide, Recording
from klausel.service.sign_in import SignIns
from klausel.service.steady_clock import SteadyClock
from klausel.service.stored_properties import (
    Reach,
    join_all,
    join_one,
    names_from_store,
    reach_of,
    resource_key_of,
    subject_key_of,
)
from klausel.service.tally import Tally
from klausel.settings import Settings
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.decision_log.queue import DecisionLog
from klausel.storage.entities.store import EntityStore
from klausel.storage.sql.access import Crowded
from klausel.storage.sql.database import StorageError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_log = logging.getLogger(__name__)
_FAILED = Decision(False, None, None, "the decision failed inside the service; its log says why")
_NO_DATABASE = Decision(
    False,
    None,
    None,
    "the database of role assignments did not answer, so nothing is known of roles; the service's log says why",
)
_CROWDED = Decision(
    False,
    None,
    None,
    "too many questions waited for the database of role assignments at once, so nothing is known of roles; ask again",
)
_NOT_OF_CALLER = "this caller may not ask about this account"
SECONDS_PER_LINE = 1.0
"""How often the log tells that decisions fail for want of the database."""


def status_of_failure(decision: Decision) -> int | None:
    """The HTTP status of a decision that is a deny only because the service failed; None for any other."""
    if decision.failure is _NO_DATABASE.failure or decision.failure is _CROWDED.failure:
        return 503
    return 500 if decision.failure is _FAILED.failure else None


class Failures:
    """Counts the decisions that failed, by what failed, and tells of the database in the log, not more often than is of use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {"database": 0, "crowded": 0, "internal": 0}
        self._told_at = float("-inf")
        self._untold = 0

    def counts(self) -> dict[str, int]:
        """How many decisions failed since the start of this process."""
        return dict(self._counts)

    def of_database(self, error: StorageError | None, again: bool = False) -> Decision:
        """The deny of a decision for which the database failed, `again` where it was not asked again in the same request."""
        reason, failed = ("crowded", _CROWDED) if isinstance(error, Crowded) else ("database", _NO_DATABASE)
        with self._lock:
            self._counts[reason] += 1
            now = time.monotonic()
            self._untold += 1
            if again or now - self._told_at < SECONDS_PER_LINE:
                return failed
            more = f" (and {self._untold - 1} before it)" if self._untold > 1 else ""
            self._told_at, self._untold = now, 0
        # In one line: it says all, and comes again and again until the database answers.
        _log.error("a decision failed and was answered with deny%s: %s", more, error)
        return failed

    def internal(self) -> Decision:
        """The deny of a decision in which something else failed; to be called where it is caught."""
        with self._lock:
            self._counts["internal"] += 1
        _log.exception("a decision failed and was answered with deny")
        return _FAILED


def _nobody() -> None:
    """There are no other processes."""


def _inside(caller: Caller, reach: Reach, policy: PolicySet, decide: Decide) -> Decide:
    """What decides as `decide` does in the accounts of a caller, and says nothing about others."""

    def decide_inside(request: Request) -> Decision:
        decision = decide(request)
        if caller.reaches(decision.domain) and not (decision.allowed and reach.excludes(policy, request)):
            return decision
        return Decision(False, None, decision.domain, _NOT_OF_CALLER)

    return decide_inside


class PoliciesTooOld(Exception):
    """The policies could not be refreshed for so long that everything is denied; the text says so in one sentence."""


class _FailedBefore(Exception):
    """The database failed at an earlier question of the same request; `error` says how."""

    def __init__(self, error: StorageError | None) -> None:
        super().__init__()
        self.error = error


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that answer requests; all of them may be used from several threads.

    `fault` finds out whether the parts can answer now: what keeps them from it, as a sentence, None when nothing does.
    `clock` gives the one moment at which a request is answered. `decisions` counts evaluations by their answer: True or False.
    """

    settings: Settings
    live: LivePolicy
    store: AssignmentStore
    fault: Callable[[], str | None]
    tell_other_processes: Callable[[], None] = _nobody
    decision_log: DecisionLog | None = None
    clock: Callable[[], datetime] = field(default_factory=SteadyClock)
    failures: Failures = field(default_factory=Failures)
    decisions: Tally[bool] = field(default_factory=Tally)
    authentication: Authentication | None = None
    sign_ins: SignIns | None = None
    openid: OpenIdProvider | None = None

    @property
    def entities(self) -> EntityStore:
        """The stored properties, in the database of the role assignments."""
        return EntityStore(self.store.engine, self.store.tell)

    @property
    def provisioner(self) -> Provisioner:
        """People and groups that identity providers send, in the database of the role assignments."""
        return Provisioner(self.store)

    @property
    def policy(self) -> LoadedPolicy:
        """The policy set in force now; read it once a request, for the next reading may give another."""
        return self.live.in_force.policy

    def reload_policy(self) -> Outcome | None:
        """Refreshes the policy set in force at once, here and soon in the other worker processes; None where it is under way."""
        outcome = self.live.refresh_unless_asked()
        self.tell_other_processes()
        return outcome

    def recording(self, route: str, environ: WSGIEnvironment) -> Recording | None:
        """What notes the decisions of one HTTP request; None when there is no decision log."""
        return None if self.decision_log is None else Recording(self.decision_log, route, environ)

    def decider(self, recording: Recording | None = None, caller: Caller | None = None) -> Decide:
        """What answers the questions of one HTTP request; whatever fails on the way is a deny with its reason.

        All are answered by the policy set in force now, also when another is taken meanwhile. Effective roles are refreshed when
        the first question needs one. Where the database fails, it is asked no more: nothing is decided by effective roles that
        may be old, and a long batch does not wait for it again and again. A `caller` that is limited to some accounts is told of
        no other.
        """
        live, failures = self.live, self.failures
        in_force = live.in_force
        if recording is not None:
            recording.policy = in_force.policy.recorded_as
        if live.max_age_seconds is not None and live.is_too_old:
            return self._deny if recording is None else recording.noting(self._deny)
        plan, resolved_roles = in_force.policy.compiled, in_force.resolved_roles
        policy = plan.policy
        reach = None if caller is None else reach_of(caller.accounts)
        # One time for all that is asked together.
        moment = self.clock()
        seconds = moment.timestamp()
        now = moment if policy.uses_now else None
        if recording is not None and now is not None:
            recording.name_now(now)
        answers: bool | None = None  # whether the database does; None before it was asked
        failed: StorageError | None = None  # how it does not
        latest: tuple[str, EffectiveRoles] | None = None  # who was asked about last, where decisions are recorded

        def roles_held(subject_key: str, domain: str | None) -> frozenset[str]:
            nonlocal answers, failed, latest
            if answers and latest is not None and latest[0] == subject_key and recording is not None:
                recording.effective_roles = latest[1]
                return latest[1].roles_in(domain)
            if answers is False:
                raise _FailedBefore(failed)
            try:
                if answers is None:
                    resolved_roles.refresh()
                    answers = True
                    if recording is not None:
                        recording.name_revision(resolved_roles.revision())
                if recording is None:
                    return resolved_roles.roles_in(subject_key, domain, seconds)
                effective_roles = recording.effective_roles = resolved_roles.effective_roles_of(subject_key, seconds)
                latest = (subject_key, effective_roles)
                return effective_roles.roles_in(domain)
            except StorageError as error:
                answers, failed = False, error
                raise

        def decide_joined(request: Request) -> Decision:
            nonlocal answers, failed
            try:
                subject, resource = subject_key_of(policy, request), resource_key_of(policy, request)
                if subject is not None or resource is not None:
                    if answers is False:
                        raise _FailedBefore(failed)
                    if answers is None:
                        answers = False
                        resolved_roles.refresh()
                        if recording is not None:
                            recording.name_revision(resolved_roles.revision())
                        answers = True
                    request = join_one(policy, resolved_roles.stored, request, subject, resource, reach)
                    if recording is not None:
                        recording.asked = request
            except _FailedBefore as before:
                return failures.of_database(before.error, again=True)
            except StorageError as error:
                answers, failed = False, error
                return failures.of_database(error)
            except Exception:
                return failures.internal()
            return decide_one(request)

        def decide_one(request: Request) -> Decision:
            try:
                return decide(policy, plan, roles_held, request if now is None else asked_at(request, now))
            except _FailedBefore as before:
                return failures.of_database(before.error, again=True)
            except StorageError as error:
                return failures.of_database(error)
            except Exception:
                return failures.internal()

        deciding = decide_joined if policy.stored_subjects or policy.stored_resources else decide_one
        answering = deciding if caller is None or reach is None else _inside(caller, reach, policy, deciding)
        return answering if recording is None else recording.noting(answering)

    def filter(self, request: Request, inside: str | None = None) -> Filter:
        """What a resource must be like for the request to be allowed; see `klausel.core.filters.derive.filter_of`.

        Raises `PoliciesTooOld` and `StorageError`.
        """
        in_force = self.in_force_now()
        subject, now = request.subject, self.clock()
        effective_roles = NOBODY
        if fault_in_subject(subject.type, subject.id) is None:
            effective_roles = in_force.effective_roles_of(subject_key(subject.type, subject.id), now)
        policy = in_force.policy.compiled.policy
        asked = asked_at(request, now) if policy.uses_now else request
        if subject_key_of(policy, asked) is not None:
            # The resource is open: what is stored of one does not count for all.
            asked = asked._replace(subject=join_all(policy, in_force.resolved_roles.stored, [asked])[0].subject)
        return filter_of(policy, effective_roles, asked, inside)

    def in_force_now(self) -> InForce:
        """The policy set in force; raises `PoliciesTooOld` where it is so old that everything is denied."""
        live = self.live
        in_force = live.in_force
        if live.max_age_seconds is not None and live.is_too_old:
            raise PoliciesTooOld(self._too_old())
        return in_force

    def explain(
        self,
        request: Request,
        recording: Recording | None = None,
        moment: datetime | None = None,
        caller: Caller | None = None,
    ) -> Explanation:
        """The explanation of the decision, at a moment (None: now); errors of the database pass.

        A `caller` that is limited to some accounts is told of no membership that does not count now, for groups belong to no
        account. Whether it may ask where the question is asked is its own affair.
        """
        in_force = self.live.in_force
        if recording is not None:
            recording.policy = in_force.policy.recorded_as
        began = time.perf_counter_ns()
        explanation = self._explain(in_force, request, recording, moment or self.clock(), caller)
        if recording is not None:
            recording.note(explanation.request, explanation.decision, time.perf_counter_ns() - began)
        return explanation

    def _explain(
        self, in_force: InForce, request: Request, recording: Recording | None, moment: datetime, caller: Caller | None
    ) -> Explanation:
        if self.live.is_too_old:
            return Explanation(request, self._deny(request), None, (), (), ())
        compiled, resolved_roles = in_force.policy.compiled, in_force.resolved_roles
        now = moment.timestamp()

        def effective_roles_of(subject: str) -> EffectiveRoles:
            resolved_roles.refresh()
            if recording is None:
                return resolved_roles.effective_roles_of(subject, now)
            recording.name_revision(resolved_roles.revision())
            recording.effective_roles = resolved_roles.effective_roles_of(subject, now)
            return recording.effective_roles

        if compiled.policy.uses_now:
            if recording is not None:
                recording.name_now(moment)
            request = asked_at(request, moment)
        policy = compiled.policy
        reach = None if caller is None else reach_of(caller.accounts)
        names: tuple[str, ...] = ()
        if (subject_key_of(policy, request), resource_key_of(policy, request)) != (None, None):
            resolved_roles.refresh()
            (request,) = join_all(policy, resolved_roles.stored, [request], reach)
            names = names_from_store(policy, resolved_roles.stored, request, reach)
            if recording is not None:
                recording.name_revision(resolved_roles.revision())
        explanation = replace(explain(policy, compiled, effective_roles_of, request, now), from_store=names)
        if reach is None:
            return explanation
        decision = explanation.decision
        if decision.allowed and reach.excludes(policy, request):
            return Explanation(request, Decision(False, None, decision.domain, _NOT_OF_CALLER), None, (), (), ())
        return replace(explanation, untimely=tuple(one for one in explanation.untimely if not one.row.is_membership))

    def _deny(self, _: Request) -> Decision:
        return Decision(False, None, None, self._too_old())

    def _too_old(self) -> str:
        return f"the policies could not be refreshed for more than {self.live.max_age_seconds:g} seconds"
