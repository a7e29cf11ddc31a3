"""Functions that can say beforehand which values of a field they accept, so that many rows need not be tried."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from klausel.enforcer.matcher.split import Parts, asks_only
from klausel.enforcer.matcher.tree import disjuncts

ACCEPTED = "accepted_values"
"""The attribute of such a function: called with the request's text, it gives every text of the field that can be accepted.

For all other texts the function must answer False, and not raise.
"""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """`function(request expression, policy field)`, perhaps with `or policy field == text`: which values can hold."""

    request: ast.expr
    field: int
    texts: tuple[str, ...]
    accepted: Callable[[str], Collection[str]]

    def values(self, asked: str) -> frozenset[str]:
        """The values of the field that a row must have to match a request with this text."""
        return frozenset((*self.texts, *self.accepted(asked)))


def narrowing_of(
    parts: Parts, request: Sequence[str], policy: Sequence[str], functions: Mapping[str, Callable[..., Any]]
) -> Narrowing | None:
    """The first part of a matcher that narrows the rows so; None when none does."""
    for tree in parts.left:
        texts: list[str] = []
        found: Narrowing | None = None
        for branch in disjuncts(tree):
            match branch:
                case ast.Compare(left=ast.Name(id=field), ops=[ast.Eq()], comparators=[ast.Constant(value=str(text))]):
                    texts.append(text)
                case ast.Call(func=ast.Name(id=name), args=[asked, ast.Name(id=field)], keywords=[]) if (
                    found is None and asks_only(asked, request) and hasattr(functions.get(name), ACCEPTED)
                ):
                    found = Narrowing(asked, _place(field, policy), (), getattr(functions[name], ACCEPTED))
                case _:
                    break
            if field not in policy or (found is not None and found.field != policy.index(field)):
                break
        else:
            if found is not None:
                return Narrowing(found.request, found.field, tuple(texts), found.accepted)
    return None


def _place(field: str, policy: Sequence[str]) -> int:
    return policy.index(field) if field in policy else -1
