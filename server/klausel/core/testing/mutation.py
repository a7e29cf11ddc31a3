"""Which small changes of a policy set its tests would notice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from klausel.core.analysis.budget import Budget
from klausel.core.analysis.decision_table import Remembered
from klausel.core.conditions.outcomes import TooManyCases
from klausel.core.decisions.decide import Plan, decide
from klausel.core.decisions.explain import show_value
from klausel.core.difference.equivalence import Difference, compare
from klausel.core.policy.keepers import violations_alone, violations_by_one
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.policy_test import Expectation, Held, PolicyTest
from klausel.core.terms.identifiers import subject_key
from klausel.core.terms.problem import Place
from klausel.core.testing.mutants import Mutant
from klausel.core.testing.run import ResolvedRoles

Fate = Literal["killed", "equivalent", "survived"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant.

    Killed: the test `noticed_by` fails, first with the answer expected at `noticed_at`. Equivalent: it changes no decision,
    over all `combinations` of roles and conditions. Survived: `difference` is a case that no test has, which
    `is_forbidden` where the rules forbid its role assignments; or `missing_test` says what to state; or
    `undecided` says why it cannot be told whether it is equivalent.
    """

    fate: Fate
    noticed_by: str | None = None
    noticed_at: Place | None = None
    combinations: int = 0
    difference: Difference | None = None
    undecided: str | None = None
    is_forbidden: bool = False
    missing_test: str = ""


class Judge:
    """Tells which changes of a policy set its tests notice; the tests pass on the set itself.

    Only what is allowed counts: `decided_by` is not looked at, since each change of a grant changes its text.
    """

    def __init__(self, policy: PolicySet, tests: Sequence[PolicyTest], compile_: Callable[[PolicySet], Plan]) -> None:
        self._policy = policy
        self._compile = compile_
        self._resolved_roles = ResolvedRoles(policy)
        self._remembered = Remembered(policy, policy)
        self._by_question: dict[tuple[str, str], list[tuple[PolicyTest, Expectation]]] = {}
        self._forbidden: dict[tuple[str, Held], tuple[PolicyTest, Expectation]] = {}
        for test in tests:
            for expectation in test.expectations:
                self._by_question.setdefault(expectation.question, []).append((test, expectation))
                if expectation.is_forbidden:
                    subject = expectation.request.subject
                    key = subject_key(subject.type, subject.id)
                    self._forbidden.setdefault((key, expectation.held), (test, expectation))

    def verdict(self, mutant: Mutant) -> Verdict:
        """Whether a test notices a mutant; where none does, whether there is anything to notice."""
        noticed = self._noticed(mutant)
        if noticed:
            test, expectation = noticed
            return Verdict("killed", test.name, expectation.place)
        if mutant.missing_test:
            return Verdict("survived", missing_test=mutant.missing_test)
        self._remembered.budget = Budget()
        try:
            compared = compare(self._policy, mutant.changed, mutant.questions, self._remembered)
        except TooManyCases as error:
            return Verdict("survived", undecided=str(error))
        found = compared.difference
        fate: Fate = "equivalent" if found is None else "survived"
        is_forbidden = found is not None and bool(violations_by_one(self._policy.roles, "subject:x", found.held))
        return Verdict(fate, combinations=compared.combinations, difference=found, is_forbidden=is_forbidden)

    def _noticed(self, mutant: Mutant) -> tuple[PolicyTest, Expectation] | None:
        changed = mutant.changed
        plan = self._compile(changed)
        resolved_roles = self._resolved_roles if changed.roles is self._policy.roles else ResolvedRoles(changed)
        for question in mutant.questions:
            for test, expectation in self._by_question.get(question, ()):
                effective_roles = resolved_roles.of(expectation.held)
                decision = decide(changed, plan, lambda _, domain: effective_roles.roles_in(domain), expectation.request)  # noqa: B023
                if decision.allowed is not expectation.allowed:
                    return test, expectation
        if changed.roles is not self._policy.roles:
            for (subject, held), noticed in self._forbidden.items():
                if not violations_alone(changed.roles, subject, held):
                    return noticed
        return None


def score(fates: Collection[Fate]) -> float:
    """The share of the mutants that change something which a test notices, in percent; 100 where there is none."""
    killed = sum(fate == "killed" for fate in fates)
    counting = sum(fate != "equivalent" for fate in fates)
    return 100 * killed / counting if counting else 100.0


def missing_test(verdict: Verdict) -> str | None:
    """The test that would notice a mutant which survived, in words; None where nobody can tell one."""
    if verdict.difference is None:
        return verdict.missing_test or None
    words = case_in_words(verdict.difference)
    return f"{words}; the rules forbid these roles, so say forbidden: true" if verdict.is_forbidden else words


def case_in_words(case: Difference) -> str:
    """A case that would notice a mutant, in words."""
    held = ", ".join(f"{role} in {domain}" for role, domain in case.held)
    values = "".join(f", {name} = {show_value(value)}" for name, value in case.values)
    may = "may" if case.allowed_by_first else "may not"
    asked = f"{case.action} {case.resource_type} in {case.domain or 'no domain'}"
    free = "; where that does not tell the two apart, choose other texts or lists" if case.has_free_matches else ""
    return f"somebody {f'who is {held}' if held else 'without a role'} {may} {asked}{values}{free}"


def mutants_as_json(everything: Sequence[Mutant], verdicts: Sequence[Verdict]) -> dict[str, object]:
    """Mutants with their verdicts, in the same order, as programs read them."""
    fates = [verdict.fate for verdict in verdicts]
    return {
        "score": round(score(fates), 2),
        "killed": fates.count("killed"),
        "survived": fates.count("survived"),
        "equivalent": fates.count("equivalent"),
        "mutants": [
            {
                "kind": mutant.kind,
                "what": mutant.what,
                "file": mutant.place.file,
                "line": mutant.place.line,
                "fate": verdict.fate,
                "noticed_by": verdict.noticed_by,
                "noticed_at": verdict.noticed_at.source if verdict.noticed_at else None,
                "combinations": verdict.combinations or None,
                "missing_test": missing_test(verdict),
            }
            for mutant, verdict in zip(everything, verdicts, strict=True)
        ],
    }
