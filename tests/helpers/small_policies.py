"""A small policy set of its own, tests written on it, and how they are loaded."""

from __future__ import annotations

from pathlib import Path

from klausel.casbin_policies.engine import CompiledPolicy, compile_policy
from klausel.core.loading.load import LoadResult, SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet

ROOT = Path(__file__).parents[2]
MODEL = (ROOT / "model.conf").read_text(encoding="utf-8")

ROLES = """
levels:
  company: {named_by: company, identified_by: company}
  team: {named_by: team, identified_by: team, requires_role_above: true}
roles:
  owner: {level: company, contains: [member, head]}
  member: {level: company}
  head: {level: team, contains: worker}
  worker: {level: team}
"""

PAYMENTS = """
resource_types:
  company: {actions: [close]}
  team: {actions: [open, close], asked_in: {open: company}}
  payment: {actions: [create, approve]}
grants:
  - {allow: owner, to: close, resource: company}
  - {allow: member, to: open, resource: team}
  - {allow: worker, to: create, resource: payment}
  - {allow: head, to: approve, resource: payment, when: resource.amount < 100}
  - {deny: anyone, to: approve, resource: payment, when: resource.frozen}
"""

CAST = """
people:
  olga: {roles: {acme: owner}}
  hanna: {roles: {acme: member, acme/red: head}}
  willi: {roles: {acme: member, acme/red: worker}}
  nobody: {roles: {}}
resources:
  small: {type: payment, in: acme/red, amount: 12, frozen: false}
  large: {type: payment, in: acme/red, amount: 1200, frozen: false}
  frozen: {type: payment, in: acme/red, amount: 12, frozen: true}
  unclear: {type: payment, in: acme/red, amount: "12", frozen: false}
  red: {type: team, in: acme/red}
  the company: {type: company, in: acme}
"""

COMPANIES = "  - {name: companies, resource: the company, allowed: {olga: close}}\n"
TEAMS = "  - {name: teams, resource: red, allowed: {olga: open, hanna: open, willi: open}}\n"
PAYMENTS_OPEN = """
  - name: payments
    resource: small
    allowed: {olga: [create, approve], hanna: [create, approve], willi: create}
"""
REFUSED = "  - {name: refused, resource: [large, frozen], actions: approve}\n"
WHOLE = COMPANIES + TEAMS + PAYMENTS_OPEN + REFUSED


def load(tests: str, grants: str = PAYMENTS, cast: str = CAST, roles: str = ROLES, invariants: str = "") -> LoadResult:
    """The policy set with one file of tests, and one of invariants."""
    files = {"roles.yaml": roles, "features/payments.yaml": grants}
    if invariants:
        files["invariants.yaml"] = invariants
    if tests:
        files["tests/payments_test.yaml"] = f"{cast}tests:\n{tests}"
    result = load_policy(SourceFile(name, f"policies/{name}", text.encode()) for name, text in files.items())
    assert result.policy is not None, "\n".join(map(str, result.problems))
    return result


def compiled(policy: PolicySet) -> CompiledPolicy:
    """The plan of a policy set under the shipped model."""
    return compile_policy(policy, MODEL)
