"""The questions that every contestant answers: seeded, asked by people of the organisation about what the policies name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from benchmarks.organisation import WORKSPACES, account_of
from klausel.core.conditions.tree import Truth, atoms, attributes_of, literals_of
from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.policy_set import PolicySet, ResourceType
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.service.pipeline import open_policy

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ROOT / "policies"
MODEL = ROOT / "model.conf"

Values = Mapping[str, tuple[object, ...]]
_PLACES = ("account", "workspace")


class Question(NamedTuple):
    """One request, where it is asked, what its subject holds there, and all that the subject holds anywhere."""

    request: Request
    domain: str | None
    roles: frozenset[str]
    held: tuple[tuple[str, str], ...]

    def casbin_values(self) -> tuple[Any, ...]:
        """The request in the order of model.conf: sub, dom, obj, act, ctx."""
        subject, action, resource, context = self.request
        return (subject._replace(roles=self.roles), self.domain or "", resource, action, context)

    def as_authzen(self) -> dict[str, Any]:
        """The body of an AuthZEN evaluation."""
        subject, action, resource, _ = self.request
        return {
            "subject": {"type": subject.type, "id": subject.id},
            "action": {"name": action.name},
            "resource": {"type": resource.type, "id": resource.id, "properties": dict(resource.properties)},
        }


def shipped_policy() -> PolicySet:
    """The policies of this repository."""
    return open_policy(POLICIES, MODEL).compiled.policy


def model_text() -> str:
    """The model of this repository."""
    return MODEL.read_text(encoding="utf-8")


def make_questions(
    policy: PolicySet, held_by: Mapping[str, tuple[tuple[str, str], ...]], people: int, count: int, seed: int = 1
) -> list[Question]:
    """So many questions of these subjects out of so many people, every type and action about equally often."""
    random = Random(seed)
    subjects = list(held_by)
    resolved_roles = {subject: EffectiveRoles.of(policy.roles, held) for subject, held in held_by.items()}
    values = {name: _values_of(policy, name) for name in policy.resource_types}
    pairs = [(declared, action) for declared in policy.resource_types.values() for action in declared.actions]
    order = [pairs[number % len(pairs)] for number in range(count)]
    random.shuffle(order)
    questions = []
    for number, (declared, action) in enumerate(order):
        subject = subjects[number % len(subjects)] if number < len(subjects) else random.choice(subjects)
        where = _place(random, held_by[subject], people)
        resource = _resource(random, declared, values[declared.name], where, subject, number)
        domain = domain_of(policy.roles, declared, action, resource)
        if isinstance(domain, BadDomain):
            raise ValueError(f"the workload is wrong: {domain.reason}")
        request = Request(Subject("user", subject), Action(action), resource)
        questions.append(Question(request, domain, resolved_roles[subject].roles_in(domain), held_by[subject]))
    return questions


def make_batches(questions: list[Question], size: int, most: int = 200) -> list[list[Question]]:
    """Batches of so many questions, each of one subject in one domain, about other resources."""
    movable = [question for question in questions if question.request.resource.type not in _PLACES]
    firsts = [question for question in movable if question.domain is not None][:most]
    batches = []
    for start, first in enumerate(firsts):
        alike = [other for other in movable if _depth(other) == _depth(first)]
        batches.append([_moved(alike[(number * 7 + start * 13) % len(alike)], first, number) for number in range(size)])
    return batches


def _depth(question: Question) -> int:
    return (question.domain or "").count("/")


def _moved(question: Question, first: Question, number: int) -> Question:
    """The same question, asked by the subject of another one where that was asked."""
    subject = first.request.subject
    account, _, workspace = (first.domain or "").partition("/")
    asked_by = question.request.subject.id
    properties: dict[str, object] = {
        name: subject.id if value == asked_by else value
        for name, value in question.request.resource.properties.items()
        if name not in _PLACES
    }
    properties |= {"account": account, "workspace": workspace} if workspace else {"account": account}
    resource = Resource(question.request.resource.type, f"r{number}", properties)
    return Question(question.request._replace(subject=subject, resource=resource), first.domain, first.roles, first.held)


def _values_of(policy: PolicySet, type_name: str) -> Values:
    """For each property that conditions on a type read, the literals it is compared with."""
    found: dict[str, set[object]] = {}
    for grant in policy.grants:
        if grant.resource_type != type_name or grant.condition is None:
            continue
        for atom in atoms(grant.condition):
            literals: set[object] = {literal.value for literal in literals_of(atom)}
            if isinstance(atom, Truth):
                literals.add(True)
            for side in attributes_of(atom):
                if side.root == "resource" and side.path[0] not in ("id", "type"):
                    found.setdefault(side.path[0], set()).update(literals)
    return {name: tuple(sorted(literals, key=repr)) for name, literals in sorted(found.items())}


def _place(random: Random, held: tuple[tuple[str, str], ...], people: int) -> dict[str, str]:
    """Where a question is asked: mostly where the subject is known, now and then next door or in another account."""
    domains = [domain for _, domain in held]
    account, _, workspace = random.choice(domains).partition("/")
    chance = random.random()
    if chance < 0.1:
        account = account_of(random.randrange(people))
    if chance < 0.3:
        workspace = f"workspace{random.randrange(WORKSPACES)}"
    return {"account": account, "workspace": workspace} if workspace else {"account": account}


def _resource(
    random: Random, declared: ResourceType, values: Values, where: dict[str, str], subject: str, number: int
) -> Resource:
    properties: dict[str, object] = dict(where)
    for name, literals in values.items():
        chance = random.random()
        if chance < 0.1:
            continue
        if literals:
            properties[name] = random.choice(literals) if chance < 0.8 else random.choice(("other", 7, False))
        else:
            properties[name] = subject if chance < 0.6 else f"person{random.randrange(1000)}"
    id_ = f"r{number}"
    if declared.name == "account":
        id_ = where["account"]
    elif declared.name == "workspace":
        id_ = where.setdefault("workspace", f"workspace{number % WORKSPACES}")
        properties["workspace"] = id_
    return Resource(declared.name, id_, properties)
