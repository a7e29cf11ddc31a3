"""Where values are too many to go through at once, the ways in which conditions turn out are the same ones all the same."""

from __future__ import annotations

from random import Random

import pytest

from klausel.core.analysis.proof import prove_all
from klausel.core.conditions import outcomes
from klausel.core.conditions.outcomes import TooManyCases, most_steps, truth_space
from klausel.core.conditions.parser import parse_condition
from klausel.core.conditions.tree import AllOf, AnyOf, Condition, atoms, negate
from klausel.core.loading.load import SourceFile, load_policy

TEXTS = (
    "has resource.a", "has resource.a.c", "resource.a.c == 1", 'resource.a == "x"', 'resource.a in ["x", 1]',
    "resource.a == resource.b", "resource.b < resource.c", "resource.a in subject.l", "resource.b in subject.l",
    '"ALL" in subject.l', "resource.a in subject.m", '"ALL" in subject.m', 'subject.m overlaps ["x", "z"]', "has subject.l",
    "time(resource.t) < time(resource.u)", "has resource.t", 'context.now < time("2026-03-01T00:00:00Z")', "resource.b > 3",
    'subject.id == resource.a', 'subject.id == "ann"', 'subject.type == "user"', "resource.flag", "resource.n == 7",
)  # fmt: skip

MOST_STEPS = 2_000


def parsed(text: str) -> Condition:
    return parse_condition(text, lambda _: None, {})


def test_values_taken_apart_give_the_same_outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    for seed in range(60):
        asked = [atom for text in Random(seed).sample(TEXTS, 3) for atom in atoms(parsed(text))]
        if most_steps(asked) > MOST_STEPS:
            continue
        whole = truth_space(asked)
        with monkeypatch.context() as patch:
            patch.setattr(outcomes, "MOST_AT_ONCE", 0)
            apart = truth_space(asked)
        assert {one.truths for one in apart.outcomes} == {one.truths for one in whole.outcomes}, seed
        fewest = {one.truths: len(one.values) for one in whole.outcomes}
        assert all(len(one.values) <= fewest[one.truths] for one in apart.outcomes), seed
        compared += 1
    assert compared > 20


def some_condition(random: Random, depth: int = 2) -> Condition:
    if depth == 0 or random.random() < 0.3:
        atom = parsed(random.choice(TEXTS))
        return negate(atom) if random.random() < 0.3 else atom
    parts = tuple(some_condition(random, depth - 1) for _ in range(2))
    return AllOf(parts) if random.random() < 0.5 else AnyOf(parts)


def test_merged_outcomes_tell_of_each_condition_what_all_of_them_tell() -> None:
    merged_ones = 0
    for seed in range(150):
        random = Random(seed)
        conditions = [some_condition(random) for _ in range(3)]
        asked = [atom for condition in conditions for atom in atoms(condition)]
        if most_steps(asked) > MOST_STEPS:
            continue
        try:
            whole = truth_space(asked, most=5_000)
            merged = truth_space(asked, most=len(whole.outcomes) - 1, conditions=conditions)
        except TooManyCases:
            continue
        merged_ones += merged.is_merged
        assert set(merged.together(conditions)) == set(whole.together(conditions)), seed
    assert merged_ones > 10


ROLES = "levels: {site: {constant: main}}\nroles: {first: {level: site}, second: {level: site}}\n"


def _tag(tag: str, role: str) -> str:
    listed = f"subject.allowed.{role}.{tag}"
    return f'(not has resource.tags.{tag} or "ALL" in {listed} or resource.tags.{tag} in {listed})'


def test_three_tags_that_two_roles_have_lists_of_are_decided() -> None:
    tags = ("production_status", "country", "stage")
    grants = "\n".join(
        f"  - {{allow: {role}, to: update, resource: workspace, when: '{' and '.join(_tag(tag, role) for tag in tags)}'}}"
        for role in ("first", "second")
    )
    needed = _tag("country", "first") + " or " + _tag("country", "second")
    files = {
        "roles.yaml": ROLES,
        "features/workspaces.yaml": f"resource_types: {{workspace: {{actions: [update]}}}}\ngrants:\n{grants}\n",
        "invariants.yaml": "invariants:\n"
        "  - {at_most: [first, second], to: update, resource: workspace}\n"
        f"  - {{always: first, to: update, resource: workspace, when: '{needed}'}}\n",
    }
    policy = load_policy(SourceFile(name, name, text.encode()) for name, text in files.items()).or_raise()
    verdicts = list(prove_all(policy))
    assert [(one.holds, one.undecided) for one in verdicts] == [(True, None), (False, None)]
    example = verdicts[1].counterexample
    assert example is not None
    assert example.held == (("first", "main"),)
