"""Whether an SQLite file is still the one that connections have open: what was put in its place is not obeyed unseen.

SQLite does not notice by itself that somebody moves another file to the place of its database, or deletes the log or the index
beside it. It goes on with what it has open, while everybody else reads and writes something else.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from klausel.storage.sql.storage_error import StorageError

SECONDS_BETWEEN_LOOKS = 1.0


class _Closes(Protocol):
    def close(self) -> object: ...


_Opened = TypeVar("_Opened", bound=_Closes)
_Identity = tuple[int, int]


class OpenFile:
    """The one file that all connections to a database have open, by its device and number. Safe for many threads."""

    def __init__(self, name: str) -> None:
        self.path = unquote(urlsplit(name).path) if name.startswith("file:") else name
        self._known: dict[str, _Identity] = {}
        self._looks_at = 0.0
        self._lock = threading.Lock()
        self.damage: str | None = None
        self.watch_damage: Callable[[], None] | None = None
        """Finds out when it is good again; set by who can."""

    def meet_damage(self, said: str) -> None:
        """Marks it after SQLite said that it is damaged, where somebody finds out when it is good again.

        Else writes would go on that need none of its damaged pages, and be lost with them.
        """
        with self._lock:
            if self.watch_damage is None or self.damage is not None:
                return
            self.mark(self.damage_told(said))
        self.watch_damage()

    def damage_told(self, said: str) -> str:
        """That it cannot be read any more, and what to do, with the words of SQLite."""
        return (
            f"the SQLite file {self.path} cannot be read any more, so nothing is told from it ({said}): something wrote over it, "
            "or its disk is damaged; put a good copy in its place, or stop Klausel and restore a backup"
        )

    def mark(self, damage: str | None) -> None:
        """From now on each look raises StorageError with this sentence; None: as before."""
        self.damage = damage
        self._looks_at = 0.0

    def written(self) -> tuple[int, int] | None:
        """Another value after whatever was written into it, by SQLite or past it; None where it is not there."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_size, found.st_ctime_ns

    def opened(self, connect: Callable[[], _Opened]) -> _Opened:
        """What `connect` opens; raises StorageError where that is another file than the one that is open already."""
        before = _identity(self.path)
        connection = connect()
        now = _identity(self.path)
        with self._lock:
            known = self._known.get(self.path)
            if now is None or before not in {None, now} or known not in {None, now}:
                connection.close()
                raise self._error()
            self._known[self.path] = now
        return connection

    def watch_log(self) -> None:
        """Looks at its write-ahead log and the index of that, too, which some connection has open from now on."""
        # SQLite names them by what links lead to.
        file = os.path.realpath(self.path)
        with self._lock:
            for path in (f"{file}-wal", f"{file}-shm"):
                found = _identity(path)
                if found is None:
                    raise self._error()
                self._known[path] = found

    def forget(self) -> None:
        """Forgets what was open, once all connections are closed."""
        with self._lock:
            self._known = {}
            self._looks_at = 0.0

    def make_for_owner_of_folder(self) -> None:
        """Where root makes the file, it is the folder's owner's: a service that may do less than root can write it then."""
        try:
            folder = os.stat(os.path.dirname(self.path) or ".")
            if os.geteuid() != 0 or folder.st_uid == 0:
                return
            # Nothing that is there already, or that a link leads to, is given away.
            made = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except (AttributeError, OSError):
            return
        try:
            os.fchown(made, folder.st_uid, folder.st_gid)
        finally:
            os.close(made)

    def look(self) -> None:
        """Raises StorageError where something else is in its place, or it was marked as damaged."""
        if self.damage is not None:
            raise StorageError(self.damage)
        for path, known in tuple(self._known.items()):
            if _identity(path) != known:
                raise self._error()

    def look_at_times(self) -> None:
        """As `look`, once a second for all threads, so that it costs nothing, and every time while it fails."""
        now = time.monotonic()
        if now >= self._looks_at:
            self.look()
            self._looks_at = now + SECONDS_BETWEEN_LOOKS

    def _error(self) -> StorageError:
        name = Path(self.path).name
        return StorageError(
            f"the SQLite file {self.path} is not the one that is open here: it, {name}-wal or {name}-shm was replaced, moved or "
            "deleted meanwhile, so nothing is told from it; start Klausel again, and restore backups by .restore of sqlite3"
        )


def _identity(path: str) -> _Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
