"""The enforcer over a whole policy set: every grant has its row, at its place."""

from __future__ import annotations

from pathlib import Path

from klausel.casbin_policies.engine import compile_policy
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.request import Action, Request, Resource, Subject

MODEL = (Path(__file__).parents[2] / "model.conf").read_text()
ROLES = "levels: {site: {constant: main}}\nroles: {reader: {level: site}, writer: {level: site}}\n"


def policy_with(grants: str) -> PolicySet:
    files = {"roles.yaml": ROLES, "features/pages.yaml": grants}
    return load_policy(SourceFile(name, name, text.encode()) for name, text in files.items()).or_raise()


def asked_by(role: str, action: str) -> Request:
    return Request(Subject("user", "x", {}, frozenset({role})), Action(action), Resource("page", "1"))


def test_a_repeated_grant_does_not_move_the_places_of_those_behind_it() -> None:
    policy = policy_with("""
resource_types: {page: {actions: [read, write]}}
grants:
  - {allow: reader, to: read, resource: page}
  - {allow: reader, to: read, resource: page}
  - {allow: writer, to: write, resource: page}
""")
    allowed, position = compile_policy(policy, MODEL).decide(asked_by("writer", "write"), "main")
    assert allowed
    assert position == 2
    assert policy.grants[position].grantee == "writer"
