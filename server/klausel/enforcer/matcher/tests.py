"""The compiled matcher: one Python function for each distinct kind of row, made when the first such row is tried."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from klausel.enforcer.interpreter import interpreted
from klausel.enforcer.matcher.code import Test, Writer
from klausel.enforcer.matcher.fold import is_constant, row_conditions, simplified
from klausel.enforcer.matcher.split import Parts
from klausel.enforcer.matcher.text import NotCompilable, parse_rule, stays_in_brackets, with_rules
from klausel.enforcer.matcher.tree import check, with_parts
from klausel.enforcer.row_index import Row

MAX_FUNCTIONS = 20_000


class MatcherTests:
    """Tests of rows under one matcher; keeps each function for as long as the matcher and the function map stay."""

    def __init__(
        self,
        parts: Parts,
        request: Sequence[str],
        policy: Sequence[str],
        functions: Mapping[str, Callable[..., Any]],
        role_functions: Sequence[str],
    ) -> None:
        self.parts = parts
        self.request = tuple(request)
        self.policy = tuple(policy)
        self.functions = dict(functions)
        self.role_functions = tuple(role_functions)
        self._evaluated = parts.evaluated(policy)
        self._conditions = row_conditions(parts.rest, policy)
        self._condition_tests = [self._writer(quick=True).compile(condition) for condition in self._conditions]
        self._quick: dict[Any, Test | None] = {}
        self._exact: dict[Any, Test] = {}
        self._sure: set[str] = set()
        self._one_compiles = threading.Lock()

    def _writer(self, quick: bool) -> Writer:
        """A writer of functions over this matcher's fields."""
        return Writer(self.request, self.policy, self.functions, self.role_functions, quick, self.parts.text)

    def quick_test(self, row: Row) -> Test | None:
        """What is left to be asked about a row once its keys and its roles fit; None when nothing is."""
        if not self.parts.rest:
            return None
        rules = self._rules(row)
        known = tuple([self._condition_holds(test, row) for test in self._condition_tests])
        test: Test | None = self._kept(self._quick, (known, rules), lambda: self._make_quick(known, rules))
        return test

    def exact_test(self, row: Row) -> Test:
        """The whole matcher for a row, evaluated in the order and by the rules of Casbin's interpreter."""
        rules = self._rules(row)
        test: Test = self._kept(self._exact, rules, lambda: self._make_exact(rules))
        return test

    def asked_keys(self) -> Test:
        """The request's values for the keys of the index, as a list, by the rules of Casbin's interpreter."""
        return self._writer(quick=False).compile(ast.List([key.request for key in self.parts.keys]))

    def stay_in_brackets(self, rules: set[str]) -> bool:
        """Whether these rules surely leave the rest of the matcher as it is; the sure ones are remembered."""
        new = rules - self._sure
        if not all(map(stays_in_brackets, new)):
            return False
        if len(self._sure) + len(new) > 2 * max(len(rules), MAX_FUNCTIONS):
            self._sure = set()
        self._sure = self._sure | rules if new else self._sure
        return True

    def why_interpreted(self, row: Row) -> str | None:
        """Why a row is left to Casbin's interpreter; None when it is compiled."""
        try:
            self._rule_trees(self._rules(row))
        except NotCompilable as reason:
            return str(reason)
        return None

    def _rules(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[field] for field in self._evaluated)

    def _kept(self, cache: dict[Any, Any], key: Any, make: Callable[[], Any]) -> Any:
        try:
            return cache[key]
        except KeyError:
            with self._one_compiles:
                if len(cache) >= MAX_FUNCTIONS:
                    cache.clear()
                if key not in cache:
                    cache[key] = make()
                return cache[key]
        except TypeError:  # a field that cannot be a key
            return make()

    def _make_quick(self, known: Sequence[bool | None], rules: Sequence[Any]) -> Test | None:
        try:
            replaced = self._rule_trees(rules)
        except NotCompilable:
            return self._interpreted(rules)
        for condition, holds in zip(self._conditions, known, strict=True):
            if holds is not None:
                replaced[id(condition)] = ast.Constant(holds)
        tree = simplified(with_parts(ast.BoolOp(ast.And(), list(self.parts.rest)), replaced))
        return None if is_constant(tree, True) else self._writer(quick=True).compile(tree)

    def _make_exact(self, rules: Sequence[Any]) -> Test:
        try:
            return self._writer(quick=False).compile(with_parts(self.parts.tree, self._rule_trees(rules)))
        except NotCompilable:
            return self._interpreted(rules)

    def _rule_trees(self, rules: Sequence[Any]) -> dict[int, ast.expr]:
        """The trees that stand for the `eval` calls, by the `id` of the call; raises `NotCompilable`."""
        trees = {}
        for call, rule in zip(self.parts.evals, rules, strict=True):
            if not isinstance(rule, str):
                raise NotCompilable("the rule is no text")
            trees[id(call)] = parse_rule(rule)
            check(trees[id(call)], [*self.request, *self.policy])
        return trees

    def _interpreted(self, rules: Sequence[Any]) -> Test:
        """The whole matcher, asked of Casbin's interpreter; it raises what stock raises."""

        def ask(*values: Any) -> Any:
            *asked, row, role_functions = values
            functions = self.functions | dict(zip(self.role_functions, role_functions, strict=True))
            text = with_rules(self.parts.text, list(rules))
            names = dict(zip(self.request, asked, strict=True)) | dict(zip(self.policy, row, strict=True))
            return interpreted(text, functions).eval(names)

        return ask

    def _condition_holds(self, test: Test, row: Row) -> bool | None:
        try:
            value = test(*self.request, row, ())
        except Exception:
            return None
        return value if type(value) is bool else None


def accepts(value: Any) -> bool:
    """Whether this value of a matcher is a match; raises as stock does when it is neither a truth value nor a float."""
    if not isinstance(value, bool | float):
        raise RuntimeError("matcher result should be bool, int or float")
    return value != 0
