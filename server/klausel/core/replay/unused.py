"""Unused permission: grants, roles and actions that no recorded decision needed, and when role assignments were last of use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANY_PREFIX, parts_of
from klausel.core.records.decision_record import grant_id
from klausel.core.records.recorded import Pairs, Recorded
from klausel.core.replay.replay import MOST_ROLE_COMBINATIONS

EXPLAIN = "explain"


@dataclass(slots=True)
class Usage:
    """What the decisions of a period needed; usages of parts add up.

    `assigned` counts the allows that a role gave to somebody to whom it is assigned, `inherited` those that it gave to
    somebody whose role contains it.
    """

    decisions: int = 0
    explanations: int = 0
    outside: int = 0
    sampled: int = 0
    dropped: int = 0
    first: str | None = None
    last: str | None = None
    grants: Counter[str] = field(default_factory=Counter)
    assigned: Counter[str] = field(default_factory=Counter)
    inherited: Counter[str] = field(default_factory=Counter)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: Usage) -> None:
        """Takes in what another part of the same log gave."""
        self.decisions += other.decisions
        self.explanations += other.explanations
        self.outside += other.outside
        self.sampled += other.sampled
        self.dropped += other.dropped
        for time in (other.first, other.last):
            if time is not None:
                self._see(time)
        self.grants.update(other.grants)
        self.assigned.update(other.assigned)
        self.inherited.update(other.inherited)
        self.asked.update(other.asked)

    def _see(self, time: str) -> None:
        self.first = time if self.first is None else min(self.first, time)
        self.last = time if self.last is None else max(self.last, time)

    def count(self, recorded: Recorded) -> None:
        """Counts a decision, but not by which roles."""
        self.decisions += 1
        self._see(recorded.time)
        self.sampled += recorded.sample_rate < 1
        if recorded.request is not None:
            self.asked[recorded.request.resource.type, recorded.request.action.name] += 1
        if recorded.grant is not None:
            self.grants[recorded.grant["id"]] += 1


class UsageCounter:
    """Counts what the decisions between two times needed, by the roles of one policy set, into `usage`.

    `since` is part of the period, `until` is not; both in the form of the records. An explanation is no use.
    """

    def __init__(self, policy: PolicySet, since: str | None = None, until: str | None = None) -> None:
        self.usage = Usage()
        self._policy = policy
        self._since, self._until = since, until
        self._grants = {grant_id(grant): grant for grant in policy.grants}
        self._reached: dict[tuple[Pairs, str | None, str], tuple[frozenset[str], frozenset[str]]] = {}

    def take(self) -> Usage:
        """What was counted so far; the next record starts from zero."""
        taken, self.usage = self.usage, Usage()
        return taken

    def drop(self, number: int) -> None:
        """Counts decisions that the log says were not recorded."""
        self.usage.dropped += number

    def count(self, recorded: Recorded) -> None:
        """Counts one record."""
        usage = self.usage
        if (self._since and recorded.time < self._since) or (self._until and recorded.time >= self._until):
            usage.outside += 1
        elif recorded.route == EXPLAIN:
            usage.explanations += 1
        else:
            usage.count(recorded)
            grant = self._grants.get(recorded.grant["id"]) if recorded.grant is not None and recorded.allowed else None
            if grant is not None and recorded.held is not None:
                assigned, inherited = self._roles_used(recorded.held, recorded.domain, grant.grantee)
                usage.assigned.update(assigned)
                usage.inherited.update(inherited)

    def _roles_used(self, held: Pairs, domain: str | None, grantee: str) -> tuple[frozenset[str], frozenset[str]]:
        """The assigned roles through which a grantee is reached in a domain, and the roles between them and it."""
        key = (held, domain, grantee)
        known = self._reached.get(key)
        if known is None:
            if len(self._reached) >= MOST_ROLE_COMBINATIONS:
                self._reached.clear()
            known = self._reached[key] = self._find_roles_used(held, domain, grantee)
        return known

    def _find_roles_used(self, held: Pairs, domain: str | None, grantee: str) -> tuple[frozenset[str], frozenset[str]]:
        if domain is None:
            return frozenset(), frozenset()
        closure = self._policy.roles.closure
        effective_roles = EffectiveRoles.of(self._policy.roles, held)
        assigned = set()
        for role, where in effective_roles.held:
            if not self._policy.roles.names_given(role, where, domain).isdisjoint(parts_of(grantee)):
                assigned.add(role)
        leading = {
            name.removeprefix(ANY_PREFIX)
            for name in effective_roles.roles_in(domain)
            if not closure.get(name, frozenset()).isdisjoint(parts_of(grantee))
        }
        return frozenset(assigned), frozenset(leading - assigned)


def unused_grants(policy: PolicySet, usage: Usage) -> list[Grant]:
    """The grants that decided nothing, in the order of the policy set."""
    return [grant for grant in policy.grants if not usage.grants[grant_id(grant)]]


def unused_roles(policy: PolicySet, usage: Usage) -> list[str]:
    """The roles that gave nobody anything, neither assigned nor inherited, in the order of the policy set."""
    return [role for role in policy.roles.roles if not usage.assigned[role] and not usage.inherited[role]]


def roles_used_by_inheritance_alone(policy: PolicySet, usage: Usage) -> list[str]:
    """The roles that were of use only to who holds a stronger role, in the order of the policy set."""
    return [role for role in policy.roles.roles if not usage.assigned[role] and usage.inherited[role]]


def actions_never_asked(policy: PolicySet, usage: Usage) -> list[tuple[str, str]]:
    """The types and actions that no decision was about, in the order of the policy set."""
    return [
        (declared.name, action)
        for declared in policy.resource_types.values()
        for action in declared.actions
        if not usage.asked[declared.name, action]
    ]


def grants_gone(policy: PolicySet, usage: Usage) -> Iterable[str]:
    """The ids of grants that decided in the period and that the policy set does not hold."""
    known = {grant_id(grant) for grant in policy.grants}
    return sorted(id_ for id_ in usage.grants if id_ not in known)


def usage_as_json(policy: PolicySet, usage: Usage) -> dict[str, object]:
    """What was used and what was not, of a policy set, as programs read it."""
    return {
        "decisions": usage.decisions,
        "explanations": usage.explanations,
        "first": usage.first,
        "last": usage.last,
        "unused_grants": [
            {"id": grant_id(grant), "source": grant.source, "text": str(grant)} for grant in unused_grants(policy, usage)
        ],
        "unused_roles": unused_roles(policy, usage),
        "roles_used_by_inheritance_alone": roles_used_by_inheritance_alone(policy, usage),
        "actions_never_asked": [
            {"resource_type": type_, "action": action} for type_, action in actions_never_asked(policy, usage)
        ],
        "uses_of_roles": {
            role: {"assigned": usage.assigned[role], "inherited": usage.inherited[role]} for role in policy.roles.roles
        },
        "uses_of_grants": {grant_id(grant): usage.grants[grant_id(grant)] for grant in policy.grants},
        "grants_gone": list(grants_gone(policy, usage)),
    }


class LastUse:
    """Takes records in any order; keeps one time for each subject, and for each of its role assignments that was of use.

    A role assignment is of use when the grant that allowed is reached through it. Where that grant is not in the policy set
    any more, all role assignments that the record names count, so that none is called unused by mistake.
    """

    def __init__(self, policy: PolicySet) -> None:
        self.of_assignments: dict[tuple[str, str, str], str] = {}
        self.of_subjects: dict[str, str] = {}
        self._policy = policy
        self._grants = {grant_id(grant): grant for grant in policy.grants}
        self._reached: dict[tuple[Pairs, str, str], Pairs] = {}

    def count(self, recorded: Recorded) -> None:
        """Takes in one record; an explanation is no use, and a deny only says that its subject asked."""
        if recorded.request is None or recorded.route == EXPLAIN:
            return
        subject = f"{recorded.request.subject.type}:{recorded.request.subject.id}"
        self.of_subjects[subject] = max(self.of_subjects.get(subject, ""), recorded.time)
        if recorded.allowed and recorded.grant is not None and recorded.held and recorded.domain is not None:
            grant = self._grants.get(recorded.grant["id"])
            pairs = recorded.held if grant is None else self._through(recorded.held, recorded.domain, grant)
            for role, domain in pairs:
                key = (subject, role, domain)
                self.of_assignments[key] = max(self.of_assignments.get(key, ""), recorded.time)

    def _through(self, held: Pairs, domain: str, grant: Grant) -> Pairs:
        key = (held, domain, grant.grantee)
        known = self._reached.get(key)
        if known is None:
            if len(self._reached) >= MOST_ROLE_COMBINATIONS:
                self._reached.clear()
            roles = self._policy.roles
            counting = set(EffectiveRoles.of(roles, held).held)
            known = self._reached[key] = tuple(
                (role, where)
                for role, where in held
                if (roles.name_now(role), where) in counting
                and not roles.names_given(roles.name_now(role), where, domain).isdisjoint(parts_of(grant.grantee))
            )
        return known
