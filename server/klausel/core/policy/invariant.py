"""Invariants: what must hold whatever roles people have and whatever requests carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from klausel.core.conditions.tree import Condition
from klausel.core.policy.scope import Scope
from klausel.core.terms.problem import Place

OUTSIDER = "outsider"
EVERY = "*"

Kind = Literal["never", "always", "at_most", "monotone", "separate", "toxic"]


@dataclass(frozen=True, slots=True)
class Thing:
    """An action on a type of resource."""

    action: str
    resource_type: str

    def __str__(self) -> str:
        return f"{self.action} {self.resource_type}"


@dataclass(frozen=True, slots=True)
class Invariant:
    """One invariant.

    `who` are the roles, `any` roles, `anyone` or `outsider` that it speaks of (for `separate`: the two roles, or none), `things`
    the actions on types (for `separate`: the two things, or none; for `toxic`: the two things). `scope` and `condition` narrow
    the requests; `fitted` are the conditions for those resource types where declared types make another one of it. `of_all` are
    the keys, `to` and `resource`, under which all are meant, whatever is declared later.
    """

    name: str
    kind: Kind
    who: tuple[str, ...]
    things: tuple[Thing, ...]
    scope: Scope
    condition: Condition | None
    condition_text: str
    place: Place
    fitted: Mapping[str, Condition] = field(default_factory=lambda: MappingProxyType({}))
    of_all: frozenset[str] = frozenset()

    def condition_on(self, resource_type: str) -> Condition | None:
        """The condition of requests about a resource type."""
        return self.fitted.get(resource_type, self.condition)
