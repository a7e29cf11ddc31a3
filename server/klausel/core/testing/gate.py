"""What a policy set is expected to do, with a problem for each test and invariant that it does not meet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from klausel.core.analysis.budget import MOST_STEPS
from klausel.core.analysis.proof import Counterexample, Verdict
from klausel.core.analysis.proved import Proved
from klausel.core.conditions.outcomes import TOO_MANY_CASES_HINT
from klausel.core.decisions.decide import Plan
from klausel.core.loading.load import printable
from klausel.core.policy.invariant import Invariant
from klausel.core.policy.policy_set import PolicySet, changed_keys
from klausel.core.policy.policy_test import PolicyTest
from klausel.core.terms.problem import Problem
from klausel.core.testing.run import Failure, ResolvedRoles, failure_of


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


Question = tuple[str, str]
"""A resource type and an action."""


@dataclass(frozen=True, slots=True)
class _Ran:
    """A test, what it asks about, and the problems of its expectations that were not met, by their places in it."""

    test: PolicyTest
    questions: frozenset[Question]
    problems: Mapping[int, Problem]


class Rerun:
    """Runs the tests of one policy set after the other, and remembers what came of them.

    An answer depends on the question, the roles, the type and the grants about it alone, as long as the model that decides is
    the same. Where these are as they were, it is not asked again. One run at a time may use it.
    """

    def __init__(self) -> None:
        self._before: tuple[PolicySet, str] | None = None
        self._ran: dict[tuple[str, str], _Ran] = {}

    def failed(self, policy: PolicySet, plan: Plan, tests: Iterable[PolicyTest], model: str | None) -> list[Problem]:
        """A problem for each expectation that is not met, in the order of the tests.

        `model` is the text of the model that decides; None where it is one that may look at more than the grants in question.
        """
        changed = None if model is None or self._before is None else _Changed.between(*self._before, policy, model)
        # Where this run ends half way, the next one knows nothing.
        before, self._ran, self._before = self._ran, {}, None
        resolved_roles = ResolvedRoles(policy)
        found: list[Problem] = []
        for test in tests:
            key = (test.place.file, test.name)
            known = before.get(key) if changed is not None else None
            if known is None or changed is None or (known.test is not test and known.test != test):
                asked = list(range(len(test.expectations)))
                known = _Ran(test, frozenset(expectation.question for expectation in test.expectations), {})
            else:
                asked = changed.places(known)
            self._ran[key] = ran = _run(known, asked, policy, plan, resolved_roles)
            found += ran.problems.values()
        self._before = None if model is None else (policy, model)
        return found


def _run(known: _Ran, asked: Collection[int], policy: PolicySet, plan: Plan, resolved_roles: ResolvedRoles) -> _Ran:
    """What comes of a test when the expectations at these places are asked again."""
    if not asked:
        return known
    problems = dict(known.problems)
    for place in asked:
        problems.pop(place, None)
        failure = failure_of(policy, plan, known.test.expectations[place], resolved_roles)
        if failure is not None:
            problems[place] = printable(_failed(known.test, failure))
    return replace(known, problems=dict(sorted(problems.items())))


@dataclass(frozen=True, slots=True)
class _Changed:
    """The questions that may be answered otherwise under another policy set, and those whose grants only stand elsewhere."""

    questions: set[Question]
    moved: set[Question]

    @classmethod
    def between(cls, before: PolicySet, model_before: str, after: PolicySet, model: str) -> _Changed | None:
        """What changed from one policy set to another; None where that may be everything."""
        if model != model_before or after.roles != before.roles:
            return None
        others = after.changed_questions(before)
        moved = {question for question in others if _said(before, question) == _said(after, question)}
        changed = others - moved
        for name in changed_keys(before.resource_types, after.resource_types):
            declared = [one for one in (before.resource_types.get(name), after.resource_types.get(name)) if one is not None]
            if len(declared) < 2 or len({(one.actions, tuple(one.asked_in.items())) for one in declared}) > 1:
                changed |= {(name, action) for one in declared for action in one.actions}
        return cls(changed, moved)

    def places(self, ran: _Ran) -> list[int]:
        """The places of the expectations of a test that are to be asked again; what failed names the lines of grants."""
        if ran.questions.isdisjoint(self.questions) and (not ran.problems or ran.questions.isdisjoint(self.moved)):
            return []
        return [
            place
            for place, expectation in enumerate(ran.test.expectations)
            if expectation.question in self.questions or (place in ran.problems and expectation.question in self.moved)
        ]


def _said(policy: PolicySet, question: Question) -> list[tuple[object, ...]]:
    """What the grants about a question say, wherever they stand and however they are explained."""
    grants = policy.grants_about(*question)
    return [(grant.effect, grant.reach, grant.condition, grant.condition_text) for grant in grants]


def _failed(test: PolicyTest, failure: Failure) -> Problem:
    message = f'the test "{test.name}" fails: {failure.question} is expected to be {failure.expected}, and is {failure.got}'
    cure = failure.cure or "fix the policies or the test, and see klausel test"
    hint = f"{failure.reason.rstrip('.')}; {cure}"
    return Problem(failure.expectation.place, "policy-test-failed", message, hint)
