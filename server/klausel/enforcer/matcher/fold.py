"""Partial evaluation: the parts of an expression that depend on the row alone are answered once for each row."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from klausel.enforcer.matcher.tree import names_in, parts

FOLDED = "is_folded"
"""The attribute, True, of a function that gives the same for the same values: of literals its value is found once."""
JOINED = "joined_calls"
"""The attribute of a function that does the work of a call among its arguments, too: a `JoinedCalls`."""
JoinedCalls = Mapping[tuple[int, Callable[..., Any]], Callable[..., Any]]
"""For a position and the function called there: what takes the arguments of that call in its place, and gives the same."""
_PURE = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Constant, ast.Name, ast.Tuple, ast.List)


def row_conditions(trees: Iterable[ast.expr], policy_fields: Collection[str]) -> list[ast.expr]:
    """The largest parts that compare only the row's fields and literals; calls may read a clock, and are none."""
    found: list[ast.expr] = []
    fields = set(policy_fields)
    for tree in trees:
        if isinstance(tree, ast.Compare | ast.BoolOp | ast.UnaryOp) and _is_pure(tree) and names_in(tree) <= fields:
            found.append(tree)
        else:
            found += row_conditions(parts(tree), policy_fields)
    return found


def is_constant(tree: ast.expr, value: bool) -> bool:
    """Whether an expression is just True, or just False."""
    return isinstance(tree, ast.Constant) and tree.value is value


def _is_pure(tree: ast.expr) -> bool:
    return isinstance(tree, _PURE) and all(_is_pure(part) for part in parts(tree))


def simplified(tree: ast.expr) -> ast.expr:
    """The tree without what literals among its `and`, `or` and `not` leave no meaning; it says the same about all values."""
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        operand = simplified(tree.operand)
        for value in (True, False):
            if is_constant(operand, value):
                return ast.Constant(not value)
        return ast.UnaryOp(tree.op, operand)
    if not isinstance(tree, ast.BoolOp):
        return tree
    neutral = isinstance(tree.op, ast.And)
    kept: list[ast.expr] = []
    for part in map(simplified, tree.values):
        kept.append(part)
        if is_constant(part, not neutral):
            break
    kept = [part for part in kept[:-1] if not is_constant(part, neutral)] + kept[-1:]
    return kept[0] if len(kept) == 1 else ast.BoolOp(tree.op, kept)
