"""A stock pair of policies with levels and conditions: pycasbin and node-casbin decide by it what the policies decide."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from pathlib import Path

import casbin
import pytest
from generated_policies import generate
from node_packages import run_in_node
from policy_sets import CASES, EDITIONS, MODEL, ROOT, Asked, policy_of, read_policy

from klausel.casbin_policies import stock_export
from klausel.casbin_policies.stock_export import NotExpressible, StockPair, stock_pair
from klausel.casbin_policies.stock_proof import StockSet
from klausel.core.policy.assignment import Assignment, fault_in_assignment
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.problem import PolicyError
from klausel.core.terms.request import Action, Request, Resource, Subject

STARTER = ROOT / "server" / "klausel" / "starter" / "policies"
IN_NODE = """
const { newEnforcer } = require('casbin');
(async () => {
  const enforcer = await newEnforcer(input.model, input.policy);
  const decisions = [];
  for (const question of input.questions) decisions.push(await enforcer.enforce(...question));
  console.log(JSON.stringify(decisions));
})();
"""


def people_of(folder: Path) -> list[Assignment]:
    with (folder / "demo" / "assignments.csv").open(encoding="utf-8", newline="") as file:
        return [Assignment(row["subject"], row["role"], row["domain"]) for row in csv.DictReader(file)]


def questions_about(policy: PolicySet, people: list[Assignment], pair: StockPair) -> list[tuple[list[str], Request]]:
    """Questions of people about what they may do where they have roles, as an application would ask either."""
    fields = next(line for line in pair.model.splitlines() if line.startswith("r = "))[4:].split(", ")
    notes = [line.split() for line in pair.model.splitlines() if line.startswith("# r.")]
    properties = {words[1][2:]: words[3].rstrip(",") for words in notes}
    chance, found = random.Random(1), []
    top, below = (level.named_by or "" for level in policy.roles.levels)
    for _ in range(60):
        one, type_ = chance.choice(people), chance.choice([*policy.resource_types.values()])
        action = chance.choice(type_.actions)
        kind, id_ = one.subject.split(":")
        account, _, workspace = chance.choice(people)[2].partition("/")
        workspace = "" if type_.asked_in.get(action) else workspace
        flat = {"subject_type": kind, "subject_id": id_, "sub": one.subject, "obj": type_.name, "act": action}
        flat |= {top: account, below: workspace}
        sent: dict[str, object] = {top: account} | ({below: workspace} if workspace else {})
        for name, meaning in properties.items():
            if meaning.startswith("resource."):
                is_boolean = name.endswith(("disputes", "locked"))
                values = ["true", "false", ""] if is_boolean else [id_, "published", "agent", "", "user"]
                flat[name] = chance.choice(values)
                if flat[name]:
                    sent[meaning.removeprefix("resource.")] = flat[name] == "true" if is_boolean else flat[name]
        resource_id = "1"
        for level, part in zip(policy.roles.levels, (account, workspace), strict=True):
            if level.identified_by == type_.name:
                resource_id = part
        if resource_id:
            request = Request(Subject(kind, id_, {}), Action(action, {}), Resource(type_.name, resource_id, sent), {})
            found.append(([flat[name] for name in fields], request))
    return found


@pytest.mark.parametrize("folder", [ROOT / "policies", STARTER], ids=["shipped", "starter"])
def test_stock_casbin_decides_by_the_whole_set_in_python_and_in_node(folder: Path, tmp_path: Path) -> None:
    policy, people = read_policy(folder), people_of(folder)
    pair = stock_pair(policy, people, MODEL, most_questions=150)
    assert not pair.left_out
    assert pair.proof.allowed > 5
    (tmp_path / "model.conf").write_text(pair.model)
    (tmp_path / "policy.csv").write_text(pair.policy)
    held: dict[str, list[tuple[str, str]]] = {}
    for one in people:
        held.setdefault(one.subject, []).append((one.role, one.domain))
    asked = Asked(policy, held)
    questions = questions_about(policy, people, pair)
    expected = [asked.allows(request) for _, request in questions]
    assert expected.count(True) > 5 and expected.count(False) > 10
    paths = str(tmp_path / "model.conf"), str(tmp_path / "policy.csv")
    stock = casbin.Enforcer(*paths)
    assert [stock.enforce(*fields) for fields, _ in questions] == expected
    given = {"model": paths[0], "policy": paths[1], "questions": [fields for fields, _ in questions]}
    assert run_in_node(IN_NODE, given) == expected


@pytest.mark.parametrize("folder", [EDITIONS["earlier"], CASES / "products" / "blog" / "policies"], ids=["earlier", "blog"])
def test_other_sets_are_written_but_for_what_is_named(folder: Path) -> None:
    pair = stock_pair(read_policy(folder), [], MODEL, leaves_out=True, most_questions=150)
    assert pair.proof.asked > 50
    for one in pair.left_out:
        assert one.place is not None and one.message


def test_generated_sets_decide_the_same_and_less_is_allowed_where_something_is_left_out() -> None:
    exported = allowed = with_any = with_conditions = 0
    for seed in range(8):
        generated = generate(seed)
        try:
            policy = policy_of(generated.texts)
        except PolicyError:
            continue
        people = [Assignment(*row) for row in generated.assignments]
        people = [one for one in people if fault_in_assignment(policy.roles, one) is None]
        try:
            pair = stock_pair(policy, people, MODEL, leaves_out=True, most_questions=60)
        except NotExpressible as error:
            assert "enforce(" not in str(error)
            continue
        exported += 1
        allowed += pair.proof.allowed
        with_any += ", any " in pair.policy
        with_conditions += "p.cond" in pair.model
    assert exported > 3 and allowed > 20 and with_any and with_conditions


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (' && (g(r.subject_type + ":" + r.subject_id, "owner", r.organization)', ' || (g("", "x", r.organization)'),
        ('r.resource_locked != "false"', 'r.resource_locked == "true"'),
    ],
)
def test_a_wrong_pair_is_found_by_the_proof(right: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stock_export._Written.stock_set

    def broken(self: stock_export._Written) -> StockSet:
        stock = made(self)
        assert right in stock.model
        return replace(stock, model=stock.model.replace(right, wrong))

    monkeypatch.setattr(stock_export._Written, "stock_set", broken)
    with pytest.raises(NotExpressible, match="enforce"):
        stock_pair(read_policy(STARTER), [], MODEL, most_questions=400)


ROLES = """\
levels:
  firm: {named_by: firm}
  site: {named_by: site, requires_role_above: true}
roles:
  boss: {level: firm}
  hand: {level: site}
"""
FEATURE = "resource_types: {tool: {actions: [use, fix]}}\ngrants:\n  - {allow: boss, to: [use, fix], resource: tool}\n"


def set_of(grant: str) -> PolicySet:
    return policy_of({"roles.yaml": ROLES, "features/all.yaml": f"{FEATURE}  - {grant}\n"})


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("resource.size < 3", "cannot ask"),
        ("resource.size == 3", "is a number"),
        ("has resource.size", "cannot ask"),
        ("resource.tags contains subject.id", "cannot ask"),
        ("resource.x == true and resource.x == subject.id", "true or false"),
        ("resource.site == subject.id", "names the domain"),
        ("resource.x == 'p.sub'", "otherwise"),
        ('resource.x == "a || b"', "otherwise"),
        ('resource.x == ""', "otherwise"),
    ],
)
def test_a_condition_that_stock_casbin_cannot_ask_is_named_with_its_line(condition: str, said: str) -> None:
    policy = set_of(f"{{allow: hand, to: use, resource: tool, when: '{condition.replace(chr(39), chr(34))}'}}")
    with pytest.raises(NotExpressible) as caught:
        stock_pair(policy, [], MODEL, most_questions=100)
    (fault,) = caught.value.faults
    assert said in fault.message and str(fault).startswith("features/all.yaml:4")
    pair = stock_pair(policy, [], MODEL, leaves_out=True, most_questions=100)
    assert pair.left_out == (fault,)
    assert "hand" not in pair.policy


def test_with_a_deny_that_is_left_out_go_the_allows_that_it_could_have_limited() -> None:
    policy = set_of("{deny: anyone, to: use, resource: tool, when: resource.size > 3}")
    pair = stock_pair(policy, [], MODEL, leaves_out=True, most_questions=100)
    assert [str(one).partition(": ")[2] for one in pair.left_out][1] == "use tool could be denied by features/all.yaml:4"
    assert pair.policy == "p, boss, firm, *, *, tool, fix, allow\n"


def test_who_has_any_form_of_a_role_has_a_row_for_it() -> None:
    policy = set_of("{allow: any hand, to: use, resource: tool}")
    people = [Assignment("user:ann", "hand", "acme/north"), Assignment("user:ann", "boss", "acme")]
    pair = stock_pair(policy, people, MODEL, most_questions=100)
    assert "g, user:ann, any hand, acme\n" in pair.policy
