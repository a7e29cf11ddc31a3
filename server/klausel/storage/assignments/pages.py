"""Reading role assignments page by page, always along an index, whichever columns are given."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import ColumnElement, Connection, literal, select, text, tuple_

from klausel.core.policy.assignment import Assignment
from klausel.storage.sql.rows import COLUMNS, KEY_COLUMNS
from klausel.storage.sql.tables import NOT_LASTING, CasbinRule

Filters = tuple[str | None, str | None, str | None, str | None, str | None]
"""Subject, role, domain; the instant after which it ends, and the one at the latest."""


def rows_after(
    connection: Connection, filters: Filters, after: Assignment | None, limit: int, role_names: Collection[str] = ()
) -> list[Assignment]:
    """The first `limit` rows after `after` that fit every given filter, in the order of subject, role, domain.

    A role that had other names is wanted under all its `role_names`.
    """
    if len(role_names) > 1:
        return _under_any_name(connection, filters, after, limit, role_names)
    subject, role, domain, *ends = filters
    if domain is None or subject is not None or role is not None or any(ends):
        keys = zip(after.key, filters[:3], strict=True) if after else ()
        bound = tuple(part for part, wanted in keys if wanted is None) if after else None
        return _along_index(connection, filters, bound, limit)
    # The index of domains is sorted by role first. There are few roles, so a page is merged from a short run of each.
    found: list[Assignment] = []
    for held_role in _roles_in(connection, domain):
        includes_bound = after is not None and held_role > after.role
        bound = (after.subject,) if after else None
        found += _along_index(connection, (None, held_role, domain, None, None), bound, limit, includes_bound)
    return sorted(found)[:limit]


def _under_any_name(
    connection: Connection, filters: Filters, after: Assignment | None, limit: int, role_names: Collection[str]
) -> list[Assignment]:
    subject, _, domain, *ends = filters
    query = select(*COLUMNS).where(*ending_between(*ends), CasbinRule.v1.in_(role_names)).order_by(*KEY_COLUMNS).limit(limit)
    for column, wanted in ((KEY_COLUMNS[0], subject), (KEY_COLUMNS[2], domain)):
        if wanted is not None:
            query = query.where(column == wanted)
    if after is not None:
        bound = tuple_(*(literal(part, column.type) for part, column in zip(after.key, KEY_COLUMNS, strict=True)))
        query = query.where(tuple_(*KEY_COLUMNS) > bound)
    return [Assignment(*row) for row in connection.execute(query)]


def _along_index(
    connection: Connection, filters: Filters, bound: tuple[str, ...] | None, limit: int, includes_bound: bool = False
) -> list[Assignment]:
    """The first rows that fit; with `bound`, those whose columns without a filter are beyond it (or are it)."""
    query = select(*COLUMNS).where(*ending_between(*filters[3:])).order_by(*KEY_COLUMNS).limit(limit)
    free = []
    for column, wanted in zip(KEY_COLUMNS, filters[:3], strict=True):
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


def ending_between(after: str | None, until: str | None) -> list[ColumnElement[bool]]:
    """What a row fulfils that ends later than the one and not later than the other; nothing without both."""
    if after is None and until is None:
        return []
    conditions: list[ColumnElement[bool]] = [text(NOT_LASTING), CasbinRule.v4.is_not(None)]  # type: ignore[list-item]
    if after is not None:
        conditions.append(CasbinRule.v4 > after)
    if until is not None:
        conditions.append(CasbinRule.v4 <= until)
    return conditions


def _roles_in(connection: Connection, domain: str) -> Iterator[str]:
    role = ""
    query = select(CasbinRule.v1).where(CasbinRule.v2 == domain).order_by(CasbinRule.v1).limit(1)
    while found := connection.execute(query.where(CasbinRule.v1 > role)).scalar():
        role = found
        yield role
