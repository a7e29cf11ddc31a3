"""Two roles are called alike exactly when a policy in which they change places decides every question as before."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations
from types import MappingProxyType

import pytest
from small_task_policies import generated

from klausel.core.difference.equivalence import compare
from klausel.core.lint.rules.same_permissions import may_do_the_same
from klausel.core.lint.survey import Survey
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import Role

QUESTIONS = (("task", "view"), ("task", "make"))


def with_places_changed(policy: PolicySet, first: Role, second: Role) -> PolicySet:
    """The policy set in which each of the roles stands wherever the other did."""
    other = {first.name: second.name, second.name: first.name}
    other |= {f"any {name}": f"any {changed}" for name, changed in other.items()}
    roles = {}
    for role in policy.roles.roles.values():
        name = other.get(role.name, role.name)
        roles[name] = replace(role, name=name, contains=tuple(other.get(inner, inner) for inner in role.contains))
    grants = tuple(replace(grant, grantee=other.get(grant.grantee, grant.grantee)) for grant in policy.grants)
    ordered = MappingProxyType({name: roles[name] for name in policy.roles.roles})
    return replace(policy, roles=replace(policy.roles, roles=ordered), grants=grants)


@pytest.mark.parametrize("seeds", [range(start, start + 30) for start in range(0, 150, 30)], ids=str)
def test_roles_are_alike_exactly_when_nobody_can_tell_them_apart(seeds: range) -> None:
    answers: Counter[bool] = Counter()
    for seed in seeds:
        policy = generated(seed)
        survey = Survey(policy)
        for first, second in combinations(policy.roles.roles.values(), 2):
            if first.level == second.level and first.name not in survey.unheld_roles:
                changed = with_places_changed(policy, first, second)
                is_alike = compare(policy, changed, QUESTIONS).difference is None
                assert may_do_the_same(survey, first, second) is is_alike, f"{seed}: {first.name} and {second.name}"
                answers[is_alike] += 1
    assert min(answers[True], answers[False]) > 5
