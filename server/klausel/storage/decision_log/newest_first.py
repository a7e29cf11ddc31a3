"""Reading the decision log of the running service backwards, the newest records first, in blocks of whole lines."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, NamedTuple

from sqlalchemy import Engine, inspect, select

from klausel.storage.decision_log.files import UnreadableLog
from klausel.storage.decision_log.sinks import DATABASE, DECISIONS, STDOUT, files_put_aside
from klausel.storage.sql.database import reading

BLOCK_BYTES = 1024 * 1024
ROWS_PER_BLOCK = 1000
_PLACE = re.compile(r"(\d{1,9})\.(\d{1,18})", re.ASCII)
GZIP = ".gz"
MOST_UNPACKED = 1024**3
"""The bytes that one compressed file may have when unpacked; a larger one is not read."""
_PIECE = 1024 * 1024
_State = tuple[Path, int, int]


class LinePlace(NamedTuple):
    """Where a line of the log begins, which stays so while files are put aside: the number of its file, and the byte there.

    The file that is written to has the number that it will be put aside under. In the database the file is 0, and the row
    stands in place of the byte.
    """

    file: int
    start: int

    def __str__(self) -> str:
        return f"{self.file}.{self.start}"


def read_place(text: str) -> LinePlace | None:
    """The place that a text names; None for any other text."""
    found = _PLACE.fullmatch(text)
    return None if found is None else LinePlace(int(found[1]), int(found[2]))


class NewestFirst:
    """The log that a service writes: of files those of its own name, and those put aside, also where gzip compressed them."""

    def __init__(self, target: str, engine: Engine) -> None:
        self._target = target
        self._engine = engine
        self._unpacked = UnpackedFiles()

    @property
    def is_readable(self) -> bool:
        """Whether the service can read what it writes: not where that goes to standard output."""
        return self._target != STDOUT

    def unread(self) -> int:
        """How many files that were put aside are not read here: compressed by something else than gzip, or very large."""
        if self._target in (STDOUT, DATABASE):
            return 0
        aside = files_put_aside(Path(self._target).absolute())
        large = self._unpacked.too_large()
        return sum(not _is_readable(path) or path in large for _, path in aside)

    def blocks(self, before: LinePlace | None = None) -> Iterator[tuple[bytes, LinePlace]]:
        """Whole lines in blocks, the newest block first, each with where it begins; only what stands before a place.

        Raises `UnreadableLog` and `StorageError`.
        """
        if self._target == DATABASE:
            yield from self._rows(before)
        elif self.is_readable:
            yield from self._files(before)

    def line_at(self, place: LinePlace) -> bytes | None:
        """The line that begins at a place; None where none does. Raises as `blocks` does."""
        if self._target == DATABASE:
            with reading(self._engine) as connection:
                if not inspect(connection).has_table(DECISIONS.name):
                    return None
                row = select(DECISIONS.c.record).where(DECISIONS.c.id == place.start)
                found: str | None = connection.execute(row).scalar_one_or_none()
            return None if found is None else found.encode()
        path = dict(self._by_number()).get(place.file) if self.is_readable else None
        if path is None:
            return None
        file = self._opened(path)
        if file is None:
            return None
        with file:
            return _line_at(file.fileno(), place.start)

    def _by_number(self) -> list[tuple[int, Path]]:
        """The files that can be read, the newest first."""
        path = Path(self._target).absolute()
        aside = files_put_aside(path)
        number = aside[-1][0] + 1 if aside else 1
        return [(number, path), *((one, found) for one, found in reversed(aside) if _is_readable(found))]

    def _files(self, before: LinePlace | None) -> Iterator[tuple[bytes, LinePlace]]:
        for number, path in self._by_number():
            if before is not None and number > before.file:
                continue
            end = before.start if before is not None and number == before.file else None
            with suppress(FileNotFoundError):  # removed meanwhile, as the oldest
                file = self._opened(path)
                if file is None:
                    continue
                with file:
                    yield from _backwards(file, number, end)

    def _opened(self, path: Path) -> IO[bytes] | None:
        """A file to be read at any place, for the caller to close; None where it is compressed and too large."""
        try:
            return self._unpacked.opened(path) if path.suffix == GZIP else path.open("rb")
        except FileNotFoundError:
            raise
        except (OSError, EOFError, zlib.error) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UnreadableLog(f"{path.name} cannot be read: {why[:1].lower()}{why[1:]}") from error

    def _rows(self, before: LinePlace | None) -> Iterator[tuple[bytes, LinePlace]]:
        bound = None if before is None else before.start
        with reading(self._engine) as connection:
            if not inspect(connection).has_table(DECISIONS.name):
                return
        query = select(DECISIONS.c.id, DECISIONS.c.record).order_by(DECISIONS.c.id.desc())
        while True:
            some = (
                query.limit(ROWS_PER_BLOCK) if bound is None else query.where(DECISIONS.c.id < bound).limit(ROWS_PER_BLOCK)
            )
            with reading(self._engine) as connection:
                rows = connection.execute(some).all()
            for id_, record in rows:
                yield record.encode(), LinePlace(0, id_)
            if len(rows) < ROWS_PER_BLOCK:
                return
            bound = rows[-1][0]


def lines_of(block: bytes, place: LinePlace) -> list[tuple[LinePlace, bytes]]:
    """The lines of a block with where each begins, the last first."""
    found = []
    start = place.start
    for line in block.split(b"\n"):
        if line:
            found.append((LinePlace(place.file, start), line))
        start += len(line) + 1
    return found[::-1]


def _is_readable(path: Path) -> bool:
    return path.suffix == GZIP or path.suffix.removeprefix(".").isdigit()


def _line_at(descriptor: int, start: int) -> bytes | None:
    """The line that begins at a byte. Read by place, for others may read the same file."""
    if start and os.pread(descriptor, 1, start - 1) != b"\n":
        return None
    found = b""
    while data := os.pread(descriptor, BLOCK_BYTES, start + len(found)):
        found += data
        if b"\n" in data:
            break
    return found.partition(b"\n")[0] or None


def _backwards(file: IO[bytes], number: int, end: int | None) -> Iterator[tuple[bytes, LinePlace]]:
    last = os.fstat(file.fileno()).st_size
    end = last if end is None else min(end, last)
    size = BLOCK_BYTES
    while end > 0:
        start = max(0, end - size)
        data = os.pread(file.fileno(), end - start, start)
        cut = 0 if start == 0 else data.find(b"\n") + 1
        if start and (cut == 0 or cut == len(data)):
            # One line is longer than the block.
            size *= 2
            continue
        yield data[cut:], LinePlace(number, start + cut)
        end, size = start + cut, BLOCK_BYTES


class UnpackedFiles:
    """Unpacks one file at a time into one without a name on the disk, which ends with its last reader."""

    def __init__(self) -> None:
        self._turn = Lock()
        self._kept: tuple[_State, IO[bytes]] | None = None
        self._too_large: set[_State] = set()

    def opened(self, path: Path) -> IO[bytes] | None:
        """The file, unpacked, for the caller to close; None where it is too large. Raises as `gzip` and the disk do."""
        state = path.stat()
        key = (path, state.st_size, state.st_mtime_ns)
        with self._turn:
            if key in self._too_large:
                return None
            if self._kept is None or self._kept[0] != key:
                found = _unpacked(path)
                if found is None:
                    self._too_large.add(key)
                    return None
                self.close()
                self._kept = (key, found)
            return os.fdopen(os.dup(self._kept[1].fileno()), "rb")

    def too_large(self) -> set[Path]:
        """The files that were found to be too large."""
        return {path for path, _, _ in self._too_large}

    def close(self) -> None:
        """Lets go of the file that is kept."""
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None

    def __del__(self) -> None:
        self.close()


def _unpacked(path: Path) -> IO[bytes] | None:
    with ExitStack() as stack:
        target = stack.enter_context(TemporaryFile())
        with gzip.open(path, "rb") as file:
            while data := file.read(_PIECE):
                if target.tell() + len(data) > MOST_UNPACKED:
                    return None
                target.write(data)
        target.flush()
        stack.pop_all()
    return target
