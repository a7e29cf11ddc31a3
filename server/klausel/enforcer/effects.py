"""Casbin's effects: how the rows that match, in their order, make one decision and name one row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from casbin.effect import (
    AllowAndDenyEffector,
    AllowOverrideEffector,
    DenyOverrideEffector,
    Effector,
    PriorityEffector,
)

ALLOW: int = Effector.ALLOW
INDETERMINATE: int = Effector.INDETERMINATE
DENY: int = Effector.DENY

Answer = tuple[bool, int | None]
"""A decision, and the place in policy order of the row that explains it; None when no row does."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One of Casbin's effects; the row at which it stops explains the decision, else the last row that matches."""

    name: str
    stops_at: frozenset[int]
    allowed_by_none: bool = False

    def decide(self, matching: Iterable[tuple[int, int]]) -> Answer:
        """The answer for matching rows, given lazily as (effect of the row, place of the row) in policy order."""
        allowed, explaining = self.allowed_by_none, None
        for effect, explaining in matching:
            if effect in self.stops_at:
                return effect == ALLOW, explaining
            allowed = allowed or effect == ALLOW
        return allowed, explaining

    def answer_of(self, effect: int, number: int) -> Answer:
        """The answer when this row is the only one that matches."""
        return self.decide([(effect, number)])


_EFFECTS = {
    AllowOverrideEffector: Effect("allow-override", frozenset({ALLOW})),
    DenyOverrideEffector: Effect("deny-override", frozenset({DENY}), allowed_by_none=True),
    AllowAndDenyEffector: Effect("allow-and-deny", frozenset({DENY})),
    PriorityEffector: Effect("priority", frozenset({ALLOW, DENY})),
}


def effect_of(effector: Any) -> Effect | None:
    """The effect of one of Casbin's own effectors; None for any other."""
    return _EFFECTS.get(type(effector))


def row_effect(text: Any) -> int:
    """The effect that a row's `eft` field says; Casbin reads only `allow` and `deny`, exactly so written."""
    return ALLOW if text == "allow" else DENY if text == "deny" else INDETERMINATE
