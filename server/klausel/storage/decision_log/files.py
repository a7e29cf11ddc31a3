"""Reading decision logs: files, also compressed ones, and standard input, in blocks of whole lines."""

from __future__ import annotations

import gzip
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from klausel.core.analysis.permission_use import Use
from klausel.core.records.recorded import BadRecord, Dropped, Recorded, read_recorded
from klausel.core.records.shared_values import each_record
from klausel.core.replay.uses import NotCounted, read_use

STDIN = "-"
BLOCK_BYTES = 4 * 1024 * 1024

# orjson reads an integer beyond 64 bits as a float.
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


class UnreadableLog(Exception):
    """A file cannot be read; the message is a sentence that names it."""


class Block(NamedTuple):
    """Some whole lines of a file, and the number of the first."""

    file: str
    first_line: int
    data: bytes


def blocks_of(files: Sequence[str]) -> Iterator[Block]:
    """All lines of all files, in order; `-` is standard input, a name that ends with `.gz` a compressed file."""
    for name in files:
        try:
            with _opened(name) as file:
                yield from _blocks(file, "standard input" if name == STDIN else name)
        except (OSError, EOFError, zlib.error) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UnreadableLog(f"{name} cannot be read: {why[:1].lower()}{why[1:]}") from error


def _opened(name: str) -> Any:
    if name == STDIN:
        return nullcontext(sys.stdin.buffer)
    return gzip.open(name, "rb") if name.endswith(".gz") else Path(name).open("rb")


def _blocks(file: IO[bytes], name: str) -> Iterator[Block]:
    line = 1
    rest: list[bytes] = []
    while data := file.read(BLOCK_BYTES):
        end = data.rfind(b"\n") + 1
        if not end:
            rest.append(data)
            continue
        whole = b"".join([*rest, data[:end]])
        yield Block(name, line, whole)
        line += whole.count(b"\n")
        rest = [data[end:]]
    last = b"".join(rest)
    if last:
        yield Block(name, line, last)


def begins_before(block: Block, since: str) -> bool:
    """Whether the first line was written before a time, where it says so first, as Klausel writes it."""
    start = f'{{"time":"{since}'.encode()
    return block.data.startswith(start[:9]) and block.data[: len(start)] < start


def uses_in(block: Block, since: str) -> Iterator[tuple[int, str, Use | NotCounted | BadRecord]]:
    """Each record from a time on, with its line and its time, as who was allowed what; for commands that need no more.

    A line that was written before is not even parsed where its time stands first, as Klausel writes it.
    """
    start = f'{{"time":"{since}'.encode()
    begins, length = start[:9], len(start)
    for number, line in enumerate(block.data.split(b"\n"), start=block.first_line):
        if not line or (line[:9] == begins and line[:length] < start):
            continue
        try:
            # Long numbers lose digits here, and none is needed.
            value = orjson.loads(line)
        except ValueError:
            value = None
        if type(value) is not dict:
            found: Iterable[Mapping[str, Any] | BadRecord] = values_of(line)
        else:
            found = _each_of(value) if "decisions" in value else (value,)
        for one in found:
            try:
                if isinstance(one, BadRecord):
                    raise one
                time = one["time"]
                if type(time) is not str:
                    raise BadRecord("has a member of another form than a record of a decision")
                if time >= since:
                    yield number, time, read_use(one)
            except KeyError:
                yield number, "", BadRecord("has no 'time'")
            except BadRecord as fault:
                yield number, "", fault


def records_in(block: Block) -> Iterator[tuple[int, Recorded | Dropped | BadRecord]]:
    """Each line with its number, as the record of a decision, a count of dropped ones, or what is wrong with it.

    Empty lines are passed over; a line that holds several decisions comes once for each.
    """
    for number, line in enumerate(block.data.split(b"\n"), start=block.first_line):
        if line and not line.isspace():
            for record in _records_of(line):
                yield number, record


def _records_of(line: bytes) -> Iterator[Recorded | Dropped | BadRecord]:
    for value in values_of(line):
        if isinstance(value, BadRecord):
            yield value
            continue
        try:
            yield read_recorded(value)
        except BadRecord as fault:
            yield fault


def good_values_of(line: bytes) -> list[Mapping[str, Any]]:
    """Those of `values_of` that are records."""
    return [one for one in values_of(line) if not isinstance(one, BadRecord)]


def values_of(line: bytes) -> Iterator[Mapping[str, Any] | BadRecord]:
    """The JSON objects of the records in a line, each in full; none of a line with nothing in it."""
    if not line or line.isspace():
        return
    try:
        value = json.loads(line) if _LONG_NUMBER.search(line) else orjson.loads(line)
    except (ValueError, RecursionError):
        yield BadRecord("is not JSON")
        return
    if type(value) is not dict:
        yield BadRecord("is no JSON object")
        return
    yield from _each_of(value)


def _each_of(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any] | BadRecord]:
    try:
        yield from each_record(value)
    except ValueError:
        yield BadRecord('has "decisions" or "shared" of another form than a line with several decisions')
