"""What a policy set is expected to do: its policy tests and invariants, with a problem for each that it does not meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from klausel.core.analysis.budget import MOST_STEPS
from klausel.core.analysis.proof import Counterexample, Verdict
from klausel.core.analysis.proved import Proved
from klausel.core.conditions.outcomes import TOO_MANY_CASES_HINT
from klausel.core.decisions.decide import Plan
from klausel.core.loading.load import printable
from klausel.core.policy.invariant import Invariant
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.policy_test import PolicyTest
from klausel.core.terms.problem import Problem
from klausel.core.testing.run import Failure, ResolvedRoles, failures


def unmet_expectations(
    policy: PolicySet,
    plan: Plan,
    tests: Iterable[PolicyTest],
    most_steps: int = MOST_STEPS,
    proved: Proved | None = None,
) -> Iterator[Problem]:
    """A problem for each expectation of a test that is not met and each invariant that does not hold; none when all is well.

    With `proved`, what did not change since the last proof with it is not proved again.
    """
    yield from failed_tests(policy, plan, tests)
    for verdict in (proved or Proved()).broken(policy, most_steps):
        problem = problem_of_verdict(verdict)
        if problem is not None:
            yield problem


def failed_tests(policy: PolicySet, plan: Plan, tests: Iterable[PolicyTest]) -> Iterator[Problem]:
    """A problem for each expectation of a test that is not met."""
    resolved_roles = ResolvedRoles(policy)
    for test in tests:
        for failure in failures(policy, plan, test, resolved_roles):
            yield printable(_failed(test, failure))


def problem_of_verdict(verdict: Verdict) -> Problem | None:
    """The problem with an invariant that does not hold, or of which that cannot be told; None for one that holds."""
    if verdict.undecided is not None:
        return printable(_undecided(verdict.invariant, verdict.undecided))
    return None if verdict.counterexample is None else printable(_broken(verdict, verdict.counterexample))


def _failed(test: PolicyTest, failure: Failure) -> Problem:
    asked = failure.expectation
    domain = failure.explanation.decision.domain
    where = f" in {domain}" if domain else ""
    question = f"{asked.person} {asked.action} {asked.resource}{where}"
    message = f'the test "{test.name}" fails: {question} is expected to be {failure.expected}, and is {failure.got}'
    cure = failure.cure or "fix the policies or the test, and see klausel test"
    hint = f"{failure.reason.rstrip('.')}; {cure}"
    return Problem(asked.place, "policy-test-failed", message, hint)


def _undecided(invariant: Invariant, why: str) -> Problem:
    message = f'whether the invariant "{invariant.name}" holds cannot be told: {why}'
    return Problem(invariant.place, "invariant-broken", message, TOO_MANY_CASES_HINT)


def _broken(verdict: Verdict, found: Counterexample) -> Problem:
    invariant = verdict.invariant
    held = ", ".join(f"{role} in {domain}" for role, domain in found.held) or "no role"
    because = " and ".join(grant.source for grant in found.grants)
    message = f'the invariant "{invariant.name}" does not hold: {found.message}, who holds {held}'
    message += f", because of {because}" if because else ""
    return Problem(invariant.place, "invariant-broken", message, "klausel prove shows the whole case")
