"""What was proved of a policy set before, so that after a change only what it may have touched is proved again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from klausel.core.analysis.budget import MOST_STEPS, Budget
from klausel.core.analysis.decision_table import MOST_REMEMBERED, Question, Remembered
from klausel.core.analysis.proof import Verdict, prove, wanted_names
from klausel.core.policy.invariant import Invariant, Thing
from klausel.core.policy.policy_set import PolicySet, changed_keys

Names = frozenset[str]


@dataclass(frozen=True, slots=True)
class _Held:
    """A policy set whose invariants all hold: for each the names that its proof told apart, and what a whole proof takes at most.

    That are `steps` of the budget, and the `size` of what it remembers.
    """

    policy: PolicySet
    most_steps: int
    names: tuple[Names, ...]
    steps: int
    size: int


class Proved:
    """Proves the invariants of one policy set after the other, and remembers the last one of which all held.

    What is true of a thing depends on the roles, its type, its grants and the invariant alone. Where these are as they were, it
    is not gone through again. The verdicts are those of `prove_all`: whatever does not surely hold is proved as a whole. One
    proof at a time may use it.
    """

    def __init__(self) -> None:
        self._held: _Held | None = None

    def broken(self, policy: PolicySet, most_steps: int = MOST_STEPS) -> tuple[Verdict, ...]:
        """The verdicts on the invariants that do not hold, or of which that cannot be told, in the order of the file."""
        still_held = None if self._held is None else _still_held(self._held, policy, most_steps)
        if still_held is not None:
            self._held = still_held
            return ()
        remembered = Remembered(policy, policy, Budget(most_steps))
        found = tuple(
            verdict for verdict in (prove(policy, one, remembered) for one in policy.invariants) if not verdict.holds
        )
        if not found and remembered.size <= MOST_REMEMBERED:
            names = tuple(wanted_names(policy, invariant) for invariant in policy.invariants)
            self._held = _Held(policy, most_steps, names, most_steps - remembered.budget.steps, remembered.size)
        return found


def _still_held(held: _Held, policy: PolicySet, most_steps: int) -> _Held | None:
    """What is to be remembered of a policy set whose invariants hold since those of the other do; None where that is not sure."""
    before = held.policy
    if most_steps != held.most_steps or policy.roles != before.roles or len(policy.invariants) != len(before.invariants):
        return None
    changed = _Changed(before, policy)
    remembered = Remembered(policy, policy, Budget(most_steps - held.steps))
    for invariant, earlier, names in zip(policy.invariants, before.invariants, held.names, strict=True):
        if invariant is not earlier and _rule(invariant) != _rule(earlier):
            return None
        things = changed.among(invariant, earlier)
        if not things:
            continue
        asked = replace(invariant, things=invariant.things if invariant.kind in ("separate", "toxic") else things)
        # With more names than before, what was gone through was less than a whole proof goes through now.
        if wanted_names(policy, asked) | names != names or not prove(policy, asked, remembered, names).holds:
            return None
    size = held.size + remembered.size
    if size > MOST_REMEMBERED:
        return None
    return _Held(policy, most_steps, held.names, most_steps - remembered.budget.steps, size)


def _rule(invariant: Invariant) -> Invariant:
    """An invariant without the things that it is about, and without their conditions."""
    return replace(invariant, things=(), fitted={})


class _Changed:
    """What may be answered otherwise under another policy set with the same roles."""

    def __init__(self, before: PolicySet, after: PolicySet) -> None:
        self._types = changed_keys(before.resource_types, after.resource_types)
        self._questions: set[Question] = after.changed_questions(before)
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

    def _is_touched(self, thing: Thing) -> bool:
        name = thing.resource_type
        return (name, thing.action) in self._questions or name in self._types
