"""The header of the index of SQLite's write-ahead log: other bytes after every commit, whoever made it, read without a call.

Asking SQLite itself (`PRAGMA data_version`) gives up Python's lock several times, for which the threads of a busy service then
wait. The header is documented at https://www.sqlite.org/walformat.html: twice 48 bytes at the start of the file `…-shm`. A writer
sets the second copy, then the first, before its COMMIT returns.
"""

from __future__ import annotations

import mmap
import os
import sqlite3
import struct
import sys
import threading

HEADER_BYTES = 2 * 48
_FORMAT = 3007000
_lock = threading.Lock()
_mapped: dict[tuple[int, int], tuple[int, mmap.mmap]] = {}
"""By device and number of a file: its descriptor and its first bytes.

A process that closes any descriptor of a file loses the locks that SQLite has on it. So each is opened once, for all
connections, and closed only after SQLite has deleted the file, as its last connection anywhere does.
"""


def wal_header(connection: sqlite3.Connection) -> mmap.mmap | None:
    """The first bytes of the index, `HEADER_BYTES` of them, for as long as this connection stays open.

    None where the database has no write-ahead log that several processes share, or its format is another one.
    """
    if sys.platform == "win32":
        return None
    file = _first(connection, "PRAGMA database_list", 2)
    if not file or _first(connection, "PRAGMA journal_mode") != "wal":
        return None
    # Reads, so that the log is open by now and the header filled.
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    with _lock:
        try:
            header = _map(f"{file}-shm")
        except (OSError, ValueError):
            return None
    return header if struct.unpack_from("=I", header)[0] == _FORMAT else None


def _first(connection: sqlite3.Connection, question: str, column: int = 0) -> object:
    found: object = connection.execute(question).fetchall()[0][column]
    return found


def _map(path: str) -> mmap.mmap:
    for key, (descriptor, _) in list(_mapped.items()):
        if os.fstat(descriptor).st_nlink == 0:
            # Who still reads it has it open by itself.
            del _mapped[key]
            os.close(descriptor)
    found = os.stat(path)
    known = _mapped.get((found.st_dev, found.st_ino))
    if known is not None:
        return known[1]
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    opened = os.fstat(descriptor)
    header = mmap.mmap(descriptor, HEADER_BYTES, prot=mmap.PROT_READ)
    _mapped[opened.st_dev, opened.st_ino] = descriptor, header
    return header
