"""Every case of a question: which of its grants hold together, for whom, where and however its conditions turn out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from klausel.core.analysis.question_space import Placement, domains_and_atoms, placements
from klausel.core.conditions.tree import Atom, Attribute, Comparison
from klausel.core.lint.least_role_combinations import LeastRoleCombinations
from klausel.core.lint.states import Mask, StateFinder, States, together, union
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import depth_of, top_domain
from klausel.core.terms.places import EVERY, EVERYWHERE

MOST_ROLE_COMBINATIONS = 50
MOST_PLACEMENTS = 5_000


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


@dataclass(frozen=True, slots=True)
class PlacementCase:
    """A question asked in one placement: the grants whose place covers it, by grantee, and the states of their conditions."""

    placement: Placement
    by_grantee: Mapping[str, Mask]
    grantees: frozenset[str]
    covering: Mask
    states: tuple[States, ...]

    @property
    def depth(self) -> int:
        """How many levels the domain names; 0 for none."""
        return 0 if self.placement.domain is None else depth_of(self.placement.domain)

    def reached(self, names: Iterable[str]) -> Mask:
        """The grants for grantees of these names."""
        return union(self.by_grantee[name] for name in names)


class CaseFinder:
    """Finds the cases of questions of one policy set; remembers what questions share."""

    def __init__(self, policy: PolicySet) -> None:
        self._policy = policy
        self._states = StateFinder()
        self.resolved_roles = LeastRoleCombinations(policy.roles)
        self._placement_cases: dict[tuple[str, str], tuple[PlacementCase, ...]] = {}
        self._pairs: dict[tuple[int, frozenset[str]], frozenset[frozenset[str]]] = {}

    def cases(self, resource_type: str, action: str) -> Cases:
        """The cases about one type and action."""
        grants = self._policy.grants_about(resource_type, action)
        allows = union(1 << position for position, grant in enumerate(grants) if grant.effect == "allow")
        denies = union(1 << position for position, grant in enumerate(grants) if grant.effect == "deny")
        alone: set[Mask] = set()
        paired: set[Mask] = set()
        for here in self.placement_cases(resource_type, action):
            least = self.resolved_roles.least(here.depth, here.grantees)
            reach = {here.reached(names) for names in least}
            holding = together([(one.covered, one.fewest, one.all) for one in here.states])
            alone |= {mask & reached for mask in holding for reached in reach}
            if here.covering & denies:
                holding = together([(one.covered, one.fewest_denies, one.all_for_denies) for one in here.states])
                if len(least) > MOST_ROLE_COMBINATIONS:
                    paired |= {mask & (reached | allows) for mask in holding for reached in reach}
                else:
                    both = {here.reached(names) for names in self._two(here.depth, here.grantees, least)}
                    paired |= {mask & reached for mask in holding for reached in both}
        return Cases(grants, frozenset(alone), frozenset(paired), allows, denies)

    def placement_cases(self, resource_type: str, action: str) -> tuple[PlacementCase, ...]:
        """Where a question about one type and action can be asked; a place may come repeatedly."""
        found = self._placement_cases.get((resource_type, action))
        if found is None:
            found = tuple(self._find_placement_cases(resource_type, action))
            self._placement_cases[resource_type, action] = found
        return found

    def _find_placement_cases(self, resource_type: str, action: str) -> Iterator[PlacementCase]:
        grants = self._policy.grants_about(resource_type, action)
        tops = [top_domain(grant.scope.domain or EVERYWHERE) for grant in grants]
        everywhere = [position for position, top in enumerate(tops) if top == EVERY]
        by_top: dict[str, list[int]] = {}
        for position, top in enumerate(tops):
            if top != EVERY:
                by_top.setdefault(top, []).append(position)
        for inside in by_top.values() or [[]]:
            positions = sorted([*everywhere, *inside])
            domains, all_atoms = domains_and_atoms(grants[position] for position in positions)
            for placement in self._placements(resource_type, action, domains, dict.fromkeys(all_atoms), len(by_top)):
                covering = [
                    position for position in positions if grants[position].scope.covers(placement.domain, self._policy.roles)
                ]
                yield self._placement_case(placement, [(1 << position, grants[position]) for position in covering])

    def _placements(
        self, resource_type: str, action: str, domains: Collection[str], all_atoms: Collection[Atom], times: int
    ) -> Iterator[Placement]:
        """The placements of a question. Where conditions name too many domains, these are not told apart."""
        size = max(times, 1)
        for level in self._policy.roles.levels:
            named = Attribute("resource", (level.named_by or "id",))
            size *= 1 + sum(_literals_beside(named, atom) for atom in all_atoms)
        if size <= MOST_PLACEMENTS:
            yield from placements(self._policy, resource_type, action, domains, all_atoms)
            return
        for placement in placements(self._policy, resource_type, action, domains, ()):
            sure = (Attribute("resource", ("type",)), Attribute("action", ("name",)))
            yield Placement(placement.domain, {name: placement.known[name] for name in sure})

    def _placement_case(self, placement: Placement, here: Sequence[tuple[Mask, Grant]]) -> PlacementCase:
        by_grantee: dict[str, Mask] = {}
        for bit, grant in here:
            by_grantee[grant.grantee] = by_grantee.get(grant.grantee, 0) | bit
        states = tuple(self._states.states(here, placement))
        return PlacementCase(placement, by_grantee, frozenset(by_grantee), union(by_grantee.values()), states)

    def can_hold(self, grant: Grant) -> bool:
        """Whether the condition of a grant lets it hold anywhere where its place covers; True where that is not to be told."""
        bit = 1 << self._policy.grants_about(grant.resource_type, grant.action).index(grant)
        for here in self.placement_cases(grant.resource_type, grant.action):
            if here.covering & bit:
                (states,) = self._states.states([(bit, grant)], here.placement)
                if any(mask & bit for mask in states.all):
                    return True
        return False

    def _two(self, depth: int, wanted: frozenset[str], least: frozenset[frozenset[str]]) -> frozenset[frozenset[str]]:
        found = self._pairs.get((depth, wanted))
        if found is None:
            self._pairs[depth, wanted] = found = frozenset(one | other for one in least for other in least)
        return found


def _literals_beside(attribute: Attribute, atom: Atom) -> int:
    """With how many values an atom compares an attribute."""
    if not isinstance(atom, Comparison) or attribute not in (atom.left, atom.right):
        return 0
    return sum(len(getattr(side, "items", (side,))) for side in (atom.left, atom.right)) - 1
