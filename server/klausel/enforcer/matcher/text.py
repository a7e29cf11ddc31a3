"""From Casbin's way of writing an expression to a Python tree, by Casbin's own rewriting rules."""

from __future__ import annotations

import ast
import re

from casbin.util import util

from klausel.enforcer.interpreter import rewritten, statements

MAX_TEXT_LENGTH = 20_000
MAX_NODES = 4_000

_TRIPLE = ('"""', "'''")
_TOKENS = re.compile(r"""\"{3}|'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[()\[\]{}"'#\\\n\r]""")
"""Triple quotes, whole strings, and single characters that matter: brackets, and what should not be outside a string."""


class NotCompilable(Exception):
    """An expression that only Casbin's own interpreter can answer; the message says why."""


def with_rules(matcher: str, rules: list[str]) -> str:
    """The matcher with each `eval(p_x)` replaced by the rule's text, as stock does it."""
    return str(util.replace_eval(matcher, [util.escape_assertion(rule) for rule in rules]))


def evaluated_fields(matcher: str) -> list[str]:
    """The names inside the `eval(…)` calls that stock sees, in order; also those inside string literals."""
    return list(util.get_eval_value(matcher))


def parse(text: str) -> ast.expr:
    """The one expression that a matcher (already with `r_` and `p_` names) says; raises `NotCompilable`."""
    return _one_expression(_python_text(text))


def parse_rule(rule: str) -> ast.expr:
    """The expression that stock puts in brackets in the place of `eval(p_x)`; raises `NotCompilable`.

    A rule such as `a) || (b` has a meaning only inside its matcher, and is refused here.
    """
    python = _python_text(util.escape_assertion(rule))
    alone = _one_expression(python)
    bracketed = _one_expression(f"({python})")
    try:
        is_same = ast.dump(alone) == ast.dump(bracketed)
    except RecursionError as error:
        raise NotCompilable("is nested too deep") from error
    if not is_same:
        raise NotCompilable("means something else in brackets")
    return alone


def stays_in_brackets(rule: str) -> bool:
    """Whether a rule, put in brackets by stock, surely leaves the matcher around them as it is.

    Stock puts texts together: `True) || (True` makes any matcher true. Such a rule, and any that cannot be told apart from
    one by looking at its brackets, quotes and comments, is not sure.
    """
    depth = 0
    for found in _TOKENS.finditer(rule):
        token = found[0]
        if token in "([{":
            depth += 1
        elif token in ")]}":
            depth -= 1
        elif len(token) == 1 or token in _TRIPLE:
            return False
        if depth < 0:
            return False
    return depth == 0


def _python_text(text: str) -> str:
    if len(text) > MAX_TEXT_LENGTH:
        raise NotCompilable(f"longer than {MAX_TEXT_LENGTH} characters")
    return rewritten(text)


def _one_expression(python: str) -> ast.expr:
    try:
        parsed = statements(python)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotCompilable(f"does not parse: {error}") from error
    if len(parsed) != 1 or not isinstance(parsed[0], ast.Expr):
        raise NotCompilable("is not one expression")
    tree = parsed[0].value
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise NotCompilable(f"has more than {MAX_NODES} parts")
    return tree
