"""Walking the chain of the change log: what was edited, removed, inserted or moved, each named with its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from klausel.core.records.change_record import BEFORE_THE_FIRST, hash_of_fields

FARTHEST_MOVE = 1000

FindingKind = Literal["edited", "rows", "removed", "moved", "unlinked", "tail", "checkpoint", "table", "guard"]
"""`rows`: a record's rows are not those it was made with. `unlinked`: whole in itself, but not the one that followed.

`tail`: the end of the log is missing. `table`: the role assignments are not what the log comes to.
`guard`: the database lets people change the log.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the record concerned (None: none in particular), the kind, and a sentence."""

    number: int | None
    kind: FindingKind
    message: str

    def __str__(self) -> str:
        where = "the log" if self.number is None else f"record {self.number}"
        return f"{where}: {self.kind}: {self.message}"


class StoredRecord(NamedTuple):
    """A record as it was found, every field perhaps not what it should be; named and ordered as the hash takes them."""

    number: int
    microseconds: int
    kind: str
    by: str | None
    reason: str | None
    ticket: str | None
    channel: str
    caller: str | None
    request_id: str | None
    granted: int
    revoked: int
    rows_digest: str
    revision: str
    previous: str
    hash: str


class StoredRows(NamedTuple):
    """What was found of a record's rows: how many of each sign, their digest (None: not to be had), gapless positions."""

    granted: int
    revoked: int
    digest: str | None
    is_gapless: bool


class ChainCheck:
    """Takes the records in the order of their numbers and says of each what is wrong.

    `checkpoints` has the signed hashes by number. With `first` the walk starts there, and what was before is believed.
    """

    def __init__(self, checkpoints: Mapping[int, str], first: int = 1) -> None:
        self._checkpoints = checkpoints
        self._expected = first
        self._last_hash: str | None = BEFORE_THE_FIRST if first == 1 else None
        self._last_microseconds = 0
        self._offset = 0

    def look_at(self, record: StoredRecord, rows: StoredRows) -> Iterator[Finding]:
        """What is wrong with the next record."""
        is_next = record.number == self._expected
        if not is_next:
            yield self._gap(record.number)
        offset = self._offset_of(record)
        if offset is None:
            yield Finding(record.number, "edited", "what it holds does not give its hash; a field or the hash was changed")
        elif offset != self._offset:
            was = record.number + offset
            message = f"by its hash it was record {was}; records were inserted, removed or put in another order"
            yield Finding(record.number, "moved", message)
        elif is_next and self._last_hash is not None and record.previous != self._last_hash:
            before = f"record {record.number - 1}" if record.number > 1 else "the beginning"
            message = f"it does not follow {before}; one of the two was inserted, exchanged, or edited with its hash"
            yield Finding(record.number, "unlinked", message)
        elif not (isinstance(record.microseconds, int) and record.microseconds > self._last_microseconds):
            yield Finding(record.number, "edited", "its time is not later than that of the record before")
        if offset is not None:
            self._offset = offset
            if isinstance(record.microseconds, int):
                self._last_microseconds = record.microseconds
        yield from _faults_of_rows(record, rows)
        signed = self._checkpoints.get(record.number)
        if signed is not None and signed != record.hash:
            message = "it is not the record that a checkpoint signed; it, or one before it, was rewritten"
            yield Finding(record.number, "checkpoint", message)
        self._expected = record.number + 1
        self._last_hash = record.hash

    def end(self, last_revision: str | None, revision_now: str) -> Iterator[Finding]:
        """What is missing at the end: `last_revision` is that of the last record, None when there is no record."""
        for number in sorted(self._checkpoints):
            if number >= self._expected:
                message = f"a checkpoint signed it, but the log ends before it, with record {self._expected - 1}"
                yield Finding(number, "tail", message)
        if last_revision is None:
            yield Finding(None, "tail", "it is empty; even a new one has a first record")
        elif last_revision != revision_now:
            message = (
                f"it ends with revision {last_revision}, but the role assignments are at {revision_now}; "
                "records were removed from the end or added without a change, or somebody changed rows by plain SQL"
            )
            yield Finding(None, "tail", message)

    def _gap(self, number: int) -> Finding:
        if number < self._expected:
            return Finding(number, "moved", "no record has such a number; it was inserted, or its number changed")
        missing = f"records {self._expected} to {number - 1} are" if number - self._expected > 1 else "it is"
        return Finding(self._expected, "removed", f"{missing} missing; the next one found is record {number}")

    def _offset_of(self, record: StoredRecord) -> int | None:
        """How far from its place the record was made, by its hash; None when no place fits."""
        if _fits(record, self._offset):
            return self._offset
        for distance in range(FARTHEST_MOVE + 1):
            for offset in (-distance, distance):
                if _fits(record, offset):
                    return offset
        return None


def _fits(record: StoredRecord, offset: int) -> bool:
    try:
        return hash_of_fields((record.number + offset, *record[1:-1])) == record.hash
    except TypeError:
        return False


def _faults_of_rows(record: StoredRecord, rows: StoredRows) -> Iterator[Finding]:
    if (rows.granted, rows.revoked) != (record.granted, record.revoked):
        message = (
            f"it granted {record.granted} and revoked {record.revoked}, but {rows.granted} and {rows.revoked} rows are there"
        )
        yield Finding(record.number, "rows", message)
    elif rows.digest != record.rows_digest:
        yield Finding(record.number, "rows", "its rows do not give their digest; a row was changed")
    elif not rows.is_gapless:
        yield Finding(record.number, "rows", "the positions of its rows were changed")
