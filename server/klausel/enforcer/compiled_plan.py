"""The immutable plan: everything that decides requests at one moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from casbin.core_enforcer import EnforceContext

from klausel.enforcer.decide_code import DecideCode
from klausel.enforcer.decider import CompiledMatcher, Decider
from klausel.enforcer.effects import Answer, Effect, effect_of
from klausel.enforcer.matcher.code import Writer
from klausel.enforcer.matcher.narrowing import narrowing_of
from klausel.enforcer.matcher.split import split
from klausel.enforcer.matcher.tests import MatcherTests
from klausel.enforcer.matcher.text import NotCompilable, parse
from klausel.enforcer.matcher.tree import calls_in, is_call_of
from klausel.enforcer.model_snapshot import ModelSnapshot
from klausel.enforcer.plan import (
    COMPILED,
    STOCK,
    EvaluatedField,
    IndexedField,
    InterpretedRow,
    PlanDescription,
    RoleWay,
    casbin_text,
    expression_text,
)
from klausel.enforcer.stock_decider import StockDecider

MAX_MATCHERS = 32

Values = tuple[Any, ...]
Context = tuple[str, str, str]
"""The Casbin names of the request definition, the policy definition and the matcher that a decision uses."""

USUAL: Context = ("r", "p", "m")


class MatcherShelf:
    """Compiled matchers, kept from plan to plan for as long as nothing that they are made from changes."""

    def __init__(self) -> None:
        self._kept: dict[Any, tuple[dict[str, Any], CompiledMatcher]] = {}

    def compiled(self, snapshot: ModelSnapshot, context: Context, effect: Effect) -> CompiledMatcher:
        """The compiled matcher of a context; raises `NotCompilable`."""
        request, policy, matcher = context
        ways = {name: role.way for name, role in snapshot.roles.items()}
        key = (
            snapshot.requests[request],
            snapshot.policies[policy],
            snapshot.matchers[matcher],
            effect,
            tuple(ways.items()),
        )
        functions = dict(snapshot.functions)
        kept = self._kept.get(key)
        if kept is not None and kept[0] == functions:
            return kept[1]
        made = _compile(key[0], key[1], key[2], effect, ways, functions)
        if len(self._kept) >= MAX_MATCHERS:
            self._kept.clear()
        self._kept[key] = (functions, made)
        return made


class CompiledPlan:
    """Decides requests by a model as it was when the plan was made; may be held and shared between threads."""

    def __init__(
        self,
        snapshot: ModelSnapshot,
        shelf: MatcherShelf,
        one_at_a_time: threading.RLock,
        earlier: CompiledPlan | None = None,
    ) -> None:
        """`one_at_a_time` is held during decisions that ask a live role manager; what fits is taken from an earlier plan."""
        self._snapshot = snapshot
        self._shelf = shelf
        self._one_at_a_time = one_at_a_time
        self._deciders: dict[Context, Decider | StockDecider] = {}
        self.is_live = snapshot.is_live
        self.decide: Callable[..., Answer] = self._usual_decide(earlier)
        """The decision for `*rvals`, and the place in policy order of the row that explains it (None when no row does)."""

    def explain(self, rvals: Values) -> tuple[bool, list[Any]]:
        """The decision, and the row that explains it; an empty list when no row does."""
        allowed, number = self.decide(*rvals)
        if number is None:
            return allowed, []
        policy = rvals[0].ptype if isinstance(rvals[0], EnforceContext) else "p"
        row: list[Any] = self._snapshot.rows[policy][number]
        return allowed, row

    def describe(self, context: Context = USUAL) -> PlanDescription:
        """Which way each part of the context's matcher goes."""
        snapshot = self._snapshot
        request, policy, matcher = context
        fields = [*snapshot.requests[request], *snapshot.policies[policy]]
        text = casbin_text(snapshot.matchers[matcher], fields)
        rows = len(snapshot.rows[policy])
        decider = self._decider(context)
        if isinstance(decider, StockDecider):
            effect = effect_of(snapshot.effector)
            name = effect.name if effect else type(snapshot.effector).__name__
            return PlanDescription(STOCK, text, name, rows, why_stock=self._why_stock(context), roles=self._roles(context))
        tests = decider.matcher.tests
        parts = tests.parts
        narrowing = decider.matcher.narrowing
        interpreted = []
        if parts.evals:
            for number, row in enumerate(decider.rows):
                why = tests.why_interpreted(row) if len(row) == len(tests.policy) else None
                if why is not None:
                    interpreted.append(InterpretedRow(number, why))
        return PlanDescription(
            COMPILED,
            text,
            decider.matcher.effect.name,
            rows,
            index=tuple(
                IndexedField(expression_text(key.request, fields), casbin_text(tests.policy[key.field], fields))
                for key in parts.keys
            ),
            why_no_index=decider.why_no_index,
            roles=self._roles(context),
            evals=tuple(
                EvaluatedField(
                    casbin_text(tests.policy[field], fields),
                    len({str(row[field]) for row in decider.rows if len(row) == len(tests.policy)}),
                )
                for field in parts.evaluated(tests.policy)
            ),
            rest=tuple(expression_text(tree, fields) for tree in parts.left),
            request_only=tuple(expression_text(tree, fields) for tree in parts.whole),
            interpreted=tuple(interpreted),
            narrowed_by=None if narrowing is None else casbin_text(tests.policy[narrowing.field], fields),
        )

    def _usual_decide(self, earlier: CompiledPlan | None) -> Callable[..., Answer]:
        try:
            usual = self._deciders[USUAL] = self._make(USUAL, earlier._deciders.get(USUAL) if earlier else None)
            decide = usual.decide
        except KeyError:  # the model has no `r` or no `p`, only others for contexts

            def decide(*rvals: Any) -> Answer:
                return self._odd(rvals)

        if not self.is_live:
            return decide

        def decide_alone(*rvals: Any) -> Answer:
            with self._one_at_a_time:
                return decide(*rvals)

        return decide_alone

    def _decider(self, context: Context) -> Decider | StockDecider:
        decider = self._deciders.get(context)
        if decider is None:
            decider = self._deciders[context] = self._make(context)
        return decider

    def _make(self, context: Context, earlier: Decider | StockDecider | None = None) -> Decider | StockDecider:
        snapshot = self._snapshot
        effect = effect_of(snapshot.effector)
        if effect is None:
            return StockDecider(snapshot, *context)
        try:
            matcher = self._shelf.compiled(snapshot, context, effect)
        except NotCompilable:
            return StockDecider(snapshot, *context)
        return Decider(
            matcher,
            snapshot.rows[context[1]],
            [role.ask for role in snapshot.roles.values()],
            {name: role.snapshot for name, role in snapshot.roles.items() if role.snapshot is not None},
            f"{context[1]}_eft",
            self._odd,
            earlier if isinstance(earlier, Decider) else None,
        )

    def _odd(self, rvals: Values) -> Answer:
        """The answer to a request with an `EnforceContext`, or with another number of values."""
        request, policy, matcher = USUAL
        if rvals and isinstance(rvals[0], EnforceContext):
            context = rvals[0]
            request, policy, matcher, rvals = context.rtype, context.ptype, context.mtype, rvals[1:]
        snapshot = self._snapshot
        _ = snapshot.policies[policy]
        if len(snapshot.requests[request]) != len(rvals):
            raise RuntimeError("invalid request size")
        _ = snapshot.matchers[matcher]
        return self._decider((request, policy, matcher)).decide(*rvals)

    def _why_stock(self, context: Context) -> str:
        effect = effect_of(self._snapshot.effector)
        if effect is None:
            return "has an effector that is not Casbin's own"
        try:
            self._shelf.compiled(self._snapshot, context, effect)
        except NotCompilable as reason:
            return str(reason)
        return "changed"

    def _roles(self, context: Context) -> tuple[RoleWay, ...]:
        try:
            tree = parse(self._snapshot.matchers[context[2]])
        except NotCompilable:
            return ()
        roles = self._snapshot.roles
        called = {call.func.id for call in calls_in(tree) if is_call_of(call, roles)}  # type: ignore[attr-defined]
        return tuple(RoleWay(name, role.way) for name, role in roles.items() if name in called)


def _compile(
    request: tuple[str, ...],
    policy: tuple[str, ...],
    text: str,
    effect: Effect,
    ways: dict[str, str],
    functions: dict[str, Any],
) -> CompiledMatcher:
    if len({*request, *policy}) != len(request) + len(policy):
        raise NotCompilable("has two fields of the same name")
    sets = [name for name, way in ways.items() if way in ("set", "set by domain", "membership")]
    parts = split(text, request, policy, sets)
    names = list(ways)
    tests = MatcherTests(parts, request, policy, functions, names)
    narrowing = narrowing_of(parts, request, policy, functions)
    code = DecideCode(parts, effect, Writer(request, policy, functions, names, True, text), ways, narrowing)
    return CompiledMatcher(tests, effect, code, tests.asked_keys(), narrowing)
