"""What roles give, worked out once for each kind of domain, is what asking every domain one by one gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from klausel.core.analysis.held_permissions import HeldPermissions
from klausel.core.analysis.permission import Question, question_in
from klausel.core.analysis.proof import prove_all
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet
from klausel.service.pipeline import open_policy

ROOT = Path(__file__).parents[3]

ROLES = """
levels:
  company: {named_by: company, identified_by: company}
  team: {named_by: team, identified_by: team}
roles:
  owner: {level: company, contains: [clerk]}
  clerk: {level: company, contains: {worker: {in: "*/night"}}}
  worker: {level: team, privileged: true}
  treasurer: {level: team}
"""
PAYMENTS = """
resource_types:
  company: {actions: [close, open], asked_in: {open: company}, privileged: close}
  payment: {actions: [create, approve, view, undo, book, print]}
grants:
  - {allow: owner, to: close, resource: company}
  - {allow: any worker, to: open, resource: company}
  - {allow: worker, to: create, resource: payment}
  - {allow: [treasurer, clerk], to: approve, resource: payment, when: resource.amount < 100}
  - {allow: anyone, to: view, resource: payment}
  - {allow: any treasurer, to: undo, resource: payment, in: "*/day"}
  - {allow: treasurer, to: book, resource: payment, when: 'resource.company == "acme"'}
  - {allow: [worker, treasurer], to: print, resource: payment}
  - {deny: worker, to: print, resource: payment, in: acme}
"""
DOMAINS = [
    company + team for company in ("acme", "globex", "company-1") for team in ("", "/day", "/night", "/x", "/team-1", "/y")
]


def load(invariants: str = "") -> PolicySet:
    files = {"roles.yaml": ROLES, "features/payments.yaml": PAYMENTS, "invariants.yaml": f"invariants:\n{invariants}"}
    result = load_policy(SourceFile(name, f"policies/{name}", text.encode()) for name, text in files.items())
    assert result.policy is not None, "\n".join(map(str, result.problems))
    return result.policy


def by_asking(policy: PolicySet, role: str, domain: str) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    inside: set[tuple[str, str]] = set()
    elsewhere: set[tuple[str, str]] = set()
    for thing in policy.questions:
        for asked in DOMAINS:
            question = question_in(policy, *thing, asked)
            if not isinstance(question, Question) or question.domain != asked:
                continue
            names = policy.roles.with_joint(policy.roles.names_given(role, domain, asked) | {"anyone"})
            if question.permission(names).verdict != "never" and question.permission({"anyone"}).verdict == "never":
                (inside if asked == domain or asked.startswith(f"{domain}/") else elsewhere).add(thing)
    return inside, elsewhere


@pytest.mark.parametrize("which", ["shipped", "made"])
def test_what_a_role_gives_is_what_asking_everywhere_finds(which: str) -> None:
    policy = load() if which == "made" else open_policy(ROOT / "policies", ROOT / "model.conf").compiled.policy
    permissions = HeldPermissions(policy)
    seen = 0
    for role, depth in policy.roles.depths.items():
        for domain in DOMAINS:
            if domain.count("/") + 1 == depth:
                given = permissions.given_by(role, domain)
                assert (given.inside, given.elsewhere) == by_asking(policy, role, domain), (role, domain)
                seen += bool(given.inside)
    assert seen > 20


def test_privileged_roles_and_actions_are_told_of_who_contains_them() -> None:
    permissions = HeldPermissions(load())
    assert permissions.privileged_by("owner", "acme") == (["worker"], ["close company"])
    assert permissions.privileged_by("worker", "acme/x") == (["worker"], [])
    assert permissions.privileged_by("treasurer", "acme/x") == ([], [])


TOXIC = "  - toxic: [{to: create, resource: payment}, {to: approve, resource: payment}]\n"


@pytest.mark.parametrize(
    ("held", "where"),
    [
        ([("worker", "acme/x"), ("treasurer", "acme/x")], ("acme/x", "acme/x")),
        ([("worker", "acme/x"), ("treasurer", "acme/y")], None),
        ([("treasurer", "acme/x"), ("worker", "globex/x")], None),
        ([("worker", "acme/x"), ("owner", "acme")], ("acme/night", "acme/night")),
        ([("owner", "acme")], ("acme/night", "acme/night")),
        ([("treasurer", "acme/x")], None),
    ],
)
def test_who_may_do_both_of_two_things_is_found_where_they_may(
    held: list[tuple[str, str]], where: tuple[str, str] | None
) -> None:
    policy = load(TOXIC)
    found = list(HeldPermissions(policy).both_allowed("user:eve", EffectiveRoles.of(policy.roles, held)))
    assert [(one.domain, one.asked) for one in found] == ([] if where is None else [where])


def test_a_toxic_pair_in_a_place_is_looked_for_there_alone() -> None:
    policy = load(TOXIC.rstrip() + "\n    in: globex\n")
    permissions = HeldPermissions(policy)
    for company, number in (("acme", 0), ("globex", 1)):
        held = [("worker", f"{company}/x"), ("treasurer", f"{company}/x")]
        assert len(list(permissions.both_allowed("user:eve", EffectiveRoles.of(policy.roles, held)))) == number


def test_two_things_are_toxic_where_one_role_gives_both_and_not_where_two_do() -> None:
    (verdict,) = prove_all(load(TOXIC))
    assert not verdict.holds
    assert verdict.counterexample is not None
    assert verdict.counterexample.message == "clerk alone gives both create payment and approve payment"
    (apart,) = prove_all(load("  - toxic: [{to: create, resource: payment}, {to: book, resource: payment}]\n"))
    (separate,) = prove_all(load("  - separate: [{to: create, resource: payment}, {to: book, resource: payment}]\n"))
    assert (apart.holds, apart.combinations > 0, separate.holds) == (True, True, False)
