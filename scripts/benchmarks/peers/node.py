"""node-casbin in a process of its own: the same model and rows, the functions written in JavaScript."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.children import end
from benchmarks.measuring import Round
from benchmarks.peers.packages import Missing, node_program, npm_package
from benchmarks.peers.translation import Language, translate
from benchmarks.workload import Question, model_text
from klausel.core.policy.policy_set import PolicySet

_HOLDERS = {"subject": "r.sub.properties", "resource": "r.obj.properties"}
# The words of Casbin's rows (see klausel.casbin_policies.condition_text), but with texts as JavaScript writes them.
NODE = Language(
    own={
        ("subject", "id"): "r.sub.id",
        ("subject", "type"): "r.sub.type",
        ("resource", "id"): "r.obj.id",
        ("resource", "type"): "r.obj.type",
        ("action", "name"): "r.act.name",
    },
    read=lambda root, name: f'attribute({_HOLDERS[root]}, "{name}")',
    present=None,
    equal=lambda left, right: f"is_equal({left}, {right})",
    member=lambda item, items: f"is_in({item}, {items})",
)


class NodeCasbin:
    """A contestant that answers over its standard input and output, and measures itself inside."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def answers(self, questions: Sequence[Question]) -> Iterator[bool]:
        """See `Contestant`."""
        yield from self.ask("answer", questions=[_values(question) for question in questions])

    def round(self, questions: Sequence[Question], seconds: float) -> Round:
        """See `Contestant`."""
        values = [_values(question) for question in questions]
        return lambda: float(self.ask("measure", questions=values, seconds=seconds))

    def ask(self, command: str, **details: Any) -> Any:
        """One command and its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"command": command, **details}).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise Missing("node ended by itself")
        answer = json.loads(line)
        if "error" in answer:
            raise Missing(f"node-casbin fails: {answer['error']}")
        return answer["result"]


@contextmanager
def node_casbin(policy: PolicySet) -> Iterator[NodeCasbin]:
    """node-casbin with the policy set loaded; raises `Missing` or `Untranslatable`."""
    package = npm_package("casbin")
    rows = []
    for grant in policy.grants:
        condition = translate(grant, NODE) or "true"
        rows.append([grant.grantee, str(grant.scope), grant.resource_type, grant.action, condition, grant.effect])
    depths = {level.name: level.depth for level in policy.roles.levels}
    process = subprocess.Popen(
        [node_program(), str(Path(__file__).with_name("node_casbin.cjs")), str(package)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        contestant = NodeCasbin(process)
        contestant.ask("load", model=model_text(), rows=rows, depths=depths)
        yield contestant
    finally:
        end(process)


def _values(question: Question) -> list[Any]:
    subject, domain, resource, action, context = question.casbin_values()
    return [
        {"type": subject.type, "id": subject.id, "properties": dict(subject.properties), "roles": sorted(subject.roles)},
        domain,
        {"type": resource.type, "id": resource.id, "properties": dict(resource.properties)},
        {"name": action.name, "properties": {}},
        dict(context),
    ]
