"""Which questions are alike: they differ by the name of what is asked alone, so what is found of one is true of all."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import count

from klausel.core.conditions.tree import Attribute, Condition, atoms, attributes_of
from klausel.core.policy.policy_set import PolicySet

NAMES_ASKED = (Attribute("resource", ("type",)), Attribute("action", ("name",)))
"""The attributes that a question itself says."""


class Shapes:
    """The shapes of the questions to one policy set: two with the same shape are answered alike, whoever asks them where."""

    def __init__(self, policy: PolicySet) -> None:
        self._policy = policy
        self._identified = {level.identified_by for level in policy.roles.levels}
        self._found: dict[tuple[str, str], Hashable] = {}
        self._numbers: dict[Condition, int | None] = {}
        self._known: dict[int, tuple[Condition, int | None]] = {}
        self._next = count()

    def shape(self, resource_type: str, action: str, condition: Condition | None) -> Hashable | None:
        """What a question, asked under a condition, has in common with those that are alike; None where it counts for itself."""
        question = (resource_type, action)
        if question not in self._found:
            self._found[question] = self._shape(resource_type, action)
        of_grants, of_condition = self._found[question], self._number(condition)
        return None if of_grants is None or of_condition is None else (of_grants, of_condition)

    def _shape(self, resource_type: str, action: str) -> Hashable | None:
        if resource_type in self._identified:
            # The id of such a resource names a domain.
            return None
        declared = self._policy.resource_types.get(resource_type)
        parts: list[Hashable] = [declared.asked_in.get(action) if declared else None]
        for grant in self._policy.grants_about(resource_type, action):
            number = self._number(grant.condition)
            if number is None:
                return None
            parts.append((grant.effect, grant.reach, number))
        return tuple(parts)

    def _number(self, condition: Condition | None) -> int | None:
        """A number that equal conditions share; None for one that reads what a question itself says."""
        if condition is None:
            return -1
        # Many grants share one tree; to go through it each time would cost more than all else here.
        known = self._known.get(id(condition))
        if known is None:
            if condition not in self._numbers:
                reads_names = any(name in NAMES_ASKED for atom in atoms(condition) for name in attributes_of(atom))
                self._numbers[condition] = None if reads_names else next(self._next)
            known = self._known[id(condition)] = (condition, self._numbers[condition])
        return known[1]
