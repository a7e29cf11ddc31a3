"""Running policy tests: which expectations a policy set does not meet, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from klausel.core.decisions.decide import Decision, Plan, decide
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explain import Explanation, explain
from klausel.core.decisions.explanation_format import reason
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.policy_test import Expectation, Held, PolicyTest, grant_text


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that was not met, with the explanation of the answer that came instead.

    `is_stale` when it names a grant that the policy set does not have.
    """

    expectation: Expectation
    explanation: Explanation
    is_stale: bool = False

    @property
    def question(self) -> str:
        """What was asked, in words, with the domain that it was asked in."""
        asked, domain = self.expectation, self.explanation.decision.domain
        return f"{asked.person} {asked.action} {asked.resource}" + (f" in {domain}" if domain else "")

    @property
    def expected(self) -> str:
        """What was expected, in words."""
        wanted = self.expectation
        word = _word(wanted.allowed)
        return f"{word} by {wanted.decided_by}" if wanted.decided_by and self.is_about_grant else word

    @property
    def got(self) -> str:
        """What came instead, in words."""
        decision = self.explanation.decision
        return f"{_word(decision.allowed)} by {decision.grant}" if self.is_about_grant else _word(decision.allowed)

    @property
    def reason(self) -> str:
        """Why it came, in one sentence."""
        return reason(self.explanation)

    @property
    def cure(self) -> str:
        """What to write where the test names a grant that there is not; empty when it names none, or another that is there."""
        if not self.is_stale:
            return ""
        grant = self.explanation.decision.grant
        instead = f"write: {grant}" if grant else "no grant decides, so name none"
        return f'no grant reads "{self.expectation.decided_by}"; if the answer is right, {instead}'

    @property
    def is_about_grant(self) -> bool:
        """Whether the answer is right, but another grant gave it than the test says."""
        return self.explanation.decision.allowed is self.expectation.allowed


def _word(allowed: bool) -> str:
    return "allowed" if allowed else "denied"


class ResolvedRoles:
    """The effective roless of people under one role model, each resolved once."""

    def __init__(self, policy: PolicySet) -> None:
        self._roles = policy.roles
        self._found: dict[Held, EffectiveRoles] = {}

    def of(self, held: Held) -> EffectiveRoles:
        """The effective roles that these role assignments give."""
        effective_roles = self._found.get(held)
        if effective_roles is None:
            effective_roles = self._found[held] = EffectiveRoles.of(self._roles, held)
        return effective_roles


def failures(policy: PolicySet, plan: Plan, test: PolicyTest, resolved_roles: ResolvedRoles) -> tuple[Failure, ...]:
    """Every expectation of a test that a policy set does not meet, in the order of the test; empty when it passes."""
    found = (failure_of(policy, plan, expectation, resolved_roles) for expectation in test.expectations)
    return tuple(failure for failure in found if failure is not None)


def failure_of(policy: PolicySet, plan: Plan, expectation: Expectation, resolved_roles: ResolvedRoles) -> Failure | None:
    """What is wrong with the answer to one expectation; None where it is met."""
    effective_roles = resolved_roles.of(expectation.held)
    decision = decide(policy, plan, lambda _, domain: effective_roles.roles_in(domain), expectation.request)
    if _is_met(expectation, decision):
        return None
    explanation = explain(policy, plan, lambda _: effective_roles, expectation.request)
    return Failure(expectation, explanation, _is_stale(policy, expectation))


def _is_met(expectation: Expectation, decision: Decision) -> bool:
    if decision.allowed is not expectation.allowed:
        return False
    return expectation.decided_by is None or grant_text(str(decision.grant)) == expectation.decided_by


def _is_stale(policy: PolicySet, expectation: Expectation) -> bool:
    grants = policy.grants_about(*expectation.question)
    return expectation.decided_by is not None and expectation.decided_by not in {grant_text(str(grant)) for grant in grants}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A test that was run, and what it found wrong: nothing when it passed."""

    test: PolicyTest
    failures: tuple[Failure, ...]


def outcomes_as_json(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The outcomes of tests as programs read them."""
    return {
        "passed": sum(not outcome.failures for outcome in outcomes),
        "failed": sum(bool(outcome.failures) for outcome in outcomes),
        "tests": [
            {
                "name": outcome.test.name,
                "file": outcome.test.place.file,
                "line": outcome.test.place.line,
                "answers": len(outcome.test.expectations),
                "passed": not outcome.failures,
                "failures": [failure_as_json(failure) for failure in outcome.failures],
            }
            for outcome in outcomes
        ],
    }


def failure_as_json(failure: Failure) -> dict[str, object]:
    """A failure as programs read it."""
    expectation = failure.expectation
    return {
        "file": expectation.place.file,
        "line": expectation.place.line,
        "person": expectation.person,
        "action": expectation.action,
        "resource": expectation.resource,
        "domain": failure.explanation.decision.domain,
        "expected": failure.expected,
        "got": failure.got,
        "reason": failure.reason,
        **({"fix": failure.cure} if failure.cure else {}),
    }
