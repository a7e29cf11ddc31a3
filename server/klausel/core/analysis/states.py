"""The outcomes of a decision table in parts: in which ways grants can hold together, where that is too much to tell as a whole.

Conditions that share no attribute turn out independently, so the states of each such component are found alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from klausel.core.conditions.outcomes import Known, TooManyCases, most_steps, truth_space, union
from klausel.core.conditions.tree import Attribute, Condition, atoms, attributes_of, with_one_spelling
from klausel.core.policy.policy_set import Grant

MOST_TOGETHER = 256
Mask = int
"""A set of grants: one bit for each, by position."""
_Truths = tuple[tuple[bool | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a table in parts goes through: beyond these, what it says is less exact, and it says so; it never raises.

    `placements` are those of one question, beyond which domains in conditions are not told apart. The others are for one
    component: its atoms, the steps to find how they turn out, in how many ways they do together, and its states.
    """

    placements: int = 5_000
    atoms: int = 30
    steps: int = 10_000
    ways: int = 20_000
    states: int = 300


@dataclass(frozen=True, slots=True)
class States:
    """The states of one component: the grants that have to do with it, and each set of them that can hold together.

    `fewest` are those that hold none in vain: no other is a part of them. `fewest_denies` are those with no more denies and no
    fewer allows than others. Where there are too many states to tell (`is_exact` False), `all` and `all_for_denies` hold for each
    condition what must hold with it, and so at least one state below every real one.
    """

    covered: Mask
    all: frozenset[Mask]
    all_for_denies: frozenset[Mask]
    fewest: tuple[Mask, ...]
    fewest_denies: tuple[Mask, ...]
    is_exact: bool


class StateFinder:
    """Finds the states of grants where something is known of the resource; remembers what conditions share."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._truths: dict[Any, _Truths | None] = {}
        self._roots: dict[int, frozenset[tuple[str, str]]] = {}
        self._spellings: dict[int, str] = {}

    def states(self, here: Sequence[tuple[Mask, Grant]], known: Known) -> Iterator[States]:
        """The states of these grants, component by component; those without a condition first, as one."""
        always = union(bit for bit, grant in here if grant.condition is None)
        if always:
            only = frozenset({always})
            yield States(always, only, only, (always,), (always,), True)
        for component in self._components([(bit, grant) for bit, grant in here if grant.condition is not None]):
            yield self._states(component, known)

    def _components(self, here: Sequence[tuple[Mask, Grant]]) -> Iterable[list[tuple[Mask, Grant]]]:
        """The grants apart where their conditions share no attribute, not even a part of one."""
        at: dict[tuple[str, str], int] = {}
        members: dict[int, list[tuple[Mask, Grant]]] = {}
        for number, (bit, grant) in enumerate(here):
            assert grant.condition is not None
            shared = {at[root] for root in self._roots_of(grant.condition) if root in at}
            target = min(shared, default=number)
            members.setdefault(target, []).append((bit, grant))
            at.update(dict.fromkeys(self._roots_of(grant.condition), target))
            for other in shared - {target}:
                members[target] += members.pop(other)
                at.update({root: target for root, old in at.items() if old == other})
        return members.values()

    def _roots_of(self, condition: Condition) -> frozenset[tuple[str, str]]:
        """The attributes of a condition, each by its first part: `resource.owner` for `resource.owner.name`."""
        found = self._roots.get(id(condition))
        if found is None:
            named = (attribute for atom in atoms(condition) for attribute in attributes_of(atom))
            self._roots[id(condition)] = found = frozenset((one.root, one.path[0]) for one in named)
        return found

    def _states(self, here: Sequence[tuple[Mask, Grant]], known: Known) -> States:
        covered = union(bit for bit, _ in here)
        allows = union(bit for bit, grant in here if grant.effect == "allow")
        trees = tuple({id(grant.condition): grant.condition for _, grant in here if grant.condition}.values())
        truths = self._outcomes(trees, known)
        if truths is not None:
            positions = {id(tree): position for position, tree in enumerate(trees)}
            found = frozenset(
                union(bit for bit, grant in here if grant.holds(one[positions[id(grant.condition)]])) for one in truths
            )
            if len(found) <= self._bounds.states:
                return States(covered, found, found, _fewest(found), _fewest(found, lambda mask: mask ^ allows), True)
        spelt: dict[str, Mask] = {}
        for bit, grant in here:
            text = self._spelling(grant.condition)
            spelt[text] = spelt.get(text, 0) | bit
        at_worst = frozenset({0, *spelt.values()})
        return States(covered, at_worst, frozenset(mask | allows for mask in at_worst), (0,), (allows,), False)

    def _outcomes(self, trees: tuple[Condition, ...], every: Known) -> _Truths | None:
        """The ways in which conditions turn out together in a placement; None when there are too many."""
        named = {Attribute(root, (first,)) for tree in trees for root, first in self._roots_of(tree)}
        known = {name: values for name, values in every.items() if name in named}
        key = (tuple(map(id, trees)), tuple(known.items()))
        if key not in self._truths:
            self._truths[key] = self._find_outcomes(trees, every)
        return self._truths[key]

    def _find_outcomes(self, trees: tuple[Condition, ...], known: Known) -> _Truths | None:
        all_atoms = tuple(dict.fromkeys(atom for tree in trees for atom in atoms(tree)))
        if len(all_atoms) > self._bounds.atoms or most_steps(all_atoms, known) > self._bounds.steps:
            return None
        try:
            return truth_space(all_atoms, known, self._bounds.ways).together(trees)
        except TooManyCases:
            return None

    def _spelling(self, condition: Condition | None) -> str:
        if id(condition) not in self._spellings:
            self._spellings[id(condition)] = str(with_one_spelling(condition)) if condition else ""
        return self._spellings[id(condition)]


def together(components: Sequence[tuple[Mask, Sequence[Mask], Collection[Mask]]]) -> set[Mask]:
    """Each state of each component, given as (its grants, its least states, its states), with least states of all others."""
    single = union(least[0] for _, least, _ in components if len(least) == 1)
    several = {covered: least for covered, least, _ in components if len(least) > 1}
    size = 1
    for least in several.values():
        size *= len(least)
    if size > MOST_TOGETHER:
        several = {covered: (_common(least),) for covered, least in several.items()}
    of_all = [union(chosen) for chosen in itertools.product(*several.values())]
    found: set[Mask] = set(of_all) if not components else set()
    for covered, _, states in components:
        found |= {(single | rest) & ~covered | state for state in states for rest in set(of_all)}
    return found


def everything_together(components: Sequence[States], most: int) -> set[Mask] | None:
    """Every state of all components together; None when there are too many to tell, or more than `most`."""
    size = 1
    for one in components:
        size *= len(one.all)
        if not one.is_exact or size > most:
            return None
    return {union(chosen) for chosen in itertools.product(*(one.all for one in components))}


def _common(masks: Iterable[Mask]) -> Mask:
    found = -1
    for mask in masks:
        found &= mask
    return found


def _fewest(masks: Collection[Mask], cost: Callable[[Mask], Mask] = lambda mask: mask) -> tuple[Mask, ...]:
    """The masks of which no other costs a part only."""
    found: list[Mask] = []
    for mask in sorted(masks, key=lambda mask: (cost(mask).bit_count(), mask)):
        if not any(cost(other) & ~cost(mask) == 0 for other in found):
            found.append(mask)
    return tuple(found)
