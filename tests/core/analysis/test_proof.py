"""Invariants are decided exactly: a planted violation of each kind is found, and nothing is found where none is."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from klausel.casbin_policies.engine import compile_policy
from klausel.core.analysis.proof import Verdict, prove, prove_all
from klausel.core.decisions.decide import decide
from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.request import Action, Request, Resource, Subject

ROOT = Path(__file__).parents[3]

ROLES = """
levels:
  company: {named_by: company, identified_by: company}
  team: {named_by: team, identified_by: team, requires_role_above: true}
roles:
  owner: {level: company, contains: [member, head]}
  member: {level: company}
  head: {level: team, contains: worker}
  worker: {level: team}
  treasurer: {level: team}
"""

PAYMENTS = """
resource_types:
  company: {actions: [close]}
  payment: {actions: [create, approve, view]}
grants:
  - {allow: owner, to: close, resource: company}
  - {allow: worker, to: create, resource: payment}
  - {allow: head, to: approve, resource: payment, when: resource.amount < 100}
  - {allow: treasurer, to: approve, resource: payment}
  - {allow: [worker, any head], to: view, resource: payment}
"""


def load(grants: str, invariants: str, roles: str = ROLES) -> PolicySet:
    files = {"roles.yaml": roles, "features/payments.yaml": grants, "invariants.yaml": "invariants:\n" + invariants}
    result = load_policy(SourceFile(name, f"policies/{name}", text.encode()) for name, text in files.items())
    assert result.policy is not None, "\n".join(map(str, result.problems))
    return result.policy


def verdict_on(invariant: str, grants: str = PAYMENTS) -> Verdict:
    (verdict,) = prove_all(load(grants, f"  - {invariant}\n"))
    assert verdict.combinations > 0
    return verdict


HOLDING = [
    "{never: outsider, to: '*', resource: '*'}",
    "{never: worker, to: close, resource: company}",
    "{at_most: treasurer, to: approve, resource: payment, when: resource.amount >= 100}",
    "{always: head, to: create, resource: payment, at_level: team}",
    "{always: any head, to: view, resource: payment}",
    "{at_most: owner, to: close, resource: company}",
    "{at_most: [head, treasurer], to: approve, resource: payment}",
    "{monotone: true}",
    "{separate: [worker, treasurer]}",
]

PLANTED = [
    ("{never: outsider, to: '*', resource: '*'}", "{allow: anyone, to: view, resource: payment}"),
    ("{never: worker, to: close, resource: company}", "{allow: any worker, to: close, resource: company}"),
    (
        "{at_most: treasurer, to: approve, resource: payment, when: resource.amount >= 100}",
        "{allow: head, to: approve, resource: payment, when: resource.amount == 100}",
    ),
    (
        "{always: head, to: create, resource: payment, at_level: team}",
        "{deny: worker, to: create, resource: payment, when: resource.frozen}",
    ),
    ("{at_most: owner, to: close, resource: company}", "{allow: member, to: close, resource: company, in: acme}"),
    ("{monotone: true}", "{deny: head, to: create, resource: payment}"),
    (
        "{at_most: owner, to: close, resource: company}",
        "{allow: member, to: close, resource: company, when: has resource.until and context.now < resource.until}",
    ),
]


@pytest.mark.parametrize("invariant", HOLDING)
def test_an_invariant_that_holds_is_proved(invariant: str) -> None:
    assert verdict_on(invariant).holds


@pytest.mark.parametrize(("invariant", "grant"), PLANTED)
def test_a_planted_violation_is_found_with_the_line_to_blame(invariant: str, grant: str) -> None:
    verdict = verdict_on(invariant, f"{PAYMENTS}  - {grant}\n")
    assert not verdict.holds
    assert verdict.counterexample is not None
    planted_line = len(PAYMENTS.splitlines()) + 1
    assert planted_line in {blamed.place.line for blamed in verdict.counterexample.grants}


def test_separate_things_that_one_subject_may_both_do_are_found() -> None:
    both = "{separate: [{to: create, resource: payment}, {to: approve, resource: payment}]}"
    verdict = verdict_on(both)
    assert verdict.counterexample is not None
    assert verdict.counterexample.message == "the same subject may create payment and approve payment"


def test_roles_declared_separate_are_never_held_together_in_other_proofs() -> None:
    payments = PAYMENTS.replace("  - {allow: head, to: approve, resource: payment, when: resource.amount < 100}\n", "")
    separate = "  - {separate: [{to: create, resource: payment}, {to: approve, resource: payment}]}\n"
    assert not next(prove_all(load(payments, separate))).holds
    assert next(prove_all(load(payments, separate + "  - {separate: [worker, treasurer]}\n"))).holds


def test_a_role_that_contains_both_separate_roles_breaks_them() -> None:
    roles = ROLES.replace("contains: worker", "contains: [worker, treasurer]")
    (verdict,) = prove_all(load(PAYMENTS, "  - {separate: [worker, treasurer]}\n", roles))
    assert verdict.counterexample is not None
    assert "contains both worker and treasurer" in verdict.counterexample.message


def test_a_pattern_match_is_taken_as_free_and_the_verdict_says_so() -> None:
    grants = (
        PAYMENTS + "  - {allow: member, to: close, resource: company, when: 'matches_glob(resource.name, \"test-*\")'}\n"
    )
    verdict = verdict_on("{at_most: owner, to: close, resource: company}", grants)
    assert not verdict.holds
    assert verdict.has_free_matches


def test_every_shipped_invariant_holds() -> None:
    names = ("roles.yaml", "conditions.yaml", "invariants.yaml")
    files = [ROOT / "policies" / name for name in names] + sorted((ROOT / "policies/features").iterdir())
    sources = [SourceFile(path.relative_to(ROOT / "policies").as_posix(), path.name, path.read_bytes()) for path in files]
    policy = load_policy(sources).or_raise()
    assert len(policy.invariants) >= 10
    assert [verdict.invariant.name for verdict in prove_all(policy) if not verdict.holds] == []


GRANTEES = ("owner", "member", "head", "worker", "treasurer", "any head", "any worker", "anyone")
CONDITIONS = (
    None,
    "resource.amount < 100",
    "resource.amount >= 100",
    "not resource.frozen",
    "resource.maker == subject.id",
    'resource.state in ["open", "late"] and resource.maker != subject.id',
)
VALUES: dict[str, tuple[object, ...]] = {
    "amount": (None, 50, 100, "100"),
    "frozen": (None, True, False),
    "maker": (None, "s", "other", 3),
    "state": (None, "open", "else"),
}


def random_policy(random_: random.Random) -> str:
    lines = ["resource_types:", "  payment: {actions: [create]}", "grants:"]
    for _ in range(random_.randint(1, 5)):
        grant: dict[str, str] = {random_.choice(["allow", "allow", "deny"]): random_.choice(GRANTEES)}
        grant |= {"to": "create", "resource": "payment"}
        condition = random_.choice(CONDITIONS)
        grant |= {"when": f"'{condition}'"} if condition else {}
        grant |= {"in": random_.choice(["acme", "acme/red"])} if random_.random() < 0.2 else {}
        grant |= {"at_level": random_.choice(["company", "team"])} if random_.random() < 0.2 else {}
        lines.append(f"  - {{{', '.join(f'{key}: {value}' for key, value in grant.items())}}}")
    return "\n".join(dict.fromkeys(lines))


def somebody_may(policy: PolicySet, without: str) -> bool:
    """By trying: whether a subject that does not reach a name may create a payment somewhere."""
    compiled = compile_policy(policy, (ROOT / "model.conf").read_text())
    company_roles = ["owner", "member"]
    team_roles = ["head", "worker", "treasurer"]
    pairs = [(role, "acme") for role in company_roles] + [
        (role, f"acme/{team}") for role in team_roles for team in ("red", "blue")
    ]
    for held in itertools.chain.from_iterable(itertools.combinations(pairs, size) for size in range(4)):
        effective_roles = EffectiveRoles.of(policy.roles, held)
        for place in ({}, {"company": "acme"}, {"company": "acme", "team": "red"}):
            domain = domain_of(policy.roles, None, "create", Resource("payment", "p", place))
            assert not isinstance(domain, BadDomain)
            if without in effective_roles.roles_in(domain):
                continue
            for chosen in itertools.product(*VALUES.values()):
                properties = {
                    **place,
                    **{name: value for name, value in zip(VALUES, chosen, strict=True) if value is not None},
                }
                request = Request(Subject("user", "s"), Action("create"), Resource("payment", "p", properties))
                if decide(policy, compiled, lambda _, where: effective_roles.roles_in(where), request).allowed:  # noqa: B023
                    return True
    return False


@pytest.mark.parametrize("seed", range(24))
def test_at_most_agrees_with_trying_everything(seed: int) -> None:
    random_ = random.Random(seed)
    who = random_.choice(GRANTEES[:-1])
    text = random_policy(random_)
    try:
        policy = load(text, f"  - {{at_most: {who}, to: create, resource: payment}}\n")
    except AssertionError as refused:
        assert any(id_ in str(refused) for id_ in ("(contradiction)", "(bad-domain)"))
        return
    verdict = prove(policy, policy.invariants[0])
    assert verdict.holds is not somebody_may(policy, who), f"{text}\nat most {who}: {verdict.counterexample}"
