"""What invariants demand, case by case, and whether one demands more than another: proved, not read off their words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

from klausel.core.analysis.decision_table import Remembered, Wanted, views
from klausel.core.conditions.outcomes import TooManyCases, TruthSpace
from klausel.core.conditions.tree import with_one_spelling
from klausel.core.policy.invariant import OUTSIDER, Invariant, Thing
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, RoleModel

Direction = Literal["same", "stronger", "weaker", "other"]

_Demand = Literal["allow", "deny"]


def is_spoken_of(who: str, names: frozenset[str], roles: RoleModel) -> bool:
    """Whether `never: who` speaks of those who reach these names: they hold that role, and none that contains it."""
    if who == ANYONE:
        return True
    if who == OUTSIDER:
        return names <= {ANYONE}
    reaches = who in names if who.startswith(ANY_PREFIX) else not names.isdisjoint({who, ANY_PREFIX + who})
    return reaches and names.isdisjoint(stronger_names(roles, who))


def stronger_names(roles: RoleModel, who: str) -> frozenset[str]:
    """The roles that contain a role, and their `any` forms; nothing for `anyone` and `outsider`."""
    role = who.removeprefix(ANY_PREFIX)
    if role not in roles.roles:
        return frozenset()
    stronger = [name for name in roles.roles if name != role and role in roles.reach[name]]
    return frozenset(itertools.chain(stronger, (ANY_PREFIX + name for name in stronger)))


def names_told_apart(invariant: Invariant, roles: RoleModel) -> Iterator[str]:
    """The names that the words of an invariant tell apart, beside those that grants name."""
    yield ANYONE
    for who in invariant.who:
        yield who
        yield from stronger_names(roles, who)
        yield from (who.removeprefix(ANY_PREFIX), ANY_PREFIX + who.removeprefix(ANY_PREFIX))
    if OUTSIDER in invariant.who:
        yield from roles.inheritance


def demand_on(invariant: Invariant, names: frozenset[str], roles: RoleModel) -> _Demand | None:
    """What `never`, `always` or `at_most` demands of those who reach these names; None where it leaves them alone."""
    if invariant.kind == "always":
        return None if names.isdisjoint(invariant.who) else "allow"
    if invariant.kind == "at_most":
        return "deny" if names.isdisjoint(invariant.who) else None
    return "deny" if any(is_spoken_of(who, names, roles) for who in invariant.who) else None


def direction_of(before: Invariant, after: Invariant, policy: PolicySet) -> Direction:
    """Whether the second demands more than the first of whoever the roles of a policy set allow, less, as much, or other things.

    Gone through are all combinations of roles, all placements, and all outcomes of both conditions.
    """
    if says_the_same(before, after):
        return "same"
    by_role = {"never", "always", "at_most"}
    kinds = {before.kind, after.kind}
    if not kinds <= by_role and (len(kinds) > 1 or not _same_pairs(before, after)):
        return "other"
    try:
        more, less = _compared(before, after, policy, by_role=kinds <= by_role)
    except TooManyCases:
        return "other"
    if more and less:
        return "other"
    return "stronger" if more else "weaker" if less else "same"


def says_the_same(one: Invariant, other: Invariant) -> bool:
    """Whether invariants say the same in the same words, whatever they are called."""
    return _words(one) == _words(other)


def _words(invariant: Invariant) -> tuple[object, ...]:
    condition = None if invariant.condition is None else with_one_spelling(invariant.condition)
    fitted = frozenset((type_, with_one_spelling(one)) for type_, one in invariant.fitted.items())
    return invariant.kind, frozenset(invariant.who), frozenset(invariant.things), invariant.scope, condition, fitted


def _same_pairs(before: Invariant, after: Invariant) -> bool:
    """Whether invariants that speak of pairs speak of the same; `monotone` speaks of the pairs of the roles themselves."""
    if before.kind == "monotone":
        return True
    return set(before.who) == set(after.who) and set(before.things) == set(after.things)


def _compared(before: Invariant, after: Invariant, policy: PolicySet, by_role: bool) -> tuple[bool, bool]:
    """Whether the second demands anything that the first does not, and the other way round."""
    both = (before, after)
    names = frozenset(name for one in both for name in names_told_apart(one, policy.roles)) if by_role else frozenset()
    remembered = Remembered(policy, policy)
    more = less = False
    for thing in dict.fromkeys((*before.things, *after.things)):
        conditions = tuple(found for one in both if (found := one.condition_on(thing.resource_type)) is not None)
        wanted = Wanted(names, conditions, (before.scope, after.scope))
        for view in views(policy, policy, (thing.resource_type, thing.action), wanted, remembered):
            domains = view.placement.domains
            old, new = (_outcomes(one, thing, domains[0] if domains else None, view.space, policy.roles) for one in both)
            if not by_role:
                more, less = more or bool(new & ~old), less or bool(old & ~new)
                continue
            for reached in {one.before for one in view.role_combinations}:
                demands = [demand_on(one, reached, policy.roles) for one in both]
                in_old, in_new = old if demands[0] else 0, new if demands[1] else 0
                if demands[0] and demands[1] and demands[0] != demands[1]:
                    more, less = more or bool(in_new), less or bool(in_old)
                more, less = more or bool(in_new & ~in_old), less or bool(in_old & ~in_new)
    return more, less


def _outcomes(invariant: Invariant, thing: Thing, domain: str | None, space: TruthSpace, roles: RoleModel) -> int:
    """The outcomes in which an invariant speaks of a thing asked somewhere, as bits."""
    if thing not in invariant.things or not invariant.scope.covers(domain, roles):
        return 0
    return space.true_and_false(invariant.condition_on(thing.resource_type))[0]
