"""The Cerbos server: derived roles and resource policies made from the policy set, roles sent with each request.

Which roles a subject holds where is looked up by Klausel, but told to Cerbos: that work is not in Cerbos' figures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import yaml

from benchmarks.children import child, free_port, wait_for
from benchmarks.measuring import Round
from benchmarks.peers.packages import cerbos_binary
from benchmarks.peers.translation import Language, translate
from benchmarks.workload import Question
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANYONE, depth_of

PATH = "/api/check/resources"
ALLOW = b'"EFFECT_ALLOW"'
DENY = b'"EFFECT_DENY"'
_VERSION = "api.cerbos.dev/v1"
_ROOTS = {"subject": "P.attr", "resource": "R.attr"}
CEL = Language(
    own={
        ("subject", "id"): "P.id",
        ("subject", "type"): "P.attr.subject_type",
        ("resource", "id"): "R.id",
        ("resource", "type"): "R.kind",
    },
    read=lambda root, name: f"{_ROOTS[root]}.{name}",
    present=lambda root, name: f"has({_ROOTS[root]}.{name})",
    equal=lambda left, right: f"{left} == {right}",
    member=lambda item, items: f"{item} in {items}",
)


class Cerbos:
    """A running server, as a contestant that is asked one request at a time."""

    def __init__(self, port: int, log: Path, policy: PolicySet) -> None:
        self.port = port
        self.log = log
        self._policy = policy

    def answers(self, questions: Sequence[Question]) -> Iterator[bool]:
        """See `Contestant`."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            for question in questions:
                connection.request("POST", PATH, self.body([question]), {"Content-Type": "application/json"})
                answer = json.loads(connection.getresponse().read())
                yield answer["results"][0]["actions"][question.request.action.name] == "EFFECT_ALLOW"
        finally:
            connection.close()

    def round(self, questions: Sequence[Question], seconds: float) -> Round:
        """Not in process; see `section_http`."""
        raise NotImplementedError

    def body(self, batch: Sequence[Question]) -> bytes:
        """The body that asks one subject's questions in one domain at once."""
        subject = batch[0].request.subject
        principal = {
            "id": subject.id,
            "roles": _roles_sent(self._policy, batch[0].roles),
            "attr": {"subject_type": subject.type, **subject.properties},
        }
        return json.dumps({"principal": principal, "resources": [self._resource(one) for one in batch]}).encode()

    def _resource(self, question: Question) -> dict[str, Any]:
        _, action, resource, _ = question.request
        level = None if question.domain is None else self._policy.roles.level_at(depth_of(question.domain))
        attributes = {
            **resource.properties,
            "asked_domain": question.domain or "",
            "asked_level": level.name if level else "",
        }
        return {"actions": [action.name], "resource": {"kind": resource.type, "id": resource.id, "attr": attributes}}


@contextmanager
def cerbos(policy: PolicySet, folder: Path) -> Iterator[Cerbos]:
    """A Cerbos server with the policy set on a free port of 127.0.0.1; raises `Missing` or `Untranslatable`."""
    binary = cerbos_binary()
    policies = folder / "cerbos"
    policies.mkdir(exist_ok=True)
    for name, content in cerbos_policies(policy).items():
        (policies / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    port = free_port()
    configuration = {
        "server": {"httpListenAddr": f"127.0.0.1:{port}", "grpcListenAddr": f"127.0.0.1:{free_port()}"},
        "storage": {"driver": "disk", "disk": {"directory": str(policies), "watchForChanges": False}},
        "telemetry": {"disabled": True},
        "audit": {"enabled": False},
    }
    file = folder / "cerbos.yaml"
    file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    log = folder / "cerbos.log"
    with child([str(binary), "server", "--log-level=error", f"--config={file}"], log) as process:
        wait_for(port, "/_cerbos/health", process, log)
        yield Cerbos(port, log, policy)


def cerbos_policies(policy: PolicySet) -> Mapping[str, Any]:
    """The policy files of Cerbos by name: one for the derived roles, one for each resource type."""
    closure = policy.roles.closure
    definitions = [
        {
            "name": _derived(name),
            "parentRoles": [_sent(holder) for holder in closure if name in closure[holder]],
        }
        for name in closure
    ]
    files: dict[str, Any] = {
        "derived_roles.yaml": {"apiVersion": _VERSION, "derivedRoles": {"name": "klausel", "definitions": definitions}}
    }
    for name in policy.resource_types:
        rules = [_rule(grant) for grant in policy.grants if grant.resource_type == name]
        content: dict[str, Any] = {"version": "default", "resource": name, "rules": rules}
        if any("derivedRoles" in rule for rule in rules):
            content["importDerivedRoles"] = ["klausel"]
        files[f"{name}.yaml"] = {"apiVersion": _VERSION, "resourcePolicy": content}
    return files


def _rule(grant: Grant) -> dict[str, Any]:
    rule: dict[str, Any] = {"actions": [grant.action], "effect": f"EFFECT_{grant.effect.upper()}"}
    if grant.grantee == ANYONE:
        rule["roles"] = ["*"]
    else:
        rule["derivedRoles"] = [_derived(grant.grantee)]
    conditions = []
    if grant.scope.level is not None:
        conditions.append(f"R.attr.asked_level == {json.dumps(grant.scope.level)}")
    if grant.scope.domain is not None:
        domain = grant.scope.domain
        conditions.append(
            f"(R.attr.asked_domain == {json.dumps(domain)} || R.attr.asked_domain.startsWith({json.dumps(domain + '/')}))"
        )
    translated = translate(grant, CEL)
    if translated is not None:
        conditions.append(f"({translated})")
    if conditions:
        rule["condition"] = {"match": {"expr": " && ".join(conditions)}}
    return rule


def _derived(name: str) -> str:
    return "is_" + name.replace(" ", "_")


def _sent(name: str) -> str:
    return name.replace(" ", "_")


def _roles_sent(policy: PolicySet, roles: frozenset[str]) -> list[str]:
    """The names that no other held name contains; those that they contain are Cerbos' derived roles."""
    held = roles - {ANYONE}
    contained = {name for holder in held for name in policy.roles.closure[holder] if name != holder}
    return sorted(map(_sent, held - contained)) or ["nobody"]
