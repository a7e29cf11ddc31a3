"""Conditions with more cases than can be gone through are said to be so, at once; nothing is guessed and nothing hangs."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from klausel.casbin_policies.engine import compile_policy
from klausel.core.analysis.proof import prove_all
from klausel.core.conditions import outcomes as module
from klausel.core.conditions.outcomes import TooManyCases, truth_space
from klausel.core.conditions.tree import Atom, Attribute, Call, Comparison, Literal, evaluate_atom
from klausel.core.difference.compare import difference_between
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.core.testing.gate import unmet_expectations
from klausel.core.testing.mutants import mutants
from klausel.core.testing.mutation import Judge

ROLES = "levels: {site: {constant: main}}\nroles: {reader: {level: site}}\n"
MODEL = (Path(__file__).parents[3] / "model.conf").read_text()


def names(number: int) -> list[Attribute]:
    return [Attribute("resource", (f"a{position}",)) for position in range(number)]


def chain(number: int) -> list[Atom]:
    return [Comparison("==", one, other) for one, other in itertools.pairwise(names(number))]


def policy(condition: str, invariant: str = "never: reader") -> PolicySet:
    files = {
        "roles.yaml": ROLES,
        "features/pages.yaml": "resource_types: {page: {actions: [read]}}\n"
        f"grants: [{{allow: reader, to: read, resource: page, when: '{condition}'}}]\n",
        "invariants.yaml": f"invariants: [{{{invariant}, to: read, resource: page, when: resource.never == true}}]\n",
    }
    return load_policy(SourceFile(name, name, text.encode()) for name, text in files.items()).or_raise()


LONG = " and ".join(map(str, chain(12)))


def test_six_attributes_that_are_compared_in_a_chain_are_decided_exactly() -> None:
    assert len(truth_space(chain(6)).outcomes) == 3**5


def test_a_chain_too_long_is_named_with_its_attributes() -> None:
    with pytest.raises(TooManyCases, match=r"compare too many values with each other: resource\.a0, .*resource\.a9$"):
        truth_space(chain(12))


def test_so_many_comparisons_that_they_multiply_are_counted_before_they_are_gone_through() -> None:
    with pytest.raises(TooManyCases, match="30 different comparisons"):
        truth_space([Comparison("==", name, Literal("x")) for name in names(30)])


@pytest.fixture
def few_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the usual limit, which the chain of the tests is far beyond all the same."""
    monkeypatch.setattr(module, "MOST_CASES", 20_000)


@pytest.mark.usefixtures("few_cases")
def test_an_invariant_about_them_counts_as_broken_and_says_why() -> None:
    (verdict,) = prove_all(policy(LONG))
    assert (verdict.holds, verdict.counterexample) == (False, None)
    assert str(verdict.undecided).startswith("read page: its conditions compare too many values")


@pytest.mark.usefixtures("few_cases")
def test_the_service_refuses_policies_whose_invariants_cannot_be_told() -> None:
    found = policy(LONG)
    (problem,) = unmet_expectations(found, compile_policy(found, MODEL), ())
    assert problem.id == "invariant-broken"
    assert 'whether the invariant "' in problem.message and "cannot be told: read page" in problem.message


@pytest.mark.usefixtures("few_cases")
def test_a_mutant_that_nothing_can_be_told_about_survives() -> None:
    found = policy(LONG)
    judge = Judge(found, (), lambda changed: compile_policy(changed, MODEL))
    # A few of them: each takes all the steps that an analysis may take.
    verdicts = [judge.verdict(mutant) for mutant in itertools.islice(mutants(found), 3)]
    assert {verdict.fate for verdict in verdicts} == {"survived"}
    assert all(verdict.undecided for verdict in verdicts if verdict.difference is None)


@pytest.mark.usefixtures("few_cases")
def test_a_difference_that_cannot_be_told_is_unknown_not_the_same() -> None:
    difference = difference_between(policy(LONG), policy(LONG.replace("==", "!=", 1)))
    assert (difference.verdict, difference.changes) == ("unknown", ())
    assert difference.undecided[0].startswith("read page: ")


@pytest.mark.parametrize("seed", range(40))
def test_leaving_out_choices_that_look_alike_loses_no_outcome(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random_ = random.Random(seed)
    attributes = [*names(3), Attribute("subject", ("id",))]
    operands = [*attributes, Literal("x1"), Literal(1), Literal(True), Literal("b")]
    atoms: list[Atom] = []
    for _ in range(random_.randint(2, 4)):
        left = random_.choice(attributes)
        if random_.random() < 0.15:
            atoms.append(Call("matches_glob", (left, Literal("a*"))))
        else:
            atoms.append(Comparison("==", left, random_.choice([one for one in operands if one != left])))
    short = truth_space(atoms)
    monkeypatch.setattr(module, "values_alike", lambda *_: {})
    whole = truth_space(atoms)
    assert {one.truths for one in short.outcomes} == {one.truths for one in whole.outcomes}
    for outcome in short.outcomes:
        properties = {name.path[0]: value for name, value in outcome.values.items() if str(name).startswith("resource.")}
        who = str(outcome.values.get(Attribute("subject", ("id",)), ""))
        request = Request(Subject("user", who), Action("read"), Resource("page", "1", properties))
        for atom, truth in zip(short.atoms, outcome.truths, strict=True):
            assert isinstance(atom, Call) or evaluate_atom(atom, request) is truth
