"""When each role assignment was last of use: the last recorded allow that it gave to its subject."""

from __future__ import annotations

from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import parts_of
from klausel.core.records.decision_record import grant_id
from klausel.core.records.recorded import Pairs, Recorded
from klausel.core.replay.replay import MOST_ROLE_COMBINATIONS
from klausel.core.replay.unused import EXPLAIN


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
