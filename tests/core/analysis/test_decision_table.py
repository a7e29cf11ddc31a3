"""The decision table: outcomes as bits say what looking at each outcome says, and what is remembered changes nothing."""

from __future__ import annotations

import pytest
from generated_pairs import pair
from policy_sets import policy_of

from klausel.core.analysis.decision_table import Remembered, View, views
from klausel.core.conditions.outcomes import Truths, TruthSpace, positive
from klausel.core.conditions.tree import AllOf, AnyOf, Condition
from klausel.core.policy.policy_set import PolicySet

PAIRS = [tuple(map(policy_of, pair(seed))) for seed in range(12)]


def tables(before: PolicySet, after: PolicySet, remembered: Remembered | None = None) -> list[View]:
    questions = sorted({(grant.resource_type, grant.action) for policy in (before, after) for grant in policy.grants})
    return [view for question in questions for view in views(before, after, question, remembered=remembered)]


def value(space: TruthSpace, condition: Condition | None, truths: Truths) -> bool | None:
    """The oracle: one outcome looked at by itself."""
    match condition:
        case None:
            return True
        case AllOf(parts):
            values = {value(space, part, truths) for part in parts}
            return False if False in values else None if None in values else True
        case AnyOf(parts):
            values = {value(space, part, truths) for part in parts}
            return True if True in values else None if None in values else False
    atom, kept = positive(condition)
    truth = truths[space.atoms.index(atom)]
    return truth if kept or truth is None else not truth


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_grant_holds_in_the_outcomes_in_which_its_condition_lets_it(before: PolicySet, after: PolicySet) -> None:
    for view in tables(before, after):
        for side in (view.before, view.after):
            for grant, holding in zip(side.grants, side.holding, strict=True):
                for position, outcome in enumerate(view.space.outcomes):
                    truth = value(view.space, grant.condition, outcome.truths)
                    assert bool(holding >> position & 1) is (truth is True or (truth is None and grant.effect == "deny"))


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_conditions_turn_out_together_in_the_ways_that_the_outcomes_have(before: PolicySet, after: PolicySet) -> None:
    for view in tables(before, after):
        conditions = [grant.condition for grant in view.before.grants if grant.condition]
        ways = [tuple(value(view.space, one, outcome.truths) for one in conditions) for outcome in view.space.outcomes]
        assert sorted(view.space.together(conditions), key=str) == sorted(set(ways), key=str)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_the_smallest_outcome_has_the_fewest_values_and_comes_first(before: PolicySet, after: PolicySet) -> None:
    for view in tables(before, after):
        sizes = [len(outcome.values) for outcome in view.space.outcomes]
        assert view.space.smallest(view.space.everything) == sizes.index(min(sizes))


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_tables_that_share_what_they_remember_are_the_same(before: PolicySet, after: PolicySet) -> None:
    assert tables(before, after, Remembered(before, after)) == tables(before, after)
    assert tables(before, before, Remembered(before, after)) == tables(before, before)


def test_a_table_of_one_policy_set_has_one_side() -> None:
    before, _ = PAIRS[0]
    for view in tables(before, before):
        assert view.before is view.after
        assert all(one.before == one.after for one in view.role_combinations)
