"""Compressed files of the decision log, to be read at any place: the one unpacked last is kept for whoever pages through it."""

from __future__ import annotations

import gzip
import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO

GZIP = ".gz"
MOST_UNPACKED = 1024**3
"""The bytes that one compressed file may have when unpacked; a larger one is not read."""
_PIECE = 1024 * 1024
_State = tuple[Path, int, int]


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
