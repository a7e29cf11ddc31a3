"""Every case of a question: which of its grants hold together, for whom, where and however its conditions turn out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from klausel.core.condition import Condition, atoms, with_one_spelling
from klausel.core.lint.least_standings import LeastStandings
from klausel.core.policy import Grant, PolicySet
from klausel.core.question_space import Spot, spots
from klausel.core.roles import depth_of, top_domain
from klausel.core.truth_space import TruthSpace, most_steps, truth_space

MOST_STEPS = 5_000
MOST_STANDINGS = 200
Mask = int


@dataclass(frozen=True, slots=True)
class Cases:
    """The cases about one (resource type, action). A mask has one bit for each of `grants`, in their order.

    `alone` are the grants that hold together for subjects with one role, `paired` with two; more roles only add bits.
    Where there were too many cases to tell, some of these cannot be, but all that can be are there, or one with fewer
    bits (for `paired`: fewer denies) in its stead.
    """

    grants: tuple[Grant, ...]
    alone: frozenset[Mask]
    paired: frozenset[Mask]
    allows: Mask
    denies: Mask


@dataclass(frozen=True, slots=True)
class Situation:
    """A question asked in one spot: the grants whose place covers it, by grantee, and the ways in which they hold together.

    `holding` is None where conditions can turn out in too many ways to tell.
    """

    spot: Spot
    by_grantee: Mapping[str, Mask]
    grantees: frozenset[str]
    covering: Mask
    holding: frozenset[Mask] | None

    @property
    def depth(self) -> int:
        """How many levels the domain names; 0 for none."""
        return 0 if self.spot.domain is None else depth_of(self.spot.domain)

    def reached(self, names: Iterable[str]) -> Mask:
        """The grants for grantees of these names."""
        return union(self.by_grantee[name] for name in names)


class CaseFinder:
    """Finds the cases of questions of one policy set; remembers what questions share."""

    def __init__(self, policy: PolicySet) -> None:
        self._policy = policy
        self.standings = LeastStandings(policy.roles)
        self._truths: dict[Any, tuple[tuple[bool | None, ...], ...] | None] = {}
        self._situations: dict[tuple[str, str], tuple[Situation, ...]] = {}
        self._pairs: dict[tuple[int, frozenset[str]], frozenset[frozenset[str]]] = {}
        self._spellings: dict[int, str] = {}

    def cases(self, resource_type: str, action: str) -> Cases:
        """The cases about one type and action."""
        grants = self._policy.grants_about(resource_type, action)
        allows = union(1 << position for position, grant in enumerate(grants) if grant.effect == "allow")
        denies = union(1 << position for position, grant in enumerate(grants) if grant.effect == "deny")
        alone: set[Mask] = set()
        paired: set[Mask] = set()
        for here in self.situations(resource_type, action):
            least = self.standings.least(here.depth, here.grantees)
            reach = {here.reached(names) for names in least}
            has_denies = bool(here.covering & denies)
            if here.holding is None or (has_denies and len(least) > MOST_STANDINGS):
                worst = self._at_worst(here, grants)
                alone |= {mask & reached for mask in worst for reached in reach}
                paired |= {mask & reached | allows for mask in worst for reached in reach}
                continue
            alone |= {mask & reached for mask in here.holding for reached in reach}
            if has_denies:
                both = {here.reached(names) for names in self._two(here.depth, here.grantees, least)}
                paired |= {mask & reached for mask in here.holding for reached in both}
        return Cases(grants, frozenset(alone), frozenset(paired), allows, denies)

    def situations(self, resource_type: str, action: str) -> tuple[Situation, ...]:
        """Where a question about one type and action can be asked; a place may come repeatedly."""
        found = self._situations.get((resource_type, action))
        if found is None:
            found = tuple(self._find_situations(resource_type, action))
            self._situations[resource_type, action] = found
        return found

    def _find_situations(self, resource_type: str, action: str) -> Iterator[Situation]:
        grants = self._policy.grants_about(resource_type, action)
        everywhere = [position for position, grant in enumerate(grants) if grant.scope.domain is None]
        by_top: dict[str, list[int]] = {}
        for position, grant in enumerate(grants):
            if grant.scope.domain is not None:
                by_top.setdefault(top_domain(grant.scope.domain), []).append(position)
        for inside in by_top.values() or [[]]:
            together = sorted([*everywhere, *inside])
            domains = {domain for position in inside if (domain := grants[position].scope.domain) is not None}
            all_atoms = [atom for position in together if (tree := grants[position].condition) for atom in atoms(tree)]
            for spot in spots(self._policy, resource_type, action, domains, dict.fromkeys(all_atoms)):
                covering = [
                    position for position in together if grants[position].scope.covers(spot.domain, self._policy.roles)
                ]
                yield self._situation(spot, [(1 << position, grants[position]) for position in covering])

    def _situation(self, spot: Spot, here: Sequence[tuple[Mask, Grant]]) -> Situation:
        by_grantee: dict[str, Mask] = {}
        for bit, grant in here:
            by_grantee[grant.grantee] = by_grantee.get(grant.grantee, 0) | bit
        always = union(bit for bit, grant in here if grant.condition is None)
        holding = self._holding([(bit, grant) for bit, grant in here if grant.condition is not None], spot)
        whole = None if holding is None else frozenset(always | mask for mask in holding)
        return Situation(spot, by_grantee, frozenset(by_grantee), union(by_grantee.values()), whole)

    def can_hold(self, grant: Grant) -> bool:
        """Whether the condition of a grant lets it hold anywhere where its place covers; True where that is not to be told."""
        if grant.condition is None:
            return True
        bit = 1 << self._policy.grants_about(grant.resource_type, grant.action).index(grant)
        for here in self.situations(grant.resource_type, grant.action):
            if here.covering & bit:
                truths = self._outcomes((grant.condition,), here.spot)
                if truths is None or any(_holds(grant, one[0]) for one in truths):
                    return True
        return False

    def _two(self, depth: int, wanted: frozenset[str], least: frozenset[frozenset[str]]) -> frozenset[frozenset[str]]:
        found = self._pairs.get((depth, wanted))
        if found is None:
            self._pairs[depth, wanted] = found = frozenset(one | other for one in least for other in least)
        return found

    def _holding(self, conditional: Sequence[tuple[Mask, Grant]], spot: Spot) -> set[Mask] | None:
        """Which grants with a condition hold together; None when there are too many ways to tell."""
        trees = tuple({id(grant.condition): grant.condition for _, grant in conditional if grant.condition}.values())
        if not trees:
            return {0}
        outcomes = self._outcomes(trees, spot)
        if outcomes is None:
            return None
        positions = {id(tree): position for position, tree in enumerate(trees)}
        found = set()
        for truths in outcomes:
            found.add(union(bit for bit, grant in conditional if _holds(grant, truths[positions[id(grant.condition)]])))
        return found

    def _outcomes(self, trees: tuple[Condition, ...], spot: Spot) -> tuple[tuple[bool | None, ...], ...] | None:
        """The ways in which conditions turn out together in a spot; None when there are too many."""
        all_atoms = tuple(dict.fromkeys(atom for tree in trees for atom in atoms(tree)))
        named = {side for atom in all_atoms for side in (getattr(atom, "left", None), getattr(atom, "right", None))}
        named |= {getattr(atom, "attribute", None) for atom in all_atoms}
        known = {name: values for name, values in spot.known.items() if name in named}
        key = (tuple(map(id, trees)), tuple(known.items()))
        if key not in self._truths:
            if most_steps(all_atoms, spot.known) > MOST_STEPS:
                self._truths[key] = None
            else:
                self._truths[key] = _truths(trees, truth_space(all_atoms, spot.known))
        return self._truths[key]

    def _at_worst(self, here: Situation, grants: Sequence[Grant]) -> set[Mask]:
        """For each condition, the grants that hold whenever it does, whatever the others are: those alike, and those without."""
        spelt: dict[str, Mask] = {"": 0}
        for position, grant in enumerate(grants):
            if here.covering & 1 << position:
                text = self._spelling(grant.condition)
                spelt[text] = spelt.get(text, 0) | 1 << position
        return {mask | spelt[""] for mask in spelt.values()}

    def _spelling(self, condition: Condition | None) -> str:
        if condition is None:
            return ""
        if id(condition) not in self._spellings:
            self._spellings[id(condition)] = str(with_one_spelling(condition))
        return self._spellings[id(condition)]


def _truths(trees: Sequence[Condition], space: TruthSpace) -> tuple[tuple[bool | None, ...], ...]:
    return tuple({tuple(space.value(tree, outcome.truths) for tree in trees): None for outcome in space.outcomes})


def _holds(grant: Grant, truth: bool | None) -> bool:
    return truth is True if grant.effect == "allow" else truth is not False


def union(masks: Iterable[Mask]) -> Mask:
    """The bits that are in at least one of the masks."""
    found = 0
    for mask in masks:
        found |= mask
    return found
