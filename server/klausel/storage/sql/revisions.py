"""The counter behind the revisions of role assignments, and the log of whom each one changed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from klausel.storage.sql.tables import Change, State

REVISIONS_IN_LOG = 500
SUBJECTS_IN_LOG_ENTRY = 200


@dataclass(frozen=True, slots=True)
class StoreChange:
    """One committed write: the counter before and after it, and the subjects changed; None means perhaps all."""

    counter_before: int
    counter_after: int
    subjects: frozenset[str] | None


def revision_now(connection: Connection) -> str:
    """The name of the state that this transaction sees: opaque, and different in every database."""
    lineage, counter = connection.execute(select(State.lineage, State.revision)).one()
    return f"{lineage}-{counter}"


def log_change(connection: Connection, subjects: frozenset[str] | None) -> StoreChange:
    """Counts the revision up and logs whom it changed, in the caller's transaction; None means perhaps everybody.

    The log is bounded: it forgets old revisions, and one that changes very many subjects counts as changing everybody.
    """
    if subjects is not None and len(subjects) > SUBJECTS_IN_LOG_ENTRY:
        subjects = None
    connection.execute(update(State).values(revision=State.revision + 1))
    counter, log_starts_after = connection.execute(select(State.revision, State.log_starts_after)).one()
    forgotten = counter if subjects is None else counter - REVISIONS_IN_LOG
    if forgotten > log_starts_after:
        connection.execute(update(State).values(log_starts_after=forgotten))
        connection.execute(delete(Change).where(Change.revision <= forgotten))
    if subjects:
        connection.execute(insert(Change), [{"revision": counter, "subject": subject} for subject in sorted(subjects)])
    return StoreChange(counter - 1, counter, subjects)
