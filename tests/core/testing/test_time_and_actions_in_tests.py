"""Policy tests say when something is asked, and with which properties of the action, so that no condition stays untested."""

from __future__ import annotations

import pytest
from small_policies import ROLES, compiled, load

from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.testing.mutants import mutants
from klausel.core.testing.mutation import Judge
from klausel.core.testing.run import ResolvedRoles, failures

GRANTS = """
resource_types: {doc: {actions: [read, drop]}}
grants:
  - {allow: member, to: read, resource: doc, when: 'context.now < time("2026-06-01T00:00:00Z")'}
  - {allow: member, to: drop, resource: doc, when: 'action["soft-delete"]'}
"""
CAST = "people: {mia: {roles: {acme: member}}}\nresources: {plan: {type: doc, in: acme}}\n"
BEFORE = "  - {name: before, resource: plan, now: '2026-05-31T23:30:00+00:00', allowed: {mia: read}}\n"
AFTER = "  - {name: after, resource: plan, now: 2026-06-01T00:00:00Z}\n"
LATE = "  - {name: late in New York, resource: plan, now: 2026-05-31T23:30:00-05:00}\n"
NEVER = "  - {name: at no time, resource: plan}\n"
SOFT = "  - {name: soft, resource: plan, action_properties: {soft-delete: true}, allowed: {mia: drop}}\n"
HARD = "  - {name: hard, resource: plan, action_properties: {soft-delete: false}}\n"


@pytest.mark.parametrize("test", [BEFORE, AFTER, LATE, NEVER, SOFT, HARD])
def test_a_test_says_when_it_is_asked_and_how(test: str) -> None:
    result = load(test, GRANTS, CAST)
    policy = result.or_raise()
    assert [failures(policy, compiled(policy), one, ResolvedRoles(policy)) for one in result.tests] == [()]


def test_every_mutant_of_such_conditions_can_be_killed() -> None:
    roles = ROLES.replace("contains: [member, head]", "contains: member").replace(", contains: worker", "")
    everything = BEFORE + AFTER + LATE + NEVER + SOFT + HARD
    cast = CAST.replace("people: {", "people: {ola: {roles: {acme: owner}}, no: {roles: {}}, ")
    everything = everything.replace("{mia: read}", "{mia: read, ola: read}").replace("{mia: drop}", "{mia: drop, ola: drop}")
    result = load(everything, GRANTS, cast, roles)
    policy = result.or_raise()
    judge = Judge(policy, result.tests, compiled)
    fates = {mutant.what: judge.verdict(mutant).fate for mutant in mutants(policy)}
    assert (
        'allow member to read doc when context.now < time("2026-06-01T00:00:00Z"): '
        + ('when context.now <= time("2026-06-01T00:00:00Z") instead')
        in fates
    )
    assert {fate for what, fate in fates.items() if "doc" in what} == {"killed"}, fates


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("{name: x, resource: plan, now: tomorrow}", '"tomorrow" is no time'),
        ("{name: x, resource: plan, now: 2026-06-01}", '"2026-06-01" is no time'),
        ("{name: x, resource: plan, now: 2026-06-01T00:00:00}", '"2026-06-01T00:00:00" is no time'),
        ("{name: x, resource: plan, context: {now: 2026-06-01T00:00:00Z}}", "context.now is the time of the question"),
        ("{name: x, resource: plan, action_properties: soft-delete}", "action_properties"),
    ],
)
def test_what_is_no_time_is_a_problem(test: str, message: str) -> None:
    files = {"roles.yaml": ROLES, "features/docs.yaml": GRANTS, "tests/docs_test.yaml": f"{CAST}tests:\n  - {test}\n"}
    result = load_policy(SourceFile(name, name, text.encode()) for name, text in files.items())
    assert [problem for problem in result.problems if message in problem.message], result.problems
