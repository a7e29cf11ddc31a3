"""Small changes of the policies are noticed by a test, or proved to change nothing, or named with the test that is missing."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
from small_policies import COMPANIES, PAYMENTS, PAYMENTS_OPEN, REFUSED, ROLES, ROOT, TEAMS, WHOLE, compiled, load

from klausel.casbin_policies.engine import CompiledPolicy
from klausel.core.decisions.decide import decide
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.difference.equivalence import compare, everything_asked
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.policy_test import Held
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.core.testing.coverage import coverage_of
from klausel.core.testing.mutants import Mutant, mutants
from klausel.core.testing.mutation import Judge, Verdict, case_in_words, missing_test, score
from klausel.service.pipeline import open_policy


def judged(tests: str, grants: str = PAYMENTS, roles: str = ROLES) -> dict[str, tuple[Mutant, Verdict]]:
    result = load(tests, grants, roles=roles)
    policy = result.or_raise()
    judge = Judge(policy, result.tests, compiled)
    return {mutant.what: (mutant, judge.verdict(mutant)) for mutant in mutants(policy)}


EXPECTED_MUTANTS = {
    "allow owner to close company": ["dropped", "for member instead", "for head instead"],
    "allow member to open team": ["dropped", "for owner instead", "for anyone instead"],
    "allow worker to create payment": ["dropped", "for head instead", "for anyone instead", "for any worker instead"],
    "allow head to approve payment when resource.amount < 100": [
        "dropped",
        "for owner instead",
        "for worker instead",
        "without its condition",
        "when not (resource.amount < 100) instead",
        "when resource.amount <= 100 instead",
        "for any head instead",
    ],
    "deny anyone to approve payment when resource.frozen": [
        "dropped",
        "for member instead",
        "for worker instead",
        "without its condition",
        "when not (resource.frozen) instead",
    ],
    "owner contains member": ["dropped"],
    "owner contains head": ["dropped"],
    "head contains worker": ["dropped"],
    "level company named_by company": ["dropped"],
    "level company identified_by company": ["dropped"],
    "level team requires_role_above": ["dropped"],
    "level team named_by team": ["dropped"],
    "level team identified_by team": ["dropped"],
    "open team is asked in company": ["dropped", "in team instead"],
}


def test_every_small_change_is_made_once() -> None:
    made = [mutant.what for mutant in mutants(load("").or_raise())]
    assert made == [f"{what}: {change}" for what, changes in EXPECTED_MUTANTS.items() for change in changes]


PLACES = """
resource_types:
  payment: {actions: [create]}
  company: {actions: [close]}
  team: {actions: [close]}
grants:
  - allow: any head
    to: create
    resource: payment
    in: acme
    at_level: team
    when: resource.a and (resource.b or resource.c)
"""


def test_places_and_parts_of_conditions_are_changed_too() -> None:
    made = [mutant.what.rpartition(": ")[2] for mutant in mutants(load("", PLACES).or_raise())]
    assert made[:12] == [
        "dropped",
        "for owner instead",
        "for any worker instead",
        "without its condition",
        "when not (resource.a and (resource.b or resource.c)) instead",
        "when resource.b or resource.c instead",
        "when resource.a instead",
        "when resource.a and resource.c instead",
        "when resource.a and resource.b instead",
        "for head instead",
        "at level team instead",
        "in acme instead",
    ]
    assert "in acme at level company instead" in made
    starred = load("", PLACES.replace("    in: acme\n    at_level: team\n", "    in: acme/*\n")).or_raise()
    wider = [mutant.what.rpartition(": ")[2] for mutant in mutants(starred) if mutant.kind == "place changed"]
    assert wider == ["for head instead", "everywhere instead", "in acme instead", "in */* instead"]


WITHOUT_WILLI = "  - {name: payments, resource: small, people: hanna, allowed: {hanna: [create, approve]}}\n"

SURVIVING = [
    (
        COMPANIES + TEAMS + WITHOUT_WILLI + REFUSED,
        "allow worker to create payment: for head instead",
        "somebody who is member in company-1, worker in company-1/team-1 may create payment in company-1/team-1",
    ),
    (
        COMPANIES + TEAMS + PAYMENTS_OPEN,
        "deny anyone to approve payment when resource.frozen: dropped",
        "somebody who is owner in company-1 may not approve payment in company-1, resource.amount = 99",
    ),
]


@pytest.mark.parametrize(("tests", "change", "missing"), SURVIVING)
def test_a_change_that_no_test_notices_is_named_with_a_case_that_would(tests: str, change: str, missing: str) -> None:
    _, verdict = judged(tests)[change]
    assert verdict.fate == "survived"
    assert verdict.difference is not None
    assert case_in_words(verdict.difference) == missing
    assert judged(WHOLE)[change][1].fate == "killed"


RULED = ROLES.replace("member, head]", "member, head], keep_one: true")
STRAY = """people:
  stray: {roles: {acme/red: worker}, forbidden: true}
  alone: {roles: {acme: member}, forbidden: true}
resources:
  thing: {type: payment, in: acme/red}
"""


def test_a_rule_of_roles_that_no_test_needs_is_named_with_the_person_who_would_show_it() -> None:
    verdicts = judged(WHOLE, roles=RULED)
    above, kept = (verdicts[what][1] for what in ("level team requires_role_above: dropped", "owner keep_one: dropped"))
    assert (above.fate, above.is_forbidden) == ("survived", True)
    assert kept.fate == "survived"
    assert missing_test(kept) == "a person with other roles than owner in a domain of its own, who says forbidden: true"
    assert "so say forbidden: true" in (missing_test(above) or "")


def test_people_whom_the_rules_forbid_show_that_a_rule_is_dropped() -> None:
    result = load("  - {name: it, resource: thing}\n", cast=STRAY, roles=RULED)
    policy = result.or_raise()
    judge = Judge(policy, result.tests, compiled)
    fates = {mutant.what: judge.verdict(mutant).fate for mutant in mutants(policy)}
    assert fates["level team requires_role_above: dropped"] == "killed"
    assert fates["owner keep_one: dropped"] == "killed"


def test_a_killed_mutant_names_the_test_and_the_line() -> None:
    _, verdict = judged(WHOLE)["allow worker to create payment: for anyone instead"]
    assert (verdict.noticed_by, verdict.noticed_at is not None) == ("payments", True)


def test_a_grant_that_another_covers_is_equivalent_by_proof() -> None:
    grants = PAYMENTS + "  - {allow: owner, to: create, resource: payment, when: resource.amount > 5}\n"
    _, verdict = judged(WHOLE, grants)["allow owner to create payment when resource.amount > 5: dropped"]
    assert verdict.fate == "equivalent"
    assert verdict.combinations > 10


def test_a_link_that_another_way_round_covers_is_equivalent() -> None:
    roles = ROLES.replace("contains: [member, head]", "contains: [member, head, worker]")
    fates = {what: verdict.fate for what, (_, verdict) in judged(WHOLE, roles=roles).items()}
    assert fates["owner contains worker: dropped"] == "equivalent"
    assert fates["owner contains head: dropped"] == "killed"


def test_the_score_leaves_out_what_is_equivalent() -> None:
    assert score(["killed", "killed", "killed", "survived", "equivalent"]) == 75
    assert score([]) == score(["equivalent"]) == 100


def test_the_shipped_tests_touch_everything_and_notice_every_change() -> None:
    loaded = open_policy(ROOT / "policies", ROOT / "model.conf", with_tests=True)
    policy = loaded.compiled.policy
    assert coverage_of(policy, loaded.tests).missed == ()
    judge = Judge(policy, loaded.tests, compiled)
    verdicts = [(mutant, judge.verdict(mutant)) for mutant in mutants(policy)]
    assert [mutant.what for mutant, verdict in verdicts if verdict.fate == "survived"] == []
    assert sum(verdict.fate == "killed" for _, verdict in verdicts) > 300


GRANTEES = ("owner", "member", "head", "worker", "any head", "any worker", "anyone")
CONDITIONS = ("", ", when: resource.amount < 100", ", when: not resource.frozen", ", when: resource.maker == subject.id")
SCOPES = ("", ", in: acme", ", in: acme/red", ", in: acme/*", ", in: '*/red'", ", at_level: company", ", at_level: team")
TYPES = "resource_types:\n  payment: {actions: [create]}\n  company: {actions: [x]}\n  team: {actions: [x]}\ngrants:\n"


def random_policy(random_: random.Random) -> str:
    lines = {
        f"  - {{{random_.choice(['allow', 'allow', 'deny'])}: {random_.choice(GRANTEES)}, to: create, resource: payment"
        f"{random_.choice(CONDITIONS)}{random_.choice(SCOPES)}}}\n"
        for _ in range(random_.randint(1, 4))
    }
    return TYPES + "".join(sorted(lines))


PLACES_ASKED: tuple[dict[str, str], ...] = (
    {},
    {"company": "acme"},
    {"company": "acme", "team": "red"},
    {"company": "acme", "team": "new"},
    {"company": "other"},
    {"company": "other", "team": "red"},
    {"company": "acme", "team": "a/b"},
    {"company": "a/b"},
)


def answers(policy: PolicySet) -> list[bool]:
    """By trying: every decision over people with up to three roles, two companies, and some values."""
    plan = compiled(policy)
    pairs = [("owner", "acme"), ("member", "acme"), ("member", "other"), ("owner", "other")]
    pairs += [(role, place) for role in ("head", "worker") for place in ("acme/red", "acme/blue", "other/red")]
    found: dict[Held, tuple[bool, ...]] = {}
    held_sets = list(itertools.chain.from_iterable(itertools.combinations(pairs, size) for size in range(4)))
    counting = [EffectiveRoles.of(policy.roles, held) for held in held_sets]
    for effective_roles in counting:
        if effective_roles.held not in found:
            found[effective_roles.held] = tuple(_answers_to(policy, plan, effective_roles))
    return [answer for effective_roles in counting for answer in found[effective_roles.held]]


def _answers_to(policy: PolicySet, plan: CompiledPolicy, effective_roles: EffectiveRoles) -> Iterator[bool]:
    for place in PLACES_ASKED:
        for amount, frozen, maker in itertools.product((None, 5, 500), (None, True, False), (None, "s", "else")):
            values = {"amount": amount, "frozen": frozen, "maker": maker, **place}
            properties = {name: value for name, value in values.items() if value is not None}
            resource = Resource("payment", "p", properties)
            request = Request(Subject("user", "s"), Action("create"), resource)
            yield decide(policy, plan, lambda _, domain: effective_roles.roles_in(domain), request).allowed


@pytest.mark.parametrize("seed", range(10))
def test_what_is_proved_equivalent_agrees_with_trying_everything(seed: int) -> None:
    random_ = random.Random(seed)
    try:
        policy = load("", random_policy(random_)).or_raise()
    except AssertionError as refused:
        assert "(contradiction)" in str(refused)
        return
    before = answers(policy)
    made = list(mutants(policy))
    for mutant in random_.sample(made, min(len(made), 3)):
        compared = compare(policy, mutant.changed, mutant.questions)
        assert (compared.difference is None) == (answers(mutant.changed) == before), mutant.what


def test_a_policy_set_is_equivalent_to_itself() -> None:
    policy = load("").or_raise()
    assert compare(policy, policy, everything_asked(policy)).difference is None
