"""What takes too long is counted before it is done, and told: never a wrong answer, never a full memory."""

from __future__ import annotations

from small_policies import load

from klausel.core.analysis.budget import MOST_ROLE_COMBINATIONS
from klausel.core.analysis.proof import prove_all
from klausel.core.difference.compare import difference_between
from klausel.core.policy.policy_set import PolicySet

LEVELS = "levels:\n  account: {named_by: account}\nroles:\n"
LOOKED_FOR = " or ".join(f'"r{number}" in resource.offered' for number in range(18))


def policy_of(roles: str, grants: str, invariants: str = "") -> PolicySet:
    return load("", grants, roles=roles, invariants=invariants).or_raise()


def with_roles(count: int, invariant: str = "") -> PolicySet:
    names = [f"role_{chr(97 + number) * 3}" for number in range(count)]
    roles = LEVELS + "".join(f"  {name}: {{level: account}}\n" for name in names)
    grants = "resource_types:\n  quiz: {actions: [view]}\ngrants:\n"
    grants += "".join(f"  - {{allow: {name}, to: view, resource: quiz, when: resource.of_{name}}}\n" for name in names[:5])
    grants += "".join(f"  - {{allow: {name}, to: view, resource: quiz}}\n" for name in names[5:])
    return policy_of(roles, grants, invariant)


NEVER = "invariants:\n  - {name: it, never: outsider, to: view, resource: quiz}\n"


def test_a_list_of_many_values_is_not_gone_through() -> None:
    grant = f"  - {{allow: lead, to: view, resource: quiz, when: '{LOOKED_FOR}'}}\n"
    grants = f"resource_types:\n  quiz: {{actions: [view]}}\ngrants:\n{grant}"
    (verdict,) = prove_all(policy_of(LEVELS + "  lead: {level: account}\n", grants, NEVER))
    assert verdict.undecided is not None
    assert verdict.undecided.startswith("view quiz: its conditions ")


def test_many_independent_roles_are_not_gone_through() -> None:
    (verdict,) = prove_all(with_roles(22, NEVER))
    assert verdict.undecided is not None
    assert f"can be held in more than {MOST_ROLE_COMBINATIONS:,} ways" in verdict.undecided


def test_a_budget_that_is_used_up_leaves_the_rest_undecided() -> None:
    two = NEVER + NEVER.partition("\n")[2].replace("it", "other")
    policy = with_roles(5, two)
    assert [verdict.holds for verdict in prove_all(policy)] == [True, True]
    undecided = [verdict.undecided for verdict in prove_all(policy, 300)]
    assert undecided[0] is None and "used up" in (undecided[1] or "")


def test_a_comparison_beyond_its_budget_is_not_known_to_be_the_same() -> None:
    before, after = with_roles(4), with_roles(5)
    assert difference_between(before, after).verdict == "more permissive"
    assert difference_between(before, after, 10).verdict == "unknown"
