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
from klausel.core.testing.rerun import Rerun


class Gate:
    """Tells what policy sets do not meet, one after the other; what a change cannot have touched is not gone through again.

    One policy set at a time may be at it.
    """

    def __init__(self) -> None:
        self._rerun, self._proved = Rerun(), Proved()

    def unmet(
        self,
        policy: PolicySet,
        plan: Plan,
        tests: Iterable[PolicyTest],
        most_steps: int = MOST_STEPS,
        model: str | None = None,
    ) -> Iterator[Problem]:
        """See `unmet_expectations`. `model` is the text of the model, where that looks at the grants in question alone."""
        yield from self._rerun.failed(policy, plan, tests, model)
        for verdict in self._proved.broken(policy, most_steps):
            problem = problem_of_verdict(verdict)
            if problem is not None:
                yield problem


def unmet_expectations(
    policy: PolicySet, plan: Plan, tests: Iterable[PolicyTest], most_steps: int = MOST_STEPS
) -> Iterator[Problem]:
    """A problem for each expectation of a test that is not met and each invariant that does not hold; none when all is well."""
    return Gate().unmet(policy, plan, tests, most_steps)


def failed_tests(policy: PolicySet, plan: Plan, tests: Iterable[PolicyTest]) -> list[Problem]:
    """A problem for each expectation of a test that is not met."""
    return Rerun().failed(policy, plan, tests, None)


def problem_of_verdict(verdict: Verdict) -> Problem | None:
    """The problem with an invariant that does not hold, or of which that cannot be told; None for one that holds."""
    if verdict.undecided is not None:
        return printable(_undecided(verdict.invariant, verdict.undecided))
    return None if verdict.counterexample is None else printable(_broken(verdict, verdict.counterexample))


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
