"""Policy tests say what people may do, and every answer that differs is a failure with its reason."""

from __future__ import annotations

import pytest
from small_policies import CAST, ROLES, compiled, load

from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.terms.request import Resource
from klausel.core.testing.run import Failure, ResolvedRoles, failures


def run(tests: str, cast: str = CAST) -> list[Failure]:
    result = load(tests, cast=cast)
    policy = result.or_raise()
    plan, resolved_roles = compiled(policy), ResolvedRoles(policy)
    return [failure for test in result.tests for failure in failures(policy, plan, test, resolved_roles)]


def asked(failures_: list[Failure]) -> list[tuple[str, str, str, str, str]]:
    return [
        (failure.expectation.person, failure.expectation.action, failure.expectation.resource, failure.expected, failure.got)
        for failure in failures_
    ]


PASSING = [
    "{resource: small, allowed: {olga: [create, approve], hanna: [create, approve], willi: create}}",
    "{resource: [large, frozen, unclear], actions: approve}",
    "{resource: small, people: willi, actions: create, allowed: {willi: create}}",
    "{resource: small, people: [willi, nobody], actions: approve}",
    "{resource: [red, the company], actions: [open, close], people: nobody}",
    "{resource: small, actions: approve, allowed: {olga: approve, hanna: approve}, decided_by: "
    "{hanna: {approve: allow head to approve payment when resource.amount < 100}}}",
    "{resource: frozen, people: hanna, actions: approve, decided_by: "
    "{hanna: {approve: deny anyone to approve payment when resource.frozen}}}",
    "{who_can: create, resource: [small, large], answer: [willi, hanna, olga]}",
    "{who_can: create, resource: small, people: [willi, nobody], answer: willi}",
    "{who_can: approve, resource: frozen, answer: []}",
    "{what_can: hanna, resource: small, answer: [create, approve]}",
    "{what_can: nobody, resource: small, answer: []}",
]

FAILING = [
    (
        "{resource: small, allowed: {olga: [create, approve], hanna: [create, approve]}}",
        [("willi", "create", "small", "denied", "allowed")],
    ),
    (
        "{resource: [large, small], actions: approve, people: hanna, allowed: {hanna: approve}}",
        [("hanna", "approve", "large", "allowed", "denied")],
    ),
    (
        "{resource: small, actions: create, people: hanna, allowed: {hanna: create}, "
        "decided_by: {hanna: {create: allow worker to create payment}}}",
        [],
    ),
    (
        "{who_can: create, resource: small, answer: [olga, nobody]}",
        [
            ("hanna", "create", "small", "denied", "allowed"),
            ("willi", "create", "small", "denied", "allowed"),
            ("nobody", "create", "small", "allowed", "denied"),
        ],
    ),
    ("{what_can: willi, resource: small, answer: [approve]}", 2),
]


@pytest.mark.parametrize("test", PASSING)
def test_a_test_that_says_what_the_policies_say_passes(test: str) -> None:
    assert asked(run(f"  - {{name: it, {test[1:]}\n")) == []


@pytest.mark.parametrize(("test", "expected"), FAILING)
def test_each_answer_that_differs_is_one_failure(test: str, expected: object) -> None:
    found = asked(run(f"  - {{name: it, {test[1:]}\n"))
    assert (len(found) if isinstance(expected, int) else found) == expected


def test_a_failure_says_where_it_is_expected_and_why_the_answer_came() -> None:
    (failure,) = run("  - name: it\n    resource: large\n    actions: approve\n    allowed: {hanna: approve}\n")
    line = len(CAST.splitlines()) + 1 + 4
    assert str(failure.expectation.place) == f"policies/tests/payments_test.yaml:{line}:22"
    assert failure.reason == "denied, because no grant allows it"


def test_another_grant_than_the_one_named_is_a_failure_though_the_answer_is_right() -> None:
    grants = """
resource_types:
  payment: {actions: [create]}
  team: {actions: [close]}
  company: {actions: [close]}
grants:
  - {allow: worker, to: create, resource: payment, when: resource.amount < 100}
  - {allow: member, to: create, resource: payment, at_level: company}
"""
    test = "  - {name: it, resource: small, people: willi, allowed: {willi: create}, decided_by: {willi: {create: "
    wrong, right = (
        "allow member to create payment at level company",
        "allow worker to create payment when resource.amount < 100",
    )
    for grant, expected in ((right, []), (wrong, [(f"allowed by {wrong}", f"allowed by {right}")])):
        result = load(f"{test}{grant}}}}}}}\n", grants)
        policy = result.or_raise()
        found = failures(policy, compiled(policy), result.tests[0], ResolvedRoles(policy))
        assert [(failure.expected, failure.got) for failure in found] == expected


def test_tests_that_ask_more_than_can_be_asked_on_each_loading_are_refused_before_they_are_asked() -> None:
    people = "".join(f"  p{number}: {{roles: {{}}}}\n" for number in range(800))
    resources = "".join(f"  r{number}: {{type: payment, in: acme}}\n" for number in range(800))
    everything = ", ".join(f"r{number}" for number in range(800))
    test = f"people:\n{people}resources:\n{resources}tests:\n  - {{name: all, resource: [{everything}]}}\n"
    files = {"roles.yaml": ROLES, "features/x.yaml": STALE, "tests/x_test.yaml": test}
    result = load_policy(SourceFile(name, name, text.encode()) for name, text in files.items())
    assert [problem.id for problem in result.problems] == ["too-many-questions"]


STALE = """
resource_types:
  payment: {actions: [create]}
  team: {actions: [close]}
  company: {actions: [close]}
grants:
  - {allow: worker, to: create, resource: payment}
"""


def test_a_grant_that_there_is_not_fails_the_test_which_names_the_one_that_decides() -> None:
    test = "  - {name: it, resource: small, people: willi, allowed: {willi: create}, decided_by: {willi: {create: "
    result = load(f"{test}allow worker to make payment}}}}}}\n", STALE)
    policy = result.or_raise()
    (failure,) = failures(policy, compiled(policy), result.tests[0], ResolvedRoles(policy))
    assert (
        failure.cure
        == 'no grant reads "allow worker to make payment"; if the answer is right, write: allow worker to create payment'
    )


def test_where_no_grant_decides_none_is_to_be_named() -> None:
    test = "  - {name: it, resource: frozen, people: olga, actions: create, decided_by: {olga: {create: deny olga}}}\n"
    result = load(test, STALE.replace("allow: worker", "allow: member, at_level: company"))
    policy = result.or_raise()
    (failure,) = failures(policy, compiled(policy), result.tests[0], ResolvedRoles(policy))
    assert failure.cure == 'no grant reads "deny olga"; if the answer is right, no grant decides, so name none'


VALUES = """
people:
  ann: {type: robot, id: r2, roles: {acme: [member, owner]}, big: 1.5e3, ok: true, no: no, "null": ~, text: "true"}
resources:
  payment: {type: payment, id: p1, in: acme/red, tags: [1, "1", {a: false}], more: {deep: null}}
  nameless: {type: payment}
  red: {type: team, in: acme/red}
  new team: {type: team, company: acme, id: blue}
  acme: {type: company, in: acme}
"""


def test_values_without_quotes_have_their_type_and_quoted_ones_are_text() -> None:
    result = load(
        "  - {name: it, resource: payment, context: {n: 1, t: '1'}}\n  - {name: other, resource: nameless}\n", cast=VALUES
    )
    request = result.tests[0].expectations[0].request
    assert (request.subject.type, request.subject.id) == ("robot", "r2")
    assert request.subject.properties == {"big": 1500.0, "ok": True, "no": "no", "null": None, "text": "true"}
    properties = {"company": "acme", "team": "red", "tags": [1, "1", {"a": False}], "more": {"deep": None}}
    assert request.resource == Resource("payment", "p1", properties)
    assert request.context == {"n": 1, "t": "1"}
    assert result.tests[0].expectations[0].held == (("member", "acme"), ("owner", "acme"))
    assert result.tests[1].expectations[0].request.resource == Resource("payment", "nameless", {})


def test_in_sets_what_names_the_domain_for_each_type() -> None:
    tests = "  - {name: it, resource: [red, new team, acme], actions: close, allowed: {ann: close}}\n"
    resources = {item.resource: item.request.resource for item in load(tests, cast=VALUES).tests[0].expectations}
    assert resources["red"] == Resource("team", "red", {"company": "acme", "team": "red"})
    assert resources["new team"] == Resource("team", "blue", {"company": "acme"})
    assert resources["acme"] == Resource("company", "acme", {"company": "acme"})


def test_tests_say_nothing_about_decisions_so_no_digest_sees_them() -> None:
    assert load("").or_raise().files_digest == load("  - {name: it, resource: small}\n").or_raise().files_digest
