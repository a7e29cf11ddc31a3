"""A drop-in `casbin.Enforcer` that compiles its model and rows into an immutable plan.

Decisions, explained rows and kinds of exceptions are those of stock pycasbin 2.8, but for this list (each with its tests in
`tests/enforcer/test_divergences.py`). The text of an exception may name the matcher as it is written, not in the form of stock.

1. *An error in a row that is out of the question is not met.* Comparisons `request == field` and role tests are tried first,
   and a disjunct about the request alone before all; stock goes from left to right, and raises.
2. *Values are not searched for modules and forbidden functions*, except where they, or their attributes, are called.
3. *A role link that was added twice is gone when it is removed once.* In stock it depends on what was asked before.
4. *Role managers do not remember what they were asked*: names that nobody has linked neither stay nor change later answers,
   and a domain that is reached by two patterns keeps its role when one of them goes.
5. *Decisions are right while another thread edits*; stock raises or answers wrongly. See `test_threads.py`.
6. *In the middle of an edit decisions come from before it*, also in the thread that edits (`with enforcer.editing():`).
7. *A change inside a row is not seen* before the next edit or `refresh()`; *a list that is assigned as rows* is copied.
8. *A function that raises may be called again* for the same row: the decision starts again, to raise what stock raises.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import casbin
from casbin.core_enforcer import CoreEnforcer, EnforceContext

from klausel.enforcer.change_feed import watch_functions, watch_managers, watch_model
from klausel.enforcer.compiled_plan import USUAL, CompiledPlan, MatcherShelf
from klausel.enforcer.effects import Answer
from klausel.enforcer.interpreter import interpreted
from klausel.enforcer.model_snapshot import take_snapshot
from klausel.enforcer.plan import PlanDescription
from klausel.enforcer.stock_decider import FreshFunctions, LivePlan, OffPlan

Values = tuple[Any, ...]
Plan = CompiledPlan | LivePlan | OffPlan
Enforcer = TypeVar("Enforcer", bound=CoreEnforcer)

_DECISIVE = frozenset({"model", "fm", "eft", "rm_map", "cond_rm_map", "enabled"})
_OWN = frozenset(
    {
        *("_edit_lock", "_publish_lock", "_editor", "_edits_under_way", "_changed_in_edit"),
        *("_version", "_shelf", "_plan", "_earlier", "_decide"),
    }
)
_EDITS = ("add_", "build_", "clear_", "delete_", "enable_", "init_rm", "load_", "remove_", "set_", "update_")


class CompiledDecisions(CoreEnforcer):  # type: ignore[misc]
    """What compiled enforcers share: they decide by a plan, and edits make a new one."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._begin()
        with self.editing():
            super().__init__(*arguments, **named)

    def _begin(self) -> None:
        self._edit_lock = threading.RLock()
        self._publish_lock = threading.Lock()
        self._editor: int | None = None
        self._edits_under_way = 0
        self._changed_in_edit = False
        self._version = 0
        self._shelf = MatcherShelf()
        self._plan: Plan | None = None
        self._earlier: CompiledPlan | None = None
        self._decide: Callable[..., Answer] = self._decide_anew

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if "enforce_ex" in cls.__dict__ and "enforce" not in cls.__dict__:
            cls.enforce = CoreEnforcer.enforce  # type: ignore[method-assign] # it asks the subclass's `enforce_ex`

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _OWN}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._begin()
        with self.editing():
            for name, value in state.items():
                setattr(self, name, value)

    _get_expression = staticmethod(interpreted)

    def enforce(self, *rvals: Any) -> bool:
        """Whether the request is allowed; as in stock, an `EnforceContext` may come first."""
        allowed = self._decide(*rvals)[0]
        if not self.logger.disabled:
            self._log(rvals, allowed)
        return allowed

    def enforce_ex(self, *rvals: Any) -> tuple[bool, list[Any]] | list[Any]:
        """The decision, and the row that explains it; an empty list when no row does."""
        if not self.enabled:
            return [True, []]
        plan = self._current()
        if plan.is_live:
            with self._edit_lock:
                allowed, row = self._current().explain(rvals)
        else:
            allowed, row = plan.explain(rvals)
        if not self.logger.disabled:
            self._log(rvals, allowed)
        return allowed, row

    def decide_row(self, *rvals: Any) -> Answer:
        """The decision, and the place in policy order of the row that explains it (None when no row does); logs nothing."""
        return self._decide(*rvals)

    def current_plan(self) -> Plan:
        """The plan that decides now; `current_plan().decide(*rvals)` goes on giving the answers of this moment."""
        return self._current()

    def plan(self, context: EnforceContext | None = None) -> PlanDescription:
        """Which way each part of the matcher goes: compiled, or to stock and why."""
        names = USUAL if context is None else (context.rtype, context.ptype, context.mtype)
        return self._current().describe(names)

    @contextmanager
    def editing(self) -> Iterator[None]:
        """Makes several edits one: other threads see none of them until the block is left, and then all."""
        with self._edit_lock:
            self._editor = threading.get_ident()
            self._edits_under_way += 1
            try:
                yield
            finally:
                self._edits_under_way -= 1
                if not self._edits_under_way:
                    self._editor = None
                    if self._changed_in_edit:
                        self._changed_in_edit = False
                        self.refresh()

    def take_from(self, other: CompiledDecisions) -> None:
        """Lets the next plan be made from what another enforcer compiled, as far as it fits; that one may be edited no more."""
        plan = other._current()
        self._shelf = other._shelf
        self._earlier = plan if isinstance(plan, CompiledPlan) else None

    def note_change(self) -> None:
        """Called after each change of what decides; at the end of an edit the plan is made again."""
        if self._editor == threading.get_ident():
            if not self._changed_in_edit:
                self._changed_in_edit = True
        else:
            self.refresh()

    def refresh(self) -> None:
        """Makes the plan again; only needed after a change inside a row (`rows[0][1] = "x"`), which cannot be noticed."""
        with self._publish_lock:
            self._version += 1
            self._plan = None
            self._decide = self._decide_anew

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _DECISIVE:
            super().__setattr__(name, value)
            return
        if name == "model":
            watch_model(value, self)
        elif name == "fm":
            watch_functions(value, self)
        elif name in ("rm_map", "cond_rm_map"):
            value = watch_managers(value, self)
        super().__setattr__(name, value)
        self.note_change()

    def _current(self) -> Plan:
        plan = self._plan
        if plan is not None:
            return plan
        with self._edit_lock:
            while True:
                plan = self._plan
                if plan is not None:
                    return plan
                version = self._version
                plan = self._make_plan()
                if self._edits_under_way:
                    return plan  # this thread asks in the middle of its own edit; nobody else may see that
                with self._publish_lock:
                    if version == self._version:
                        self._plan = plan
                        self._earlier = plan if isinstance(plan, CompiledPlan) else None
                        self._decide = self._decide_one_at_a_time if plan.is_live else plan.decide
                        return plan

    def _make_plan(self) -> Plan:
        if not self.enabled:
            return OffPlan()
        try:
            snapshot = take_snapshot(self)
        except Exception as error:
            return LivePlan(self._ask_stock, str(error), self._edit_lock)
        return CompiledPlan(snapshot, self._shelf, self._edit_lock, self._earlier)

    def _decide_anew(self, *rvals: Any) -> Answer:
        plan = self._current()
        return self._decide_one_at_a_time(*rvals) if plan.is_live else plan.decide(*rvals)

    def _decide_one_at_a_time(self, *rvals: Any) -> Answer:
        """The answer of a plan that asks something which edits change; so it is asked while no edit is under way."""
        with self._edit_lock:
            return self._current().decide(*rvals)

    def _ask_stock(self, *rvals: Any) -> Any:
        """Stock's decision on the model itself; the edit lock is held."""
        functions = self.fm
        super().__setattr__("fm", FreshFunctions(functions.get_functions()))
        try:
            return super().enforce_ex(*rvals)
        finally:
            super().__setattr__("fm", functions)

    def _log(self, rvals: Values, allowed: bool) -> None:
        level = logging.INFO if allowed else logging.WARNING
        if self.enabled and self.logger.isEnabledFor(level):
            values = rvals[1:] if isinstance(rvals[0], EnforceContext) else rvals
            self.logger.log(level, "Request: " + ", ".join(map(str, values)) + f" ---> {allowed}")


def _as_one_edit(method: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def edit_in_turns(self: CompiledDecisions, *arguments: Any, **named: Any) -> Any:
            with self.editing():
                return await method(self, *arguments, **named)

        return edit_in_turns

    @functools.wraps(method)
    def edit(self: CompiledDecisions, *arguments: Any, **named: Any) -> Any:
        with self.editing():
            return method(self, *arguments, **named)

    return edit


def with_edits_as_one(cls: type[Enforcer]) -> type[Enforcer]:
    """Makes each method by which Casbin edits one edit: the plan is made again at its end, and not before."""
    for name in dir(cls):
        if name.startswith(_EDITS):
            setattr(cls, name, _as_one_edit(getattr(cls, name)))
    return cls


@with_edits_as_one
class CompiledEnforcer(CompiledDecisions, casbin.Enforcer):  # type: ignore[misc]
    """Decides as `casbin.Enforcer` does, in microseconds, also while another thread edits it.

    Readers take no lock: until an edit is done they use the plan from before it, and the first question after it makes the
    new one. Every way of editing that Casbin has is noticed, also changes of the model by hand; see `change_feed`.
    """


@with_edits_as_one
class AsyncCompiledEnforcer(CompiledDecisions, casbin.AsyncEnforcer):  # type: ignore[misc]
    """Decides as `casbin.AsyncEnforcer` does: `enforce` is no coroutine, and what edits or loads is one.

    As there, policies are loaded by `await enforcer.load_policy()`. While an edit waits for its adapter, other tasks get
    the answers from before it; other threads that edit wait for its end.
    """
