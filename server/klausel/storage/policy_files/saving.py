"""Saving files of a policy set into its folder, each as a whole, unless somebody else changed them meanwhile."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from klausel.storage.policy_files.folder import read_files


class ChangedMeanwhile(Exception):
    """Files were changed since they were read, so nothing was saved; `names` are theirs."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        super().__init__(", ".join(names))


def save_files(folder: Path, changes: Mapping[str, tuple[bytes | None, bytes | None]]) -> None:
    """Writes files by their names in the folder, each at once, and removes those that are to hold None.

    What each held before is given, None for one that is new. What is removed goes last, so that a renamed file is always there.

    Raises `ChangedMeanwhile` before anything is written where one holds something else, and OSError where one cannot be
    written.
    """
    now = {file.name: file.content for file in read_files(folder, None)[0]}
    others = [name for name, (before, _) in changes.items() if now.get(name) != before or _is_hidden(folder, name, before)]
    if others:
        raise ChangedMeanwhile(others)
    for name, (_, content) in sorted(changes.items(), key=lambda one: one[1][1] is None):
        path = folder / name
        if content is None:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ChangedMeanwhile([name])
        replace_file(path, content)


def _is_hidden(folder: Path, name: str, before: bytes | None) -> bool:
    """Whether something is in the way of a new file that is not read as one of the policy set."""
    path = folder / name
    return before is None and (path.exists() or path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()))


def replace_file(path: Path, content: bytes) -> None:
    """Gives a file this content at once, with its permissions kept; behind a link, the file that it leads to.

    Makes the file when it is not there; raises OSError, and then nothing has changed.
    """
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, name)
        else:
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
