"""Everybody who holds one of some roles anywhere, through groups too, with all that they hold: streamed."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from itertools import groupby

from sqlalchemy import Engine, or_, select

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.holding import gather_rows, held_at, rows_by_subject
from klausel.storage.assignments.closures import rows_of_all_groups
from klausel.storage.sql.database import is_in_memory, reading
from klausel.storage.sql.rows import COLUMNS
from klausel.storage.sql.tables import MEMBERSHIP, CasbinRule

ROWS_PER_STEP = 10_000


def people_holding(
    engine: Engine, roles: Collection[str] | None, now: float | None = None
) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Each subject that holds one of these roles (None: any role) with its (role, domain) pairs; by subject, each once.

    As of one moment; roles that are over by `now` (None: by the clock), or begin later, do not count. Raises StorageError.
    """
    moment = time.time() if now is None else now
    query = select(*COLUMNS).order_by(CasbinRule.v0)
    if roles is not None:
        holders = select(CasbinRule.v0).where(or_(CasbinRule.v1.in_(sorted(roles)), CasbinRule.ptype == MEMBERSHIP))
        query = query.where(CasbinRule.v0.in_(holders))
    with reading(engine) as connection:
        of_groups = rows_by_subject(rows_of_all_groups(connection))
        streams = not is_in_memory(engine.url)
        rows = connection.execution_options(yield_per=ROWS_PER_STEP).execute(query) if streams else connection.execute(query)
        for subject, own in groupby((Assignment(*row) for row in rows), key=lambda row: row.subject):
            held = held_at(subject, gather_rows(subject, list(own), of_groups), moment)
            if any(roles is None or role in roles for role, _ in held.pairs):
                yield subject, held.pairs
