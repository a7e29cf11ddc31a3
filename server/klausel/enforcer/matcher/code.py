"""Python functions from checked trees. Nothing that `matcher_tree.check` has not seen is ever turned into code."""

from __future__ import annotations

import ast
import functools
import itertools
import operator
import types
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from simpleeval import (
    DEFAULT_OPERATORS,
    DISALLOW_FUNCTIONS,
    AttributeDoesNotExist,
    FeatureNotAvailable,
    FunctionNotDefined,
)

from klausel.enforcer.matcher.fold import FOLDED, JOINED, JoinedCalls
from klausel.enforcer.matcher.tree import is_call_of

Test = Callable[..., Any]
"""A compiled expression: called with the request's values, then the row's fields, then the role functions."""

_WRITTEN = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_PREFIXES = {ast.Not: "not ", ast.USub: "-", ast.UAdd: "+", ast.Invert: "~"}


class Writer:
    """Writes checked trees as Python source, and keeps the values that this source names; one writer makes one function.

    `quick` attributes are Python's own; otherwise they are simpleeval's, which also looks into a mapping.
    """

    def __init__(
        self,
        request_fields: Sequence[str],
        policy_fields: Sequence[str],
        functions: Mapping[str, Callable[..., Any]],
        role_functions: Sequence[str],
        quick: bool,
        text: str,
    ) -> None:
        """`text` is what errors name as the expression."""
        self.names = {name: f"r{n}" for n, name in enumerate(request_fields)}
        self.names |= {name: f"p[{n}]" for n, name in enumerate(policy_fields)}
        self.arguments = ", ".join([*(f"r{n}" for n in range(len(request_fields))), "p", "g"])
        self.functions = functions
        self.role_functions = role_functions
        self.quick = quick
        self._text = text
        self.values: dict[str, Any] = {"attribute": functools.partial(attribute, text), "item": operator.getitem}
        self._links = itertools.count()
        self._repeated: set[str] = set()
        self._found: dict[str, str] = {}

    def compile(self, tree: ast.expr) -> Test:
        """The function that answers a tree."""
        if self.quick:
            self._repeated, self._found = self._repeated_calls(tree), {}
        return self.compile_source(f"def test({self.arguments}):\n    return {self.write(tree)}\n", "test")

    def compile_source(self, source: str, name: str) -> Test:
        """The function of this name in a source that was written from checked trees."""
        module = compile(source, "<klausel plan>", "exec")
        exec(module, self.values)  # noqa: S102 - only source written here, from checked trees
        function: Test = self.values.pop(name)
        return function

    def write(self, tree: ast.expr) -> str:
        """The source of an expression, in brackets where it needs them."""
        match tree:
            case ast.Name(id=name):
                return self.names[name]
            case ast.Constant(value=value):
                return repr(value) if type(value) in (str, bool, type(None)) else self._value(value)
            case ast.Attribute(value=holder, attr=name):
                if self.quick and isinstance(holder, ast.Name | ast.Attribute):
                    return f"{self.write(holder)}.{name}"
                return f"attribute({self.write(holder)}, {name!r})"
            case ast.BoolOp(op=op, values=values):
                return "(" + (" and " if isinstance(op, ast.And) else " or ").join(map(self.write, values)) + ")"
            case ast.UnaryOp(op=op, operand=operand):
                return f"({_PREFIXES[type(op)]}{self.write(operand)})"
            case ast.BinOp(left=left, op=op, right=right):
                return f"{self._value(DEFAULT_OPERATORS[type(op)])}({self.write(left)}, {self.write(right)})"
            case ast.Compare(left=left, ops=ops, comparators=[right]):
                return self._comparison(ops[0], self.write(left), self.write(right))
            case ast.Compare():
                return self._chain(tree)
            case ast.IfExp(test=test, body=body, orelse=other):
                return f"({self.write(body)} if {self.write(test)} else {self.write(other)})"
            case ast.Tuple(elts=items):
                return "(" + "".join(f"{self.write(item)}, " for item in items) + ")"
            case ast.List(elts=items):
                return "[" + ", ".join(map(self.write, items)) + "]"
            case ast.Subscript(value=holder, slice=key):
                return f"item({self.write(holder)}, {self.write(key)})"
            case ast.Call():
                return self._call(tree)
            case _:
                raise AssertionError(f"{type(tree).__name__} was not checked")

    def _comparison(self, op: ast.cmpop, left: str, right: str) -> str:
        if type(op) in _WRITTEN:
            return f"({left} {_WRITTEN[type(op)]} {right})"
        return f"{self._value(operator.is_ if isinstance(op, ast.Is) else operator.is_not)}({left}, {right})"

    def _chain(self, tree: ast.Compare) -> str:
        links = []
        left = self.write(tree.left)
        for op, right in zip(tree.ops[:-1], tree.comparators[:-1], strict=True):
            name = f"c{next(self._links)}"
            links.append(self._comparison(op, left, f"({name} := {self.write(right)})"))
            left = name
        links.append(self._comparison(tree.ops[-1], left, self.write(tree.comparators[-1])))
        return "(" + " and ".join(links) + ")"

    def _call(self, tree: ast.Call) -> str:
        folded = self._folded(tree)
        if folded is not None:
            return folded
        called = ast.dump(tree) if self._repeated else ""
        if called not in self._repeated:
            return self._written_call(tree)
        if called not in self._found:
            source = self._written_call(tree)
            self._found[called] = f"t{len(self._found)}"
            return f"({self._found[called]} := {source})"
        return self._found[called]

    def _repeated_calls(self, tree: ast.expr) -> set[str]:
        """The calls whose value is found once: made first, whatever comes out, and again, of functions that say so."""
        nodes = list(ast.walk(tree))
        if any(isinstance(node, ast.IfExp) for node in nodes):
            return set()
        counted = Counter(ast.dump(node) for node in nodes if self._is_folded(node))
        return {called for node in _made_first(tree) if self._is_folded(node) and counted[called := ast.dump(node)] > 1}

    def _is_folded(self, node: ast.AST) -> bool:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or is_call_of(node, self.role_functions):
            return False
        return bool(getattr(self.functions.get(node.func.id), FOLDED, False))

    def _written_call(self, tree: ast.Call) -> str:
        joined = self._joined_call(tree)
        if joined is not None:
            return joined
        arguments = [self.write(argument) for argument in tree.args]
        arguments += [f"{keyword.arg}={self.write(keyword.value)}" for keyword in tree.keywords]
        if is_call_of(tree, self.role_functions):
            function = f"g[{self.role_functions.index(tree.func.id)}]"  # type: ignore[attr-defined]
        elif isinstance(tree.func, ast.Name):
            function = self._function(tree.func.id)
        else:
            quick, self.quick = self.quick, False
            function = self.write(tree.func)
            self.quick = quick
        return f"{function}({', '.join(arguments)})"

    def _joined_call(self, tree: ast.Call) -> str | None:
        """One call for a call and those among its arguments, where its function has one that does the work of them all."""
        function, arguments = self._plain_function(tree), list(tree.args)
        known: JoinedCalls | None = getattr(function, JOINED, None)
        while known:
            called = [(at, self._called_once(one)) for at, one in enumerate(arguments)]
            place, inner = next((one for one in called if one in known), (0, None))
            if inner is None:
                break
            function = known[place, inner]
            arguments[place : place + 1] = arguments[place].args  # type: ignore[attr-defined]
            known = getattr(function, JOINED, None)
        if function is None or function is self._plain_function(tree):
            return None
        return f"{self._value(function)}({', '.join(map(self.write, arguments))})"

    def _called_once(self, tree: ast.expr) -> Callable[..., Any] | None:
        """The function of a call whose value depends on the request, and which is not wanted elsewhere in the expression."""
        if not isinstance(tree, ast.Call) or ast.dump(tree) in self._repeated:
            return None
        return None if all(isinstance(one, ast.Constant) for one in tree.args) else self._plain_function(tree)

    def _plain_function(self, tree: ast.Call) -> Callable[..., Any] | None:
        """The function that a call names and gives nothing by keyword; none of the roles."""
        if not isinstance(tree.func, ast.Name) or tree.keywords or is_call_of(tree, self.role_functions):
            return None
        return self.functions.get(tree.func.id)

    def _folded(self, tree: ast.Call) -> str | None:
        """The value of a call that is the same at every request, where its function says that it is."""
        if not isinstance(tree.func, ast.Name) or is_call_of(tree, self.role_functions) or tree.keywords:
            return None
        function = self.functions.get(tree.func.id)
        values = [argument.value for argument in tree.args if isinstance(argument, ast.Constant)]
        if not getattr(function, FOLDED, False) or function is None or len(values) < len(tree.args):
            return None
        try:
            return self._value(function(*values))
        except Exception:
            return None  # it shall fail where stock fails: when it is asked

    def _function(self, name: str) -> str:
        function = self.functions.get(name)
        if function is None:
            function = functools.partial(_undefined, name, self._text)
        return self._value(function)

    def _value(self, value: Any) -> str:
        for name, known in self.values.items():
            if known is value:
                return name
        name = f"v{len(self.values)}"
        self.values[name] = value
        return name


def _made_first(tree: ast.expr) -> Iterator[ast.Call]:
    """The calls that are made whenever the tree is asked, before any that may be left out."""
    match tree:
        case ast.Call(args=arguments):
            for argument in arguments:
                yield from _made_first(argument)
            yield tree
        case ast.BoolOp(values=[first, *_]):
            yield from _made_first(first)
        case ast.UnaryOp(operand=operand):
            yield from _made_first(operand)
        case ast.Compare(left=left):
            yield from _made_first(left)


def attribute(text: str, holder: Any, name: str) -> Any:
    """What `holder.name` means to Casbin: an attribute, else an item of a mapping; no module and no forbidden function."""
    if isinstance(holder, types.ModuleType):
        raise FeatureNotAvailable("Sorry, modules are not allowed")
    try:
        value = getattr(holder, name)
    except (AttributeError, TypeError):
        try:
            value = holder[name]
        except (KeyError, TypeError):
            raise AttributeDoesNotExist(name, text) from None
    if isinstance(value, types.ModuleType):
        raise FeatureNotAvailable("Sorry, modules are not allowed in attribute access")
    if callable(value) and value in DISALLOW_FUNCTIONS:
        raise FeatureNotAvailable("This function is forbidden")
    return value


def _undefined(name: str, text: str, *_: Any, **__: Any) -> Any:
    raise FunctionNotDefined(name, text)
