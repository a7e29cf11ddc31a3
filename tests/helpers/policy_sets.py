"""Policy sets for the tests of decisions: read from a folder or from texts, asked compiled and through stock Casbin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import casbin

from klausel.casbin_policies.engine import CompiledPolicy, compile_policy, join_enforcer
from klausel.core.decisions.decide import decide
from klausel.core.decisions.domain import BadDomain, domain_of
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.request import Request

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "cases"
MODEL = (ROOT / "model.conf").read_text(encoding="utf-8")
EDITIONS = {"current": ROOT / "policies", "earlier": CASES / "editions" / "earlier"}

Held = Mapping[str, Iterable[tuple[str, str]]]
"""The (role, domain) pairs of each subject in its stored form."""


def read_policy(folder: Path) -> PolicySet:
    """The policy set in a folder, as the service reads it; raises with every problem."""
    names = [
        folder / "roles.yaml",
        folder / "conditions.yaml",
        *folder.glob("features/*.yaml"),
        *folder.glob("features/*.csv"),
    ]
    texts = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in names if path.exists()}
    return policy_of(texts)


def policy_of(texts: Mapping[str, str]) -> PolicySet:
    """The policy set of files given as texts by name; raises with every problem."""
    return load_policy([SourceFile(name, name, text.encode()) for name, text in texts.items()]).or_raise()


@dataclass
class Asked:
    """A policy set together with people, ready to be asked."""

    policy: PolicySet
    held: Held = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._resolved_roles = {key: EffectiveRoles.of(self.policy.roles, pairs) for key, pairs in self.held.items()}

    @cached_property
    def compiled(self) -> CompiledPolicy:
        return compile_policy(self.policy, MODEL)

    @cached_property
    def stock(self) -> casbin.Enforcer:
        return join_enforcer(casbin.Enforcer, self.policy, MODEL)

    def roles_held(self, subject: str, domain: str | None) -> frozenset[str]:
        effective_roles = self._resolved_roles.get(subject) or EffectiveRoles.of(self.policy.roles, ())
        return effective_roles.roles_in(domain)

    def allows(self, request: Request) -> bool:
        """What the project decides."""
        return decide(self.policy, self.compiled, self.roles_held, request).allowed

    def stock_allows(self, request: Request) -> bool:
        """What an unchanged `casbin.Enforcer` decides over the same rows, told the same domain and effective roles."""
        subject, action, resource, context = request
        domain = domain_of(self.policy.roles, self.policy.resource_types.get(resource.type), action.name, resource)
        if isinstance(domain, BadDomain):
            return False
        roles = self.roles_held(f"{subject.type}:{subject.id}", domain)
        return bool(self.stock.enforce(subject._replace(roles=roles), domain or "", resource, action, context))
