"""Who holds several names together: decided, explained, compared, proved, searched, and counted as by definition."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from exhaustive import compared
from flips import flip
from policy_sets import Asked, policy_of

from klausel.core.analysis.matrix import matrix_row
from klausel.core.analysis.proof import prove_all
from klausel.core.analysis.search import holders_of
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.decisions.explain import Explanation, explain
from klausel.core.decisions.explanation_format import explanation_as_json, explanation_lines
from klausel.core.difference.report import who_in_words
from klausel.core.lint.survey import Survey
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import parts_of
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.core.testing.mutants import mutants

ROLES = """
levels:
  company: {named_by: company}
  team: {named_by: team}
roles:
  boss: {level: company, contains: editor}
  guard: {level: company}
  editor: {level: team, contains: reader}
  auditor: {level: team}
  reader: {level: team}
"""
TYPES = "resource_types: {door: {actions: [open, paint]}}\n"
NAMES = ("boss", "guard", "editor", "auditor", "reader", "any editor", "any auditor", "any reader")
PLACES = ("acme", "beta", "acme/red", "acme/blue", "beta/red")
ROLES_OF_TEAMS = ("editor", "auditor", "reader")


def policy(grants: str, invariants: str = "") -> PolicySet:
    files = {"roles.yaml": ROLES, "features/doors.yaml": f"{TYPES}grants:\n{grants}"}
    return policy_of({**files, **({"invariants.yaml": invariants} if invariants else {})})


def asking(person: str, place: str, action: str = "open") -> Request:
    named = dict(zip(("company", "team"), place.split("/"), strict=False))
    return Request(Subject("user", person), Action(action), Resource("door", "d", named))


def random_grants(random: Random) -> str:
    lines = []
    for _ in range(random.randint(2, 6)):
        who = ", ".join(random.sample(NAMES, random.randint(2, 3)))
        grantee = random.choice((f"{{all: [{who}]}}", f"{{all: [{who}]}}", random.choice(NAMES)))
        effect = "deny" if random.random() < 0.3 else "allow"
        place = random.choice(("", ", in: acme", ", in: '*/red'", ", at_level: team"))
        lines.append(f"  - {{{effect}: {grantee}, to: {random.choice(('open', 'paint'))}, resource: door{place}}}\n")
    return "".join(lines)


def random_held(random: Random) -> tuple[tuple[str, str], ...]:
    places = [random.choice(PLACES) for _ in range(random.randint(0, 4))]
    return tuple((random.choice(ROLES_OF_TEAMS if "/" in place else ("boss", "guard")), place) for place in places)


def allowed_by_definition(policy: PolicySet, held: tuple[tuple[str, str], ...], place: str, action: str) -> bool:
    """Written apart: a name is held by a role here or above, an `any` name by one anywhere below the same company."""
    contained = {"boss": ("boss", "editor", "reader"), "editor": ("editor", "reader")}
    names = {"anyone"}
    for role, where in held:
        given = contained.get(role, (role,))
        if place == where or place.startswith(where + "/"):
            names.update(given)
        if place.split("/")[0] == where.split("/")[0]:
            names.update(f"any {name}" for name in given if name in ROLES_OF_TEAMS)
    effects = {
        grant.effect
        for grant in policy.grants
        if grant.action == action
        and all(part in names for part in parts_of(grant.grantee))
        and grant.scope.covers(place, policy.roles)
    }
    return effects == {"allow"}


def loaded(random: Random) -> PolicySet:
    while True:
        try:
            return policy(random_grants(random))
        except Exception as error:
            if "contradiction" not in str(error):
                raise


@pytest.mark.parametrize("seed", range(30))
def test_generated_grants_are_decided_as_by_definition(seed: int) -> None:
    random = Random(seed)
    some = loaded(random)
    for _ in range(40):
        held = random_held(random)
        asked = Asked(some, {"user:ann": held})
        place, action = random.choice(PLACES), random.choice(("open", "paint"))
        assert asked.allows(asking("ann", place, action)) is allowed_by_definition(some, held, place, action), (held, place)


@pytest.mark.parametrize("seed", range(20))
def test_the_difference_of_generated_grants_is_exact(seed: int) -> None:
    random = Random(seed)
    before, after = loaded(random), loaded(random)
    difference = compared(before, after)
    for _ in range(60):
        held, place, action = random_held(random), random.choice(PLACES), random.choice(("open", "paint"))
        was, is_ = (allowed_by_definition(side, held, place, action) for side in (before, after))
        expected = None if was == is_ else is_
        assert flip(difference, held, asking("ann", place, action)) is expected, (held, place, action)


@pytest.mark.parametrize("seed", range(40))
def test_what_lint_calls_redundant_can_be_dropped(seed: int) -> None:
    some = loaded(Random(seed))
    found = [one.grant for one in Survey(some).redundant]

    def without(gone: list[Grant]) -> PolicySet:
        return replace(some, grants=tuple(grant for grant in some.grants if not any(grant is one for one in gone)))

    assert compared(some, without(found)).verdict == "same"
    for grant in without(found).grants:
        alike = [other for other in found if other.effect == grant.effect]
        assert compared(some, without([*alike, grant])).verdict != "same", str(grant)


BOTH = "  - {allow: {all: [editor, any auditor]}, to: open, resource: door}\n"


def explained(held: tuple[tuple[str, str], ...]) -> Explanation:
    some = policy(BOTH)
    return explain(some, Asked(some).compiled, lambda _: EffectiveRoles.of(some.roles, held), asking("ann", "acme/red"))


def test_an_explanation_names_every_role_assignment_that_it_rests_on() -> None:
    explanation = explained((("boss", "acme"), ("auditor", "acme/blue")))
    assert "role: user:ann is auditor in acme/blue, and so any auditor; and boss in acme, and so editor" in (
        "\n".join(explanation_lines(explanation))
    )
    decided = explanation_as_json(explanation)["decided_by"]
    assert decided["together_with"] == [  # type: ignore[index]
        {"role_assignment": {"role": "boss", "domain": "acme"}, "inheritance": ["boss", "editor"]}
    ]


def test_who_holds_only_one_of_them_is_told_what_is_missing() -> None:
    explanation = explained((("boss", "acme"),))
    assert "it needs all of any auditor and editor in acme/red" in "\n".join(explanation_lines(explanation))


def test_the_difference_names_what_is_held_together() -> None:
    (change,) = compared(
        policy("  - {allow: guard, to: paint, resource: door}\n"),
        policy(BOTH + "  - {allow: guard, to: paint, resource: door}\n"),
    ).changes
    assert change.together
    assert set(change.who) == {"any auditor", "editor"}
    assert who_in_words(change)


def test_proofs_go_through_who_holds_them_together() -> None:
    rules = ("at_most: [boss, auditor]", "at_most: editor")
    invariants = "invariants:\n" + "".join(f"  - {{{rule}, to: open, resource: door}}\n" for rule in rules)
    verdicts = list(prove_all(policy(BOTH, invariants)))
    assert [verdict.holds for verdict in verdicts] == [False, True]
    assert {role for role, _ in verdicts[0].counterexample.held} == {"editor", "auditor"}  # type: ignore[union-attr]


def test_the_matrix_has_a_column_for_them_and_search_finds_holders_of_each() -> None:
    some = policy(BOTH)
    cells = {name: cell.text for name, cell in matrix_row(some, "door", "open").cells.items()}
    assert (cells["editor"], cells["boss"], cells["all of any auditor and editor"]) == ("no", "no", "yes")
    holders = holders_of(some.roles, "acme/red", {"all of any auditor and editor"})
    assert {("editor", "acme/red"), ("boss", "acme"), ("auditor", "acme/red")} <= {*holders.exactly} | {
        (role, "acme/red") for role in holders.anywhere
    }


def test_each_name_alone_is_a_mutant() -> None:
    made = [mutant.what.rpartition(": ")[2] for mutant in mutants(policy(BOTH)) if mutant.kind == "role lowered"]
    assert made == ["for any auditor instead", "for editor instead"]
