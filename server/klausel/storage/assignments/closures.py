"""Rows with all that they lead to: from subjects up to their groups, and from groups down to their members."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import Connection, TextClause, select, text

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.holding import groups_in
from klausel.storage.sql.rows import COLUMNS
from klausel.storage.sql.steps import in_steps
from klausel.storage.sql.tables import MEMBERSHIP, NOT_LASTING, OF_A_GROUP, CasbinRule

ROWS_PER_STATEMENT = 500


def rows_of(connection: Connection, subjects: Collection[str]) -> Iterator[Assignment]:
    """The rows of these subjects alone, each along the index."""
    for some in in_steps(sorted(subjects), ROWS_PER_STATEMENT):
        for row in connection.execute(select(*COLUMNS).where(CasbinRule.v0.in_(some))):
            yield Assignment(*row)


def rows_with_groups(connection: Connection, subjects: Collection[str]) -> list[Assignment]:
    """The rows of these subjects and of all groups above them."""
    found: list[Assignment] = []
    waiting, met = frozenset(subjects), set(subjects)
    while waiting:
        some = list(rows_of(connection, waiting))
        found += some
        waiting = groups_in(some) - met
        met |= waiting
    return found


def groups_below(connection: Connection, groups: Collection[str]) -> frozenset[str]:
    """These groups and all groups that are members of them, through others too, whenever."""
    waiting, met = set(groups), set(groups)
    while waiting:
        waiting = set(_members(connection, waiting, text(OF_A_GROUP))) - met
        met |= waiting
    return frozenset(met)


def people_below(connection: Connection, groups: Collection[str]) -> frozenset[str]:
    """All that are members of these groups and no groups themselves, whenever; to be asked with the groups below them."""
    return frozenset(_members(connection, groups, text(f"NOT ({OF_A_GROUP})")))


def _members(connection: Connection, groups: Collection[str], which: TextClause) -> Iterator[str]:
    for some in in_steps(sorted(groups), ROWS_PER_STATEMENT):
        chosen = CasbinRule.v1.in_(some)
        yield from connection.execute(select(CasbinRule.v0).where(chosen, CasbinRule.ptype == MEMBERSHIP, which)).scalars()


def rows_of_all_groups(connection: Connection) -> Iterator[Assignment]:
    """The rows of every group, along an index of their own."""
    for row in connection.execute(select(*COLUMNS).where(text(OF_A_GROUP))):
        yield Assignment(*row)


def has_times(connection: Connection) -> bool:
    """Whether any row has times."""
    query = f"SELECT 1 FROM casbin_rule WHERE {NOT_LASTING} AND (v3 IS NOT NULL OR v4 IS NOT NULL) LIMIT 1"
    return connection.execute(text(query)).first() is not None


def has_times_or_groups(connection: Connection) -> bool:
    """Whether any row has times or is a membership."""
    return connection.execute(text(f"SELECT 1 FROM casbin_rule WHERE {NOT_LASTING} LIMIT 1")).first() is not None
