"""Whether an SQLite file can still be read from its disk, and not only from what connections keep of it.

SQLite knows by its write-ahead log alone whether the pages that it keeps are still right. So a file that something else wrote
over is answered from for as long as what is asked for happens to be kept.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from klausel.storage.sql.database import access_of, explained_errors, make_engine, set_busy_timeout
from klausel.storage.sql.open_file import SECONDS_BETWEEN_LOOKS
from klausel.storage.sql.storage_error import StorageError

MOST_BYTES_CHECKED = 64 * 2**20
"""A larger file is opened and read at its beginning alone: to go through all of it takes too long for a probe."""
TIMES_BETWEEN_CHECKS = 20
"""How many times as long as a check took is waited before the next, so that a file with many writes costs little, too."""
_OF_VALUES = ("NULL value in", "CHECK constraint failed")
"""How findings begin that are of values, and not of pages."""
_BUSY = ("locked", "busy")

_log = logging.getLogger(__name__)


class DamagedFile(StorageError):
    """The file has no database in it any more that can be read."""


class FileCheck:
    """Reads an SQLite file over a new connection after something was written into it. Safe for many threads.

    While it is found damaged nothing is told from it and nothing written. Once a good one is in its place, or an older one,
    `forget` is called, which must drop all that is kept of it. On other databases it does nothing.
    """

    def __init__(self, engine: Engine, forget: Callable[[], None]) -> None:
        access = access_of(engine)
        self._file = access.file
        self._engine = None if access.file is None else make_engine(engine.url, hold_connections=True, access=access)
        self._forget = forget
        self._lock = threading.Lock()
        self._checked: tuple[int, int] | None = None
        self._state: tuple[str, int] | None = None
        self._not_before = 0.0
        self._is_closed = threading.Event()
        if self._file is not None:
            self._file.watch_damage = self._watch

    def close(self) -> None:
        """Looks no more by itself."""
        self._is_closed.set()

    def _watch(self) -> None:
        assert self._file is not None
        _log.error("%s", self._file.damage)
        threading.Thread(target=self._look_until_good, name="damaged-file", daemon=True).start()

    def _look_until_good(self) -> None:
        assert self._file is not None
        while self._file.damage is not None and not self._is_closed.wait(SECONDS_BETWEEN_LOOKS):
            with suppress(StorageError):
                self.look()

    def look(self) -> None:
        """Raises `DamagedFile` where it cannot be read any more, and StorageError where it cannot be opened."""
        file = self._file
        if file is None:
            return
        written = file.written()
        is_due = file.damage is not None or written != self._checked
        if is_due and time.monotonic() >= self._not_before and self._lock.acquire(blocking=False):
            began = time.monotonic()
            try:
                self._check(written)
            finally:
                self._not_before = time.monotonic() + TIMES_BETWEEN_CHECKS * (time.monotonic() - began)
                self._lock.release()
        if file.damage is not None:
            raise DamagedFile(file.damage)

    def _check(self, written: tuple[int, int] | None) -> None:
        assert self._file is not None and self._engine is not None
        size = 0 if written is None else written[0]
        try:
            with explained_errors(self._engine):
                state = _read(self._engine, whole=size <= MOST_BYTES_CHECKED)
        except _Unreadable as error:
            if self._file.damage is None:
                damage = self._file.damage_told(str(error))
                _log.error("%s", damage)
                self._file.mark(damage)
            return
        if state is None:
            return
        is_older = self._state is not None and (state[0] != self._state[0] or state[1] < self._state[1])
        if self._file.damage is not None or is_older:
            self._file.mark(None)
            self._forget()
            _log.warning("the SQLite file %s was replaced by a good one, and is read again", self._file.path)
        self._state, self._checked = state, written


class _Unreadable(Exception):
    """Why a file cannot be read, in the words of SQLite."""


def _read(engine: Engine, whole: bool) -> tuple[str, int] | None:
    """The lineage and revision that stand in the file; None while others keep it locked. Raises `_Unreadable`."""
    try:
        with closing(engine.raw_connection()) as connection:
            ask = connection.driver_connection.execute  # type: ignore[union-attr]
            set_busy_timeout(connection.driver_connection, 0)
            if whole:
                found = str(ask("PRAGMA quick_check(1)").fetchone()[0])
                if found != "ok" and not found.startswith(_OF_VALUES):
                    raise _Unreadable(found.splitlines()[-1])
            row = ask("SELECT lineage, revision FROM klausel_state").fetchone()
    except (DBAPIError, sqlite3.Error) as error:
        told = str(error.orig if isinstance(error, DBAPIError) else error)
        if any(sign in told for sign in _BUSY):
            return None
        if "unable to open" in told:
            raise
        raise _Unreadable(told) from None
    if row is None:
        raise _Unreadable("its state is gone")
    lineage, revision = row
    return lineage, revision
