"""The history of a database of Klausel: which state it is in, and whom the writes since a known one changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from klausel.storage.sql.storage_error import StorageError
from klausel.storage.sql.tables import SCHEMA_VERSION

Ask = Callable[[str, tuple[object, ...]], list[Any]]
"""Asks one query with its parameters; raises StorageError."""

_HISTORY = (
    "SELECT s.lineage, s.revision, s.log_starts_after, c.revision, c.subject, n.number, n.hash, "
    "(SELECT hash FROM klausel_assignment_log WHERE number = {0}), s.schema_version FROM klausel_state AS s "
    "LEFT JOIN (SELECT number, hash FROM klausel_assignment_log ORDER BY number DESC LIMIT 1) AS n ON TRUE "
    "LEFT JOIN klausel_change AS c ON c.revision >= {0}"
)


class OtherSchema(StorageError):
    """The tables are of another version since this process opened the database."""


def refuse_other_schema(found: int) -> None:
    """Raises `OtherSchema` where tables are not of this version: what was restored or upgraded meanwhile is not understood."""
    if found != SCHEMA_VERSION:
        raise OtherSchema(
            f"the database has schema version {found} now, and this process needs {SCHEMA_VERSION}: it was restored or upgraded "
            "meanwhile, so nothing is decided by it; stop this process, and start the version of Klausel that fits, after "
            "`klausel db check`"
        )


@dataclass(frozen=True, slots=True)
class KnownState:
    """A state of the database, told from all others of the same counter that another history may have.

    `record` is the newest record of the change log, with its hash, which covers all before it; `subjects` are those that the
    revision changed, for what is written by plain SQL stands in no record.
    """

    lineage: str
    counter: int
    record: int
    record_hash: str | None
    subjects: frozenset[str]

    @property
    def revision(self) -> str:
        """Its name, as every write returns it."""
        return f"{self.lineage}-{self.counter}"

    def is_at_least(self, lineage: str, counter: int) -> bool:
        """Whether it is the state after so many writes, or a later one of the same database."""
        return self.lineage == lineage and self.counter >= counter


class History:
    """Reads the history, each time as of one moment. `mark` is how the driver writes a parameter.

    Raises `OtherSchema` where the tables are not of this version any more.
    """

    def __init__(self, ask: Ask, mark: str) -> None:
        self._ask = ask
        self._query = _HISTORY.format(mark)

    def state(self) -> KnownState:
        """The state that the database is in."""
        return self._read(0)[0]

    def changes_since(self, known: KnownState) -> tuple[KnownState, frozenset[str] | None]:
        """The state now and the subjects changed after a known one, None when perhaps all.

        None, too, where the database is one in which the known state never was, as after an older backup was restored.
        """
        now, log_starts_after, record_hash, changed = self._read(known.counter, known.record)
        is_descendant = (
            now.lineage == known.lineage
            and now.counter >= known.counter >= log_starts_after
            and record_hash == known.record_hash
            and changed.pop(known.counter, frozenset()) == known.subjects
        )
        return now, frozenset().union(*changed.values()) if is_descendant else None

    def _read(self, counter: int, record: int = 0) -> tuple[KnownState, int, str | None, dict[int, frozenset[str]]]:
        """The state now, where its list of changes starts, the hash of a record, and who changed with and after a revision."""
        rows = self._ask(self._query, (record, max(counter, 0)))
        lineage, now, log_starts_after, _, _, newest, newest_hash, record_hash, version = rows[0]
        refuse_other_schema(version)
        changed: dict[int, set[str]] = {}
        for _, _, _, revision, subject, *_ in rows:
            if revision is not None:
                changed.setdefault(revision, set()).add(subject)
        found = {revision: frozenset(subjects) for revision, subjects in changed.items()}
        state = KnownState(lineage, now, newest or 0, newest_hash, found.get(now, frozenset()))
        return state, log_starts_after, record_hash, found
