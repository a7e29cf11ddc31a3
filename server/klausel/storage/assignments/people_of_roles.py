"""Everybody, or who holds one of some roles anywhere, with all that they hold: streamed; and who begins so, in pages."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from itertools import groupby

from sqlalchemy import ColumnElement, Connection, Engine, or_, select

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.holding import Rows, gather_rows, held_at, rows_by_subject
from klausel.core.terms.identifiers import is_printable
from klausel.storage.assignments.closures import rows_of_all_groups
from klausel.storage.sql.database import reading, streamed
from klausel.storage.sql.rows import COLUMNS, inside
from klausel.storage.sql.tables import MEMBERSHIP, CasbinRule

MOST_TYPES = 50
_LAST = "\U0010ffff"


def people_holding(engine: Engine, roles: Collection[str] | None) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Each subject that holds one of these roles (None: any role) with its (role, domain) pairs; by subject, each once.

    As of one moment; roles that are over, or begin later, do not count. Raises StorageError.
    """
    now = time.time()
    chosen = None if roles is None else CasbinRule.v1.in_(sorted(roles))
    for own, rows in _rows_by_subject(engine, chosen):
        subject = own[0].subject
        held = held_at(subject, rows, now)
        if any(roles is None or role in roles for role, _ in held.pairs):
            yield subject, held.pairs


def everybody(engine: Engine, domain: str | None = None) -> Iterator[tuple[list[Assignment], Rows]]:
    """The rows of each subject, groups included, and with them those of all groups that they lead to; by subject, each once.

    With a domain, only subjects that have a row in it or below it, or are in any group. Raises StorageError.
    """
    return _rows_by_subject(engine, None if domain is None else inside(CasbinRule.v2, domain))


def _rows_by_subject(engine: Engine, chosen: ColumnElement[bool] | None) -> Iterator[tuple[list[Assignment], Rows]]:
    """What `everybody` gives, of those with a chosen row and the members of groups; None: of all."""
    query = select(*COLUMNS).order_by(CasbinRule.v0)
    if chosen is not None:
        query = query.where(CasbinRule.v0.in_(select(CasbinRule.v0).where(or_(chosen, CasbinRule.ptype == MEMBERSHIP))))
    with reading(engine) as connection:
        of_groups = rows_by_subject(rows_of_all_groups(connection))
        rows = streamed(connection, query)
        for subject, found in groupby((Assignment(*row) for row in rows), key=lambda row: row.subject):
            own = list(found)
            yield own, gather_rows(subject, own, of_groups)


def subjects_beginning(
    engine: Engine, text: str, after: str, limit: int, accounts: Collection[str] | None = None
) -> list[str]:
    """The first `limit` subjects after `after` that hold something, sorted: `user:an` begins them, or `an` in any type.

    With `accounts`, those alone that have a role in one of these or below it. Raises StorageError.
    """
    if not all(is_printable(one) for one in (text, after) if one):
        return []
    chosen = [] if accounts is None else [or_(*(inside(CasbinRule.v2, account) for account in sorted(accounts)))]
    with reading(engine) as connection:
        begins = [text] if ":" in text or not text else [text, *(f"{type_}:{text}" for type_ in _types(connection))]
        found: set[str] = set()
        for one in begins:
            query = select(CasbinRule.v0).where(CasbinRule.v0 >= one, CasbinRule.v0 < one + _LAST, *chosen)
            query = query.where(CasbinRule.v0 > after).group_by(CasbinRule.v0).order_by(CasbinRule.v0).limit(limit)
            found.update(connection.execute(query).scalars())
    return sorted(found)[:limit]


def groups_there_are(engine: Engine, limit: int) -> list[str]:
    """The first groups that hold something, sorted."""
    return subjects_beginning(engine, "group:", "", limit)


def _types(connection: Connection) -> list[str]:
    """The types of subjects that there are, each found by one step along the index."""
    types: list[str] = []
    bound = ""
    query = select(CasbinRule.v0).order_by(CasbinRule.v0).limit(1)
    while len(types) < MOST_TYPES and (found := connection.execute(query.where(CasbinRule.v0 >= bound)).scalar()):
        types.append(found.partition(":")[0])
        # ";" is the character after ":".
        bound = f"{types[-1]};"
    return types
