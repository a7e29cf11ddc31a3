"""Proving invariants: exactly, over every combination of roles and every way in which conditions can turn out.

Nothing is sampled. A question is a type and an action; for each, all placements where it may be asked, all effective
roles that role assignments can give there, and all outcomes of the conditions that occur are gone through.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from klausel.core.analysis.question_space import Held, Placement, RoleCombination, placements, role_combinations
from klausel.core.conditions.outcomes import Outcome, TooManyCases, TruthSpace, truth_space
from klausel.core.conditions.tree import Attribute, Condition, atoms
from klausel.core.policy.invariant import OUTSIDER, Invariant, Thing
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, RoleModel, depth_of


@dataclass(frozen=True, slots=True)
class Counterexample:
    """One case that breaks an invariant: what the subject holds, what is asked where, the attributes, the grants to blame."""

    message: str
    held: Held
    thing: Thing | None
    domain: str | None
    values: tuple[tuple[str, object], ...]
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an invariant holds, over how many combinations, and the smallest counterexample when it does not.

    `has_free_matches` when pattern matches occurred: each was taken as able to match or not, whatever else is known of its text,
    so that "holds" is certain, but a counterexample may need a text that cannot be. `undecided` says why there are too many
    cases to tell; the invariant then counts as one that does not hold.
    """

    invariant: Invariant
    holds: bool
    combinations: int
    has_free_matches: bool
    counterexample: Counterexample | None
    undecided: str | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """One question in one placement with one outcome: the grants that then hold for their grantees."""

    thing: Thing
    placement: Placement
    outcome: Outcome
    holding: tuple[Grant, ...]
    allowing: frozenset[str]
    denying: frozenset[str]
    condition_holds: bool

    def allows(self, names: frozenset[str]) -> bool:
        return not self.allowing.isdisjoint(names) and self.denying.isdisjoint(names)

    def deciding(self, names: frozenset[str]) -> tuple[Grant, ...]:
        effect = "allow" if self.denying.isdisjoint(names) else "deny"
        return tuple(grant for grant in self.holding if grant.effect == effect and grant.grantee in names)


def prove(policy: PolicySet, invariant: Invariant) -> Verdict:
    """The verdict on one invariant; never guesses."""
    try:
        return _Proof(policy, invariant).verdict()
    except TooManyCases as error:
        return Verdict(invariant, False, 0, False, None, str(error))


def prove_all(policy: PolicySet) -> Iterator[Verdict]:
    """The verdicts on all invariants of a policy set, in the order of the file."""
    for invariant in policy.invariants:
        yield prove(policy, invariant)


class _Proof:
    def __init__(self, policy: PolicySet, invariant: Invariant) -> None:
        self._policy = policy
        self._roles = policy.roles
        self._invariant = invariant
        self._combinations = 0
        self._free_matches = False
        self._separate = [
            _reaching_pairs(policy.roles, other.who)
            for other in policy.invariants
            if other.kind == "separate" and other.who and other is not invariant
        ]
        self._found: dict[str | None, tuple[RoleCombination, ...]] = {}

    def verdict(self) -> Verdict:
        checks: dict[str, Callable[[], Iterator[Counterexample]]] = {
            "never": self._broken_never,
            "always": self._broken_always,
            "at_most": self._broken_at_most,
            "monotone": self._broken_monotone,
            "separate": self._broken_separate,
        }
        found = min(checks[self._invariant.kind](), key=lambda case: (len(case.held), len(case.values)), default=None)
        return Verdict(self._invariant, found is None, self._combinations, self._free_matches, found)

    def _broken_never(self) -> Iterator[Counterexample]:
        for case in self._cases():
            for role_combination in self._of_those_named(case):
                self._combinations += 1
                if case.condition_holds and case.allows(role_combination.names):
                    yield self._example(case, role_combination, f"somebody may {case.thing}")

    def _broken_always(self) -> Iterator[Counterexample]:
        for case in self._cases():
            for role_combination in self._role_combinations(case.placement.domain):
                if role_combination.names.isdisjoint(self._invariant.who):
                    continue
                self._combinations += 1
                if case.condition_holds and not case.allows(role_combination.names):
                    yield self._example(case, role_combination, f"somebody may not {case.thing}")

    def _broken_at_most(self) -> Iterator[Counterexample]:
        for case in self._cases():
            for role_combination in self._role_combinations(case.placement.domain):
                self._combinations += 1
                if (
                    case.condition_holds
                    and case.allows(role_combination.names)
                    and role_combination.names.isdisjoint(self._invariant.who)
                ):
                    yield self._example(case, role_combination, f"somebody may {case.thing}")

    def _broken_monotone(self) -> Iterator[Counterexample]:
        """A role may do what each role that it contains may, whatever else the subject holds."""
        pairs = [(role.name, inner) for role in self._roles.roles.values() for inner in role.contains]
        for case in self._cases():
            domain = case.placement.domain
            if domain is None:
                continue
            for role_combination in self._role_combinations(domain):
                for stronger, weaker in pairs:
                    self._combinations += 1
                    with_weaker = role_combination.names | _reached(self._roles, weaker, domain)
                    with_stronger = with_weaker | _reached(self._roles, stronger, domain)
                    if not case.condition_holds or not case.allows(with_weaker) or case.allows(with_stronger):
                        continue
                    if self._can_hold(role_combination.names, weaker) and self._can_hold(role_combination.names, stronger):
                        message = f"{weaker} may {case.thing}, but {stronger} may not"
                        yield self._example(case, role_combination, message, case.deciding(with_stronger))

    def _can_hold(self, names: frozenset[str], role: str) -> bool:
        """Whether a subject with these names may be given a role, as far as it needs one at the level above."""
        level = self._roles.level_of(role)
        if not level.requires_role_above:
            return True
        above = self._roles.levels[level.depth - 2].name
        return any(name in self._roles.roles and self._roles.roles[name].level == above for name in names)

    def _broken_separate(self) -> Iterator[Counterexample]:
        if self._invariant.who:
            yield from self._roles_that_hold_both()
            return
        first, second = self._invariant.things
        for one in self._cases_of(first):
            for other in self._cases_of(second):
                if one.placement.domain != other.placement.domain:
                    continue
                for role_combination in self._role_combinations(one.placement.domain):
                    self._combinations += 1
                    if one.allows(role_combination.names) and other.allows(role_combination.names):
                        message = f"the same subject may {first} and {second}"
                        grants = one.deciding(role_combination.names) + other.deciding(role_combination.names)
                        yield self._example(one, role_combination, message, grants)

    def _roles_that_hold_both(self) -> Iterator[Counterexample]:
        one, other = self._invariant.who
        for role in self._roles.roles.values():
            self._combinations += 1
            if {one, other} <= self._roles.closure[role.name]:
                message = f"{role.name} contains both {one} and {other} ({role.place})"
                yield Counterexample(message, ((role.name, "any domain"),), None, None, (), ())

    def _cases(self) -> Iterator[_Case]:
        for thing in self._invariant.things:
            yield from self._cases_of(thing)

    def _cases_of(self, thing: Thing) -> Iterator[_Case]:
        grants = self._policy.grants_about(thing.resource_type, thing.action)
        conditions = [grant.condition for grant in grants if grant.condition] + (
            [self._invariant.condition] if self._invariant.condition else []
        )
        all_atoms = [atom for condition in conditions for atom in atoms(condition)]
        domains = [grant.scope.domain for grant in grants] + [self._invariant.scope.domain]
        named = [domain for domain in domains if domain is not None]
        for placement in placements(self._policy, thing.resource_type, thing.action, named, all_atoms):
            if not self._invariant.scope.covers(placement.domain, self._roles):
                continue
            try:
                space = truth_space(all_atoms, placement.known)
            except TooManyCases as error:
                raise error.about(thing.action, thing.resource_type) from None
            self._free_matches |= space.has_free_matches
            covering = [grant for grant in grants if grant.scope.covers(placement.domain, self._roles)]
            for outcome in space.outcomes:
                yield _case(thing, placement, outcome, space, covering, self._invariant.condition)

    def _role_combinations(self, domain: str | None) -> tuple[RoleCombination, ...]:
        """All effective roles in a domain, as far as names matter to this proof, without those that `separate` forbids."""
        if domain not in self._found:
            self._found[domain] = tuple(
                role_combination
                for role_combination in role_combinations(self._roles, domain, set(self._wanted_names()))
                if not any(role_combination.names & one and role_combination.names & other for one, other in self._separate)
            )
        return self._found[domain]

    def _wanted_names(self) -> Iterator[str]:
        for thing in self._invariant.things:
            yield from (grant.grantee for grant in self._policy.grants_about(thing.resource_type, thing.action))
        yield ANYONE
        for one, other in self._separate:
            yield from one | other
        if self._invariant.kind == "monotone":
            yield from self._roles.roles
        for who in self._invariant.who:
            yield who
            yield from _stronger_names(self._roles, who)
            yield from (who.removeprefix(ANY_PREFIX), ANY_PREFIX + who.removeprefix(ANY_PREFIX))
        if OUTSIDER in self._invariant.who:
            yield from self._roles.inheritance

    def _of_those_named(self, case: _Case) -> Iterator[RoleCombination]:
        """Those that `never` speaks of: they hold a role that it names, and none that contains it."""
        for role_combination in self._role_combinations(case.placement.domain):
            if any(self._is(role_combination, who) for who in self._invariant.who):
                yield role_combination

    def _is(self, role_combination: RoleCombination, who: str) -> bool:
        if who == ANYONE:
            return True
        if who == OUTSIDER:
            return role_combination.names <= {ANYONE}
        if who.startswith(ANY_PREFIX):
            reaches = who in role_combination.names
        else:
            reaches = not role_combination.names.isdisjoint({who, ANY_PREFIX + who})
        return reaches and role_combination.names.isdisjoint(_stronger_names(self._roles, who))

    def _example(
        self, case: _Case, role_combination: RoleCombination, message: str, grants: tuple[Grant, ...] | None = None
    ) -> Counterexample:
        known = (Attribute("resource", ("type",)), Attribute("action", ("name",)))
        values = tuple((str(name), value) for name, value in case.outcome.values.items() if name not in known)
        blamed = case.deciding(role_combination.names) if grants is None else grants
        return Counterexample(message, role_combination.held, case.thing, case.placement.domain, values, blamed)


def _case(
    thing: Thing, placement: Placement, outcome: Outcome, space: TruthSpace, grants: list[Grant], condition: Condition | None
) -> _Case:
    holding = []
    for grant in grants:
        value = space.value(grant.condition, outcome.truths)
        if value is True or (value is None and grant.effect == "deny"):
            holding.append(grant)
    allowing = frozenset(grant.grantee for grant in holding if grant.effect == "allow")
    denying = frozenset(grant.grantee for grant in holding if grant.effect == "deny")
    condition_holds = space.value(condition, outcome.truths) is True
    return _Case(thing, placement, outcome, tuple(holding), allowing, denying, condition_holds)


def _reached(roles: RoleModel, role: str, domain: str) -> frozenset[str]:
    """The names that a role gives in a domain when it is held there or above, else in some other domain below the same top."""
    reached: frozenset[str] = frozenset()
    depth = roles.level_of(role).depth
    if depth <= depth_of(domain):
        reached |= roles.closure[role]
    if depth > 1:
        reached |= roles.closure[ANY_PREFIX + role]
    return reached


def _stronger_names(roles: RoleModel, who: str) -> frozenset[str]:
    """The roles that contain a role, and their `any` forms; nothing for `anyone` and `outsider`."""
    role = who.removeprefix(ANY_PREFIX)
    if role not in roles.roles:
        return frozenset()
    stronger = [name for name in roles.roles if name != role and role in roles.closure[name]]
    return frozenset(itertools.chain(stronger, (ANY_PREFIX + name for name in stronger)))


def _reaching_pairs(roles: RoleModel, who: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
    one, other = (frozenset({role, ANY_PREFIX + role}) for role in who)
    return one, other
