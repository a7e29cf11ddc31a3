"""Cedar in this process (cedarpy): policies made from the policy set, parsed once; entities sent with each request."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.contestants import InPython
from benchmarks.peers.packages import python_peer
from benchmarks.peers.translation import Language, Untranslatable, translate
from benchmarks.workload import Question
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANYONE, depth_of

_ROOTS = {"subject": "principal", "resource": "resource"}
CEDAR = Language(
    own={
        ("subject", "id"): "principal.id",
        ("subject", "type"): "principal.type",
        ("resource", "id"): "resource.id",
        ("resource", "type"): "resource.type",
    },
    read=lambda root, name: f"{_ROOTS[root]}.properties.{name}",
    present=lambda root, name: f"{_ROOTS[root]}.properties has {name}",
    equal=lambda left, right: f"{left} == {right}",
    member=lambda item, items: f"{items}.contains({item})",
)


def cedar(policy: PolicySet) -> InPython:
    """`cedarpy.is_authorized` with a policy set parsed beforehand; raises `Missing` or `Untranslatable`."""
    python_peer("cedarpy")
    import cedarpy

    policies = cedarpy.PolicySet.from_str(cedar_policies(policy))

    def ask(request: dict[str, Any], entities: str) -> bool:
        return cedarpy.is_authorized(request, policies, entities).allowed

    return InPython(ask, lambda question: _ready(policy, question))


def cedar_policies(policy: PolicySet) -> str:
    """The policy set in Cedar's language, one policy a grant."""
    return "\n".join(map(_policy, policy.grants))


def _policy(grant: Grant) -> str:
    effect = "permit" if grant.effect == "allow" else "forbid"
    who = "principal" if grant.grantee == ANYONE else f"principal in Role::{json.dumps(grant.grantee)}"
    what = f"action == Action::{json.dumps(grant.action)}"
    if not grant.resource_type.isidentifier():
        raise Untranslatable(f"the resource type {grant.resource_type}")
    conditions = []
    if grant.scope.level is not None:
        conditions.append(f"context.level == {json.dumps(grant.scope.level)}")
    if grant.scope.domain is not None:
        domain = grant.scope.domain
        conditions.append(f"(context.domain == {json.dumps(domain)} || context.domain like {json.dumps(domain + '/*')})")
    translated = translate(grant, CEDAR)
    if translated is not None:
        conditions.append(f"({translated})")
    when = f" when {{ {' && '.join(conditions)} }}" if conditions else ""
    return f"{effect} ({who}, {what}, resource is {grant.resource_type}){when};"


def _ready(policy: PolicySet, question: Question) -> tuple[dict[str, Any], str]:
    subject, action, resource, _ = question.request
    principal = {"type": "User", "id": f"{subject.type}:{subject.id}"}
    target = {"type": resource.type, "id": resource.id}
    level = None if question.domain is None else policy.roles.level_at(depth_of(question.domain))
    entities = [
        {
            "uid": principal,
            "attrs": {"type": subject.type, "id": subject.id, "properties": dict(subject.properties)},
            "parents": [{"type": "Role", "id": role} for role in sorted(question.roles)],
        },
        {
            "uid": target,
            "attrs": {"type": resource.type, "id": resource.id, "properties": dict(resource.properties)},
            "parents": [],
        },
    ]
    request = {
        "principal": f'User::"{principal["id"]}"',
        "action": f"Action::{json.dumps(action.name)}",
        "resource": f'{resource.type}::"{resource.id}"',
        "context": json.dumps({"domain": question.domain or "", "level": level.name if level else ""}),
    }
    return request, json.dumps(entities)
