"""A role that contains another in one place alone: decided, explained, compared, proved and searched as by definition."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from exhaustive import compared
from flips import flip
from policy_sets import Asked, policy_of

from klausel.casbin_policies.rows import inheritance_rows
from klausel.core.analysis.matrix import matrix_row
from klausel.core.analysis.proof import prove_all
from klausel.core.analysis.search import holders_of
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explain import explain
from klausel.core.decisions.explanation_format import explanation_lines
from klausel.core.difference.report import where_in_words, who_in_words
from klausel.core.formatting.yaml import format_yaml
from klausel.core.lint.survey import Survey
from klausel.core.loading.file_schema import ROLES as ROLES_SHAPE
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.core.testing.mutants import mutants

LEVELS = "levels:\n  company: {named_by: company}\n  team: {named_by: team}\n"
TYPES = "resource_types: {door: {actions: [open, paint]}}\n"
LINKS = ("", "lead: {in: '*/hall'}", "lead: {in: acme/hall}", "hand: {in: ['*/hall', acme/attic]}", "lead: {}")
NAMES = ("boss", "clerk", "lead", "hand", "any lead", "any hand", "anyone")
PLACES = ("acme", "beta", "acme/hall", "acme/attic", "beta/hall", "beta/attic")

Held = tuple[tuple[str, str], ...]


def roles_with(boss: str, clerk: str) -> str:
    return (
        f"{LEVELS}roles:\n  boss: {{level: company, contains: {{clerk: {{}}{', ' + boss if boss else ''}}}}}\n"
        f"  clerk: {{level: company, contains: {{{clerk}}}}}\n"
        "  lead: {level: team, contains: hand}\n  hand: {level: team}\n"
    )


ROLES = roles_with("", "lead: {in: '*/hall'}")


def policy(grants: str, roles: str = ROLES, invariants: str = "") -> PolicySet:
    files = {"roles.yaml": roles, "features/doors.yaml": f"{TYPES}grants:\n{grants}"}
    return policy_of({**files, **({"invariants.yaml": invariants} if invariants else {})})


def asking(place: str, action: str = "open") -> Request:
    named = dict(zip(("company", "team"), place.split("/"), strict=False))
    return Request(Subject("user", "ann"), Action(action), Resource("door", "d", named))


def generated(seed: int) -> PolicySet:
    random = Random(seed)
    lines = {}
    for _ in range(random.randint(2, 6)):
        place = random.choice(("", "", ", in: acme", ", in: '*/hall'", ", at_level: team"))
        key = f"{random.choice(NAMES)}, to: {random.choice(('open', 'paint'))}, resource: door{place}"
        lines.setdefault(key, f"  - {{{'deny' if random.random() < 0.25 else 'allow'}: {key}}}\n")
    return policy("".join(lines.values()), roles_with(random.choice(LINKS), random.choice(LINKS)))


def held_by_chance(random: Random) -> Held:
    places = [random.choice(PLACES) for _ in range(random.randint(0, 3))]
    return tuple((random.choice(("lead", "hand") if "/" in place else ("boss", "clerk")), place) for place in places)


def allowed_by_definition(policy: PolicySet, held: Held, place: str, action: str) -> bool:
    """Written apart: what a role contains in a place alone is held there, like a role that was given there."""
    names = {"anyone"}

    def give(role: str, where: str) -> None:
        names.update([role] if f"{place}/".startswith(f"{where}/") else [])
        if "/" in where and where.split("/")[0] == place.split("/")[0]:
            names.add(f"any {role}")
        declared = policy.roles.roles[role]
        for inner in declared.contains:
            give_below(inner, where)
        for inner, pattern in declared.contains_in:
            company, team = pattern.split("/")
            if company in ("*", where):
                give(inner, f"{where}/{team}")

    def give_below(role: str, where: str) -> None:
        """A contained role is held wherever the one that contains it is, and in all below."""
        if policy.roles.roles[role].level == "team" and "/" not in where:
            names.update({role, *policy.roles.roles[role].contains} if place.split("/")[0] == where else ())
            if place.split("/")[0] == where:
                names.update(f"any {name}" for name in (role, *policy.roles.roles[role].contains))
        else:
            give(role, where)

    for role, where in held:
        give(role, where)
    effects = {
        grant.effect
        for grant in policy.grants
        if grant.action == action and grant.grantee in names and grant.scope.covers(place, policy.roles)
    }
    return effects == {"allow"}


@pytest.mark.parametrize("seed", range(30))
def test_generated_links_are_decided_as_by_definition(seed: int) -> None:
    some, random = generated(seed), Random(seed)
    for _ in range(40):
        held, place, action = held_by_chance(random), random.choice(PLACES), random.choice(("open", "paint"))
        asked = Asked(some, {"user:ann": held})
        expected = allowed_by_definition(some, held, place, action)
        assert (asked.allows(asking(place, action)), held, place) == (expected, held, place)


@pytest.mark.parametrize("seed", range(25))
def test_the_difference_of_generated_links_is_exact(seed: int) -> None:
    before, after, random = generated(seed), generated(seed + 1000), Random(seed)
    difference = compared(before, after)
    for _ in range(60):
        held, place, action = held_by_chance(random), random.choice(PLACES), random.choice(("open", "paint"))
        was, is_ = (allowed_by_definition(side, held, place, action) for side in (before, after))
        assert flip(difference, held, asking(place, action)) is (None if was == is_ else is_), (held, place, action)


@pytest.mark.parametrize("seed", range(40))
def test_what_lint_calls_redundant_can_be_dropped(seed: int) -> None:
    some = generated(seed)
    gone: list[Grant] = [one.grant for one in Survey(some).redundant]
    rest = replace(some, grants=tuple(grant for grant in some.grants if not any(grant is one for one in gone)))
    assert compared(some, rest).verdict == "same"


LEADS = "  - {allow: lead, to: open, resource: door}\n  - {allow: any hand, to: paint, resource: door}\n"


def test_an_explanation_names_the_chain_to_the_one_place() -> None:
    some = policy(LEADS)
    roles = EffectiveRoles.of(some.roles, (("boss", "acme"),))
    explanation = explain(some, Asked(some).compiled, lambda _: roles, asking("acme/hall"))
    assert "role: user:ann is boss in acme, and so clerk, lead" in "\n".join(explanation_lines(explanation))
    assert not explain(some, Asked(some).compiled, lambda _: roles, asking("acme/attic")).decision.allowed


def test_the_difference_says_where_and_blames_the_link() -> None:
    (change,) = compared(policy(LEADS, roles_with("", "")), policy(LEADS.replace("any hand", "hand"))).changes[:1]
    assert (who_in_words(change), where_in_words(change)) == ("clerk, and with it boss", "in */hall")
    assert [cause.text for cause in change.causes] == ["new: clerk contains lead in */hall"]


def test_proofs_search_and_matrix_know_the_place() -> None:
    rules = ("at_most: [lead], to: open", "never: clerk, to: open, in: '*/hall'", "never: clerk, to: open, in: '*/attic'")
    invariants = "invariants:\n" + "".join(f"  - {{{rule}, resource: door}}\n" for rule in rules)
    some = policy(LEADS, invariants=invariants)
    assert [verdict.holds for verdict in prove_all(some)] == [True, False, False]
    cell = matrix_row(some, "door", "open").cells["clerk"]
    assert cell.text == "in */hall: yes"
    assert ("boss", "acme") in holders_of(some.roles, "acme/hall", {"lead"}).exactly
    assert ("boss", "acme") not in holders_of(some.roles, "acme/attic", {"lead"}).exactly


def test_rows_mutants_and_the_form_have_the_place() -> None:
    some = policy(LEADS)
    assert ("clerk", "lead", "*/hall") in [row.fields for row in inheritance_rows(some)]
    made = [mutant.what for mutant in mutants(some) if mutant.what.startswith("clerk contains lead in")]
    assert made == [
        "clerk contains lead in */hall: dropped",
        "clerk contains lead in */hall: everywhere instead",
    ]
    once = format_yaml(ROLES, ROLES_SHAPE, "roles.yaml")
    assert 'contains: {lead: {in: "*/hall"}}' in once
    assert format_yaml(once, ROLES_SHAPE, "roles.yaml") == once
