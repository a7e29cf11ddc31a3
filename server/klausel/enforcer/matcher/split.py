"""A matcher taken apart: what becomes the key of an index, what a test in a set of roles, and what is left."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from klausel.enforcer.matcher.text import NotCompilable, evaluated_fields, parse
from klausel.enforcer.matcher.tree import EVAL, calls_in, check, conjuncts, disjuncts, is_call_of, names_in


@dataclass(frozen=True, slots=True)
class Key:
    """`request expression == policy field`: the field's place in a row, and the expression."""

    request: ast.expr
    field: int


@dataclass(frozen=True, slots=True)
class RoleTest:
    """`g(request expression, policy field[, request expression])`."""

    function: str
    subject: ast.expr
    field: int
    domain: ast.expr | None


@dataclass(frozen=True, slots=True)
class Parts:
    """A matcher as: one of `whole` holds, or all of `keys`, `role_tests` and `rest` do."""

    text: str
    tree: ast.expr
    whole: tuple[ast.expr, ...]
    keys: tuple[Key, ...]
    role_tests: tuple[RoleTest, ...]
    rest: tuple[ast.expr, ...]
    """What is left, with what it takes to have the value that the whole matcher has."""
    left: tuple[ast.expr, ...]
    """What is left, as written."""
    evals: tuple[ast.Call, ...]
    """The `eval(p_x)` calls of the tree, in the order of the text."""

    def evaluated(self, fields: Sequence[str]) -> list[int]:
        """The places in a row of the fields inside the `eval` calls, in the order of the text."""
        return [fields.index(call.args[0].id) for call in self.evals]  # type: ignore[attr-defined]


def split(text: str, request: Sequence[str], policy: Sequence[str], set_functions: Collection[str]) -> Parts:
    """The parts of a matcher with these request and policy fields; raises `NotCompilable`.

    `set_functions` are the role functions that can be asked for all roles of a subject at once.
    """
    tree = parse(text)
    check(tree, [*request, *policy])
    evals = [call for call in calls_in(tree) if is_call_of(call, [EVAL])]
    evals.sort(key=lambda call: (call.lineno, call.col_offset))
    fields = [call.args[0].id for call in evals if len(call.args) == 1 and isinstance(call.args[0], ast.Name)]
    if fields != evaluated_fields(text) or len(fields) != len(evals) or not set(fields) <= set(policy):
        raise NotCompilable("uses eval in another way than eval(p.field)")

    branches = disjuncts(tree)
    whole = [branch for branch in branches if len(branches) > 1 and asks_only(branch, request)]
    others = [branch for branch in branches if branch not in whole]
    rows = others[0] if len(others) == 1 else ast.BoolOp(ast.Or(), others) if others else ast.Constant(False)
    keys: list[Key] = []
    tests: list[RoleTest] = []
    rest: list[ast.expr] = []
    for conjunct in conjuncts(rows):
        key = _key(conjunct, request, policy)
        test = _role_test(conjunct, request, policy, set_functions)
        if key is not None and key.field not in [other.field for other in keys]:
            keys.append(key)
        elif test is not None:
            tests.append(test)
        else:
            rest.append(conjunct)
    left = tuple(rest)
    if rest and rest[-1] is not conjunct:
        rest.append(ast.Constant(True))  # the value of a conjunction is that of its last part, and that one holds
    if rest and branches[-1] in whole:  # the value of a disjunction is that of its last part, and that one is False
        rest = [ast.BoolOp(ast.Or(), [ast.BoolOp(ast.And(), rest), ast.Constant(False)])]
    return Parts(text, tree, tuple(whole), tuple(keys), tuple(tests), tuple(rest), left, tuple(evals))


def _key(tree: ast.expr, request: Sequence[str], policy: Sequence[str]) -> Key | None:
    match tree:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            for field, asked in ((left, right), (right, left)):
                if isinstance(field, ast.Name) and field.id in policy and asks_only(asked, request):
                    return Key(asked, policy.index(field.id))
    return None


def _role_test(tree: ast.expr, request: Sequence[str], policy: Sequence[str], functions: Collection[str]) -> RoleTest | None:
    match tree:
        case ast.Call(func=ast.Name(id=function), args=[subject, ast.Name(id=field), *more], keywords=[]):
            if function in functions and field in policy and asks_only(subject, request) and len(more) < 2:
                if more and not (asks_only(more[0], request) or isinstance(more[0], ast.Constant)):
                    return None
                return RoleTest(function, subject, policy.index(field), more[0] if more else None)
    return None


def asks_only(tree: ast.expr, request: Sequence[str]) -> bool:
    """Whether an expression depends on the request alone, and always says the same about it."""
    names = names_in(tree)
    return bool(names) and names <= set(request) and not any(calls_in(tree))
