"""What was proved of a policy set before, so that after a change only what it may have touched is proved again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from klausel.core.analysis.budget import MOST_STEPS, Budget
from klausel.core.analysis.decision_table import MOST_REMEMBERED, Question, Remembered
from klausel.core.analysis.proof import Part, PartProof, Proof, Verdict, grantees_about, joined, parts_of
from klausel.core.conditions.outcomes import TooManyCases
from klausel.core.policy.invariant import Invariant, Thing
from klausel.core.policy.policy_set import Grant, PolicySet, changed_keys

Names = frozenset[str]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found of one invariant.

    `grantees` counts, for each, the things that a grant for it is about; `names` are those told apart. `broken` are the parts
    with a counterexample, or alike such a one, each with the places of the grants that it blames, among those about a question.
    """

    invariant: Invariant
    grantees: Counter[str]
    names: Names
    proofs: dict[Part, PartProof]
    broken: dict[Part, tuple[tuple[Question, int], ...]]

    def verdict(self, policy: PolicySet, invariant: Invariant) -> Verdict | None:
        """The verdict on the invariant, which does not hold; None where it does."""
        if not self.broken:
            return None
        verdict = joined(invariant, [self.proofs[part] for part in parts_of(invariant)])
        example = verdict.counterexample
        assert example is not None
        part = next(part for part in self.broken if self.proofs[part].counterexample is example)
        # The grants may stand on other lines by now.
        blamed = tuple(policy.grants_about(*question)[place] for question, place in self.broken[part])
        return replace(verdict, counterexample=replace(example, grants=blamed))


@dataclass(frozen=True, slots=True)
class _Held:
    """A policy set with what was found of its invariants, by their names.

    `remembered` is what all since the last whole proof went through, and its budget what they left: another whole proof takes
    no more than they did.
    """

    policy: PolicySet
    most_steps: int
    known: dict[str, _Known]
    remembered: Remembered


class Proved:
    """Proves the invariants of one policy set after the other, and remembers what it found of the last one.

    What is true of a thing depends on the roles, its type, its grants and the invariant alone. Where these are as they were, it
    is not gone through again. The verdicts are those of `prove_all`. One proof at a time may use it.
    """

    def __init__(self) -> None:
        self._held: _Held | None = None

    def broken(self, policy: PolicySet, most_steps: int = MOST_STEPS) -> tuple[Verdict, ...]:
        """The verdicts on the invariants that do not hold, or of which that cannot be told, in the order of the file."""
        held, self._held = self._held, None
        if held is not None and most_steps == held.most_steps and policy.roles == held.policy.roles:
            held.remembered.go_on(policy)
            try:
                return self._found(policy, held)
            except TooManyCases:
                # That may come of counting twice what was gone through again.
                pass
        return self._found(policy, _Held(policy, most_steps, {}, Remembered(policy, policy, Budget(most_steps))))

    def _found(self, policy: PolicySet, held: _Held) -> tuple[Verdict, ...]:
        """The verdicts after those of an earlier policy set with the same roles; raises `TooManyCases` unless all are new."""
        is_whole = not held.known
        changed = _Changed(held.policy, policy)
        known: dict[str, _Known] = {}
        found: list[Verdict] = []
        for invariant in policy.invariants:
            try:
                now = _known(policy, invariant, held.known.get(invariant.name), changed, held.remembered)
            except TooManyCases as error:
                if not is_whole:
                    raise
                found.append(Verdict(invariant, False, 0, False, None, str(error)))
                continue
            known[invariant.name] = now
            verdict = now.verdict(policy, invariant)
            if verdict is not None:
                found.append(verdict)
        has_forgotten = held.remembered.size > MOST_REMEMBERED
        if has_forgotten and not is_whole:
            raise TooManyCases("more is remembered than there is room for")
        if len(known) == len(policy.invariants) and not has_forgotten:
            self._held = _Held(policy, held.most_steps, known, held.remembered)
        return tuple(found)


def _known(
    policy: PolicySet, invariant: Invariant, earlier: _Known | None, changed: _Changed, remembered: Remembered
) -> _Known:
    """What is found of an invariant, with what was found of it under an earlier policy set and is still so."""
    if earlier is None or _rule(invariant) != _rule(earlier.invariant):
        return _proved(Proof(policy, invariant, remembered), policy, invariant)
    things = changed.among(invariant, earlier.invariant)
    if invariant.things != earlier.invariant.things:
        # Which of those that are alike comes first may be another one now.
        if len(parts_of(invariant)) != len(invariant.things) or any(earlier.proofs[part].like for part in earlier.broken):
            return _proved(Proof(policy, invariant, remembered), policy, invariant)
    elif not things:
        return replace(earlier, invariant=invariant)
    grantees = changed.grantees(earlier, invariant, things)
    proof = Proof(policy, invariant, remembered, +grantees)
    if proof.names != earlier.names:
        return _proved(proof, policy, invariant)
    again = dict(proof.of(_parts_to_go_through(invariant, earlier, things)))
    if invariant.things == earlier.invariant.things:
        proofs = earlier.proofs | again
    else:
        proofs = {part: again.get(part) or earlier.proofs[part] for part in parts_of(invariant)}
    broken = {part: blamed for part, blamed in earlier.broken.items() if part in proofs and part not in again}
    return _Known(invariant, grantees, proof.names, proofs, broken | _broken(policy, proofs, again))


def _parts_to_go_through(invariant: Invariant, earlier: _Known, things: Sequence[Thing]) -> Sequence[Part]:
    """The parts of an invariant that these of its things concern, and those that are alike one of them; in the order of all."""
    if len(parts_of(invariant)) != len(invariant.things):
        return [part for part in parts_of(invariant) if not set(things).isdisjoint(part)]
    touched = {(thing,): None for thing in things}
    alike = [part for part in earlier.broken if earlier.proofs[part].like in touched and part not in touched]
    if not alike:
        return list(touched)
    return [part for part in parts_of(invariant) if part in touched or part in alike]


def _proved(proof: Proof, policy: PolicySet, invariant: Invariant) -> _Known:
    """What is found of an invariant when all its parts are gone through."""
    proofs = dict(proof.of(parts_of(invariant)))
    grantees = Counter(name for thing in dict.fromkeys(invariant.things) for name in grantees_about(policy, (thing,)))
    return _Known(invariant, grantees, proof.names, proofs, _broken(policy, proofs, proofs))


def _broken(
    policy: PolicySet, proofs: Mapping[Part, PartProof], parts: Iterable[Part]
) -> dict[Part, tuple[tuple[Question, int], ...]]:
    """Those of some parts that do not hold, each with the places of the grants that its own counterexample blames."""
    found: dict[Part, tuple[tuple[Question, int], ...]] = {}
    for part in parts:
        one = proofs[part]
        if one.counterexample is not None:
            found[part] = tuple(_place(policy, grant) for grant in one.counterexample.grants)
        elif one.like in found:
            found[part] = ()
    return found


def _place(policy: PolicySet, grant: Grant) -> tuple[Question, int]:
    """Where a grant stands among those about the same question."""
    question = (grant.resource_type, grant.action)
    return question, next(place for place, one in enumerate(policy.grants_about(*question)) if one is grant)


def _rule(invariant: Invariant) -> tuple[object, ...]:
    """What an invariant says, without the things that it is about, and without their conditions."""
    return invariant.kind, invariant.who, invariant.scope, invariant.condition


def _meaning(grants: Iterable[Grant]) -> list[tuple[object, ...]]:
    """What grants about a question come to, wherever they stand and however they are explained."""
    return [(grant.effect, grant.reach, grant.condition) for grant in grants]


class _Changed:
    """What may be answered otherwise under another policy set with the same roles."""

    def __init__(self, before: PolicySet, after: PolicySet) -> None:
        self._before, self._after = before, after
        self._types = {
            name
            for name in changed_keys(before.resource_types, after.resource_types)
            if _asked_in(before, name) != _asked_in(after, name)
        }
        self._questions: set[Question] = {
            question
            for question in after.changed_questions(before)
            if _meaning(before.grants_about(*question)) != _meaning(after.grants_about(*question))
        }
        self._touched = self._types | {name for name, _ in self._questions}
        self._found: dict[int, tuple[Thing, ...]] = {}

    def among(self, invariant: Invariant, earlier: Invariant) -> tuple[Thing, ...]:
        """The things of an invariant that may be answered otherwise, and those that it was not about earlier."""
        if invariant is earlier:
            # Many invariants are about the same things.
            found = self._found.get(id(invariant.things))
            if found is None:
                near = [thing for thing in invariant.things if thing.resource_type in self._touched]
                found = self._found[id(invariant.things)] = tuple(filter(self._is_touched, near))
            return found
        known = None if invariant.things == earlier.things else set(earlier.things)
        conditions = {
            name
            for name in {*invariant.fitted, *earlier.fitted}
            if invariant.condition_on(name) != earlier.condition_on(name)
        }
        return tuple(
            thing
            for thing in invariant.things
            if self._is_touched(thing) or thing.resource_type in conditions or (known is not None and thing not in known)
        )

    def grantees(self, known: _Known, invariant: Invariant, things: Iterable[Thing]) -> Counter[str]:
        """For each grantee the things that a grant for it is about now, these being the only ones with other grants."""
        found = known.grantees.copy()
        if invariant.things == known.invariant.things:
            for thing in dict.fromkeys(things):
                found.subtract(grantees_about(self._before, (thing,)))
                found.update(grantees_about(self._after, (thing,)))
            return found
        now, then = set(invariant.things), set(known.invariant.things)
        for thing in {*things, *(then - now)}:
            if thing in then:
                found.subtract(grantees_about(self._before, (thing,)))
            if thing in now:
                found.update(grantees_about(self._after, (thing,)))
        return found

    def _is_touched(self, thing: Thing) -> bool:
        name = thing.resource_type
        return (name, thing.action) in self._questions or name in self._types


def _asked_in(policy: PolicySet, name: str) -> dict[str, str] | None:
    """In which levels the special actions of a type are asked; None where it is not declared."""
    declared = policy.resource_types.get(name)
    return None if declared is None else dict(declared.asked_in)
