"""A grant is called redundant exactly when dropping it changes no decision, whatever the roles and conditions."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from small_task_policies import ROLE_FILES, TYPES, generated, load_files

from klausel.core.analysis.decision_table import PartedTables
from klausel.core.analysis.least_role_combinations import LeastRoleCombinations
from klausel.core.analysis.question_space import role_combinations
from klausel.core.difference.equivalence import compare
from klausel.core.lint.redundancy import Redundant
from klausel.core.lint.survey import Survey
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANYONE, depth_of
from klausel.core.policy.scope import Scope


def decide_alike(policy: PolicySet, first: list[Grant], second: list[Grant]) -> bool:
    questions = [("task", "view"), ("task", "make")]
    sets = [replace(policy, grants=tuple(grants)) for grants in (first, second)]
    return compare(*sets, questions).difference is None


def without(grants: list[Grant], gone: list[Grant]) -> list[Grant]:
    return [grant for grant in grants if not any(grant is one for one in gone)]


@pytest.mark.parametrize("seed", range(200))
def test_redundant_are_the_grants_that_can_be_dropped_and_of_those_that_cover_each_other_all_but_one(seed: int) -> None:
    policy = generated(seed)
    grants = list(policy.grants)
    found = list(Survey(policy).redundant)
    reported = [one.grant for one in found]
    for grant in reported:
        assert decide_alike(policy, without(grants, [grant]), grants), str(grant)
    assert decide_alike(policy, without(grants, reported), grants)
    for grant in without(grants, reported):
        alike = [other for other in reported if other.effect == grant.effect]
        assert not decide_alike(policy, without(grants, [*alike, grant]), grants), str(grant)
    for one in found:
        assert is_as_said(policy, one, grants), str(one)


def is_as_said(policy: PolicySet, one: Redundant, grants: list[Grant]) -> bool:
    grant = one.grant
    allows = [other for other in grants if other.effect == "allow"]
    denies = [other for other in grants if other.effect == "deny"]
    for_all = [
        replace(grant, effect="allow", grantee=ANYONE, scope=Scope(), condition=None, action=action)
        for action in ("view", "make")
    ]
    is_deny = grant.effect == "deny"
    never_holds = decide_alike(policy, [*for_all, grant] if is_deny else [grant], for_all if is_deny else [])
    if never_holds or one.why == "never holds":
        return never_holds and one.why == "never holds"
    if is_deny:
        denies_nothing = decide_alike(policy, [*allows, grant], allows)
        if denies_nothing or one.why == "denies nothing":
            return denies_nothing and one.why == "denies nothing"
        return decide_alike(policy, [*allows, *one.by, grant], [*allows, *one.by]) and grant not in one.by
    always_denied = decide_alike(policy, [grant, *denies], [])
    if always_denied or one.why == "always denied":
        return one.why == "always denied" and decide_alike(policy, [grant, *one.by], [])
    return decide_alike(policy, [*denies, *one.by, grant], [*denies, *one.by]) and grant not in one.by


def test_the_generated_policies_have_redundant_grants_of_every_sort() -> None:
    found = [(one.why, one.grant.effect) for seed in range(400) for one in Survey(generated(seed)).redundant]
    sorts = [("covered", "allow"), ("covered", "deny"), ("always denied", "allow"), ("denies nothing", "deny")]
    for sort in [*sorts, ("never holds", "allow"), ("never holds", "deny")]:
        assert found.count(sort) > 10, sort


@pytest.mark.parametrize(("roles", "domain"), list(product(range(len(ROLE_FILES)), (None, 1, 2, 3))))
def test_every_effective_roles_is_a_union_of_least_role_combinations(roles: int, domain: int | None) -> None:
    model = load_files(ROLE_FILES[roles], TYPES.replace(", asked_in: {make: LEVEL}", "")).roles
    if domain is not None and domain > len(model.levels):
        return
    parts = [level.constant or f"{level.name}-1" for level in model.levels[: domain or 0]]
    asked = "/".join(parts) or None
    wanted = frozenset({ANYONE, *model.closure})
    unions = {frozenset({ANYONE})}
    for names in LeastRoleCombinations(model).least(depth_of(asked) if asked else 0, wanted):
        unions |= {names | other for other in unions}
    assert unions == {role_combination.names for role_combination in role_combinations(model, asked, wanted)}


def test_what_cannot_be_told_exactly_is_compared_with_grants_of_the_same_condition_and_of_none() -> None:
    conditions = [f"resource.a{number} == resource.a{number + 1}" for number in range(40)]
    many = "".join(f"  - {{allow: worker, to: view, resource: task, when: {condition}}}\n" for condition in conditions)
    more = """
  - {allow: head, to: view, resource: task, when: 'resource.a7 == resource.a8'}
  - {deny: member, to: view, resource: task, when: 'resource.a8 == resource.a7'}
  - {deny: worker, to: view, resource: task, when: 'resource.a1 == 1'}
  - {deny: head, to: view, resource: task, when: 'resource.a1 == 1'}
"""
    types = TYPES.replace(", asked_in: {make: LEVEL}", "")
    policy = load_files(ROLE_FILES[0], f"{types}grants:\n{many}{more}")
    found = [(str(one.grant), one.why) for one in Survey(policy).redundant]
    assert found == [
        ("allow worker to view task when resource.a7 == resource.a8", "always denied"),
        ("allow head to view task when resource.a7 == resource.a8", "always denied"),
        ("deny head to view task when resource.a1 == 1", "covered"),
    ]


def test_places_that_many_grants_name_are_looked_at_one_by_one() -> None:
    grants = "".join(f"  - {{allow: worker, to: view, resource: task, in: c{n}}}\n" for n in range(50))
    grants += "  - {allow: worker, to: view, resource: task, in: c7/red}\n"
    policy = load_files(ROLE_FILES[0], TYPES.replace(", asked_in: {make: LEVEL}", "") + f"grants:\n{grants}")
    (found,) = Survey(policy).redundant
    assert (str(found.grant), [str(grant) for grant in found.by]) == (
        "allow worker to view task in c7/red",
        ["allow worker to view task in c7"],
    )
    assert len(PartedTables(policy).views("task", "view")) >= 50


def test_conditions_that_name_too_many_places_are_not_told_apart_by_place() -> None:
    companies = ", ".join(f'"c{number}"' for number in range(150))
    grants = f"""
  - {{allow: worker, to: view, resource: task, when: 'resource.company in [{companies}] and resource.team in [{companies}]'}}
  - {{allow: worker, to: view, resource: task, when: 'resource.company == "c1" and resource.company == "c2"'}}
  - {{allow: member, to: view, resource: task}}
"""
    policy = load_files(ROLE_FILES[0], TYPES.replace(", asked_in: {make: LEVEL}", "") + f"grants:{grants}")
    assert [one.why for one in Survey(policy).redundant] == ["covered", "never holds"]
