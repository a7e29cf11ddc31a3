"""The store of role assignments: exact rows, atomic writes under the rules of the policy set, pages, bulk in and out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Literal

from sqlalchemy import Connection, Engine, and_, bindparam, delete, exists, func, insert, or_, select

from klausel.core.policy.assignment import Assignment, fault_in_assignment
from klausel.core.policy.roles import RoleModel, top_domain
from klausel.core.records.change_record import Origin
from klausel.core.terms.identifiers import fault_in_domain_id, is_printable
from klausel.storage.assignments.bulk_load import load_rows
from klausel.storage.assignments.pages import Filters, rows_after
from klausel.storage.assignments.rules import keepers_missing, subjects_at_fault
from klausel.storage.assignments.store_answers import (
    ForbiddenState,
    ImportResult,
    InvalidAssignments,
    InvalidCursor,
    Page,
    RowFault,
)
from klausel.storage.assignments.subject_reader import SubjectReader
from klausel.storage.change_log.writer import log_rows
from klausel.storage.sql.database import reading, writing
from klausel.storage.sql.revisions import StoreChange, log_change, own_write, revision_now
from klausel.storage.sql.tables import CasbinRule

__all__ = [
    "AssignmentStore",
    "ForbiddenState",
    "ImportResult",
    "InvalidAssignments",
    "InvalidCursor",
    "Page",
    "RowFault",
    "StoreChange",
]

ROWS_PER_STATEMENT = 500
ROWS_PER_EXPORT_STEP = 10_000

_COLUMNS = (CasbinRule.v0, CasbinRule.v1, CasbinRule.v2)
_UNKNOWN = Origin()


class AssignmentStore:
    """Role assignments in one database. Safe for use by many threads; other processes may use the same database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._reader = SubjectReader(engine)
        self._listeners: list[Callable[[StoreChange], None]] = []

    @property
    def reader(self) -> SubjectReader:
        """The quick way to read one subject's rows."""
        return self._reader

    def add_listener(self, listener: Callable[[StoreChange], None]) -> None:
        """Calls `listener` after each committed write of this store, before the write returns to its caller."""
        self._listeners = [*self._listeners, listener]

    def remove_listener(self, listener: Callable[[StoreChange], None]) -> None:
        """Ends what `add_listener` began; does nothing for an unknown one."""
        self._listeners = [known for known in self._listeners if known != listener]

    def revision(self) -> str:
        """The name of the present state: opaque, other after every write that changes something."""
        with reading(self.engine) as connection:
            return revision_now(connection)

    def held_by(self, subject: str) -> tuple[tuple[str, str], ...]:
        """The (role, domain) pairs of one subject, sorted; one indexed query."""
        return self._reader.held_by(subject)

    def count(self) -> int:
        """How many role assignments there are."""
        with reading(self.engine) as connection:
            return connection.execute(select(func.count()).select_from(CasbinRule)).scalar_one()

    def is_empty(self) -> bool:
        """Whether there is no role assignment at all."""
        with reading(self.engine) as connection:
            return connection.execute(select(CasbinRule.id).limit(1)).first() is None

    def write(
        self, roles: RoleModel, grant: Sequence[Assignment], revoke: Sequence[Assignment], origin: Origin = _UNKNOWN
    ) -> str:
        """Grants and revokes, all or nothing, and returns the new revision; the same write again changes nothing.

        What really changes stands in the change log, with its origin, in the same transaction.

        Raises InvalidAssignments for rows that can never be, ForbiddenState when the rules forbid the state after it.
        A stored row can be revoked even when it is invalid by now, such as one with a role no longer declared. To revoke a
        role takes it under its former names too.
        """
        refused, doubtful = _faults(roles, grant, revoke)
        if refused:
            raise InvalidAssignments(tuple(refused + doubtful))
        accounts = {top_domain(row.domain) for row in (*grant, *revoke)}
        with writing(self.engine, accounts) as connection:
            if doubtful:
                stored = set(_stored(connection, {fault.assignment.subject for fault in doubtful}))
                absent = tuple(fault for fault in doubtful if fault.assignment not in stored)
                if absent:
                    raise InvalidAssignments(absent)
            revision, change = _apply(connection, roles, grant, revoke, origin)
        self._tell(change)
        return revision

    def remove_subject(self, roles: RoleModel, subject: str, account: str, origin: Origin = _UNKNOWN) -> tuple[str, int]:
        """Takes all that a leaver holds in a top-level domain and below it; returns the revision and how many rows.

        Raises InvalidAssignments when `account` is not one id, ForbiddenState as `write` does.
        """
        fault = fault_in_domain_id(account)
        if fault:
            message = f'account "{account}" {fault}; name one domain of the top level'
            raise InvalidAssignments((RowFault("revoke", 0, Assignment(subject, "", account), message),))
        with writing(self.engine, {account}) as connection:
            known = _stored(connection, {subject}) if _can_be_stored(subject) else ()
            leaving = [row for row in known if top_domain(row.domain) == account]
            revision, change = _apply(connection, roles, (), leaving, origin)
        self._tell(change)
        return revision, len(leaving)

    def rename_role(self, roles: RoleModel, old: str, new: str, origin: Origin = _UNKNOWN) -> tuple[str, int]:
        """Gives every holder of a role another one in its place, all or nothing; returns the revision and how many rows.

        It is one change in the change log. `old` need not be declared, as after it was renamed in the policy set. Raises
        InvalidAssignments and ForbiddenState as `write` does.
        """
        with writing(self.engine, None) as connection:
            query = select(*_COLUMNS).where(CasbinRule.v1 == old).order_by(*_COLUMNS)
            held = [Assignment(*row) for row in connection.execute(query)] if _can_be_stored(old) else []
            renamed = [row._replace(role=new) for row in held]
            refused, _ = _faults(roles, renamed, ())
            if refused:
                raise InvalidAssignments(tuple(refused))
            if old == new:
                return revision_now(connection), 0
            revision, change = _apply(connection, roles, renamed, held, origin)
        self._tell(change)
        return revision, len(held)

    def page(
        self,
        subject: str | None = None,
        role: str | None = None,
        domain: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Up to `limit` assignments after `cursor` that fit every filter, by code points of (subject, role, domain).

        Going from cursor to cursor shows every assignment that was there all the time, once. Raises InvalidCursor.
        """
        if limit < 1:
            raise ValueError("limit must be at least 1")
        filters = (subject, role, domain)
        after = _read_cursor(cursor, filters) if cursor is not None else None
        if not all(is_printable(wanted) for wanted in filters if wanted is not None):
            return Page((), None)
        with reading(self.engine) as connection:
            rows = rows_after(connection, filters, after, limit + 1)
        shown = tuple(rows[:limit])
        return Page(shown, _write_cursor(filters, shown[-1]) if len(rows) > limit else None)

    def export_rows(self) -> Iterator[Assignment]:
        """All assignments as of one moment, in the order of `page`, without holding them all in memory."""
        query = select(*_COLUMNS).order_by(*_COLUMNS)
        if self._reader.shares_one_connection:
            # Kept open, it would keep every other thread, and this one, from the only connection there is.
            with reading(self.engine) as connection:
                yield from [Assignment(*row) for row in connection.execute(query)]
            return
        with reading(self.engine) as connection:
            streamed = connection.execution_options(yield_per=ROWS_PER_EXPORT_STEP)
            for row in streamed.execute(query):
                yield Assignment(*row)

    def import_rows(
        self,
        roles: RoleModel,
        rows: Iterable[Assignment],
        on_progress: Callable[[int], None] | None = None,
        origin: Origin = _UNKNOWN,
    ) -> ImportResult:
        """Adds many assignments, all or nothing, by the same checks and rules as `write`; raises as `write` does.

        `on_progress` is told now and then how many rows have been read. At most 100 faults or violations are gathered.
        """
        if self.engine.dialect.name not in {"sqlite", "postgresql"}:
            known = self.count()
            everything = list(rows)
            revision = self.write(roles, everything, (), origin)
            added = self.count() - known
            return ImportResult(added, len(everything) - added, revision)
        result, change = load_rows(self.engine, roles, rows, on_progress, origin)
        self._tell(change)
        return result

    def close(self) -> None:
        """Lets go of every connection; the store can be used again."""
        self._reader.close()
        self.engine.dispose()

    def _tell(self, change: StoreChange | None) -> None:
        if change is not None:
            for listener in self._listeners:
                listener(change)


def _faults(
    roles: RoleModel, grant: Sequence[Assignment], revoke: Sequence[Assignment]
) -> tuple[list[RowFault], list[RowFault]]:
    """The faults that refuse a write, and those of revoked rows that are no faults when the row is stored."""
    refused: list[RowFault] = []
    doubtful: list[RowFault] = []
    lists: tuple[tuple[Literal["grant", "revoke"], Sequence[Assignment]], ...] = (("grant", grant), ("revoke", revoke))
    for name, rows in lists:
        for index, row in enumerate(rows):
            if not all(isinstance(part, str) for part in row):
                refused.append(RowFault(name, index, row, "subject, role and domain must be strings"))
                continue
            message = fault_in_assignment(roles, row)
            if message:
                storable = name == "revoke" and all(_can_be_stored(part) for part in row)
                (doubtful if storable else refused).append(RowFault(name, index, row, message))
    granted = set(grant)
    for index, row in enumerate(revoke):
        if row in granted:
            refused.append(RowFault("revoke", index, row, "the same row is in both lists; leave it in one of them"))
    return refused, doubtful


def _can_be_stored(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def apply_unjudged(
    connection: Connection, grant: Sequence[Assignment], revoke: Sequence[Assignment], origin: Origin
) -> StoreChange | None:
    """Makes the table hold the one and not the other, with the revision and both logs; None when it was so already.

    The caller holds the locks and knows that the rows really change something.
    """
    if not grant and not revoke:
        return None
    by_row = delete(CasbinRule).where(
        CasbinRule.v0 == bindparam("subject"), CasbinRule.v1 == bindparam("role"), CasbinRule.v2 == bindparam("domain")
    )
    with own_write(connection):
        if revoke:
            connection.execute(by_row, [row._asdict() for row in revoke])
        if grant:
            new = [{"ptype": "g", "v0": row.subject, "v1": row.role, "v2": row.domain} for row in grant]
            connection.execute(insert(CasbinRule), new)
    change = log_change(connection, frozenset(row.subject for row in (*grant, *revoke)))
    log_rows(connection, origin, grant, revoke)
    return change


def _apply(
    connection: Connection, roles: RoleModel, grant: Sequence[Assignment], revoke: Sequence[Assignment], origin: Origin
) -> tuple[str, StoreChange | None]:
    stored = set(_stored(connection, {row.subject for row in (*grant, *revoke)}))
    added = sorted(set(grant) - stored)
    revoked = set(revoke)
    removed = sorted(row for row in stored if row in revoked or row._replace(role=roles.name_now(row.role)) in revoked)
    violations = subjects_at_fault(roles, *_before_and_after(stored, added, removed, grant, revoke), grant)
    change = apply_unjudged(connection, added, removed, origin)
    violations += keepers_missing(
        roles,
        grant,
        removed,
        lambda holders, domain: _has_holder(connection, holders, domain),
        lambda domain: _has_people(connection, domain),
    )
    if violations:
        raise ForbiddenState(tuple(violations))
    return revision_now(connection), change


def _before_and_after(
    stored: set[Assignment],
    added: Sequence[Assignment],
    removed: Sequence[Assignment],
    grant: Sequence[Assignment],
    revoke: Sequence[Assignment],
) -> tuple[dict[str, list[tuple[str, str]]], dict[str, list[tuple[str, str]]]]:
    touched = {(row.subject, top_domain(row.domain)) for row in (*grant, *revoke)}
    before: dict[str, list[tuple[str, str]]] = {subject: [] for subject, _ in touched}
    after: dict[str, list[tuple[str, str]]] = {subject: [] for subject, _ in touched}
    for rows, pairs in ((stored, before), ((stored | set(added)) - set(removed), after)):
        for row in rows:
            if (row.subject, top_domain(row.domain)) in touched:
                pairs[row.subject].append((row.role, row.domain))
    return before, after


def _stored(connection: Connection, subjects: Collection[str]) -> Iterator[Assignment]:
    waiting = sorted(subjects)
    for start in range(0, len(waiting), ROWS_PER_STATEMENT):
        some = waiting[start : start + ROWS_PER_STATEMENT]
        for row in connection.execute(select(*_COLUMNS).where(CasbinRule.v0.in_(some))):
            yield Assignment(*row)


def _has_holder(connection: Connection, holders: frozenset[str], domain: str) -> bool:
    query = select(exists().where(CasbinRule.v1.in_(sorted(holders)), CasbinRule.v2 == domain))
    return bool(connection.execute(query).scalar_one())


def _has_people(connection: Connection, domain: str) -> bool:
    # "0" is the character after "/": a range of the index, where LIKE would need its wildcards escaped.
    below = and_(CasbinRule.v2 > domain + "/", CasbinRule.v2 < domain + "0")
    return bool(connection.execute(select(exists().where(or_(CasbinRule.v2 == domain, below)))).scalar_one())


def _write_cursor(filters: Filters, last: Assignment) -> str:
    return base64.urlsafe_b64encode(json.dumps([filters, last], separators=(",", ":")).encode()).decode()


def _read_cursor(cursor: str, filters: Filters) -> Assignment:
    try:
        given, last = json.loads(base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True))
        after = Assignment(*last)
    except (ValueError, TypeError, RecursionError):
        raise InvalidCursor("this cursor was not made by this service; start again without one") from None
    if not all(isinstance(part, str) and is_printable(part) for part in after):
        raise InvalidCursor("this cursor was not made by this service; start again without one")
    if given != list(filters):
        raise InvalidCursor("this cursor belongs to other filters; repeat those, or start again without a cursor")
    return after
