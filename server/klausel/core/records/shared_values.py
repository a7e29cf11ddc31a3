"""Large values that the decisions of one batch share are written once: one line then holds several decisions.

Such a line has the members that all its decisions have in common, `shared` with the values, and `decisions`: the rest of each
record, whose own `shared` says which value stands for which member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from klausel.core.records.batch_record import each_of_batch
from klausel.core.records.decision_record import Record
from klausel.core.records.shared_line import SharedLine
from klausel.core.records.single_record import each_single, is_table_of_singles

LARGE_BYTES = 1024
"""A record or a value below is written in full: such lines are the easier to read."""

MOST_BYTES_OF_DECISIONS = 1024 * 1024
MOST_BYTES_OF_VALUES = 8 * 1024 * 1024

MEMBERS = ("subject", "action", "resource", "context", "roles", "grant")
"""What can be shared."""


class SharedValues:
    """Takes the records of one batch. Of large values, and of each grant, equal ones are written once."""

    __slots__ = ("_decisions", "_decisions_bytes", "_head", "_values", "_values_bytes")

    def __init__(self, head: bytes) -> None:
        """`head` are the members that each record of the batch has, with the brace before them and a comma behind."""
        self._head = head
        self._begin()

    def _begin(self) -> None:
        self._values: dict[bytes, int] = {}
        self._values_bytes = 0
        self._decisions: list[bytes] = []
        self._decisions_bytes = 0

    def take(self, own: Record, dumps: Callable[[object], bytes]) -> bytes | None:
        """Takes the rest of a record; gives a line that is complete by that. `dumps` gives JSON."""
        full = None
        if self._decisions_bytes > MOST_BYTES_OF_DECISIONS or self._values_bytes > MOST_BYTES_OF_VALUES:
            full = self.end()
            self._begin()
        shared = {}
        for member in MEMBERS:
            data = dumps(own[member]) if own.get(member) else b""
            if member == "grant" or len(data) >= LARGE_BYTES:
                shared[member] = self._number(data or b"null")
        written = dumps({**{name: value for name, value in own.items() if name not in shared}, "shared": shared})
        self._decisions.append(written)
        self._decisions_bytes += len(written)
        return full

    def end(self) -> bytes:
        """The line of the decisions that were taken since the last one, of which there must be some."""
        parts = (self._head, b'"shared":[', b",".join(self._values), b'],"decisions":[', b",".join(self._decisions))
        return SharedLine.of(b"".join((*parts, b"]}\n")), len(self._decisions))

    def _number(self, data: bytes) -> int:
        number = self._values.get(data)
        if number is None:
            number = self._values[data] = len(self._values)
            self._values_bytes += len(data)
        return number


def each_record(line: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The records in the JSON object of a line, each in full; raises ValueError where it names values that are not there."""
    decisions = line.get("decisions")
    if decisions is None:
        yield line
        return
    if "columns" in line:
        yield from each_single(line) if is_table_of_singles(line) else each_of_batch(line)
        return
    values = line.get("shared")
    if type(decisions) is not list or type(values) is not list:
        raise ValueError
    head = {name: value for name, value in line.items() if name not in ("decisions", "shared")}
    for own in decisions:
        shared = own.get("shared") if type(own) is dict else None
        if type(shared) is not dict or not all(type(n) is int and 0 <= n < len(values) for n in shared.values()):
            raise ValueError
        whole = {**head, **own, **{member: values[number] for member, number in shared.items()}}
        del whole["shared"]
        yield whole
