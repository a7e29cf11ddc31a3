"""Stock pycasbin's own decision, on a snapshot that no edit reaches."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from casbin.core_enforcer import CoreEnforcer, EnforceContext

from klausel.enforcer.effects import Answer
from klausel.enforcer.interpreter import interpreted
from klausel.enforcer.model_snapshot import ModelSnapshot

_SILENT = logging.Logger("klausel.casbin.stock", logging.CRITICAL + 1)


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
