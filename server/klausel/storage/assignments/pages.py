"""Reading role assignments page by page, always along an index, whichever columns are given."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, literal, select, tuple_

from klausel.core.policy.assignment import Assignment
from klausel.storage.sql.tables import CasbinRule

Filters = tuple[str | None, str | None, str | None]

_COLUMNS = (CasbinRule.v0, CasbinRule.v1, CasbinRule.v2)


def rows_after(connection: Connection, filters: Filters, after: Assignment | None, limit: int) -> list[Assignment]:
    """The first `limit` rows after `after` that fit every given filter (subject, role, domain), in that order."""
    subject, role, domain = filters
    if domain is None or subject is not None or role is not None:
        bound = tuple(part for part, wanted in zip(after, filters, strict=True) if wanted is None) if after else None
        return _along_index(connection, filters, bound, limit)
    # The index of domains is sorted by role first. There are few roles, so a page is merged from a short run of each.
    found: list[Assignment] = []
    for held_role in _roles_in(connection, domain):
        includes_bound = after is not None and held_role > after.role
        bound = (after.subject,) if after else None
        found += _along_index(connection, (None, held_role, domain), bound, limit, includes_bound)
    return sorted(found)[:limit]


def _along_index(
    connection: Connection, filters: Filters, bound: tuple[str, ...] | None, limit: int, includes_bound: bool = False
) -> list[Assignment]:
    """The first rows that fit; with `bound`, those whose columns without a filter are beyond it (or are it)."""
    query = select(*_COLUMNS).order_by(*_COLUMNS).limit(limit)
    free = []
    for column, wanted in zip(_COLUMNS, filters, strict=True):
        if wanted is None:
            free.append(column)
        else:
            query = query.where(column == wanted)
    if bound is not None:
        if not free:
            return []
        columns = tuple_(*free)
        limits = tuple_(*(literal(part, column.type) for part, column in zip(bound, free, strict=True)))
        query = query.where(columns >= limits if includes_bound else columns > limits)
    return [Assignment(*row) for row in connection.execute(query)]


def _roles_in(connection: Connection, domain: str) -> Iterator[str]:
    role = ""
    query = select(CasbinRule.v1).where(CasbinRule.v2 == domain).order_by(CasbinRule.v1).limit(1)
    while found := connection.execute(query.where(CasbinRule.v1 > role)).scalar():
        role = found
        yield role
