"""Large values that the decisions of one batch share are written once: one line then holds several decisions.

Such a line has the members that all its decisions have in common, `shared` with the values, and `decisions`: the rest of each
record, whose own `shared` says which value stands for which member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from klausel.core.records.decision_record import Record

LARGE_BYTES = 1024
"""A record or a value below is written in full: such lines are the easier to read."""

MOST_BYTES_OF_DECISIONS = 1024 * 1024
MOST_BYTES_OF_VALUES = 8 * 1024 * 1024

MEMBERS = ("subject", "action", "resource", "context", "roles")
"""What can be shared."""


class SharedLine(bytes):
    """A line that holds several decisions; `decisions` is how many."""

    decisions: int

    @classmethod
    def of(cls, data: bytes, decisions: int) -> SharedLine:
        """The line with its newline."""
        line = cls(data)
        line.decisions = decisions
        return line


def count_decisions(lines: list[bytes]) -> int:
    """How many decisions are in lines."""
    return len(lines) + sum(line.decisions - 1 for line in lines if type(line) is SharedLine)


class SharedValues:
    """Takes the large records of one batch. A value that came before is written once for all decisions after that."""

    __slots__ = ("_decisions", "_decisions_bytes", "_head", "_met", "_values", "_values_bytes", "beginning")

    def __init__(self) -> None:
        self.beginning: bytes | None = None
        """What each record of the batch starts with, as it is written, up to the comma; None where that is not known now."""
        self._met: set[int] = set()
        self._begin(b"")

    def _begin(self, head: bytes) -> None:
        self._head = head
        self._values: dict[bytes, int] = {}
        self._values_bytes = 0
        self._decisions: list[bytes] = []
        self._decisions_bytes = 0

    def take(self, head: Record, record: Record, dumps: Callable[[object], bytes]) -> tuple[bool, bytes | None]:
        """Whether a record is written with others, and a line that is complete by that; `dumps` gives JSON without a newline.

        `head` are the members with which the record starts.
        """
        shared = {}
        for member in MEMBERS:
            value = record.get(member)
            if value:
                data = dumps(value)
                if len(data) < LARGE_BYTES:
                    continue
                # A hash that two values have in common costs nothing but the form: the values themselves tell them apart.
                if hash(data) in self._met:
                    shared[member] = data
                else:
                    self._met.add(hash(data))
        if not shared:
            return False, None
        head_now, full = dumps(head), None
        if (
            head_now != self._head
            or self._decisions_bytes > MOST_BYTES_OF_DECISIONS
            or self._values_bytes > MOST_BYTES_OF_VALUES
        ):
            full = self.end()
            self._begin(head_now)
        own = {name: value for name, value in record.items() if name not in head and name not in shared}
        own["shared"] = {member: self._number(data) for member, data in shared.items()}
        written = dumps(own)
        self._decisions.append(written)
        self._decisions_bytes += len(written)
        return True, full

    def end(self) -> bytes | None:
        """The line of the decisions that were taken since the last one; None where there are none."""
        if not self._decisions:
            return None
        parts = (self._head[:-1], b',"shared":[', b",".join(self._values), b'],"decisions":[', b",".join(self._decisions))
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
