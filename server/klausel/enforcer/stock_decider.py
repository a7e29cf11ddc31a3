"""Stock pycasbin's own decision, on a snapshot that no edit reaches or on the model itself; and a plan that is off."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from casbin.core_enforcer import CoreEnforcer, EnforceContext

from klausel.enforcer.effects import Answer
from klausel.enforcer.interpreter import interpreted
from klausel.enforcer.model_snapshot import ModelSnapshot
from klausel.enforcer.plan import STOCK, PlanDescription

_SILENT = logging.Logger("klausel.casbin.stock", logging.CRITICAL + 1)
Values = tuple[Any, ...]


class _NumberedRow(list[Any]):
    number: int


class FreshFunctions:
    """A function map that stays as it is, though stock writes into what it is given."""

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = functions

    def get_functions(self) -> dict[str, Any]:
        """A new map each time."""
        return dict(self._functions)


class _Definition:
    def __init__(self, tokens: tuple[str, ...] = (), policy: list[Any] | None = None, value: str = "") -> None:
        self.tokens = list(tokens)
        self.policy = policy or []
        self.value = value


class _Stock(CoreEnforcer):  # type: ignore[misc]
    _get_expression = staticmethod(interpreted)


class StockDecider:
    """Decides as `casbin.CoreEnforcer.enforce_ex` does."""

    def __init__(self, snapshot: ModelSnapshot, request: str, policy: str, matcher: str) -> None:
        self.rows = snapshot.rows[policy]
        numbered = []
        for number, row in enumerate(self.rows):
            numbered.append(_NumberedRow(row))
            numbered[-1].number = number
        functions = dict(snapshot.functions) | {name: role.ask for name, role in snapshot.roles.items()}
        stock = _Stock.__new__(_Stock)
        stock.model = {
            "r": {request: _Definition(snapshot.requests[request])},
            "p": {policy: _Definition(snapshot.policies[policy], numbered)},
            "m": {name: _Definition(value=value) for name, value in snapshot.matchers.items()},
        }
        stock.fm = FreshFunctions(functions)
        stock.eft = snapshot.effector
        stock.rm_map = stock.cond_rm_map = {}
        stock.enabled = True
        stock.logger = _SILENT
        self._stock = stock
        self._context = EnforceContext(request, policy, "e", matcher)

    def decide(self, *values: Any) -> Answer:
        """The decision, and the place of the row that explains it."""
        allowed, row = self._stock.enforce_ex(self._context, *values)
        return allowed, row.number if isinstance(row, _NumberedRow) else None


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
