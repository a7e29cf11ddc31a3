"""The decision table of a question: where it may be asked, who can ask it, how its conditions turn out, and what holds then.

It is read in two ways, over the same placements. `views` is exact, over one policy set or over two side by side: every
combination of roles, and every outcome of all conditions together, as the bits of numbers, so that what is allowed is found
for all of them at once. `PartedTables` are for what the least combinations of roles settle, about so many grants that the whole
is too much: the states of conditions component by component, within bounds, with grants as the bits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from klausel.core.analysis.alike import NAMES_ASKED, Shapes
from klausel.core.analysis.both_sides import (
    Asked,
    PlacementOfBoth,
    RoleCombinationOfBoth,
    placements_of_both,
    role_combinations_of_both,
)
from klausel.core.analysis.budget import OUTCOMES_AT_ONCE, Budget
from klausel.core.analysis.least_role_combinations import LeastRoleCombinations
from klausel.core.analysis.question_space import Placement, domains_and_atoms, placements, role_combinations
from klausel.core.analysis.states import Bounds, Mask, StateFinder, States
from klausel.core.conditions.kinds import as_sent
from klausel.core.conditions.outcomes import Known, Outcome, TooManyCases, TruthSpace, positive, truth_space, union
from klausel.core.conditions.tree import Atom, Attribute, Comparison, Condition, Operand, atoms, attributes_of
from klausel.core.decisions.domain import BadDomain
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANYONE, RoleModel, depth_of, top_domain
from klausel.core.policy.scope import Scope
from klausel.core.terms import places

MOST_REMEMBERED = 300_000
EVERYWHERE = Scope()
Question = tuple[str, str]
"""A resource type and an action."""

Names = frozenset[str]
Key = tuple[Names, Names]
"""The grantee names that a subject reaches on either side."""


@dataclass(frozen=True)
class Covering:
    """One side of a view: the grants that cover the placement, and in which outcomes each holds, as the bits of a number."""

    grants: tuple[Grant, ...]
    holding: tuple[int, ...]

    def allowed(self, names: Collection[str]) -> int:
        """The outcomes in which who reaches these names is allowed, as bits; `anyone` counts without being among them."""
        allowing = denying = 0
        for grantee, (allows, denies) in self._by_grantee.items():
            if grantee in names or grantee == ANYONE:
                allowing |= allows
                denying |= denies
        return allowing & ~denying

    def deciding(self, names: Collection[str], position: int) -> tuple[Grant, ...]:
        """The grants that decide in one outcome for who reaches these names: the denies, or the allows if there are none."""
        holding = [
            grant
            for grant, holds in zip(self.grants, self.holding, strict=True)
            if holds >> position & 1 and grant.grantee in names
        ]
        denies = tuple(grant for grant in holding if grant.effect == "deny")
        return denies or tuple(holding)

    @cached_property
    def _by_grantee(self) -> Mapping[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for grant, holds in zip(self.grants, self.holding, strict=True):
            allows, denies = found.get(grant.grantee, (0, 0))
            found[grant.grantee] = (allows | holds, denies) if grant.effect == "allow" else (allows, denies | holds)
        return found


@dataclass(frozen=True)
class View:
    """One placement of a question: what covers it on either side, the outcomes of the conditions, and who may ask."""

    placement: PlacementOfBoth
    before: Covering
    after: Covering
    space: TruthSpace
    role_combinations: tuple[RoleCombinationOfBoth, ...]

    @property
    def steps(self) -> int:
        """What it takes of the budget to go through it."""
        return _steps(self.role_combinations, self.space)

    def allowed(self, key: Key) -> tuple[int, int]:
        """The outcomes in which a subject is allowed before and after, as bits."""
        return self.before.allowed(key[0]), self.after.allowed(key[1])

    def smallest_outcome(self, outcomes: int) -> Outcome:
        """The first outcome with the fewest values among some, given as bits; there is at least one."""
        return self.space.outcomes[self.space.smallest(outcomes)]

    @cached_property
    def keys(self) -> frozenset[Key]:
        """The names of every set of effective roles."""
        return frozenset((role_combination.before, role_combination.after) for role_combination in self.role_combinations)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a table must tell apart beside what the grants name: names, conditions, places, and the scopes that alone matter."""

    names: frozenset[str] = frozenset()
    conditions: tuple[Condition, ...] = ()
    scopes: tuple[Scope, ...] = (EVERYWHERE,)
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartedView:
    """One placement of a question to one policy set, in parts: what covers it, and the states of the conditions of that.

    A mask has one bit for each grant about the question, in their order.
    """

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


class Remembered:
    """What tables of the same roles on either side share: how conditions turn out, who can ask in a domain, and the budget.

    `shapes` are those of the questions to the policy set `before`.
    """

    def __init__(self, before: PolicySet, after: PolicySet, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.shapes = Shapes(before)
        self._roles = before.roles, after.roles
        self._spaces: dict[object, TruthSpace] = {}
        self._role_combinations: dict[object, tuple[RoleCombinationOfBoth, ...]] = {}
        self._size = 0
        self.size = 0
        """How much was ever remembered; where it is more than `MOST_REMEMBERED`, some was forgotten and found again."""

    def go_on(self, policy: PolicySet) -> None:
        """Is for the tables of another policy set from now on, with equal roles on either side."""
        self.shapes = Shapes(policy)
        self._roles = policy.roles, policy.roles

    def space(self, all_atoms: Collection[Atom], known: Known, conditions: Collection[Condition]) -> TruthSpace:
        """The outcomes of atoms, given without negation and each once, for these conditions; raises `TooManyCases`."""
        read = {attribute for atom in all_atoms for attribute in attributes_of(atom)}
        key = (tuple(all_atoms), tuple((name, values) for name, values in known.items() if name in read))
        found = self._spaces.get(key) or self._spaces.get((key, conditions))
        if found is None:
            found = truth_space(all_atoms, known, conditions=conditions)
            self.budget.take(len(found.outcomes))
            self._make_room(len(found.outcomes))
            self._spaces[(key, conditions) if found.is_merged else key] = found
        return found

    def role_combinations(
        self, before: PolicySet, after: PolicySet, placement: PlacementOfBoth, wanted: tuple[Names, Names]
    ) -> tuple[RoleCombinationOfBoth, ...]:
        """All that role assignments can give in a placement, as the wanted names reached on either side; small ones first."""
        if before.roles is not self._roles[0] or after.roles is not self._roles[1]:
            return _role_combinations(before, after, placement, wanted)
        key = (before is after, placement.before, placement.after, wanted)
        if key not in self._role_combinations:
            found = _role_combinations(before, after, placement, wanted)
            self._make_room(len(found))
            self._role_combinations[key] = found
        return self._role_combinations[key]

    def _make_room(self, size: int) -> None:
        if self._size + size > MOST_REMEMBERED:
            self._spaces.clear()
            self._role_combinations.clear()
            self._size = 0
        self._size += size
        self.size += size


def _role_combinations(
    before: PolicySet, after: PolicySet, placement: PlacementOfBoth, wanted: tuple[Names, Names]
) -> tuple[RoleCombinationOfBoth, ...]:
    if before is not after:
        return role_combinations_of_both(before.roles, after.roles, placement, wanted)
    domain = None if isinstance(placement.before, BadDomain) else placement.before
    found = role_combinations(before.roles, domain, wanted[0])
    return tuple(RoleCombinationOfBoth(one.names, one.names, one.held) for one in found)


def views(
    before: PolicySet,
    after: PolicySet,
    question: Question,
    wanted: Wanted | None = None,
    remembered: Remembered | None = None,
) -> Iterator[View]:
    """Every kind of place in which a question may be asked, with all that can happen there; raises `TooManyCases`.

    For one policy set alone, give it for both sides.
    """
    wanted = wanted or Wanted()
    remembered = remembered or Remembered(before, after)
    both = (before.grants_about(*question), () if before is after else after.grants_about(*question))
    domains, all_atoms = domains_and_atoms(both[0] + both[1])
    all_atoms += tuple(atom for condition in wanted.conditions for atom in atoms(condition))
    domains += (*wanted.places, *(scope.domain for scope in wanted.scopes if scope.domain is not None))
    different = tuple(dict.fromkeys(positive(atom)[0] for atom in all_atoms))
    of_grants = (grant.condition for grant in both[0] + both[1] if grant.condition is not None)
    conditions = tuple(dict.fromkeys((*of_grants, *wanted.conditions)))
    first = wanted.names.union(grant.grantee for grant in both[0])
    second = first if before is after else wanted.names.union(grant.grantee for grant in both[1])
    for placement in placements_of_both(before, after, question, domains, all_atoms):
        asked = (placement.before, before.roles), (placement.after, after.roles)
        if not any(_is_wanted(domain, roles, wanted.scopes) for domain, roles in asked):
            continue
        try:
            space = remembered.space(different, placement.known, conditions)
            role_combinations = remembered.role_combinations(before, after, placement, (first, second))
            remembered.budget.take(_steps(role_combinations, space))
        except TooManyCases as error:
            raise error.about(question[1], question[0]) from None
        held = _Holding(space)
        covering = held.covering(both[0], placement.before, before.roles)
        yield View(
            placement,
            covering,
            covering if before is after else held.covering(both[1], placement.after, after.roles),
            space,
            role_combinations,
        )


def _steps(role_combinations: Collection[RoleCombinationOfBoth], space: TruthSpace) -> int:
    return len(role_combinations) * (1 + len(space.outcomes) // OUTCOMES_AT_ONCE)


def _is_wanted(asked: Asked, roles: RoleModel, scopes: Collection[Scope]) -> bool:
    return not isinstance(asked, BadDomain) and any(scope.covers(asked, roles) for scope in scopes)


def covering_grants(grants: Iterable[Grant], asked: Asked, roles: RoleModel) -> tuple[Grant, ...]:
    """The grants whose scope covers where a side is asked; none where it denies without asking."""
    if isinstance(asked, BadDomain):
        return ()
    return tuple(grant for grant in grants if grant.scope.covers(asked, roles))


class PartedTables:
    """The tables of questions to one policy set in parts; remembers what they share.

    `least` finds the role combinations that settle them, of which all others are unions.
    """

    def __init__(self, policy: PolicySet, bounds: Bounds | None = None) -> None:
        self._policy = policy
        self.bounds = bounds or Bounds()
        self.least = LeastRoleCombinations(policy.roles)
        self._states = StateFinder(self.bounds)
        self._found: dict[Question, tuple[PartedView, ...]] = {}

    def views(self, resource_type: str, action: str) -> tuple[PartedView, ...]:
        """Where a question may be asked, with what can happen there; a place may come repeatedly."""
        question = (resource_type, action)
        if question not in self._found:
            self._found[question] = tuple(self._views(question))
        return self._found[question]

    def can_hold(self, grant: Grant) -> bool:
        """Whether the condition of a grant lets it hold anywhere where its place covers; True where that is not to be told."""
        bit = 1 << self._policy.grants_about(grant.resource_type, grant.action).index(grant)
        for view in self.views(grant.resource_type, grant.action):
            if view.covering & bit:
                (states,) = self._states.states([(bit, grant)], view.placement.known)
                if any(mask & bit for mask in states.all):
                    return True
        return False

    def _views(self, question: Question) -> Iterator[PartedView]:
        """The grants of each top domain are looked at without those of others, beside which they never count."""
        grants = self._policy.grants_about(*question)
        bits = {id(grant): 1 << position for position, grant in enumerate(grants)}
        tops = [top_domain(grant.scope.domain or places.EVERYWHERE) for grant in grants]
        everywhere = [position for position, top in enumerate(tops) if top == places.EVERY]
        by_top: dict[str, list[int]] = {}
        for position, top in enumerate(tops):
            if top != places.EVERY:
                by_top.setdefault(top, []).append(position)
        for inside in by_top.values() or [[]]:
            near = [grants[position] for position in sorted([*everywhere, *inside])]
            for placement in self._placements(question, near, len(by_top)):
                yield self._view(placement, bits, covering_grants(near, placement.domain, self._policy.roles))

    def _placements(self, question: Question, grants: Iterable[Grant], times: int) -> Iterator[Placement]:
        """The placements of a question. Where conditions name too many domains, these are not told apart."""
        domains, repeated = domains_and_atoms(grants)
        all_atoms = dict.fromkeys(repeated)
        compared = [(atom.left, atom.right) for atom in all_atoms if isinstance(atom, Comparison)]
        size = max(times, 1)
        for level in self._policy.roles.levels if compared else ():
            named = Attribute("resource", (level.named_by or "id",))
            size *= 1 + sum(_literals_in(sides) - 1 for sides in compared if named in sides)
        if size <= self.bounds.placements:
            yield from placements(self._policy, *question, domains, all_atoms)
            return
        for placement in placements(self._policy, *question, domains, ()):
            yield Placement(placement.domain, {name: placement.known[name] for name in NAMES_ASKED})

    def _view(self, placement: Placement, bits: Mapping[int, Mask], covering: Iterable[Grant]) -> PartedView:
        here = [(bits[id(grant)], grant) for grant in covering]
        by_grantee: dict[str, Mask] = {}
        for bit, grant in here:
            by_grantee[grant.grantee] = by_grantee.get(grant.grantee, 0) | bit
        states = tuple(self._states.states(here, placement.known))
        return PartedView(placement, by_grantee, frozenset(by_grantee), union(by_grantee.values()), states)


def _literals_in(sides: Iterable[Operand]) -> int:
    """How many values the sides of a comparison have, each item of a list for itself."""
    return sum(len(getattr(side, "items", (side,))) for side in sides)


class _Holding:
    """In which outcomes of a space grants hold; each condition is looked at once."""

    def __init__(self, space: TruthSpace) -> None:
        self._space = space
        self._found: dict[Condition | None, tuple[int, int]] = {}

    def covering(self, grants: Iterable[Grant], asked: Asked, roles: RoleModel) -> Covering:
        covering = covering_grants(grants, asked, roles)
        return Covering(covering, tuple(self._bits(grant) for grant in covering))

    def _bits(self, grant: Grant) -> int:
        """An allow needs a true condition, a deny holds unless it is false."""
        if grant.condition not in self._found:
            self._found[grant.condition] = self._space.true_and_false(grant.condition)
        true, false = self._found[grant.condition]
        return true if grant.effect == "allow" else self._space.everything & ~false


def shown_values(outcome: Outcome) -> tuple[tuple[str, object], ...]:
    """The attributes of an outcome as (name, value), without those that the question itself says.

    A value that is read from the text of an attribute is shown as that text, one that is computed otherwise by its own name.
    """
    found: dict[str, object] = {}
    for term, value in outcome.values.items():
        if term not in NAMES_ASKED:
            name, text = as_sent(term, value)
            found[str(name)] = text
    return tuple(found.items())
