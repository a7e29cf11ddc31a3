"""Which expression trees may be compiled: a short list of harmless kinds of node, checked before any code is made."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence

from simpleeval import DEFAULT_OPERATORS, DISALLOW_METHODS, DISALLOW_PREFIXES, MAX_STRING_LENGTH

from klausel.enforcer.matcher.text import NotCompilable

MAX_DEPTH = 60
EVAL = "eval"

_PLAIN_NODES = (ast.BoolOp, ast.IfExp, ast.Tuple, ast.List, ast.Subscript)


def check(tree: ast.expr, names: Collection[str], depth: int = 0) -> None:
    """Raises `NotCompilable` unless every part of the tree has one meaning, the same as in Casbin's interpreter.

    `names` are the request's and the policy's fields; a name that is called may be any, since it is looked up later.
    """
    if depth > MAX_DEPTH:
        raise NotCompilable(f"is nested more than {MAX_DEPTH} deep")
    match tree:
        case ast.Name(id=name):
            if name not in names:
                raise NotCompilable(f"unknown name {name}")
        case ast.Constant(value=value):
            if isinstance(value, str | bytes) and len(value) > MAX_STRING_LENGTH:
                raise NotCompilable("a literal is too long")
        case ast.Attribute(attr=name):
            if name.startswith(tuple(DISALLOW_PREFIXES)) or name in DISALLOW_METHODS:
                raise NotCompilable(f"the attribute {name} is forbidden")
        case ast.Compare(ops=operators):
            _check_operators(operators)
        case ast.UnaryOp() | ast.BinOp():
            _check_operators([tree.op])
        case ast.Call(func=function, keywords=keywords):
            if not isinstance(function, ast.Name | ast.Attribute):
                raise NotCompilable("calls something that has no name")
            if any(keyword.arg is None for keyword in keywords):
                raise NotCompilable("calls with **")
        case _:
            if not isinstance(tree, _PLAIN_NODES):
                raise NotCompilable(f"has a part of kind {type(tree).__name__}")
    for part in parts(tree):
        check(part, names, depth + 1)


def parts(tree: ast.expr) -> Iterator[ast.expr]:
    """The expressions directly inside an expression, in the order of evaluation; the name of a called function is none."""
    if isinstance(tree, ast.Call):
        if isinstance(tree.func, ast.Attribute):
            yield tree.func
        yield from tree.args
        yield from (keyword.value for keyword in tree.keywords)
    else:
        yield from (part for part in ast.iter_child_nodes(tree) if isinstance(part, ast.expr))


def names_in(tree: ast.expr) -> set[str]:
    """The request's and the policy's fields that an expression names."""
    if isinstance(tree, ast.Name):
        return {tree.id}
    return {name for part in parts(tree) for name in names_in(part)}


def calls_in(tree: ast.expr) -> Iterator[ast.Call]:
    """The calls in an expression."""
    if isinstance(tree, ast.Call):
        yield tree
    for part in parts(tree):
        yield from calls_in(part)


def is_call_of(tree: ast.expr, names: Collection[str]) -> bool:
    """Whether an expression is a call of a function with one of these names."""
    return isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in names


def conjuncts(tree: ast.expr) -> list[ast.expr]:
    """The parts that must all hold, in their order; `a and (b and c)` has three."""
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        return [conjunct for value in tree.values for conjunct in conjuncts(value)]
    return [tree]


def disjuncts(tree: ast.expr) -> list[ast.expr]:
    """The parts of which one must hold, in their order."""
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.Or):
        return [disjunct for value in tree.values for disjunct in disjuncts(value)]
    return [tree]


def with_parts(tree: ast.expr, replaced: dict[int, ast.expr]) -> ast.expr:
    """The tree with some nodes (by their `id`) replaced; the given tree stays as it is."""
    if id(tree) in replaced:
        return replaced[id(tree)]
    fields = {}
    for field, value in ast.iter_fields(tree):
        if isinstance(value, ast.expr):
            value = with_parts(value, replaced)
        elif isinstance(value, list):
            value = [_with_parts_in(item, replaced) for item in value]
        fields[field] = value
    return type(tree)(**fields)


def _with_parts_in(item: object, replaced: dict[int, ast.expr]) -> object:
    if isinstance(item, ast.keyword):
        return ast.keyword(arg=item.arg, value=with_parts(item.value, replaced))
    return with_parts(item, replaced) if isinstance(item, ast.expr) else item


def _check_operators(operators: Sequence[ast.AST]) -> None:
    for operator in operators:
        if type(operator) not in DEFAULT_OPERATORS:
            raise NotCompilable(f"the operator {type(operator).__name__} is unknown")
