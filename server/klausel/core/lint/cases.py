"""The cases of a question, read from its decision table: which of its grants hold together, with nothing to spare."""

from __future__ import annotations

from dataclasses import dataclass

from klausel.core.analysis.decision_table import PartedTables
from klausel.core.analysis.states import Mask, together
from klausel.core.conditions.outcomes import union
from klausel.core.policy.policy_set import Grant, PolicySet

MOST_ROLE_COMBINATIONS = 50


@dataclass(frozen=True, slots=True)
class Cases:
    """The cases about one (resource type, action). A mask has one bit for each of `grants`, in their order.

    `alone` are the grants that hold together for subjects with one role, `paired` with two: those cases that have nothing
    to spare, so that all others only allow or deny by more grants (for `paired`: deny by more, allow by fewer). Where there
    were too many to tell, cases that cannot be stand for them, with still less to spare.
    """

    grants: tuple[Grant, ...]
    alone: frozenset[Mask]
    paired: frozenset[Mask]
    allows: Mask
    denies: Mask


def cases_of(policy: PolicySet, tables: PartedTables, resource_type: str, action: str) -> Cases:
    """The cases about one type and action."""
    grants = policy.grants_about(resource_type, action)
    allows = union(1 << position for position, grant in enumerate(grants) if grant.effect == "allow")
    denies = union(1 << position for position, grant in enumerate(grants) if grant.effect == "deny")
    alone: set[Mask] = set()
    paired: set[Mask] = set()
    for view in tables.views(resource_type, action):
        least = tables.least.least(view.depth, view.grantees)
        reach = {view.reached(names) for names in least}
        holding = together([(one.covered, one.fewest, one.all) for one in view.states])
        alone |= {mask & reached for mask in holding for reached in reach}
        if view.covering & denies:
            holding = together([(one.covered, one.fewest_denies, one.all_for_denies) for one in view.states])
            if len(least) > MOST_ROLE_COMBINATIONS:
                paired |= {mask & (reached | allows) for mask in holding for reached in reach}
            else:
                both = {view.reached(names) for names in tables.least.pairs(view.depth, view.grantees)}
                paired |= {mask & reached for mask in holding for reached in both}
    return Cases(grants, frozenset(alone), frozenset(paired), allows, denies)
