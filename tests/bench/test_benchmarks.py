"""The benchmarks ask good questions, and ask everybody the same. Nothing here depends on time."""

from __future__ import annotations

import dataclasses
import json

import casbin
import pytest
from benchmarks import contestants
from benchmarks.casbin_models import CASES, ModelCase
from benchmarks.load_client import is_whole
from benchmarks.measuring import Comparison, Curve, Reading, Section, at_least, seconds_per_call
from benchmarks.organisation import PEOPLE_PER_ACCOUNT, WORKSPACES, holdings, people
from benchmarks.peers.agreement import agreement_of
from benchmarks.peers.cedar import cedar_policies
from benchmarks.peers.cerbos import cerbos_policies
from benchmarks.peers.node import NODE
from benchmarks.peers.translation import Untranslatable, translate
from benchmarks.report import Run, as_json, as_markdown, as_text
from benchmarks.sections.models import enforcer_for
from benchmarks.sections.rules import enlarged, other_accounts, other_types
from benchmarks.workload import Question, make_batches, make_questions, shipped_policy

from klausel.casbin import CompiledEnforcer
from klausel.core.conditions.tree import Attribute, Literal
from klausel.core.conditions.tree import Comparison as Compared
from klausel.core.decisions.domain import domain_of
from klausel.core.policy.assignment import fault_in_assignment
from klausel.core.policy.policy_set import PolicySet


@pytest.fixture(scope="module")
def policy() -> PolicySet:
    return shipped_policy()


@pytest.fixture(scope="module")
def questions(policy: PolicySet) -> list[Question]:
    return make_questions(policy, holdings(policy.roles, 120), 120, 150)


def test_klausel_and_stock_pycasbin_decide_the_workload_alike(policy: PolicySet, questions: list[Question]) -> None:
    wanted = list(contestants.compiled(policy).answers(questions))
    found = agreement_of("stock", contestants.stock(policy), questions[:60], wanted, 60)
    assert str(found) == "stock: the same 60 decisions"
    whole = contestants.whole_decision(policy, lambda key, domain: roles_of(questions, key, domain))
    assert agreement_of("whole", whole, questions, wanted, 60).differences == ()


def roles_of(questions: list[Question], key: str, domain: str | None) -> frozenset[str]:
    return next(one.roles for one in questions if f"user:{one.request.subject.id}" == key and one.domain == domain)


def test_a_difference_is_told_with_its_question(policy: PolicySet, questions: list[Question]) -> None:
    wanted = list(contestants.compiled(policy).answers(questions))
    other = contestants.InPython(lambda index: not wanted[index], lambda question: (questions.index(question),))
    found = agreement_of("liar", other, questions[:5], wanted, 60)
    assert len(found.differences) == 5
    assert "5 of 5 decisions differ" in str(found)
    assert questions[0].request.subject.id in found.differences[0]


def test_the_workload_allows_and_denies_every_action(policy: PolicySet, questions: list[Question]) -> None:
    answers = list(contestants.compiled(policy).answers(questions))
    assert 0.1 < sum(answers) / len(answers) < 0.9
    asked = {(one.request.resource.type, one.request.action.name) for one in questions}
    assert asked == {(name, action) for name, declared in policy.resource_types.items() for action in declared.actions}


def test_the_same_seed_gives_the_same_questions(policy: PolicySet, questions: list[Question]) -> None:
    held = holdings(policy.roles, 120)
    assert make_questions(policy, held, 120, 150) == questions
    assert make_questions(policy, held, 120, 150, seed=2) != questions


def test_the_organisation_keeps_the_rules_on_role_assignments(policy: PolicySet) -> None:
    rows = list(people(policy.roles, 2 * PEOPLE_PER_ACCOUNT))
    assert [fault_in_assignment(policy.roles, row) for row in rows if fault_in_assignment(policy.roles, row)] == []
    assert len(set(rows)) == len(rows)
    workspaces = {row.domain for row in rows if "/" in row.domain}
    assert len(workspaces) == 2 * WORKSPACES
    placed = {(row.subject, row.domain) for row in rows}
    assert all((row.subject, row.domain.partition("/")[0]) in placed for row in rows)


def test_a_batch_is_asked_by_one_subject_in_one_domain(policy: PolicySet, questions: list[Question]) -> None:
    batches = make_batches(questions, 10)
    assert len(batches) > 10
    for batch in batches:
        assert len({(one.request.subject.id, one.domain, one.roles) for one in batch}) == 1
        for one in batch:
            resource, action = one.request.resource, one.request.action.name
            assert domain_of(policy.roles, policy.resource_types[resource.type], action, resource) == one.domain


def test_the_shipped_policies_are_translated_for_every_peer(policy: PolicySet) -> None:
    assert cedar_policies(policy).count("permit") == len(policy.grants)
    files = cerbos_policies(policy)
    assert set(files) == {"derived_roles.yaml", *(f"{name}.yaml" for name in policy.resource_types)}
    assert all(translate(grant, NODE) for grant in policy.grants if grant.condition)


def test_what_a_peer_cannot_say_exactly_is_not_translated(policy: PolicySet) -> None:
    ordered = Compared("<", Attribute("resource", ("size",)), Literal(3))
    grant = dataclasses.replace(policy.grants[0], condition=ordered)
    with pytest.raises(Untranslatable):
        translate(grant, NODE)
    equal = dataclasses.replace(ordered, operator="==")
    with pytest.raises(Untranslatable):
        translate(dataclasses.replace(grant, condition=equal, effect="deny"), NODE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_enforcers_agree_on_each_of_pycasbins_models(case: ModelCase) -> None:
    stock, compiled = (enforcer_for(case, 40, kind) for kind in (casbin.Enforcer, CompiledEnforcer))
    requests = case.requests(40)
    answers = [stock.enforce(*request) for request in requests]
    assert [compiled.enforce(*request) for request in requests] == answers
    assert 0 < sum(answers) < len(answers)
    assert compiled.plan().is_compiled


def test_more_rules_change_no_answer(policy: PolicySet, questions: list[Question]) -> None:
    wanted = list(contestants.compiled(policy).answers(questions))
    for another in (other_types, other_accounts):
        larger = enlarged(policy, 500, another)
        assert len(larger.grants) == 500
        assert list(contestants.compiled(larger).answers(questions)) == wanted


def test_a_report_holds_every_ratio_in_each_of_its_forms() -> None:
    comparison = Comparison("one decision", {"klausel": Reading((2e-6, 4e-6, 3e-6)), "other": Reading((3e-3,))})
    section = Section(
        "Decision", "A note.", comparisons=[comparison], targets=[at_least("× other", comparison.ratio("other"), 30)]
    )
    section.curves["rules"] = [Curve("klausel", ((60, 2e-6), (600, 3e-6)))]
    run = Run([section], ["other: the same 3 decisions"], {"absent": "it is not there"}, {"klausel": "1"}, "2 cores", 12.0)
    for text in (as_text(run), as_markdown(run)):
        assert "1,000 ×" in text
        assert "2.00 µs … 4.00 µs" in text
        assert "absent, because it is not there" in text
        assert "met" in text
    assert json.loads(json.dumps(as_json(run)))["sections"][0]["comparisons"][0]["readings"][1]["ratio"] == 1000


def test_a_higher_rate_is_better_and_a_lower_time_is_better() -> None:
    readings = {"klausel": Reading((200.0,)), "other": Reading((100.0,))}
    assert Comparison("rate", readings, "/s").ratio("other") == 2
    assert Comparison("time", readings, "s").ratio("other") == 0.5
    assert Comparison("rate", {"other": Reading((1.0,))}, "/s").ratio("other") is None


def test_measuring_stops_within_a_pass_when_calls_are_slow() -> None:
    called = []
    seconds_per_call(lambda number: called.append(number), [(number,) for number in range(1000)], 0.0)
    assert len(called) < 10


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: b\r\n\r\n{}", False),
        (b"HTTP/1.1 200 OK\r\ncontent-le", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", False),
    ],
)
def test_the_load_generator_knows_when_an_answer_is_whole(answer: bytes, whole: bool) -> None:
    assert is_whole(answer) is whole
