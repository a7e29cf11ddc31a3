"""A line of the decision log that is not just one record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self


class SharedLine(bytes):
    """A line that holds several decisions; `decisions` is how many."""

    decisions: int

    @classmethod
    def of(cls, data: bytes, decisions: int) -> Self:
        """The line with its newline."""
        line = cls(data)
        line.decisions = decisions
        return line


def count_decisions(lines: Iterable[bytes]) -> int:
    """How many decisions are in lines."""
    return sum(line.decisions if isinstance(line, SharedLine) else 1 for line in lines)
