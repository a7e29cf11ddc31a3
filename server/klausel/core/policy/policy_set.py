"""The policy set: everything that the files of a policy say, checked, whole and immutable."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeVar

from klausel.core.conditions.tree import CONTEXT_NOW, Condition, atoms, attributes_of
from klausel.core.policy.properties import Declarations, PropertyTypes
from klausel.core.policy.roles import RoleModel
from klausel.core.policy.scope import Scope
from klausel.core.terms.problem import Place, Problem

if TYPE_CHECKING:
    from klausel.core.policy.entity import EntityKey, WrittenEntity
    from klausel.core.policy.invariant import Invariant
    from klausel.core.policy.provisioning import Provisioning

Effect = Literal["allow", "deny"]
Key = TypeVar("Key")


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
    and levels below that one are not looked at. `properties` are all that requests may send of it, with their types; None
    where nothing is declared, and so anything may be sent. Whoever may do one of the `privileged` actions is listed by
    `klausel findings`; they decide nothing.
    """

    name: str
    actions: tuple[str, ...]
    asked_in: Mapping[str, str]
    place: Place
    action_places: Mapping[str, Place] = field(default_factory=lambda: MappingProxyType({}))
    properties: PropertyTypes | None = None
    privileged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """One allow or deny: this grantee, to do this action on this type, in this scope, when the condition holds.

    `grantee` is a role, `any <role>` or `anyone`; `condition_text` is as the editor wrote it, empty for none. It `is_for_all`
    where it is one of those that an entry with `*` for the action or the type stands for. `condition`
    decides: declared types are built in (see `klausel.core.policy.fitting`); `as_written` is the tree of the text, where that
    is another one.
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
    is_for_all: bool = field(default=False, compare=False)
    as_written: Condition | None = None

    @property
    def written(self) -> Condition | None:
        """The tree of the condition's text."""
        return self.condition if self.as_written is None else self.as_written

    @property
    def source(self) -> str:
        """Where the grant stands, as `file:line`."""
        return self.place.source

    @property
    def reach(self) -> tuple[str, Scope]:
        """Whom it reaches where: all that decides beside its effect, its question and its condition."""
        return self.grantee, self.scope

    def holds(self, truth: bool | None) -> bool:
        """Whether it holds when its condition is this (true for none): an allow needs true, a deny needs not-false."""
        return truth is True if self.effect == "allow" else truth is not False

    def reaches(self, names: Collection[str], domain: str | None, roles: RoleModel) -> bool:
        """Whether it is for somebody with these names, asking in this domain."""
        return self.grantee in names and self.scope.covers(domain, roles)

    def __str__(self) -> str:
        where = f" {self.scope.words}" if self.scope.words else ""
        when = f" when {self.condition_text}" if self.condition_text else ""
        return f"{self.effect} {self.grantee} to {self.action} {self.resource_type}{where}{when}"


GrantIndex = Mapping[tuple[str, str], tuple[Grant, ...]]
"""Grants by type and action, each in the order of the files."""


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
    properties: Mapping[str, PropertyTypes] = field(default_factory=lambda: MappingProxyType({}))
    """What is declared of the properties of subjects, actions and the context, by these words."""
    stored_subjects: frozenset[str] = frozenset()
    stored_resources: frozenset[str] = frozenset()
    """The types whose properties decisions look up in the database, too; those of all others come from the request alone."""
    subject_types: tuple[str, ...] | None = None
    """The types of those who ask; None where they are not declared. Decisions do not depend on it."""
    types_of_ids: Mapping[str, Place] = field(default_factory=lambda: MappingProxyType({}))
    """The types of whose ids declared properties are, each with the place of the first."""
    entities: Mapping[EntityKey, WrittenEntity] = field(default_factory=lambda: MappingProxyType({}))
    """What files say of subjects and resources; decisions look it up, and for these nothing in the database."""
    provisioning: Provisioning | None = None
    """What becomes of the people and groups that an identity provider sends; None where it may send none."""

    def declarations(self, resource_type: str) -> Declarations:
        """What is declared of the requests about a resource type."""
        return declarations_of(self.resource_types.get(resource_type), resource_type, self.properties, self.roles)

    def grants_about(self, resource_type: str, action: str) -> tuple[Grant, ...]:
        """The grants about one type and action, in the order of the files."""
        return self._grants_by_question.get((resource_type, action), ())

    @property
    def questions(self) -> Collection[tuple[str, str]]:
        """The types and actions that some grant is about."""
        return self._grants_by_question.keys()

    @cached_property
    def uses_now(self) -> bool:
        """Whether a grant depends on the time of the question."""
        conditions = {id(grant.condition): grant.condition for grant in self.grants if grant.condition is not None}
        return any(CONTEXT_NOW in attributes_of(atom) for condition in conditions.values() for atom in atoms(condition))

    def changed_questions(self, earlier: PolicySet) -> set[tuple[str, str]]:
        """The types and actions about which the grants are others than those of another policy set."""
        return changed_keys(earlier._grants_by_question, self._grants_by_question)

    def take_index(self, found: GrantIndex) -> None:
        """Notes the grants by type and action, for who knows them before this policy set is used."""
        self.__dict__["_grants_by_question"] = found

    @cached_property
    def _grants_by_question(self) -> GrantIndex:
        return grants_by_question(self.grants)


def changed_keys(before: Mapping[Key, object], after: Mapping[Key, object]) -> set[Key]:
    """The keys under which two mappings hold different values, or only one holds any."""
    if list(before) == list(after):
        # The usual case, without a look-up: what was not read again is the same object in the same place.
        others = itertools.compress(after, map(operator.is_not, before.values(), after.values()))
        return {key for key in others if before[key] != after[key]}
    return {key for key in {**before, **after} if key not in before or key not in after or before[key] != after[key]}


def grants_by_question(grants: Iterable[Grant]) -> dict[tuple[str, str], tuple[Grant, ...]]:
    """Grants by their type and action, each in the order given."""
    found: dict[tuple[str, str], list[Grant]] = {}
    for grant in grants:
        found.setdefault((grant.resource_type, grant.action), []).append(grant)
    return {question: tuple(of_question) for question, of_question in found.items()}


def declarations_of(
    declared: ResourceType | None, name: str, properties: Mapping[str, PropertyTypes], roles: RoleModel
) -> Declarations:
    """What is declared of the requests about a resource type, by itself, by `properties.yaml` and by the levels."""
    naming = tuple(level.named_by for level in roles.levels if level.named_by is not None)
    return Declarations(name, declared.properties if declared else None, properties, naming)
