"""The sinks of the decision log: a chained file with rotation, standard output, a table of the database."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from select import PIPE_BUF, POLLOUT, poll

from sqlalchemy import BigInteger, Column, Engine, Index, Integer, MetaData, String, Table, Text, insert, inspect, select

from klausel.core.records.decision_chain import Link, Piece, begin_chain, number_in, seal_lines, seal_of
from klausel.storage.decision_log.files import Block
from klausel.storage.decision_log.queue import Sink, SinkError
from klausel.storage.schema import open_database
from klausel.storage.sql.access import COMMAND_LIMITS, Limits
from klausel.storage.sql.database import StorageError, reading, writing

STDOUT = "stdout"
DATABASE = "database"
NUMBER_DIGITS = 6
ROWS_PER_BLOCK = 5000
SECONDS_FOR_A_READER = 1.0
_CURES = {
    errno.ENOENT: "create its folder, or name another file",
    errno.ENOTDIR: "name a file in a folder",
    errno.EISDIR: "name a file in it",
    errno.EACCES: "let the user that runs Klausel write there, or name another file",
    errno.EPERM: "let the user that runs Klausel write there, or name another file",
    errno.EROFS: "name a file where can be written",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
}
_PIECES_AT_ONCE = os.sysconf("SC_IOV_MAX")
FIRST_LOOK = 256 * 1024
FARTHEST_LOOK = 8 * 1024 * 1024


def open_sink(target: str, database: str, max_bytes: int, max_files: int, limits: Limits = COMMAND_LIMITS) -> Sink:
    """The sink named `stdout`, `database`, or by the path of a file; raises SinkError when it cannot be used.

    A file that would grow over `max_bytes` is put aside first; at most `max_files` such files are kept, 0 keeps all. `limits` are
    those of the database.
    """
    if target == STDOUT:
        return StdoutSink()
    if target == DATABASE:
        return DatabaseSink(database, limits)
    return FileSink(Path(target), max_bytes, max_files, FileChain())


class FileSink:
    """Appends to one file, which several processes may do at once; a full file gets a number and a new one is begun.

    Whoever writes holds a lock on the open file, so lines never mix, and a write that fails half way is taken back.
    """

    def __init__(self, path: Path, max_bytes: int, max_files: int, chain: FileChain | None = None) -> None:
        """With a `chain`, lines must be JSON objects, and are numbered and sealed."""
        self._chain = chain
        self._path = path.absolute()
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._descriptor: int | None = None
        self._size_after = 0
        """The size of the file after the last write of this process, which ended with a newline."""
        with self._explained(), self._locked():
            pass

    def write(self, lines: Sequence[bytes]) -> None:
        """See `Sink`; all lines or none."""
        with self._explained(), self._locked() as descriptor:
            size, pieces, end = self._to_write(descriptor, lines)
            is_cut = self._chain is not None and self._chain.has_left_over
            if size and size + sum(map(len, pieces)) > self._max_bytes and not is_cut:
                descriptor = self._rotate(descriptor)
                size, pieces, end = self._to_write(descriptor, lines)
            try:
                _write_whole(descriptor, pieces)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
            self._size_after = size + sum(map(len, pieces))
            if self._chain is not None and end is not None:
                self._chain.wrote(end)

    def _to_write(self, descriptor: int, lines: Sequence[bytes]) -> tuple[int, Sequence[Piece], Link | None]:
        """The size of the file, what is to be written behind it, and where the chain then ends."""
        size = os.fstat(descriptor).st_size
        pieces: Sequence[Piece] = lines
        end = None
        if self._chain is not None:
            if not size:
                aside = [path for _, path in self._put_aside()]
                self._chain.begin(aside[-1] if aside else None)
            elif size != self._size_after:
                self._chain.find_end(descriptor, size)
            pieces, end = self._chain.seal(lines)
        is_line_open = size not in (0, self._size_after) and os.pread(descriptor, 1, size - 1) != b"\n"
        if is_line_open and pieces and pieces[0] != b"\n":
            # Half a line of a process that was killed, or of a power cut, stays alone.
            pieces = [b"\n", *pieces]
        return size, pieces, end

    def close(self) -> None:
        """See `Sink`."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self._size_after = 0

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = (error.strerror or "it cannot be written").lower()
            cure = _CURES.get(error.errno or 0)
            raise SinkError(f"{self._path}: {why}{f'; {cure}' if cure else ''}") from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The descriptor of the file that has the path now, locked."""
        import fcntl

        while True:
            if self._descriptor is None:
                self._descriptor = self._open()
            descriptor = self._descriptor
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if self._is_at_path(descriptor):
                break
            if self._chain is not None:
                self._chain.find_end(descriptor, os.fstat(descriptor).st_size)
            self.close()
        try:
            yield descriptor
        finally:
            # Rotation closes it, which lets go of the lock too.
            if self._descriptor is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _open(self, mode: int = 0o600) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            # A full one would hold up whoever writes, and the end of the process, for as long as nobody reads.
            raise OSError(errno.EINVAL, "this is a pipe; name a file, or write stdout and pipe that")
        return descriptor

    def _is_at_path(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _rotate(self, descriptor: int) -> int:
        """Puts the full file aside under the next number, and begins another with the same access rights."""
        import fcntl

        mode = os.fstat(descriptor).st_mode & 0o777
        aside = self._put_aside()
        number = aside[-1][0] + 1 if aside else 1
        target = self._path.with_name(f"{self._path.name}.{number:0{NUMBER_DIGITS}d}")
        os.rename(self._path, target)
        fresh = self._open()
        # Before the old one is let go: whoever waits for it must find the new one locked.
        fcntl.flock(fresh, fcntl.LOCK_EX)
        while not self._is_at_path(fresh):
            # Others had it before, and it is full and put aside by now.
            os.close(fresh)
            fresh = self._open()
            fcntl.flock(fresh, fcntl.LOCK_EX)
        self.close()
        self._descriptor = fresh
        with suppress(OSError):  # some network drives know no rights
            os.fchmod(fresh, mode)
        if self._max_files:
            for _, path in [*aside, (number, target)][: -self._max_files]:
                path.unlink(missing_ok=True)
        return fresh

    def _put_aside(self) -> list[tuple[int, Path]]:
        return files_put_aside(self._path)


def files_put_aside(path: Path) -> list[tuple[int, Path]]:
    """The files of a log that were put aside earlier, oldest first, also where somebody has compressed them."""
    pattern = re.compile(re.escape(path.name) + rf"\.(\d{{{NUMBER_DIGITS},}})(\.\w+)?")
    found = ((pattern.fullmatch(one.name), one) for one in path.parent.iterdir())
    return sorted((int(match[1]), one) for match, one in found if match)


class StdoutSink:
    """Writes to standard output, which workers share; pieces that a pipe takes in one go keep their lines whole.

    A pipe that is full and that nobody reads fails after `SECONDS_FOR_A_READER`. A line of which it took a part then stays alone.
    """

    def __init__(self) -> None:
        self._is_inside_line = False

    def write(self, lines: Sequence[bytes]) -> None:
        """See `Sink`."""
        taken = 0
        try:
            for piece, number in _pieces(lines, PIPE_BUF):
                self._write(piece)
                taken += number
        except OSError as error:
            why = (error.strerror or "it cannot be written").lower()
            raise SinkError(f"standard output: {why}", taken) from error

    def _write(self, piece: bytes) -> None:
        left = memoryview(b"\n" + piece if self._is_inside_line else piece)
        while left:
            _wait_for_reader(1)
            left = left[os.write(1, left[:PIPE_BUF]) :]
            self._is_inside_line = bool(left)

    def close(self) -> None:
        """See `Sink`."""


def _pieces(lines: Sequence[bytes], most: int) -> Iterator[tuple[bytes, int]]:
    """Whole lines, as many together as fit in so many bytes, and how many they are; a longer line alone."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        if waiting and size + len(line) > most:
            yield b"".join(waiting), len(waiting)
            waiting, size = [], 0
        waiting.append(line)
        size += len(line)
    if waiting:
        yield b"".join(waiting), len(waiting)


def _wait_for_reader(descriptor: int) -> None:
    waiting = poll()
    waiting.register(descriptor, POLLOUT)
    if not waiting.poll(SECONDS_FOR_A_READER * 1000):
        raise OSError(errno.EAGAIN, "the pipe is full and nobody reads it")


def _write_whole(descriptor: int, pieces: Sequence[Piece]) -> None:
    for start in range(0, len(pieces), _PIECES_AT_ONCE):
        some = pieces[start : start + _PIECES_AT_ONCE]
        written = os.writev(descriptor, some)
        if written < sum(map(len, some)):
            left = memoryview(b"".join(some))[written:]
            while left:
                left = left[os.write(descriptor, left) :]


_METADATA = MetaData()
DECISIONS = Table(
    "klausel_decision",
    _METADATA,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("time", String(27), nullable=False),
    Column("record", Text(), nullable=False),
    Index("klausel_decision_by_time", "time"),
)
"""One record a row: its time as in the record, and the record itself as JSON."""


def blocks_in_database(engine: Engine) -> Iterator[Block]:
    """All records of the table as blocks of lines, oldest first, numbered from 1; raises StorageError."""
    query = select(DECISIONS.c.record).order_by(DECISIONS.c.id)
    with reading(engine) as connection:
        if not inspect(connection).has_table(DECISIONS.name):
            return
        first = 1
        for rows in connection.execution_options(yield_per=ROWS_PER_BLOCK).execute(query).scalars().partitions():
            yield Block(DECISIONS.name, first, "".join(f"{row}\n" for row in rows).encode())
            first += len(rows)


class DatabaseSink:
    """Inserts into the table `klausel_decision`, which it makes when it is not there."""

    def __init__(self, url: str, limits: Limits = COMMAND_LIMITS) -> None:
        try:
            self._engine = open_database(url, limits)
            with writing(self._engine, None) as connection:
                _METADATA.create_all(connection)
        except StorageError as error:
            raise SinkError(str(error)) from error

    def write(self, lines: Sequence[bytes]) -> None:
        """See `Sink`; all lines or none."""
        # Every record starts with its time, always of the same length.
        rows = [{"time": line[9:36].decode(), "record": line.decode().rstrip("\n")} for line in lines]
        try:
            with writing(self._engine, ()) as connection:
                connection.execute(insert(DECISIONS), rows)
        except StorageError as error:
            raise SinkError(str(error)) from error

    def close(self) -> None:
        """See `Sink`."""
        self._engine.dispose()


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
