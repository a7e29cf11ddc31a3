"""Everybody who holds one of some roles anywhere, with all that they hold: found along the index of roles, streamed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import groupby

from sqlalchemy import Engine, select

from klausel.storage.sql.database import is_in_memory, reading
from klausel.storage.sql.tables import CasbinRule

ROWS_PER_STEP = 10_000


def people_holding(engine: Engine, roles: Collection[str] | None) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Each subject that holds one of these roles (None: any role) with its (role, domain) pairs; by subject, each once.

    As of one moment. Raises StorageError.
    """
    query = select(CasbinRule.v0, CasbinRule.v1, CasbinRule.v2).order_by(CasbinRule.v0)
    if roles is not None:
        holders = select(CasbinRule.v0).where(CasbinRule.v1.in_(sorted(roles)))
        query = query.where(CasbinRule.v0.in_(holders))
    with reading(engine) as connection:
        streams = not is_in_memory(engine.url)
        rows = connection.execution_options(yield_per=ROWS_PER_STEP).execute(query) if streams else connection.execute(query)
        for subject, own in groupby(rows, key=lambda row: row[0]):
            yield subject, tuple((role, domain) for _, role, domain in own)
