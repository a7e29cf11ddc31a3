"""The policy set: everything that the files of a policy say, checked, whole and immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from klausel.core.condition import Condition
from klausel.core.problem import Place, Problem
from klausel.core.roles import RoleModel, depth_of

if TYPE_CHECKING:
    from klausel.core.invariant import Invariant

Effect = Literal["allow", "deny"]
EVERYWHERE = "*"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a grant holds: in one domain and all below it (or everywhere: None), at one level only (or any: None)."""

    domain: str | None = None
    level: str | None = None

    def __str__(self) -> str:
        """The form in Casbin rows: `*`, `acme`, `acme/support`, `*//workspace`, `acme//workspace`."""
        return (self.domain or EVERYWHERE) + (f"//{self.level}" if self.level else "")

    @property
    def words(self) -> str:
        """As people read it: `in acme at level workspace`; empty for everywhere."""
        parts = [] if self.domain is None else [f"in {self.domain}"]
        return " ".join([*parts, *([] if self.level is None else [f"at level {self.level}"])])

    def covers(self, domain: str | None, roles: RoleModel) -> bool:
        """Whether a request asked in this domain (None: in no domain) is inside the scope."""
        if self.domain is not None and (
            domain is None or not (domain == self.domain or domain.startswith(self.domain + "/"))
        ):
            return False
        if self.level is None:
            return True
        level = roles.level_at(depth_of(domain)) if domain is not None else None
        return level is not None and level.name == self.level


@dataclass(frozen=True, slots=True)
class NamedCondition:
    """A condition of `conditions.yaml`; `text` as written, `tree` with other named conditions resolved."""

    name: str
    text: str
    tree: Condition
    place: Place


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A resource type, its actions in the order of the file, and the level in which each special action is asked.

    An action with a level in `asked_in` is about something that does not exist yet: its resource's id names no domain,
    and levels below that one are not looked at.
    """

    name: str
    actions: tuple[str, ...]
    asked_in: Mapping[str, str]
    place: Place
    action_places: Mapping[str, Place] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Grant:
    """One allow or deny: this grantee, to do this action on this type, in this scope, when the condition holds.

    `grantee` is a role, `any <role>` or `anyone`; `condition_text` is as the editor wrote it, empty for none.
    """

    effect: Effect
    grantee: str
    action: str
    resource_type: str
    scope: Scope
    condition: Condition | None
    condition_text: str
    because: str
    place: Place

    @property
    def source(self) -> str:
        """Where the grant stands, as `file:line`."""
        return f"{self.place.file}:{self.place.line}"

    def __str__(self) -> str:
        where = f" {self.scope.words}" if self.scope.words else ""
        when = f" when {self.condition_text}" if self.condition_text else ""
        return f"{self.effect} {self.grantee} to {self.action} {self.resource_type}{where}{when}"


@dataclass(frozen=True)
class PolicySet:
    """Roles, resource types, conditions and grants (in the order of the files), and the warnings found on the way."""

    roles: RoleModel
    resource_types: Mapping[str, ResourceType]
    conditions: Mapping[str, NamedCondition]
    grants: tuple[Grant, ...]
    warnings: tuple[Problem, ...]
    files_digest: str
    invariants: tuple[Invariant, ...] = ()

    def grants_about(self, resource_type: str, action: str) -> tuple[Grant, ...]:
        """The grants about one type and action, in the order of the files."""
        return self._grants_by_question.get((resource_type, action), ())

    @cached_property
    def _grants_by_question(self) -> Mapping[tuple[str, str], tuple[Grant, ...]]:
        found: dict[tuple[str, str], list[Grant]] = {}
        for grant in self.grants:
            found.setdefault((grant.resource_type, grant.action), []).append(grant)
        return {question: tuple(grants) for question, grants in found.items()}
