"""The decision table: outcomes as bits say what looking at each outcome says, and what is remembered changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from generated_pairs import pair
from policy_sets import policy_of

from klausel.core.analysis.decision_table import PartedTables, PartedView, Remembered, View, views
from klausel.core.analysis.states import Bounds, everything_together
from klausel.core.conditions.group import Truths
from klausel.core.conditions.outcomes import TruthSpace, positive
from klausel.core.conditions.tree import AllOf, AnyOf, Condition
from klausel.core.policy.policy_set import Grant, PolicySet

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


def unions(parts: Iterable[frozenset[str]]) -> set[frozenset[str]]:
    found = {frozenset[str]()}
    for part in parts:
        found |= {part | other for other in found}
    return found


def in_whole(view: View, grants: Sequence[Grant]) -> tuple[object, ...]:
    """What the exact table says of a place: who can ask there, and which grants hold together, as bits."""
    bits = [1 << next(at for at, grant in enumerate(grants) if grant is one) for one in view.before.grants]
    holding = {
        sum(bit for bit, holds in zip(bits, view.before.holding, strict=True) if holds >> position & 1)
        for position in range(len(view.space.outcomes))
    }
    names = {grant.grantee for grant in view.before.grants}
    return {one.before & names for one in view.role_combinations}, holding


def in_parts(view: PartedView, tables: PartedTables) -> tuple[object, ...]:
    least = tables.least.least(view.depth, view.grantees)
    held = {min(least, key=len) | more for more in unions(least)}
    return held, everything_together(view.states, 5_000)


@pytest.mark.parametrize("policy", [policy for both in PAIRS for policy in both])
def test_a_table_in_parts_says_what_the_exact_one_says_wherever_it_says_that_it_is_exact(policy: PolicySet) -> None:
    parted = PartedTables(policy)
    for question in {(grant.resource_type, grant.action) for grant in policy.grants}:
        grants = policy.grants_about(*question)
        whole = {view.placement.before: in_whole(view, grants) for view in views(policy, policy, question)}
        for view in parted.views(*question):
            if all(states.is_exact for states in view.states) and view.placement.domain in whole:
                assert in_parts(view, parted) == whole[view.placement.domain]


def test_a_table_in_parts_says_where_its_bounds_are_passed() -> None:
    policy = PAIRS[0][0]
    question = next((one.resource_type, one.action) for one in policy.grants if one.condition)
    tables_ = PartedTables(policy), PartedTables(policy, Bounds(atoms=0))
    exact, bounded = ({states.is_exact for view in one.views(*question) for states in view.states} for one in tables_)
    assert exact == {True}
    assert False in bounded
