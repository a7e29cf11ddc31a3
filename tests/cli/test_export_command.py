"""`klausel export casbin`: stock Casbin, in Python and in Node, decides what the policies decide; the rest is named."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import casbin
import pytest
from command_line import ROOT, Klausel
from node_packages import run_in_node

from klausel.client import Question, Resource
from klausel.in_process import open_policies

ROLES = """\
levels: {tenant: {named_by: tenant}}
roles:
  chief: {level: tenant, contains: [writer, checker]}
  writer: {level: tenant, contains: reader}
  checker: {level: tenant}
  reader: {level: tenant}
"""
FEATURE = """\
resource_types:
  report: {actions: [read, write, check]}
  bill: {actions: [read, pay]}
grants:
  - {allow: reader, to: read, resource: report}
  - {allow: writer, to: write, resource: report}
  - {allow: checker, to: check, resource: report, in: acme}
  - {deny: writer, to: check, resource: report}
  - {allow: anyone, to: read, resource: bill}
  - {deny: checker, to: read, resource: bill, in: globex}
"""
PEOPLE = "subject,role,domain\nuser:ann,chief,acme\nuser:ann,reader,globex\nuser:bob,checker,acme\nuser:bob,checker,globex\n"
IN_NODE = """
const { newEnforcer } = require('casbin');
(async () => {
  const enforcer = await newEnforcer(input.model, input.policy);
  const decisions = [];
  for (const question of input.questions) decisions.push(await enforcer.enforce(...question));
  console.log(JSON.stringify(decisions));
})();
"""


def write(folder: Path, roles: str, feature: str) -> Path:
    policies = folder / "mine"
    (policies / "features").mkdir(parents=True)
    (policies / "roles.yaml").write_text(roles)
    (policies / "features" / "all.yaml").write_text(feature)
    return policies


def export(klausel: Klausel, folder: Path, people: str = PEOPLE) -> Any:
    (folder / "people.csv").write_text(people)
    paths = ("--policies", folder / "mine", "--model", ROOT / "model.conf", "--assignments", folder / "people.csv")
    return klausel("export", "casbin", folder / "stock", *paths)


def decided(folder: Path, questions: list[tuple[str, ...]], people: str = PEOPLE) -> list[bool]:
    """What the policies decide about subject, domain, type and action (without a domain where there is none)."""
    rows = [dict(zip(("subject", "role", "domain"), line.split(","), strict=True)) for line in people.splitlines()[1:]]
    with open_policies(
        folder / "mine", model=ROOT / "model.conf", database=f"sqlite:///{folder}/own.db", follows=False
    ) as opened:
        opened.assign(rows)
        asked = []
        for subject, *domain, type_, action in questions:
            asked.append(Question(subject, action, Resource(type_, "1", {"tenant": domain[0]} if domain else {})))
        return [decision.allowed for decision in opened.evaluations(asked)]


QUESTIONS = list(
    itertools.product(
        ("user:ann", "user:bob", "user:nobody"),
        ("acme", "globex", "elsewhere"),
        ("report", "bill", "other"),
        ("read", "write", "check", "pay", "other"),
    )
)


def test_stock_casbin_decides_the_same_in_python_and_in_node(klausel: Klausel, tmp_path: Path) -> None:
    write(tmp_path, ROLES, FEATURE)
    result = export(klausel, tmp_path)
    assert result.exit_code == 0, result.output
    assert "alike" in result.output
    expected = decided(tmp_path, QUESTIONS)
    assert True in expected and False in expected
    model, policy = str(tmp_path / "stock" / "model.conf"), str(tmp_path / "stock" / "policy.csv")
    stock = casbin.Enforcer(model, policy)
    assert [stock.enforce(*question) for question in QUESTIONS] == expected
    assert run_in_node(IN_NODE, {"model": model, "policy": policy, "questions": QUESTIONS}) == expected


def test_without_domains_the_pair_has_none(klausel: Klausel, tmp_path: Path) -> None:
    roles = "levels: {all: {constant: everything}}\nroles:\n  reader: {level: all}\n"
    feature = "resource_types: {report: {actions: read}}\ngrants:\n  - {allow: reader, to: read, resource: report}\n"
    people = "subject,role,domain\nuser:ann,reader,everything\n"
    write(tmp_path, roles, feature)
    result = export(klausel, tmp_path, people)
    assert result.exit_code == 0, result.output
    model, policy = str(tmp_path / "stock" / "model.conf"), str(tmp_path / "stock" / "policy.csv")
    questions = [("user:ann", "report", "read"), ("user:bob", "report", "read"), ("user:ann", "report", "write")]
    stock = casbin.Enforcer(model, policy)
    assert (
        [stock.enforce(*question) for question in questions] == decided(tmp_path, questions, people) == [True, False, False]
    )
    assert run_in_node(IN_NODE, {"model": model, "policy": policy, "questions": questions}) == [True, False, False]


@pytest.mark.parametrize("seed", range(4))
def test_generated_policies_decide_the_same(seed: int, klausel: Klausel, tmp_path: Path) -> None:
    chance = random.Random(seed)
    names, domains, actions = ["a", "b", "c", "d"], ["acme", "globex"], ["read", "write"]
    roles = "levels: {tenant: {named_by: tenant}}\nroles:\n"
    for place, name in enumerate(names):
        inner = [one for one in names[place + 1 :] if chance.random() < 0.4]
        contains = f", contains: [{', '.join(inner)}]" if inner else ""
        roles += f"  {name}: {{level: tenant{contains}}}\n"
    feature = "resource_types: {report: {actions: [read, write]}, bill: {actions: [read, write]}}\ngrants:\n"
    grants = {("a", "read", "report"): "  - {allow: a, to: read, resource: report}"}
    for _ in range(7):
        where = chance.choice(["", ", in: acme", ", in: globex"])
        who, what, on = chance.choice([*names, "anyone"]), chance.choice(actions), chance.choice(["report", "bill"])
        effect = chance.choice(["allow", "allow", "deny"])
        grants.setdefault((who, what, on), f"  - {{{effect}: {who}, to: {what}, resource: {on}{where}}}")
    write(tmp_path, roles, feature + "\n".join(grants.values()) + "\n")
    rows = {f"user:{chance.choice('xyz')},{chance.choice(names)},{chance.choice(domains)}" for _ in range(5)}
    people = "\n".join(["subject,role,domain", *sorted(rows)]) + "\n"
    result = export(klausel, tmp_path, people)
    assert result.exit_code == 0, result.output
    stock = casbin.Enforcer(str(tmp_path / "stock" / "model.conf"), str(tmp_path / "stock" / "policy.csv"))
    questions = list(itertools.product(("user:x", "user:y", "user:z"), (*domains, "other"), ("report", "bill"), actions))
    assert [stock.enforce(*question) for question in questions] == decided(tmp_path, questions, people)


@pytest.mark.parametrize(
    ("roles", "grant", "said"),
    [
        (ROLES, "{allow: reader, to: read, resource: report, when: resource.x == 1}", "is a number"),
        (ROLES, "{allow: reader, to: read, resource: report, until: 2027-01-01T00:00:00Z}", "cannot ask"),
        (
            ROLES.replace(
                "levels: {tenant: {named_by: tenant}}", "levels: {tenant: {named_by: tenant}, team: {identified_by: team}}"
            ),
            "{allow: reader, to: read, resource: report}",
            "no property names the team",
        ),
    ],
)
def test_what_stock_casbin_cannot_say_is_named_with_its_line(
    roles: str, grant: str, said: str, klausel: Klausel, tmp_path: Path
) -> None:
    write(tmp_path, roles, f"{FEATURE}  - {grant}\n")
    result = export(klausel, tmp_path)
    assert result.exit_code == 1
    assert said in result.output and "nothing was written" in result.output
    assert ".yaml:" in result.output
    assert not (tmp_path / "stock").exists()


@pytest.mark.parametrize(
    "row",
    [
        '"user:a,b",reader,acme',
        "user:a\u202e,reader,acme",
        "group:all,reader,acme",
        "user:a#b,reader,acme",
        "user:a,king,acme",
    ],
)
def test_people_that_stock_casbin_would_read_otherwise_are_named(row: str, klausel: Klausel, tmp_path: Path) -> None:
    write(tmp_path, ROLES, FEATURE)
    result = export(klausel, tmp_path, f"subject,role,domain\n{row}\n")
    assert result.exit_code == 1
    assert "\u202e" not in result.output
    assert not (tmp_path / "stock").exists()
