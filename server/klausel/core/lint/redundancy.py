"""Which grants of a question decide nothing that others do not decide as well, and which others those are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from klausel.core.analysis.states import Mask
from klausel.core.conditions.outcomes import union
from klausel.core.lint.cases import Cases
from klausel.core.policy.policy_set import Grant

Why = Literal["never holds", "always denied", "denies nothing", "covered"]


@dataclass(frozen=True, slots=True)
class Redundant:
    """A grant that can be dropped without changing a decision: why, and the grants that do its work."""

    grant: Grant
    why: Why
    by: tuple[Grant, ...]


def redundant_grants(cases: Cases) -> Iterator[Redundant]:
    """The grants that can be dropped, even all together; of grants that cover each other, the first is kept.

    What stands beside one that covers it alone comes before what several cover together.
    """
    held = union(cases.alone)
    denied = _with_each(mask for mask in cases.paired if mask & cases.allows)
    allowed = _with_each(mask for mask in cases.alone if not mask & cases.denies)
    relevant = {bit: (denied if bit & cases.denies else allowed).get(bit, []) for bit in _bits(held)}
    denying = _kept(cases.denies & held, relevant)
    kept = denying | _kept(cases.allows & held, relevant)
    for position, grant in enumerate(cases.grants):
        bit = 1 << position
        if not bit & held:
            yield Redundant(grant, "never holds", ())
        elif not relevant[bit] and bit & cases.denies:
            yield Redundant(grant, "denies nothing", ())
        elif not relevant[bit]:
            all_with_it = [mask for mask in cases.alone if mask & bit]
            yield Redundant(grant, "always denied", _cover(all_with_it, denying, cases))
        elif not bit & kept:
            of_its_effect = kept & (cases.allows if bit & cases.allows else cases.denies)
            yield Redundant(grant, "covered", _cover(relevant[bit], of_its_effect, cases))


def _kept(candidates: Mask, relevant: dict[Mask, list[Mask]]) -> Mask:
    """What is left of grants with one effect when those are dropped that others cover, the later ones first."""
    kept = union(bit for bit in _bits(candidates) if relevant[bit])
    later_first = sorted(_bits(kept), reverse=True)
    for bit in later_first:
        if _and(relevant[bit]) & kept & ~bit:
            kept &= ~bit
    for bit in later_first:
        if bit & kept and all(mask & kept & ~bit for mask in relevant[bit]):
            kept &= ~bit
    return kept


def _cover(masks: Collection[Mask], choice: Mask, cases: Cases) -> tuple[Grant, ...]:
    """Few grants of the choice of which one is in each mask; in the order of the files."""
    left = list(masks)
    chosen = 0
    while left:
        best = max(_bits(union(left) & choice), key=lambda bit: (sum(bool(mask & bit) for mask in left), -bit))
        chosen |= best
        left = [mask for mask in left if not mask & best]
    return tuple(cases.grants[bit.bit_length() - 1] for bit in _bits(chosen))


def _with_each(masks: Iterable[Mask]) -> dict[Mask, list[Mask]]:
    """The masks with each bit; a bit that none has is left out."""
    found: dict[Mask, list[Mask]] = {}
    for mask in masks:
        for bit in _bits(mask):
            found.setdefault(bit, []).append(mask)
    return found


def _bits(mask: Mask) -> Iterator[Mask]:
    while mask:
        bit = mask & -mask
        yield bit
        mask ^= bit


def _and(masks: Collection[Mask]) -> Mask:
    found = -1
    for mask in masks:
        found &= mask
    return found
