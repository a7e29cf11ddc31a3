"""Casbin's own rewriting, Python's parser and Casbin's interpreter, safe to use from several threads.

On CPython 3.11 before 3.11.8 `ast.parse` fails now and then when two threads parse at once ("AST constructor recursion depth
mismatch"), and stock parses at every decision. So this process parses one text at a time here, and keeps the last trees.
"""

from __future__ import annotations

import ast
import functools
import re
import threading
from collections.abc import Callable
from typing import Any

from casbin.util import SimpleEval

ATTEMPTS = 100

_one_parses = threading.RLock()


def rewritten(text: str) -> str:
    """An expression with `&&`, `||` and `!` in Python's words, also inside literals, as stock does it."""
    return re.sub(r"!(?!=)", "not ", text.replace("&&", "and").replace("||", "or"))


def statements(python: str) -> list[ast.stmt]:
    """What `ast.parse` makes of a text; raises what it raises."""
    for _ in range(ATTEMPTS):
        try:
            with _one_parses:
                return ast.parse(python.strip()).body
        except SystemError:  # some other thread of this process parses something too
            continue
    with _one_parses:
        return ast.parse(python.strip()).body


@functools.lru_cache(maxsize=512)
def _stock_tree(python: str) -> Any:
    return statements(python)[0].value  # type: ignore[attr-defined]


def interpreted(text: str, functions: dict[str, Callable[..., Any]]) -> Any:
    """The expression as stock's `CoreEnforcer._get_expression` gives it, with an `eval(names)`."""
    python = rewritten(text)
    expression = SimpleEval("", functions)
    if python:
        expression.expr = python
        expression.ast_parsed_value = _stock_tree(python)
    return expression
