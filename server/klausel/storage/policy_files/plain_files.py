"""Reading many regular files below one folder, each with few calls of the system; nothing outside of it is opened."""

from __future__ import annotations

import os
import stat

from klausel.storage.file_rules import LARGEST_FILE

_IS_POSSIBLE = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)


class PlainFiles:
    """Reads regular files by their folder and name; the folder is opened once for those that are read one after the other.

    Whatever cannot be read so is None, and left to who can say why.
    """

    def __init__(self, root: str) -> None:
        """`root` is the path, without links, below which all lies."""
        self._root = root
        self._folder = ""
        self._opened: int | None = None

    def __enter__(self) -> PlainFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def content(self, path: str) -> bytes | None:
        """The bytes of a file; None where it is not a regular file in the root, or cannot be read."""
        folder, name = os.path.split(path)
        try:
            if folder != self._folder:
                self._open(folder)
            return None if self._opened is None else _content(name, self._opened)
        except OSError:
            return None

    def _open(self, folder: str) -> None:
        self._close()
        self._folder = folder
        real = os.path.realpath(folder)
        if _IS_POSSIBLE and lies_in(real, self._root):
            self._opened = os.open(real, os.O_RDONLY | _FOLDER)

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            os.close(opened)


def _content(name: str, folder: int) -> bytes | None:
    opened = os.open(name, os.O_RDONLY | _FILE, dir_fd=folder)
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE:
            return None
        content = os.read(opened, found.st_size + 1)
        return content if len(content) == found.st_size else None  # it grew or shrank meanwhile
    finally:
        os.close(opened)


def lies_in(target: str, root: str) -> bool:
    """Whether a path without links is another one, or lies below it."""
    return target == root or target.startswith(root.rstrip(os.sep) + os.sep)
