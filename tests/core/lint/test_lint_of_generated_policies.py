"""Lint over generated policies of all kinds: it never fails, and what it calls redundant can be dropped, all of it at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from generated_policies import generate

from klausel.core.conditions.outcomes import most_steps
from klausel.core.conditions.tree import atoms
from klausel.core.difference.equivalence import compare
from klausel.core.lint.registry import WARNINGS, lint
from klausel.core.lint.survey import Survey
from klausel.core.loading.load import SourceFile, load_policy

MOST_STEPS = 1_000


@pytest.mark.parametrize("seed", range(120))
def test_what_is_redundant_can_be_dropped_without_changing_a_decision(seed: int) -> None:
    texts = generate(seed).texts
    policy = load_policy(SourceFile(name, name, text.encode()) for name, text in texts.items()).policy
    if policy is None:
        return
    assert {problem.id for problem in lint(policy)} <= WARNINGS
    redundant = [one.grant for one in Survey(policy).redundant]
    for question in {(grant.resource_type, grant.action) for grant in redundant}:
        grants = policy.grants_about(*question)
        if most_steps(atom for grant in grants if grant.condition for atom in atoms(grant.condition)) > MOST_STEPS:
            continue
        kept = tuple(grant for grant in grants if not any(grant is one for one in redundant))
        assert compare(policy, replace(policy, grants=kept), [question]).difference is None
