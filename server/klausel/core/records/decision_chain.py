"""The chain of a decision log in files: records are numbered, and each write ends with a seal over all that it wrote.

The last line of a write has a member `sealed`: the `chain` (a random name), the number of the `first` record of the write, the
CRC-32 of each line (`sums`; of a table of singles a list, of the line and then of each row), the hash of the seal before
(`previous`; 64 zeros at the beginning) and the `hash`: the SHA-256 of every byte behind the seal before, up to and with
`"hash":"`. So a log is still lines of JSON, and costs a hash a write. A line has one number, also that of a batch; a table of
singles has one for each row, and names the last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from hashlib import sha256
from itertools import pairwise
from typing import Literal, NamedTuple
from zlib import crc32

from klausel.core.records.change_record import BEFORE_THE_FIRST
from klausel.core.records.single_record import TableOfSingles
from klausel.core.terms.counted import counted

MOST_BYTES_OF_A_WRITE = 80 * 1024 * 1024

_SEAL = re.compile(
    rb',"number":(\d{1,18}),"sealed":(\{"chain":"[0-9a-f]+","first":\d{1,18},"sums":\[[\d,\[\]]*\],'
    rb'"previous":"[0-9a-f]{64}",(?:"recovered":\d{1,18},)?"hash":"[0-9a-f]{64}"\})\}\n'
)
_NUMBER = re.compile(rb',"number":(\d{1,18})\}\n')
_BEHIND_THE_HASH = len('"}}\n')
_HASH_DIGITS = 64
_DIGITS_OF_A_NUMBER = 30
_BYTES_AT_ONCE = 4096
_BYTES_HASHED_AT_ONCE = 64 * 1024

Piece = bytes | memoryview

FaultKind = Literal["edited", "removed", "moved", "inserted", "unlinked", "unsealed", "unchained", "missing", "checkpoint"]
"""`unlinked`: whole in itself, but not what followed. `unsealed`: behind the last seal. `unchained`: lines of an older version.

`missing`: a file was not given. `checkpoint`: what was signed is not there.
"""
_BEFORE_ROWS = b'"decisions":['
_MOST_ROWS = 10_000
"""Far more than any table has: a line that somebody made is not compared for long."""


class Link(NamedTuple):
    """The end of a chain: its name, the number of its last record, and the hash of the seal there."""

    chain: str
    number: int
    hash: str


class ChainFault(NamedTuple):
    """One thing that is wrong: the file (and line) concerned, the kind, and a sentence."""

    place: str
    kind: FaultKind
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}: {self.message}"


class Seal(NamedTuple):
    """What stands in the last line of a write."""

    chain: str
    first: int
    last: int
    sums: tuple[tuple[int, ...], ...]
    previous: str
    recovered: int
    hash: str
    line_without: bytes
    hashed_of_line: bytes

    @property
    def records(self) -> int:
        """How many records were written."""
        return sum(map(_records_of, self.sums))

    @property
    def link(self) -> Link:
        """The end of the chain with it."""
        return Link(self.chain, self.last, self.hash)

    @property
    def is_first(self) -> bool:
        """Whether a chain begins with this write."""
        return self.previous == BEFORE_THE_FIRST


def begin_chain(name: str) -> Link:
    """The end of a chain that has no record yet."""
    return Link(name, 0, BEFORE_THE_FIRST)


def seal_lines(lines: Sequence[bytes], end: Link, left_over: bytes = b"") -> tuple[list[Piece], Link]:
    """The pieces to write for lines that are JSON objects, at least one, and the end of the chain behind them.

    `left_over` is what stands behind the last seal: of a process that was killed while it wrote. Lines are not copied: fresh
    memory for so many bytes takes longer than all else here.
    """
    number, pieces, sums = end.number, list[Piece](), []
    for line in lines:
        of_rows = line.sums if isinstance(line, TableOfSingles) else ()
        number += len(of_rows) or 1
        said, ending = memoryview(line)[:-2], b',"number":%d}\n' % number
        pieces += (said, ending)
        sum_ = crc32(ending, _crc32_of(said))
        sums.append(f"[{sum_},{','.join(map(str, of_rows))}]" if of_rows else str(sum_))
    recovered = f'"recovered":{len(left_over)},' if left_over else ""
    begins = f'{{"chain":"{end.chain}","first":{end.number + 1},"sums":[{",".join(sums)}],"previous":"{end.hash}"'
    pieces[-1] = b'%b,"sealed":%b,%b"hash":"' % (ending[:-2], begins.encode(), recovered.encode())
    hashed = _sha256_of(left_over, pieces)
    return [*pieces, hashed.encode() + b'"}}\n'], Link(end.chain, number, hashed)


def _crc32_of(data: memoryview) -> int:
    """The CRC-32 of bytes, in parts so small that no other thread is let in between: that would take far longer."""
    sum_ = 0
    for start in range(0, len(data), _BYTES_AT_ONCE):
        sum_ = crc32(data[start : start + _BYTES_AT_ONCE], sum_)
    return sum_


def _sha256_of(first: bytes, pieces: Sequence[Piece]) -> str:
    """The hash of bytes, in parts so large that other threads, which go on meanwhile, are let in seldom."""
    hashed, waiting, size = sha256(first), list[Piece](), 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _BYTES_HASHED_AT_ONCE:
            hashed.update(b"".join(waiting))
            waiting, size = [], 0
    hashed.update(b"".join(waiting))
    return hashed.hexdigest()


def seal_of(line: bytes) -> Seal | None:
    """The seal in a line with its newline; None where it has none."""
    if not line.endswith(b'"}}\n'):
        return None
    at = line.rfind(b',"number":')
    found = None if at < 0 else _SEAL.fullmatch(line, at)
    if found is None:
        return None
    try:
        told = json.loads(found[2])
        return Seal(
            told["chain"],
            told["first"],
            int(found[1]),
            tuple(map(_sums_of_line, told["sums"])),
            told["previous"],
            told.get("recovered", 0),
            told["hash"],
            line[: found.end(1)] + b"}\n",
            line[: -_BEHIND_THE_HASH - _HASH_DIGITS],
        )
    except (ValueError, KeyError):
        return None


def _sums_of_line(told: object) -> tuple[int, ...]:
    """The sum of a line, and of a table also those of its rows behind it."""
    sums = tuple(told) if type(told) is list else (told,)
    if not all(type(one) is int for one in sums) or (type(told) is list and len(sums) < 2):
        raise ValueError
    return sums


def _records_of(sums: tuple[int, ...]) -> int:
    return len(sums) - 1 or 1


def number_in(line: bytes) -> int | None:
    """The number of the record in a line with its newline that has no seal."""
    found = _NUMBER.fullmatch(line, max(line.rfind(b",", max(len(line) - _DIGITS_OF_A_NUMBER, 0)), 0))
    return None if found is None else int(found[1])


class FoundLine(NamedTuple):
    """A line of a file with its newline, and which it is, from 1."""

    place: int
    data: bytes


@dataclass(slots=True)
class ChainOfFile:
    """Takes the lines of one file in their order and says what is wrong inside it; `signed` has the hashes of checkpoints.

    `first` and `last` are the seals at its ends, None where it has none; `unchained` counts lines in front of the first.
    """

    name: str
    signed: Mapping[str, int]
    first: Seal | None = None
    last: Seal | None = None
    records: int = 0
    unchained: int = 0
    recovered: int = 0
    met: set[str] = field(default_factory=set)
    _waiting: list[FoundLine] = field(default_factory=list)
    _bytes: int = 0

    def look_at(self, place: int, line: bytes) -> Iterator[ChainFault]:
        """What is wrong up to the next line, given with its newline."""
        seal = seal_of(line)
        if seal is not None:
            yield from self._close(seal, place)
            return
        self._waiting.append(FoundLine(place, line))
        self._bytes += len(line)
        if self._bytes > MOST_BYTES_OF_A_WRITE:
            yield from self._give_up(self._waiting)
            self._forget()

    def end(self) -> Iterator[ChainFault]:
        """What is wrong at the end of the file."""
        yield from self._give_up(self._waiting)
        self._forget()
        if self.unchained:
            message = f"{self.unchained:,} lines before its first seal carry no chain, so nothing can be said about them"
            yield ChainFault(self.name, "unchained", message)

    def _forget(self) -> None:
        self._waiting, self._bytes = [], 0

    def _close(self, seal: Seal, place: int) -> Iterator[ChainFault]:
        waiting, before = self._waiting, self.last
        self._forget()
        own = waiting[max(len(waiting) - len(seal.sums) + 1, 0) :]
        if not seal.is_first and before is not None and _hash(waiting, seal) == seal.hash:
            self.recovered += seal.recovered
        elif _hash(own, seal) == seal.hash:
            yield from self._give_up(waiting[: len(waiting) - len(own)])
        else:
            if before is None and not seal.recovered:
                # Lines of an older version may stand in front of the first write.
                old = _count_without_numbers(waiting)
                self.unchained += old
                waiting = waiting[old:]
            yield from _differences(self.name, waiting, seal, place)
        if before is not None and (seal.chain, seal.previous) != (before.chain, before.hash):
            yield self._unlinked(before, seal, place)
        self.first = self.first or seal
        self.last = seal
        self.records += seal.records
        if seal.hash in self.signed:
            self.met.add(seal.hash)

    def _unlinked(self, before: Seal, seal: Seal, place: int) -> ChainFault:
        where = f"{self.name}:{place}"
        if seal.chain != before.chain:
            return ChainFault(
                where, "unlinked", "another chain goes on here; two logs were joined, or the log was begun again"
            )
        if seal.first > before.last + 1:
            return ChainFault(where, "removed", f"{_span(before.last + 1, seal.first - 1)} missing before this line")
        if seal.first <= before.last:
            return ChainFault(where, "moved", f"{_span(seal.first, seal.last)} here behind record {before.last}")
        return ChainFault(where, "unlinked", f"it does not follow record {before.last}; one of the two was rewritten")

    def _give_up(self, lines: Sequence[FoundLine]) -> Iterator[ChainFault]:
        """Lines that no seal is about."""
        if not lines:
            return
        if self.last is None:
            old = _count_without_numbers(lines)
            self.unchained += old
            lines = lines[old:]
        if lines:
            why = "it was removed, they were inserted, or a process was killed"
            message = f"{counted(len(lines), 'line')} from here on {'has' if len(lines) == 1 else 'have'} no seal; {why}"
            yield ChainFault(f"{self.name}:{lines[0].place}", "unsealed", message)


def _count_without_numbers(lines: Sequence[FoundLine]) -> int:
    return next((count for count, line in enumerate(lines) if number_in(line.data) is not None), len(lines))


def _hash(lines: Sequence[FoundLine], seal: Seal) -> str:
    return sha256(b"".join([*(line.data for line in lines), seal.hashed_of_line])).hexdigest()


def _differences(file: str, waiting: Sequence[FoundLine], seal: Seal, place: int) -> Iterator[ChainFault]:
    """Which lines of a write are not what was written."""
    found: dict[int, int] = {}
    newest, is_explained = 0, False
    wanted: dict[int, tuple[int, ...]] = {}
    number = seal.first - 1
    for sums in seal.sums:
        number += _records_of(sums)
        wanted[number] = sums
    for at, data in (*waiting, FoundLine(place, seal.line_without)):
        told = number_in(data)
        where, faults = f"{file}:{at}", []
        if told is None or told not in wanted or told in found:
            # What was recovered stands in front of the write, and has no sums.
            if not seal.recovered or told in found:
                faults = [ChainFault(where, "inserted", "this line is not one of those that were written here")]
        else:
            found[told] = at
            sum_, *rows = wanted[told]
            first = told - _records_of(wanted[told]) + 1
            if crc32(data) != sum_:
                edited: Change = ("edited", f"record {told} is not as it was written")
                changes = changed_rows(data, rows, first) if rows else [edited]
                faults = [ChainFault(where, kind, message) for kind, message in changes]
            elif told < newest:
                faults = [ChainFault(where, "moved", f"{_numbers(first, told)} stood before record {newest}")]
            newest = max(newest, told)
        if faults:
            is_explained = True
            yield from faults
    for number, sums in wanted.items():
        if number not in found:
            is_explained = True
            missing = _span(number - _records_of(sums) + 1, number)
            yield ChainFault(f"{file}:{place}", "removed", f"{missing} missing before this line")
    if not is_explained:
        message = f"a line from record {seal.first} on, or the seal in this line, is not as it was written"
        yield ChainFault(f"{file}:{place}", "edited", message)


def join_files(files: Sequence[ChainOfFile], signed: Mapping[str, int], is_whole: bool) -> Iterator[ChainFault]:
    """What is wrong between files, in whatever order they are given: missing ones, and ones that do not follow.

    `signed` has the numbers of the records that checkpoints signed, by hash. Unless `is_whole`, the log may have begun earlier.
    """
    ends = [(file.name, file.first, file.last) for file in files if file.first is not None and file.last is not None]
    ends.sort(key=lambda one: (one[1].chain, one[1].first, one[2].last))
    chains: dict[str, list[tuple[str, Seal, Seal]]] = {}
    for one in ends:
        chains.setdefault(one[1].chain, []).append(one)
    for chain in chains.values():
        name, first, _ = chain[0]
        if is_whole and not first.is_first:
            yield ChainFault(
                name, "missing", f"it begins with record {first.first}; the file with those before was not given"
            )
        for (earlier, _, end), (later, begin, _) in pairwise(chain):
            if begin.first > end.last + 1:
                message = f"{_span(end.last + 1, begin.first - 1)} between it and {earlier}, in a file that was not given"
                yield ChainFault(later, "missing", message)
            elif begin.first <= end.last:
                yield ChainFault(later, "moved", f"its records from {begin.first} on are in {earlier}, too")
            elif begin.previous != end.hash:
                yield ChainFault(later, "unlinked", f"it does not follow {earlier}; one of the two was rewritten")
    met = {hash_ for file in files for hash_ in file.met}
    start = min((first.first for _, first, _ in ends), default=0)
    for hash_, number in signed.items():
        if hash_ not in met and (is_whole or number >= start):
            message = "a checkpoint signed it, but it is not there; it was rewritten, or removed with the end of its file"
            yield ChainFault(f"record {number}", "checkpoint", message)


def _span(first: int, last: int) -> str:
    return f"{_numbers(first, last)} {'is' if first == last else 'are'}"


def _numbers(first: int, last: int) -> str:
    return f"record {first}" if first == last else f"records {first} to {last}"


Change = tuple[Literal["edited", "removed", "moved", "inserted"], str]


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
