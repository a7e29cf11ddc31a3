"""Proving invariants: exactly, over every combination of roles and every way in which conditions can turn out.

Nothing is sampled. A question is a type and an action; for each, all placements where it may be asked, all effective
roles that role assignments can give there, and all outcomes of the conditions that occur are gone through.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property

from klausel.core.analysis.both_sides import RoleCombinationOfBoth
from klausel.core.analysis.budget import MOST_STEPS, Budget
from klausel.core.analysis.decision_table import Remembered, View, Wanted, shown_values, views
from klausel.core.analysis.demands import demand_on, names_told_apart
from klausel.core.analysis.question_space import Held, domains_and_atoms, parts_in_atoms
from klausel.core.conditions.outcomes import TooManyCases
from klausel.core.policy.invariant import Invariant, Thing
from klausel.core.policy.policy_set import Grant, PolicySet
from klausel.core.policy.roles import ANY_PREFIX, ANYONE, RoleModel, depth_of
from klausel.core.terms.places import EVERY, covers


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
class _Asked:
    """A thing in one placement, the how manieth that is looked at, and the outcomes in which the invariant's condition holds."""

    thing: Thing
    view: View
    number: int
    relevant: int

    @property
    def domain(self) -> str | None:
        return self.view.placement.domains[0] if self.view.placement.domains else None

    @property
    def outcomes(self) -> int:
        return len(self.view.space.outcomes)

    def allowed(self, names: frozenset[str]) -> int:
        return self.view.before.allowed(names)


Part = tuple[Thing, ...]
"""What of an invariant is proved by itself; see `parts_of`."""


@dataclass(frozen=True, slots=True)
class PartProof:
    """What came out of one part of an invariant, over how many combinations, and what it took of the budget to go through them.

    Where it is alike another part before it, `like`, only that one has the counterexample.
    """

    combinations: int
    steps: int
    has_free_matches: bool
    counterexample: Counterexample | None
    like: Part | None = None


_Found = tuple[tuple[int, ...], Counterexample]
"""A counterexample behind what it is ordered by: the smallest first, and of equal ones that which comes first."""


def prove(policy: PolicySet, invariant: Invariant, remembered: Remembered | None = None) -> Verdict:
    """The verdict on one invariant; never guesses."""
    proof = Proof(policy, invariant, remembered or Remembered(policy, policy))
    try:
        return joined(invariant, [one for _, one in proof.of(parts_of(invariant))])
    except TooManyCases as error:
        return Verdict(invariant, False, 0, False, None, str(error))


def prove_all(policy: PolicySet, most_steps: int = MOST_STEPS) -> Iterator[Verdict]:
    """The verdicts on all invariants of a policy set, in the order of the file, within one budget."""
    remembered = Remembered(policy, policy, Budget(most_steps))
    for invariant in policy.invariants:
        yield prove(policy, invariant, remembered)


def parts_of(invariant: Invariant) -> tuple[Part, ...]:
    """What is proved of an invariant one by one: each thing, the two that it keeps apart, or nothing, where it is about roles."""
    if invariant.kind in ("separate", "toxic"):
        return (invariant.things,)
    return tuple((thing,) for thing in invariant.things)


def joined(invariant: Invariant, proofs: Iterable[PartProof]) -> Verdict:
    """The verdict on an invariant that those on all its parts come to, in their order."""
    combinations, has_free_matches, found = 0, False, None
    for one in proofs:
        combinations += one.combinations
        has_free_matches |= one.has_free_matches
        example = one.counterexample
        if example is not None and (found is None or _size(example) < _size(found)):
            found = example
    return Verdict(invariant, found is None, combinations, has_free_matches, found)


def _size(example: Counterexample) -> tuple[int, int]:
    return len(example.held), len(example.values)


def grantees_about(policy: PolicySet, things: Iterable[Thing]) -> frozenset[str]:
    """The grantees of the grants about some things."""
    about = (policy.grants_about(thing.resource_type, thing.action) for thing in things)
    return frozenset(grant.grantee for grants in about for grant in grants)


class Proof:
    """Proves one invariant of a policy set, part by part; raises `TooManyCases`."""

    def __init__(
        self,
        policy: PolicySet,
        invariant: Invariant,
        remembered: Remembered,
        grantees: Collection[str] | None = None,
    ) -> None:
        """`grantees` are those of all grants about the things of the invariant, for who knows them."""
        self._policy = policy
        self._roles = policy.roles
        self._invariant = invariant
        self._combinations = self._asked = self._steps = 0
        self._free_matches = False
        self._separate = [
            _reaching_pairs(other.who)
            for other in policy.invariants
            if other.kind == "separate" and other.who and other is not invariant
        ]
        self._remembered = remembered
        self._grantees = grantees_about(policy, invariant.things) if grantees is None else grantees
        self._found: dict[str | None, tuple[RoleCombinationOfBoth, ...]] = {}
        self._checks: dict[str, Callable[[Part], Iterator[_Found]]] = {
            "never": self._broken_never,
            "always": self._broken_always,
            "at_most": self._broken_at_most,
            "monotone": self._broken_monotone,
            "separate": self._broken_separate,
            "toxic": self._broken_toxic,
        }

    def of(self, parts: Iterable[Part]) -> Iterator[tuple[Part, PartProof]]:
        """What comes out of some parts, in the order of all. Of those that are alike the first alone is gone through.

        The others come out as it does, each with the same counterexample at most, which comes later and so is not the one shown.
        They are only counted, so that a verdict is the one that going through all of them gives.
        """
        done: dict[Hashable, tuple[Part, PartProof]] = {}
        for part in parts:
            shape = self._shape(part)
            first, same = done.get(shape, (part, None)) if shape is not None else (part, None)
            if same is None:
                same = self._part(part)
                done[shape] = part, same
                yield part, same
                continue
            self._take(part[0], same.steps)
            yield part, PartProof(same.combinations, same.steps, same.has_free_matches, None, first)

    def _shape(self, part: Part) -> Hashable | None:
        """What a part has in common with those that are alike; None where it counts for itself."""
        if len(part) != 1:
            return None
        thing = part[0]
        condition = self._invariant.condition_on(thing.resource_type)
        return self._remembered.shapes.shape(thing.resource_type, thing.action, condition)

    def _take(self, thing: Thing, steps: int) -> None:
        try:
            self._remembered.budget.take(steps)
        except TooManyCases as error:
            raise error.about(thing.action, thing.resource_type) from None

    def _part(self, part: Part) -> PartProof:
        self._combinations = self._asked = self._steps = 0
        self._free_matches = False
        _, found = min(self._checks[self._invariant.kind](part), key=lambda found: found[0], default=(None, None))
        return PartProof(self._combinations, self._steps, self._free_matches, found)

    def _broken_never(self, part: Part) -> Iterator[_Found]:
        """Those that `never` speaks of hold a role that it names, and none that contains it."""
        for asked in self._asked_of(part[0]):
            for one in self._role_combinations(asked):
                if demand_on(self._invariant, one.before, self._roles):
                    self._combinations += asked.outcomes
                    broken = asked.allowed(one.before) & asked.relevant
                    yield from self._examples(asked, one, broken, f"somebody may {asked.thing}")

    def _broken_always(self, part: Part) -> Iterator[_Found]:
        for asked in self._asked_of(part[0]):
            for one in self._role_combinations(asked):
                if demand_on(self._invariant, one.before, self._roles):
                    self._combinations += asked.outcomes
                    broken = asked.relevant & ~asked.allowed(one.before)
                    yield from self._examples(asked, one, broken, f"somebody may not {asked.thing}")

    def _broken_at_most(self, part: Part) -> Iterator[_Found]:
        for asked in self._asked_of(part[0]):
            for one in self._role_combinations(asked):
                self._combinations += asked.outcomes
                if demand_on(self._invariant, one.before, self._roles):
                    broken = asked.allowed(one.before) & asked.relevant
                    yield from self._examples(asked, one, broken, f"somebody may {asked.thing}")

    def _broken_monotone(self, part: Part) -> Iterator[_Found]:
        """A role may do what each role that it contains may, whatever else the subject holds."""
        everywhere = [(role.name, inner) for role in self._roles.roles.values() for inner in role.contains]
        for asked in self._asked_of(part[0]):
            domain = asked.domain
            if domain is None:
                continue
            pairs = everywhere + [
                (role.name, inner)
                for role in self._roles.roles.values()
                for inner, place in role.contains_in
                if covers(place, domain)
            ]
            gives = {role: _reached(self._roles, role, domain) for role in self._roles.roles}
            allowed = cache(asked.allowed)
            for one in self._role_combinations(asked):
                self._combinations += asked.outcomes * len(pairs)
                for stronger, weaker in pairs:
                    with_weaker = self._roles.with_joint(one.before | gives[weaker])
                    with_stronger = self._roles.with_joint(with_weaker | gives[stronger])
                    broken = asked.relevant & allowed(with_weaker) & ~allowed(with_stronger)
                    if broken and self._can_hold(one.before, weaker) and self._can_hold(one.before, stronger):
                        message = f"{weaker} may {asked.thing}, but {stronger} may not"
                        yield from self._examples(asked, one, broken, message, with_stronger)

    def _can_hold(self, names: frozenset[str], role: str) -> bool:
        """Whether a subject with these names may be given a role, as far as it needs one at the level above."""
        level = self._roles.level_of(role)
        if not level.requires_role_above:
            return True
        above = self._roles.levels[level.depth - 2].name
        return any(name in self._roles.roles and self._roles.roles[name].level == above for name in names)

    def _broken_separate(self, part: Part) -> Iterator[_Found]:
        if self._invariant.who:
            yield from self._roles_that_hold_both()
            return
        first, second = part
        message = f"the same subject may {first} and {second}"
        everything = list(self._asked_of(first))
        others = {other.domain: other for other in self._asked_of(second)} if everything else {}
        for asked in everything:
            other = others.get(asked.domain)
            if other is None:
                continue
            for one in self._role_combinations(asked):
                self._combinations += asked.outcomes * other.outcomes
                in_other = other.allowed(one.before)
                broken = asked.allowed(one.before) if in_other else 0
                for order, example in self._examples(asked, one, broken, message):
                    position = (in_other & -in_other).bit_length() - 1
                    grants = example.grants + other.view.before.deciding(one.before, position)
                    yield (*order, position), replace(example, grants=grants)

    def _roles_that_hold_both(self) -> Iterator[_Found]:
        one, other = self._invariant.who
        for role in self._roles.roles.values():
            self._combinations += 1
            if {one, other} <= self._roles.reach[role.name]:
                message = f"{role.name} contains both {one} and {other} ({role.place})"
                yield (1,), Counterexample(message, ((role.name, "any domain"),), None, None, (), ())

    def _broken_toxic(self, part: Part) -> Iterator[_Found]:
        """No role gives both by itself; who holds several roles is for `klausel findings` to name."""
        first, second = part
        others = {other.domain: other for other in self._asked_of(second)}
        for asked in self._asked_of(first):
            other = others.get(asked.domain)
            if other is None or asked.domain is None:
                continue
            for role in self._roles.roles:
                self._combinations += asked.outcomes * other.outcomes
                names = self._roles.with_joint(_reached(self._roles, role, asked.domain) | {ANYONE})
                in_other = other.allowed(names)
                broken = asked.allowed(names) if in_other else 0
                if not broken:
                    continue
                position = asked.view.space.smallest(broken)
                grants = asked.view.before.deciding(names, position) + other.view.before.deciding(
                    names, (in_other & -in_other).bit_length() - 1
                )
                held = ((role, "any domain"),)
                values = shown_values(asked.view.space.outcomes[position])
                message = f"{role} alone gives both {first} and {second}"
                yield (
                    (len(self._roles.reach[role]), asked.number),
                    Counterexample(message, held, first, asked.domain, values, grants),
                )

    def _asked_of(self, thing: Thing) -> Iterator[_Asked]:
        question = (thing.resource_type, thing.action)
        condition = self._invariant.condition_on(thing.resource_type)
        wanted = Wanted(self.names, () if condition is None else (condition,), (self._invariant.scope,), self._places)
        for view in views(self._policy, self._policy, question, wanted, self._remembered):
            self._free_matches |= view.space.has_free_matches
            self._asked += 1
            self._steps += view.steps
            relevant, _ = view.space.true_and_false(condition)
            yield _Asked(thing, view, self._asked, relevant)

    @cached_property
    def _places(self) -> tuple[str, ...]:
        """What two things that are kept apart tell apart of places, either for both: they are compared place by place."""
        if self._invariant.kind not in ("separate", "toxic"):
            return ()
        found: dict[str, None] = {}
        for thing in self._invariant.things:
            places, atoms = domains_and_atoms(self._policy.grants_about(thing.resource_type, thing.action))
            found.update(dict.fromkeys(places))
            ids = parts_in_atoms(self._roles, thing.resource_type, atoms)
            for level in self._roles.levels:
                above = [EVERY] * (level.depth - 1)
                found.update(("/".join((*above, id_)), None) for id_ in sorted(ids[level.name]))
        return tuple(found)

    def _role_combinations(self, asked: _Asked) -> tuple[RoleCombinationOfBoth, ...]:
        """All effective roles where something is asked, without those that `separate` forbids."""
        if asked.domain not in self._found:
            self._found[asked.domain] = tuple(
                one
                for one in asked.view.role_combinations
                if not any(one.before & first and one.before & second for first, second in self._separate)
            )
        return self._found[asked.domain]

    @cached_property
    def names(self) -> frozenset[str]:
        """The names that are told apart."""
        return self._roles.with_parts((*self._grantees, *self._further_names()))

    def _further_names(self) -> Iterator[str]:
        for one, other in self._separate:
            yield from one | other
        if self._invariant.kind == "monotone":
            yield from self._roles.roles
        yield from names_told_apart(self._invariant, self._roles)

    def _examples(
        self, asked: _Asked, one: RoleCombinationOfBoth, broken: int, message: str, blamed: frozenset[str] | None = None
    ) -> Iterator[_Found]:
        """The smallest counterexample of who breaks the invariant in some outcomes, given as bits; none where there are none."""
        if broken:
            position = asked.view.space.smallest(broken)
            values = shown_values(asked.view.space.outcomes[position])
            grants = asked.view.before.deciding(blamed or one.before, position)
            example = Counterexample(message, one.held, asked.thing, asked.domain, values, grants)
            yield (len(one.held), len(values), asked.number, position), example


def _reached(roles: RoleModel, role: str, domain: str) -> frozenset[str]:
    """The names that a role gives in a domain when it is held there or above, else in some other domain below the same top."""
    reached: frozenset[str] = frozenset()
    depth = roles.level_of(role).depth
    if depth <= depth_of(domain):
        reached |= roles.names_given(role, "/".join(domain.split("/")[:depth]), domain)
    if depth > 1:
        reached |= roles.closure[ANY_PREFIX + role]
    return reached


def _reaching_pairs(who: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
    one, other = (frozenset({role, ANY_PREFIX + role}) for role in who)
    return one, other


def verdict_as_json(verdict: Verdict) -> dict[str, object]:
    """A verdict as programs read it."""
    found = verdict.counterexample
    return {
        "name": verdict.invariant.name,
        "source": verdict.invariant.place.source,
        "holds": verdict.holds,
        "undecided": verdict.undecided,
        "combinations": verdict.combinations,
        "pattern_matches_taken_as_free": verdict.has_free_matches,
        "counterexample": found
        and {
            "message": found.message,
            "held": [{"role": role, "domain": domain} for role, domain in found.held],
            "thing": str(found.thing) if found.thing else None,
            "domain": found.domain,
            "values": dict(found.values),
            "grants": [{"grant": str(grant), "source": grant.source} for grant in found.grants],
        },
    }
