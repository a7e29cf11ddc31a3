"""Role assignments as rows of the table: which columns, and of which kind each is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from klausel.core.policy.assignment import Assignment
from klausel.storage.sql.tables import LASTING, MEMBERSHIP, TIMED, CasbinRule

COLUMNS = (CasbinRule.v0, CasbinRule.v1, CasbinRule.v2, CasbinRule.v3, CasbinRule.v4)
"""What an Assignment is made of, in its order."""
KEY_COLUMNS = COLUMNS[:3]


def below(column: Any, domain: str) -> ColumnElement[bool]:
    """That the domain in a column lies below another: a range of its index, where LIKE would need its wildcards escaped."""
    # "0" is the character after "/".
    return and_(column > f"{domain}/", column < f"{domain}0")


def inside(column: Any, domain: str) -> ColumnElement[bool]:
    """That the domain in a column is another, or lies below it."""
    return or_(column == domain, below(column, domain))


def kind_of(row: Assignment) -> str:
    """Of which kind a row is stored."""
    if row.is_membership:
        return MEMBERSHIP
    return LASTING if row.starts is None and row.ends is None else TIMED


def as_values(row: Assignment) -> dict[str, str | None]:
    """The columns of a new row."""
    subject, role, domain, starts, ends = row
    return {"ptype": kind_of(row), "v0": subject, "v1": role, "v2": domain, "v3": starts, "v4": ends}
