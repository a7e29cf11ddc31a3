"""What two policy sets demand beside their decisions, rules on role assignments and invariants, and which way it moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from klausel.core.analysis.demands import Direction, direction_of, says_the_same
from klausel.core.policy.invariant import Invariant
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.provisioning import Provisioning
from klausel.core.policy.roles import RoleModel

Movement = Literal["stronger", "weaker", "other"]
"""Whether more is demanded than before, less, or something else."""

_SENTENCES: dict[Direction, str] = {
    "stronger": 'the invariant "{}" is stronger: it demands more than before',
    "weaker": 'the invariant "{}" is weaker: it demands less than before',
    "other": 'the invariant "{}" demands something else',
}


@dataclass(frozen=True, slots=True)
class ChangedRule:
    """A rule or an invariant that demands more, less or other things; with the roles, types and actions that it is about."""

    text: str
    movement: Movement
    roles: tuple[str, ...]
    things: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.text

    def as_json(self) -> dict[str, str]:
        """The change as programs read it."""
        return {"text": self.text, "movement": self.movement}


def changed_rules(before: PolicySet, after: PolicySet) -> tuple[ChangedRule, ...]:
    """What is demanded otherwise: rules on role assignments, who is given roles by a provider, then invariants by their names."""
    return (
        *changed_rules_of_roles(before.roles, after.roles),
        *changed_provisioning(before.provisioning, after.provisioning),
        *changed_invariants(before, after),
    )


def changed_rules_of_roles(before: RoleModel, after: RoleModel) -> Iterator[ChangedRule]:
    """What changed in the rules on role assignments: who must be there, who is told as privileged, who must not hold both."""
    for name, role in before.roles.items():
        other = after.roles.get(name)
        if other is not None and other.keep_one != role.keep_one:
            now = "is now kept" if other.keep_one else "is no longer kept"
            text = f"keep_one: the last {name} {now} from being revoked ({other.place.source})"
            yield ChangedRule(text, "stronger" if other.keep_one else "weaker", (name,))
        if other is not None and other.is_privileged != role.is_privileged:
            now = "is now told as privileged" if other.is_privileged else "is no longer told as privileged"
            text = f"privileged: whoever holds {name} {now} ({other.place.source})"
            yield ChangedRule(text, "stronger" if other.is_privileged else "weaker", (name,))
    pairs = [{frozenset(pair): pair for pair in roles.separate} for roles in (before, after)]
    for pair in pairs[0].keys() - pairs[1].keys():
        yield ChangedRule(f"separate: somebody may now hold both {' and '.join(pairs[0][pair])}", "weaker", pairs[0][pair])
    for pair in pairs[1].keys() - pairs[0].keys():
        yield ChangedRule(f"separate: nobody may hold both {' and '.join(pairs[1][pair])}", "stronger", pairs[1][pair])


def changed_provisioning(before: Provisioning | None, after: Provisioning | None) -> Iterator[ChangedRule]:
    """What changed in who is given which roles by an identity provider."""
    if (before is None) != (after is None):
        now = "may now send people and groups" if before is None else "may send nobody any more"
        yield ChangedRule(f"provisioning: identity providers {now}", "weaker" if before is None else "stronger", ())
    if before is not None and after is not None:
        old, new = ((one.subject_type, one.subject_from) for one in (before, after))
        if old != new:
            text = f"provisioning: people are now {new[0]} subjects by {new[1]}, no longer {old[0]} subjects by {old[1]}"
            yield ChangedRule(text, "other", ())
        if before.leavers_lose != after.leavers_lose:
            what = "everything" if after.leavers_lose == "everything" else "only the memberships that came by the provider"
            movement: Movement = "stronger" if after.leavers_lose == "everything" else "weaker"
            yield ChangedRule(f"provisioning: who leaves now loses {what}", movement, ())
    given, gives = ({one.name: one for one in policy.groups} if policy else {} for policy in (before, after))
    for name in sorted({*given, *gives}):
        lost, got = (set(one[name].roles) if name in one else set() for one in (given, gives))
        for role, domain in sorted(lost - got):
            text = f'provisioning: groups called "{name}" no longer give {role} in {domain} ({given[name].place.source})'
            yield ChangedRule(text, "stronger", (role,))
        for role, domain in sorted(got - lost):
            text = f'provisioning: groups called "{name}" now give {role} in {domain} ({gives[name].place.source})'
            yield ChangedRule(text, "weaker", (role,))


def changed_invariants(before: PolicySet, after: PolicySet) -> Iterator[ChangedRule]:
    """The invariants that are gone, new, or demand other things than the one of their name did.

    One that is called otherwise and says the same is none of them, nor is one of all types or actions where some came or went.
    """
    if before.invariants is after.invariants:
        return
    old, new = ([_of_both(one, before, after) for one in policy.invariants] for policy in (before, after))
    became = _paired(old, new)
    for invariant in old:
        other = became.get(id(invariant))
        if other is None:
            text = f'the invariant "{invariant.name}" is demanded no more (it stood at {invariant.place.source})'
            yield ChangedRule(text, "weaker", invariant.who, _things(invariant))
            continue
        moved = direction_of(invariant, other, after)
        if moved != "same":
            text = f"{_SENTENCES[moved].format(invariant.name)} ({other.place.source})"
            yield ChangedRule(text, moved, (*invariant.who, *other.who), (*_things(invariant), *_things(other)))
    known = {id(other) for other in became.values()}
    for invariant in new:
        if id(invariant) not in known:
            text = f'the invariant "{invariant.name}" is new ({invariant.place.source})'
            yield ChangedRule(text, "stronger", invariant.who, _things(invariant))


def _paired(old: Sequence[Invariant], new: Sequence[Invariant]) -> dict[int, Invariant]:
    """What each invariant became, by its `id`: the one that says the same, of its name before others; else the one of its name.

    Several may have one name, where none is written: it is then made of what they demand of whom.
    """
    found: dict[int, Invariant] = {}
    left = list(new)
    for same_words, same_name in ((True, True), (True, False), (False, True)):
        for one in old:
            if id(one) in found:
                continue
            for place, other in enumerate(left):
                if (not same_name or other.name == one.name) and (not same_words or says_the_same(one, other)):
                    found[id(one)] = left.pop(place)
                    break
    return found


def _things(invariant: Invariant) -> tuple[tuple[str, str], ...]:
    return tuple((thing.resource_type, thing.action) for thing in invariant.things)


def _of_both(invariant: Invariant, before: PolicySet, after: PolicySet) -> Invariant:
    """An invariant without what it speaks of on one side only, because it speaks of all that is declared."""
    if not invariant.of_all:
        return invariant
    old, new = before.resource_types, after.resource_types

    def is_there(type_: str, action: str) -> bool:
        if type_ in old and type_ in new:
            return "to" not in invariant.of_all or (action in old[type_].actions and action in new[type_].actions)
        return "resource" not in invariant.of_all

    return replace(invariant, things=tuple(one for one in invariant.things if is_there(one.resource_type, one.action)))
