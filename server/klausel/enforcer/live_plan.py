"""Plans without a snapshot: stock on the model itself, and the plan of an enforcer that is switched off."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from klausel.enforcer.effects import Answer
from klausel.enforcer.plan import STOCK, PlanDescription

Values = tuple[Any, ...]


class LivePlan:
    """Stock decides, on the model itself, one thread at a time; for models of a shape that has no snapshot."""

    is_live = True

    def __init__(self, stock: Callable[..., Any], why: str, one_at_a_time: threading.RLock) -> None:
        self._stock = stock
        self._why = why
        self._one_at_a_time = one_at_a_time

    def decide(self, *rvals: Any) -> Answer:
        """The decision; stock does not say the place of the row, so that is None."""
        return self.explain(rvals)[0], None

    def explain(self, rvals: Values) -> tuple[bool, list[Any]]:
        """The decision, and the row that explains it."""
        with self._one_at_a_time:
            allowed, row = self._stock(*rvals)
        return allowed, row

    def describe(self, context: object = None) -> PlanDescription:
        """That stock decides, and why."""
        return PlanDescription(STOCK, "", "unknown", 0, why_stock=self._why)


class OffPlan:
    """Allows everything, as stock does after `enable_enforce(False)`."""

    is_live = False

    def decide(self, *rvals: Any) -> Answer:
        """Always allowed, explained by no row."""
        return True, None

    def explain(self, rvals: Values) -> tuple[bool, list[Any]]:
        """Always allowed, explained by no row."""
        return True, []

    def describe(self, context: object = None) -> PlanDescription:
        """That everything is allowed."""
        return PlanDescription(STOCK, "", "everything is allowed", 0, why_stock="is switched off by enable_enforce(False)")
