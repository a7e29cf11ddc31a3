"""The counter behind the revisions of role assignments, and the log of whom each one changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from klausel.storage.sql.history import refuse_other_schema
from klausel.storage.sql.tables import CHANNEL, OWN_WRITE, OWN_WRITE_SETTING, Change, State

REVISIONS_IN_LOG = 500
SUBJECTS_IN_LOG_ENTRY = 200


@dataclass(frozen=True, slots=True)
class StoreChange:
    """One committed write: the subjects changed; None means perhaps all."""

    subjects: frozenset[str] | None


def revision_now(connection: Connection) -> str:
    """The name of the state that this transaction sees: opaque, and different in every database. Raises `OtherSchema`."""
    lineage, counter, version = connection.execute(select(State.lineage, State.revision, State.schema_version)).one()
    refuse_other_schema(version)
    return f"{lineage}-{counter}"


@contextmanager
def own_write(connection: Connection) -> Iterator[None]:
    """Inside it the database does not count changed rows by itself: the caller does, by `log_change`, once for all.

    To be used in a write transaction; one that fails must be rolled back.
    """
    dialect = connection.dialect.name
    if dialect == "sqlite":
        connection.execute(insert(Change).values(revision=OWN_WRITE, subject=""))
    elif dialect == "postgresql":
        connection.execute(select(func.set_config(OWN_WRITE_SETTING, "yes", True)))
    yield
    if dialect == "sqlite":
        connection.execute(delete(Change).where(Change.revision == OWN_WRITE))
    elif dialect == "postgresql":
        connection.execute(select(func.set_config(OWN_WRITE_SETTING, "", True)))


def notify(connection: Connection) -> None:
    """Tells who listens on PostgreSQL, at commit, that something was written that is no change of role assignments."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, func.concat(State.lineage, "-"))).select_from(State))


def log_change(connection: Connection, subjects: frozenset[str] | None) -> StoreChange:
    """Counts the revision up, logs whom it changed, in the caller's transaction, and tells who listens; None: perhaps everybody.

    The log is bounded: it forgets old revisions, and one that changes very many subjects counts as changing everybody.
    Raises `OtherSchema`.
    """
    if subjects is not None and len(subjects) > SUBJECTS_IN_LOG_ENTRY:
        subjects = None
    connection.execute(update(State).values(revision=State.revision + 1))
    state = select(State.revision, State.log_starts_after, State.schema_version)
    if connection.dialect.name == "postgresql":
        # In the same query: a write waits for each.
        state = state.add_columns(func.pg_notify(CHANNEL, func.concat(State.lineage, "-", State.revision)))
    counter, log_starts_after, version = connection.execute(state).one()[:3]
    refuse_other_schema(version)
    forgotten = counter if subjects is None else counter - REVISIONS_IN_LOG
    if forgotten > log_starts_after:
        connection.execute(update(State).values(log_starts_after=forgotten))
        connection.execute(delete(Change).where(Change.revision <= forgotten))
    if subjects:
        connection.execute(insert(Change), [{"revision": counter, "subject": subject} for subject in sorted(subjects)])
    return StoreChange(subjects)
