"""Whether two policy sets decide alike: exactly, over every combination of roles and every way conditions can turn out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from klausel.core.analysis.question_space import Held
from klausel.core.conditions.outcomes import Outcome, TooManyCases, Truths, TruthSpace, truth_space
from klausel.core.conditions.tree import Attribute, Condition, atoms
from klausel.core.decisions.domain import BadDomain
from klausel.core.difference.both_sides import (
    Asked,
    PlacementOfBoth,
    RoleCombinationOfBoth,
    placements_of_both,
    role_combinations_of_both,
)
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANYONE, RoleModel

Question = tuple[str, str]
"""A resource type and an action."""


Names = frozenset[str]
Key = tuple[Names, Names]
"""The grantee names that a subject reaches on either side."""


@dataclass(frozen=True, slots=True)
class Covering:
    """One side of a view: the grants that cover the placement, and in which outcomes each holds, as the bits of a number."""

    grants: tuple[Grant, ...]
    holding: tuple[int, ...]

    def allowed(self, names: Collection[str]) -> int:
        """The outcomes in which who reaches these names is allowed, as bits; `anyone` counts without being among them."""
        allowing = denying = 0
        for grant, holds in zip(self.grants, self.holding, strict=True):
            if grant.grantee in names or grant.grantee == ANYONE:
                if grant.effect == "allow":
                    allowing |= holds
                else:
                    denying |= holds
        return allowing & ~denying


@dataclass(frozen=True)
class View:
    """One placement of one question: what covers it on either side, the outcomes (those with few values first), who may ask."""

    placement: PlacementOfBoth
    before: Covering
    after: Covering
    space: TruthSpace
    role_combinations: tuple[RoleCombinationOfBoth, ...]

    def allowed(self, key: Key) -> tuple[int, int]:
        """The outcomes in which a subject is allowed before and after, as bits."""
        return self.before.allowed(key[0]), self.after.allowed(key[1])

    @cached_property
    def keys(self) -> frozenset[Key]:
        """The names of every set of effective roles."""
        return frozenset((role_combination.before, role_combination.after) for role_combination in self.role_combinations)

    def position_of(self, truths: Truths) -> int | None:
        """The position of the outcome in which the atoms have these values; None where they cannot have them together."""
        return self._positions.get(truths)

    @cached_property
    def _positions(self) -> Mapping[Truths, int]:
        return {outcome.truths: position for position, outcome in enumerate(self.space.outcomes)}


@dataclass(frozen=True, slots=True)
class Difference:
    """One case that the two decide otherwise: what the subject holds, what is asked where, with which attributes."""

    resource_type: str
    action: str
    held: Held
    domain: str | None
    values: tuple[tuple[str, object], ...]
    allowed_by_first: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Over how many combinations two policy sets were compared, and the smallest difference; None when they decide alike.

    A pattern match is taken as free, so that None is certain, but a difference may need a text that cannot be.
    """

    combinations: int
    difference: Difference | None


def compare(first: PolicySet, second: PolicySet, questions: Iterable[Question]) -> Comparison:
    """Compares the decisions on some questions, whatever the two sets differ in; raises `TooManyCases`."""
    combinations = 0
    differences: list[Difference] = []
    for question in questions:
        for view in views(first, second, question):
            combinations += len(view.role_combinations) * len(view.space.outcomes)
            domain = view.placement.domains[0] if view.placement.domains else None
            for role_combination in view.role_combinations:
                before, after = view.allowed((role_combination.before, role_combination.after))
                for one, allowed in ((before & ~after, True), (after & ~before, False)):
                    if one:
                        values = shown_values(smallest_outcome(view.space, one))
                        differences.append(Difference(*question, role_combination.held, domain, values, allowed))
    smallest = min(differences, key=lambda case: (case.domain is None, len(case.held), len(case.values)), default=None)
    return Comparison(combinations, smallest)


def smallest_outcome(space: TruthSpace, outcomes: int) -> Outcome:
    """The first of some outcomes, given as bits; there is at least one."""
    return space.outcomes[(outcomes & -outcomes).bit_length() - 1]


def views(before: PolicySet, after: PolicySet, question: Question) -> Iterator[View]:
    """Every kind of place in which a question may be asked, with all that can happen there; raises `TooManyCases`."""
    both = (before.grants_about(*question), after.grants_about(*question))
    grants = both[0] + both[1]
    all_atoms = [atom for grant in grants if grant.condition for atom in atoms(grant.condition)]
    domains = [grant.scope.domain for grant in grants if grant.scope.domain is not None]
    wanted = ({grant.grantee for grant in both[0]}, {grant.grantee for grant in both[1]})
    for placement in placements_of_both(before, after, question, domains, all_atoms):
        try:
            found = truth_space(all_atoms, placement.known)
        except TooManyCases as error:
            raise error.about(question[1], question[0]) from None
        space = replace(found, outcomes=tuple(sorted(found.outcomes, key=lambda outcome: len(outcome.values))))
        held = _Holding(space)
        yield View(
            placement,
            held.covering(both[0], placement.before, before.roles),
            held.covering(both[1], placement.after, after.roles),
            space,
            role_combinations_of_both(before.roles, after.roles, placement, wanted),
        )


def covering_grants(grants: Iterable[Grant], asked: Asked, roles: RoleModel) -> tuple[Grant, ...]:
    """The grants whose scope covers where a side is asked; none where it denies without asking."""
    if isinstance(asked, BadDomain):
        return ()
    return tuple(grant for grant in grants if grant.scope.covers(asked, roles))


class _Holding:
    """In which outcomes of a space conditions hold; each condition is looked at once."""

    def __init__(self, space: TruthSpace) -> None:
        self._space = space
        self._values: dict[Condition | None, tuple[int, int]] = {}

    def covering(self, grants: Iterable[Grant], asked: Asked, roles: RoleModel) -> Covering:
        covering = covering_grants(grants, asked, roles)
        return Covering(covering, tuple(self._bits(grant) for grant in covering))

    def _bits(self, grant: Grant) -> int:
        """An allow needs a true condition, a deny holds unless it is false."""
        if grant.condition not in self._values:
            true = unknown = 0
            for position, outcome in enumerate(self._space.outcomes):
                value = self._space.value(grant.condition, outcome.truths)
                true |= (value is True) << position
                unknown |= (value is None) << position
            self._values[grant.condition] = true, unknown
        true, unknown = self._values[grant.condition]
        return true if grant.effect == "allow" else true | unknown


def shown_values(outcome: Outcome) -> tuple[tuple[str, object], ...]:
    """The attributes of an outcome as (name, value), without those that the question itself says."""
    implied = (Attribute("resource", ("type",)), Attribute("action", ("name",)))
    return tuple((str(name), value) for name, value in outcome.values.items() if name not in implied)


def everything_asked(policy: PolicySet) -> Iterator[Question]:
    """Each (resource type, action) that a policy set declares."""
    for declared in policy.resource_types.values():
        for action in declared.actions:
            yield declared.name, action
