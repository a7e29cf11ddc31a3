"""Records of the change log of role assignments: who changed what and why, chained by their hashes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import orjson

from klausel.core.terms.identifiers import is_printable

FORMAT = "klausel assignment log 1"
BEFORE_THE_FIRST = "0" * 64
"""What stands for the hash of the record before the first."""

GRANTED = 1
REVOKED = -1
TEXT_CHARACTERS = 255
REASON_CHARACTERS = 1000

ENTITIES = "entities"
"""The kind of a record whose rows are stored properties, and no role assignments."""

LoggedRow = tuple[int, str, str, str, str | None, str | None]
"""A row of a record: GRANTED or REVOKED, subject, role, domain, from and until, as an assignment has them."""

Channel = Literal["http", "cli", "adapter", "python", "http_on_behalf", "cli_on_behalf", "scim"]
"""By which door; those on behalf only where the policies let the person in `by` make the change.

`scim` is that of identity providers.
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from. `by`, `reason` and `ticket` are what the caller says; the rest is what Klausel sees.

    `channel` is the door; `caller` the address or the operating system's user behind it. Raises ValueError, with a
    sentence, for a text that is empty, too long or holds a control character.
    """

    by: str | None = None
    reason: str | None = None
    ticket: str | None = None
    channel: Channel = "python"
    caller: str | None = None
    request_id: str | None = None

    def __post_init__(self) -> None:
        for name in ("by", "reason", "ticket", "caller", "request_id"):
            text = getattr(self, name)
            most = REASON_CHARACTERS if name == "reason" else TEXT_CHARACTERS
            if text is None:
                continue
            if not isinstance(text, str):
                raise ValueError(f"{name} is not a string")
            if len(text) > most:
                raise ValueError(f"{name} is longer than {most} characters")
            if not is_printable(text):
                raise ValueError(f"{name} is empty or contains a control character; leave it out, or write one line")


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """One record: numbered from 1 without gaps, its time in microseconds since 1970, later than the one before.

    `kind` is `begins` for the first, whose rows were found when the log began, ENTITIES where stored properties changed, and
    `change` for every other. `revision`
    is the one after the change, `previous` the hash of the record before.
    """

    number: int
    microseconds: int
    kind: str
    origin: Origin
    granted: int
    revoked: int
    rows_digest: str
    revision: str
    previous: str


def hash_of(record: ChangeRecord) -> str:
    """SHA-256 over the canonical JSON of everything that a record holds, its rows by their digest, in hexadecimal."""
    origin = record.origin
    return hash_of_fields(
        (
            record.number,
            record.microseconds,
            record.kind,
            origin.by,
            origin.reason,
            origin.ticket,
            origin.channel,
            origin.caller,
            origin.request_id,
            record.granted,
            record.revoked,
            record.rows_digest,
            record.revision,
            record.previous,
        )
    )


def hash_of_fields(fields: Iterable[object]) -> str:
    """As `hash_of`, of the fields as they were found; raises TypeError when they hold what no record can."""
    return sha256(orjson.dumps([FORMAT, *fields])).hexdigest()


class RowsDigest:
    """SHA-256 over the canonical JSON of a record's rows, `[[1,"user:ann","lead","acme/support"],…]`, fed bit by bit.

    A row with times has both of them behind the domain, null for the one that it lacks; a row without times has neither.
    Stored properties have their sign, kind, type, id, domain and the properties as JSON.
    """

    def __init__(self) -> None:
        self._sha = sha256(b"[")
        self._is_first = True

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Takes the next rows in; raises TypeError when they hold what is no text."""
        if rows:
            text = orjson.dumps([row[:4] if row[4] is None and row[5] is None else row for row in rows])
            self._sha.update(text[1:-1] if self._is_first else b"," + text[1:-1])
            self._is_first = False

    def hexdigest(self) -> str:
        """The digest of all rows so far, in hexadecimal."""
        whole = self._sha.copy()
        whole.update(b"]")
        return whole.hexdigest()
