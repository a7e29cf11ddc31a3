"""Whether two policy sets decide alike: exactly, over every combination of roles and every way conditions can turn out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from klausel.core.condition import Attribute, atoms
from klausel.core.policy import Grant, PolicySet
from klausel.core.question_space import Held, spots, standpoints
from klausel.core.roles import ANYONE, RoleModel
from klausel.core.truth_space import Outcome, TruthSpace, truth_space

_OTHER = "\x00"
"""Stands before the names that are held under the other role model."""


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


def compare(first: PolicySet, second: PolicySet, questions: Iterable[tuple[str, str]]) -> Comparison:
    """Compares the decisions on some (resource type, action); both sets have the same levels, roles and types."""
    combinations = 0
    differences: list[Difference] = []
    for question in questions:
        size, found = _compare_about(first, second, question)
        combinations += size
        differences += found
    smallest = min(differences, key=lambda case: (case.domain is None, len(case.held), len(case.values)), default=None)
    return Comparison(combinations, smallest)


def _compare_about(first: PolicySet, second: PolicySet, question: tuple[str, str]) -> tuple[int, list[Difference]]:
    both = [first.grants_about(*question), second.grants_about(*question)]
    grants = both[0] + both[1]
    all_atoms = [atom for grant in grants if grant.condition for atom in atoms(grant.condition)]
    domains = [grant.scope.domain for grant in grants if grant.scope.domain is not None]
    model = RolesOfBoth(first.roles.levels, first.roles.roles, other=second.roles)
    wanted = {grant.grantee for grant in both[0]} | {_OTHER + grant.grantee for grant in both[1]}
    combinations = 0
    found: list[Difference] = []
    for spot in spots(first, *question, domains, all_atoms):
        space = truth_space(all_atoms, spot.known)
        covering = [[grant for grant in side if grant.scope.covers(spot.domain, first.roles)] for side in both]
        who = standpoints(model, spot.domain, wanted)
        combinations += len(who) * len(space.outcomes)
        for (one, other), outcome in _distinct(covering, space).items():
            for standpoint in who:
                allowed = one.allows(standpoint.names | {ANYONE})
                if allowed is not other.allows(_names_of_other(standpoint.names)):
                    found.append(Difference(*question, standpoint.held, spot.domain, _shown(outcome), allowed))
    return combinations, found


@dataclass(frozen=True, slots=True)
class _Effects:
    """The grantees that something allows, and those that something denies."""

    allowing: frozenset[str]
    denying: frozenset[str]

    def allows(self, names: Collection[str]) -> bool:
        return not self.allowing.isdisjoint(names) and self.denying.isdisjoint(names)


def _distinct(covering: Sequence[Sequence[Grant]], space: TruthSpace) -> dict[tuple[_Effects, _Effects], Outcome]:
    """What the grants of both sides do in the outcomes, once each, with the outcome that shows least."""
    found: dict[tuple[_Effects, _Effects], Outcome] = {}
    for outcome in sorted(space.outcomes, key=lambda outcome: len(outcome.values)):
        first, second = (_effects(grants, space, outcome) for grants in covering)
        found.setdefault((first, second), outcome)
    return found


def _effects(grants: Iterable[Grant], space: TruthSpace, outcome: Outcome) -> _Effects:
    allowing, denying = set(), set()
    for grant in grants:
        value = space.value(grant.condition, outcome.truths)
        if grant.effect == "allow" and value is True:
            allowing.add(grant.grantee)
        elif grant.effect == "deny" and value is not False:
            denying.add(grant.grantee)
    return _Effects(frozenset(allowing), frozenset(denying))


@dataclass(frozen=True)
class RolesOfBoth(RoleModel):
    """A role model in which each role also stands, under marked names, for what it stands for in another model."""

    other: RoleModel = field(kw_only=True)

    @cached_property
    def closure(self) -> Mapping[str, frozenset[str]]:
        """The names that each role stands for in either model."""
        own = RoleModel(self.levels, self.roles).closure
        marked = {name: frozenset(_OTHER + inner for inner in names) for name, names in self.other.closure.items()}
        return MappingProxyType({name: names | marked[name] for name, names in own.items()})


def _names_of_other(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name[1:] for name in names if name.startswith(_OTHER)) | {ANYONE}


def _shown(outcome: Outcome) -> tuple[tuple[str, object], ...]:
    implied = (Attribute("resource", ("type",)), Attribute("action", ("name",)))
    return tuple((str(name), value) for name, value in outcome.values.items() if name not in implied)


def everything_asked(policy: PolicySet) -> Iterator[tuple[str, str]]:
    """Each (resource type, action) that a policy set declares."""
    for declared in policy.resource_types.values():
        for action in declared.actions:
            yield declared.name, action
