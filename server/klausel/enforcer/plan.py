"""What a plan does with each part of a matcher, as data and in plain words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

COMPILED = "compiled"
STOCK = "stock"

_ROLE_WAYS = {
    "set": "a test in the set of the subject's roles",
    "set by domain": "a test in the set of the subject's roles in the domain",
    "membership": "a test in the set of roles that the request brings",
    "copy": "asked of a copy of the role manager, because it has a matching function",
    "live": "asked of the role manager itself, by one thread at a time",
    "equality": "the two names are equal, because there is no role manager",
}


@dataclass(frozen=True, slots=True)
class IndexedField:
    """A field of the rows that is looked up, and the request's expression that it is compared with."""

    request: str
    policy: str


@dataclass(frozen=True, slots=True)
class RoleWay:
    """A role function of the matcher, and the way it is answered; `way` as in `klausel.enforcer.model_snapshot`."""

    function: str
    way: str


@dataclass(frozen=True, slots=True)
class EvaluatedField:
    """A field that holds an expression of its own, and how many distinct ones there are."""

    policy: str
    distinct_texts: int


@dataclass(frozen=True, slots=True)
class InterpretedRow:
    """A row that Casbin's interpreter answers, and why; `number` is its place in policy order, from 0."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class PlanDescription:
    """Which way each part of a matcher goes; `str()` says it in words."""

    way: str
    """`compiled` or `stock`."""
    matcher: str
    effect: str
    rows: int
    why_stock: str | None = None
    index: tuple[IndexedField, ...] = ()
    why_no_index: str | None = None
    roles: tuple[RoleWay, ...] = ()
    evals: tuple[EvaluatedField, ...] = ()
    rest: tuple[str, ...] = ()
    """What is asked of each row that the index and the role tests leave, as one function; in the order of the matcher."""
    request_only: tuple[str, ...] = ()
    """What is asked of the request alone; when it holds, every row matches."""
    interpreted: tuple[InterpretedRow, ...] = ()
    narrowed_by: str | None = None
    """The field by which rows are looked up where many share a key and a role."""

    @property
    def is_compiled(self) -> bool:
        """Whether the matcher is compiled, for all rows but the interpreted ones."""
        return self.way == COMPILED

    def __str__(self) -> str:
        head = f"{self.way}: {self.matcher}" if self.matcher else f"{self.way}: no matcher"
        lines = [head, f"  effect {self.effect}, {_counted(self.rows, 'row')}"]
        if self.why_stock:
            lines.append(f"  stock decides, because the matcher {self.why_stock}")
        for asked in self.request_only:
            lines.append(f"  once a request: {asked}, which makes every row match")
        if self.index:
            lines.append("  looked up: " + " and ".join(f"{field.request} == {field.policy}" for field in self.index))
        if self.why_no_index:
            lines.append(f"  rows are tried one by one, because {self.why_no_index}")
        lines += [f"  {role.function}(…): {_ROLE_WAYS[role.way]}" for role in self.roles]
        for part in self.evals:
            lines.append(f"  eval({part.policy}): {_counted(part.distinct_texts, 'distinct text')}, each compiled once")
        if self.narrowed_by:
            lines.append(f"  where many rows share a key and a role, they are looked up by {self.narrowed_by}, too")
        if self.rest:
            lines.append("  asked of each row that is left: " + ", and ".join(self.rest))
        lines += [f"  row {row.number} goes to Casbin's interpreter, because its rule {row.why}" for row in self.interpreted]
        return "\n".join(lines)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def expression_text(tree: ast.expr, fields: Iterable[str]) -> str:
    """An expression as Casbin writes it, with `r.sub` for `r_sub`."""
    return casbin_text(ast.unparse(tree), fields)


def casbin_text(text: str, fields: Iterable[str]) -> str:
    """A text with `r.sub` for `r_sub`."""
    for field in sorted(fields, key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(field)}\b", field.replace("_", ".", 1), text)
    return text
