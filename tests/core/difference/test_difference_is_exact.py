"""Every flip that the difference reports, and none other, is found by deciding on both sides."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from exhaustive import compared, example_is_real, flip_by_deciding
from flips import flip
from generated_pairs import everyone_held, pair, requests
from policy_sets import EDITIONS, policy_of, read_policy

from klausel.core.difference.compare import PolicyDifference
from klausel.core.difference.equivalence import compare
from klausel.core.policy.policy_set import PolicySet
from klausel.core.testing.mutants import mutants


def can_be_stored(before: PolicySet, after: PolicySet, held: Iterable[tuple[str, str]]) -> bool:
    """Whether no role is held in a domain that cannot be, where both sides call the one domain of a level the same."""
    constants = [[level.constant for level in policy.roles.levels] for policy in (before, after)]
    return constants[0] != constants[1] or all(
        constant in (None, part)
        for _, domain in held
        for part, constant in zip(domain.split("/"), constants[0], strict=False)
    )


def assert_real(difference: PolicyDifference) -> None:
    """Each reported change is found by deciding, in every outcome of its conditions, where none of these is free."""
    if difference.has_free_matches:
        return
    for change in difference.changes:
        for example in (change.gain, change.loss):
            assert example is None or example_is_real(difference, change, example), change


@pytest.mark.parametrize("seed", range(60))
def test_the_difference_of_generated_policies_is_what_deciding_on_both_sides_finds(seed: int) -> None:
    before, after = map(policy_of, pair(seed))
    difference = compared(before, after)
    random_ = random.Random(seed)
    held_sets = everyone_held()
    for request in requests(random_, 20):
        for held in random_.sample(held_sets, 30):
            if not can_be_stored(before, after, held):
                continue
            expected = flip_by_deciding(before, after, held, request)
            assert flip(difference, held, request) is expected, (held, request)
            assert expected is None or difference.verdict != "same"
    assert_real(difference)


@pytest.mark.parametrize("name", EDITIONS)
def test_each_small_change_of_an_edition_is_reported_as_it_is(name: str) -> None:
    policy = read_policy(EDITIONS[name])
    for mutant in random.Random(7).sample(list(mutants(policy)), 40):
        changed = mutant.changed
        if len(mutant.questions) == 1:
            others = [grant for grant in policy.grants if (grant.resource_type, grant.action) != mutant.questions[0]]
            changed = replace(changed, grants=(*others, *changed.grants_about(*mutant.questions[0])))
        difference = compared(policy, changed)
        assert {(change.resource_type, change.action) for change in difference.changes} <= set(mutant.questions)
        assert (difference.verdict == "same") == (compare(policy, changed, mutant.questions).difference is None)
        assert_real(difference)
