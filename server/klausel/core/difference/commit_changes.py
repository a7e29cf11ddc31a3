"""What one commit changed in the meaning of a policy set: gains and losses, declarations, and what is demanded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from klausel.core.difference.compare import Change, difference_between
from klausel.core.difference.declarations import Declaration, changed_entities, changed_types, declarations
from klausel.core.difference.former_names import by_stored_names
from klausel.core.difference.renames import renames_between
from klausel.core.difference.report import DifferenceReport, as_json, notes
from klausel.core.difference.rules import (
    ChangedRule,
    changed_invariants,
    changed_provisioning,
    changed_rules_of_roles,
)
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANY_PREFIX


@dataclass(frozen=True, slots=True)
class Topic:
    """What is asked about in a history; None for everything."""

    role: str | None = None
    resource_type: str | None = None
    action: str | None = None

    def grants_of(self, policy: PolicySet) -> PolicySet:
        """The policy set with the grants alone that matter."""
        if self.resource_type is None and self.action is None:
            return policy
        grants = [grant for grant in policy.grants if self._is_about(grant.resource_type, grant.action)]
        return replace(policy, grants=tuple(grants))

    def includes(self, change: Change) -> bool:
        """Whether a change reaches the role."""
        return self._names((*change.who, *change.with_it))

    def includes_declaration(self, declaration: Declaration) -> bool:
        """Whether a declaration is about what is asked."""
        if self.role is not None:
            return self.role in declaration.roles
        if self.resource_type is None and self.action is None:
            return True
        return bool(declaration.resource_type) and self._is_about(declaration.resource_type, declaration.action)

    def includes_rule(self, rule: ChangedRule) -> bool:
        """Whether an invariant is about what is asked."""
        if not self._names(rule.roles):
            return False
        return (self.resource_type is None and self.action is None) or any(self._is_about(*thing) for thing in rule.things)

    def _names(self, who: Iterable[str]) -> bool:
        return self.role is None or self.role in {name.removeprefix(ANY_PREFIX).split(" ")[0] for name in who}

    def _is_about(self, resource_type: str, action: str) -> bool:
        return self.resource_type in (None, resource_type) and self.action in (None, action)


@dataclass(frozen=True, slots=True)
class CommitChanges:
    """What a commit changed of what is asked about; `report` is None where nothing could differ.

    `entities` is what files say otherwise of single subjects and resources. `demands_less` where an invariant, or a rule on
    role assignments, does not demand all that it did; those rules are told among what was `added` and `removed`.
    """

    report: DifferenceReport | None = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    rules: tuple[ChangedRule, ...] = ()
    entities: tuple[str, ...] = ()
    demands_less: bool = False

    @property
    def has_changes(self) -> bool:
        """Whether anybody gains or loses anything, or nobody could tell."""
        return self.report is not None and bool(self.report.difference.changes or self.report.difference.undecided)

    def __bool__(self) -> bool:
        return bool(self.has_changes or self.added or self.removed or self.rules or self.entities)

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the gains and losses, beside what is told of the commit itself."""
        if self.report is None or not self.has_changes:
            return []
        sides = self.report.difference.before, self.report.difference.after
        told = {*map(str, self.report.rules), *self.report.entities, *changed_types(*sides)}
        return [note for note in notes(self.report) if note not in told]

    def as_json(self) -> dict[str, object]:
        """The changes as programs read them; described in docs/audit.md."""
        names = ("verdict", "changes", "renames", "former_names", "not_compared", "people")
        nothing: dict[str, object] = {
            "verdict": "same",
            "changes": [],
            "renames": [],
            "former_names": [],
            "not_compared": [],
            "people": None,
        }
        whole = nothing if self.report is None else as_json(self.report)
        return {
            "declared": {"added": self.added, "removed": self.removed},
            "rules": [rule.as_json() for rule in self.rules],
            "demands_less": self.demands_less,
            "changed_entities": self.entities,
            **{name: whole[name] for name in names},
        }


def changes_of_commit(before: PolicySet | None, after: PolicySet | None, commit: str, topic: Topic) -> CommitChanges:
    """What a commit made of a policy set; one side is None where there was none yet, or is none any more.

    That side then counts as the other one without any grant.
    """
    known = before or after
    if before is after or known is None:
        return CommitChanges()
    stated = _declared(before, after)
    sides = [topic.grants_of(policy or replace(known, grants=())) for policy in (before, after)]
    is_declared_alike = stated[0] == stated[1]
    difference = difference_between(*(_without_equal_grants(*sides) if is_declared_alike else sides))
    changes = tuple(change for change in difference.changes if topic.includes(change))
    renames = renames_between(*sides) if before and after and not is_declared_alike else ()
    added, removed = (
        tuple(sorted(each.text for each in stated[one] - stated[other] if topic.includes_declaration(each)))
        for one, other in ((1, 0), (0, 1))
    )
    demanded = (policy or replace(known, invariants=(), provisioning=None, entities={}) for policy in (before, after))
    before, after, _ = by_stored_names(*demanded)
    changed = (*changed_provisioning(before.provisioning, after.provisioning), *changed_invariants(before, after))
    rules = tuple(rule for rule in changed if topic.includes_rule(rule))
    of_roles = [rule for rule in changed_rules_of_roles(before.roles, after.roles) if topic.includes_rule(rule)]
    demands_less = any(rule.movement != "stronger" for rule in (*rules, *of_roles))
    entities = () if topic.role is not None else tuple(changed_entities(before, after, topic.resource_type))
    report = DifferenceReport(replace(difference, changes=changes), "before", commit, renames)
    return CommitChanges(report, added, removed, rules, entities, demands_less)


def _declared(before: PolicySet | None, after: PolicySet | None) -> tuple[set[Declaration], set[Declaration]]:
    """What either side declares; both empty where that is the same at the same places, as it is at most commits."""
    if before and after and (before.roles, before.resource_types) == (after.roles, after.resource_types):
        return set(), set()
    return set(declarations(before)) if before else set(), set(declarations(after)) if after else set()


def _without_equal_grants(before: PolicySet, after: PolicySet) -> Iterator[PolicySet]:
    """Two sets that declare the same, each without the grants about what both say in the same words at the same places."""
    for policy, other in ((before, after), (after, before)):
        yield replace(
            policy,
            grants=tuple(
                grant
                for grant in policy.grants
                if policy.grants_about(grant.resource_type, grant.action)
                != other.grants_about(grant.resource_type, grant.action)
            ),
        )
