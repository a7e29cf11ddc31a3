"""Where the chain of a decision log in files goes on: behind the last seal, whoever wrote it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

from klausel.core.records.decision_chain import Link, Piece, begin_chain, number_in, seal_lines, seal_of

FIRST_LOOK = 256 * 1024
FARTHEST_LOOK = 8 * 1024 * 1024


class FileChain:
    """Knows the end of the chain while the file is locked, and seals what is written; made for one process."""

    def __init__(self) -> None:
        self._end: Link | None = None
        self._left_over = b""

    def find_end(self, descriptor: int, size: int) -> None:
        """Looks at the end of a file that others may have written to meanwhile; nothing is changed by an empty one."""
        if not size:
            return
        end, self._left_over = _end_of(descriptor, size)
        # Records of this process that somebody has cut off the file keep their numbers, so that they are missed.
        if self._end is None or end is None or end.chain != self._end.chain or end.number >= self._end.number:
            self._end = end

    def begin(self, earlier: Path | None) -> None:
        """Goes on behind the file that was put aside last, where an empty file is begun.

        Others may have filled whole files since this process wrote, and this one may be the first in the new file.
        """
        self._left_over = b""
        if earlier is None:
            return
        try:
            with earlier.open("rb") as file:
                end, _ = _end_of(file.fileno(), os.fstat(file.fileno()).st_size)
        except OSError:
            return
        own = self._end
        if own is None or (end is not None and end.chain == own.chain and end.number > own.number):
            self._end = end

    @property
    def has_left_over(self) -> bool:
        """Whether something stands behind the last seal, which the next write in this file seals too."""
        return bool(self._left_over)

    def seal(self, lines: Sequence[bytes]) -> tuple[list[Piece], Link]:
        """The pieces to write, and where the chain then ends; to be handed to `wrote` once they are written."""
        end = self._end or begin_chain(token_hex(4))
        left_over = self._left_over
        if left_over:
            last = next((number for line in left_over.splitlines(True)[::-1] if (number := number_in(line)) is not None), 0)
            end = end._replace(number=max(end.number, last))
            if not left_over.endswith(b"\n"):
                pieces, link = seal_lines(lines, end, left_over + b"\n")
                return [b"\n", *pieces], link
        return seal_lines(lines, end, left_over)

    def wrote(self, end: Link) -> None:
        """Goes on from there."""
        self._end, self._left_over = end, b""


def _end_of(descriptor: int, size: int) -> tuple[Link | None, bytes]:
    """The last seal of a file, and what stands behind it; without a seal that is near, nothing is said about either."""
    look = FIRST_LOOK
    while True:
        start = max(size - look, 0)
        tail = os.pread(descriptor, look, start)
        lines = tail.splitlines(True)
        behind: list[bytes] = []
        for line in reversed(lines):
            seal = seal_of(line)
            if seal is not None:
                return seal.link, b"".join(reversed(behind))
            behind.append(line)
        if not start or look >= FARTHEST_LOOK:
            return None, b""
        look = min(look * 8, FARTHEST_LOOK)
