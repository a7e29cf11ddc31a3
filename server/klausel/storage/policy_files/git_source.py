"""Policies at a ref of a git repository, named by an address such as `../policies.git@main:policies`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from klausel.core.terms.moment import is_moment
from klausel.core.terms.problem import Place, PolicyError, Problem
from klausel.storage.git.objects import GitError
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import PolicyFiles, read_at

MOST_PARTS_OF_A_MOMENT = 4
"""So many parts has `2026-03-01T12:00:30+01:00`, where its colons part it."""


@dataclass(frozen=True, slots=True)
class GitAddress:
    """The folder of a policy set at a revision of a repository, which may be bare."""

    repository: Path
    revision: str
    folder: str

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}:{self.folder}"


def git_address(text: str) -> GitAddress | None:
    """The address that a text `REPO@REF:DIR` is; None for the path of a folder.

    A folder with such a name is a folder. Where REPO itself holds an `@`, the shortest one that is a folder is meant. A moment
    behind a branch is no address, whatever colons its time has.
    """
    if os.path.exists(text) or is_moment(text.rpartition("@")[2]):
        return None
    found = None
    position = text.find("@")
    while position >= 0:
        revision, folder = _revision_and_folder(text[position + 1 :])
        if position > 0 and revision and folder is not None:
            inside = PurePosixPath(folder).as_posix()
            address = GitAddress(Path(text[:position]), revision, "" if inside == "." else inside)
            if os.path.isdir(address.repository):
                return address
            found = found or address
        position = text.find("@", position + 1)
    return found


def _revision_and_folder(text: str) -> tuple[str, str | None]:
    """What stands before and behind the colon between them, which is none of those in the time of a moment."""
    parts = text.split(":")
    longest = range(min(len(parts) - 1, MOST_PARTS_OF_A_MOMENT), 1, -1)
    count = next((one for one in longest if is_moment(":".join(parts[:one]).rpartition("@")[2])), 1)
    return ":".join(parts[:count]), ":".join(parts[count:]) if len(parts) > 1 else None


class GitFolder:
    """The policy set at an address, and its model, for a running service; a `PolicySource` that needs no work tree.

    The ref is looked up again every `poll_seconds`; whoever fetches into the repository need not tell. Without a `model`
    it is that of the commit; see `read_at`.
    """

    def __init__(self, address: GitAddress, model: Path | None, poll_seconds: float) -> None:
        self._address = address
        self._model = model
        self._poll_seconds = poll_seconds
        self._repository: GitRepository | None = None

    @property
    def shown_as(self) -> str:
        """The address."""
        return str(self._address)

    def read(self) -> PolicyFiles:
        """What stands at the address now; raises `PolicyError` when git cannot tell."""
        try:
            if self._repository is None:
                self._repository = GitRepository.objects_of(self._address.repository)
            return read_at(self._repository, self._address.revision, self._address.folder, self._model)
        except GitError as error:
            self.close()
            hint = "klausel check REPO@REF:DIR says the same on the command line"
            raise PolicyError([Problem(Place(self.shown_as, 1, 1), "unreadable-file", str(error), hint)]) from error

    def close(self) -> None:
        """Ends the process of git; the next reading starts another."""
        repository, self._repository = self._repository, None
        if repository is not None:
            repository.close()

    def changes(self, wake: threading.Event) -> Iterator[None]:
        """See `PolicySource`."""
        while True:
            yield
            wake.wait(self._poll_seconds)
