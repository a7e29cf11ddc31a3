"""Which rows of a table in the decision log are not what was written, by the sums of its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal
from zlib import crc32

Change = tuple[Literal["edited", "removed", "moved", "inserted"], str]
_BEFORE_ROWS = b'"decisions":['
_MOST_ROWS = 10_000
"""Far more than any table has: a line that somebody made is not compared for long."""


def changed_rows(line: bytes, sums: Sequence[int], first: int) -> Iterator[Change]:
    """What was done to the rows of a line whose sum is another; `first` is the number of the record in its first row."""
    last = first + len(sums) - 1
    rows = _rows_in(line)
    found = None if rows is None else list(map(crc32, rows))
    if found is None or len(found) > _MOST_ROWS:
        yield "edited", f"records {first} to {last} are not as they were written"
        return
    if found == list(sums):
        yield "edited", f"what records {first} to {last} have in common is not as it was written"
        return
    known, there = set(sums), set(found)
    for _, i, i_end, j, j_end in SequenceMatcher(None, sums, found, autojunk=False).get_opcodes():
        gone = [number for number in range(i, i_end) if i_end - i != j_end - j or sums[number] != found[j + number - i]]
        foreign = sum(one not in known for one in found[j:j_end])
        for number in gone:
            if sums[number] in there:
                yield "moved", f"record {first + number} is in another place among records {first} to {last}"
            elif foreign:
                foreign -= 1
                yield "edited", f"record {first + number} is not as it was written"
            else:
                yield "removed", f"record {first + number} is missing in this line"
        if foreign:
            yield "inserted", f"{foreign} more among records {first} to {last} than were written here"


def _rows_in(line: bytes) -> list[bytes] | None:
    """The rows as they stand in a line; None where that is no table any more."""
    at = line.find(_BEFORE_ROWS)
    if at < 0:
        return None
    text = line[at + len(_BEFORE_ROWS) :].decode("utf-8", "surrogateescape")
    decoder, rows, at = json.JSONDecoder(), [], 0
    try:
        while True:
            end = decoder.raw_decode(text, at)[1]
            rows.append(text[at:end].encode("utf-8", "surrogateescape"))
            if text[end : end + 1] != ",":
                return rows if text[end : end + 1] == "]" else None
            at = end + 1
    except (ValueError, RecursionError):
        return None
