"""Who wrote the lines of files, as they stand at a commit or in the work tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher

from klausel.storage.git_objects import GitCommit
from klausel.storage.git_repository import GitRepository


class LineOrigins:
    """The commits that wrote lines up to a commit; with `now`, of files as they are now, by their paths in the tree.

    Files are looked at when they are first asked about.
    """

    def __init__(self, repository: GitRepository, commit: GitCommit, now: Mapping[str, bytes] | None = None) -> None:
        self._repository = repository
        self._commit = commit
        self._now = now
        self._ids: dict[str, list[str | None]] = {}
        self._commits: dict[str, GitCommit] = {}

    def of(self, path: str, lines: Iterable[int]) -> list[GitCommit | None]:
        """For each line of a file, counted from 1, the commit that wrote it; None for a line that is not committed."""
        if path not in self._ids:
            self._ids[path] = self._read(path)
        ids = self._ids[path]
        return [self._of_id(ids[line - 1] if line <= len(ids) else None) for line in lines]

    def _of_id(self, id: str | None) -> GitCommit | None:
        if id is None:
            return None
        if id not in self._commits:
            self._commits[id] = self._repository.commit(id)
        return self._commits[id]

    def _read(self, path: str) -> list[str | None]:
        content, _ = self._repository.file_at(self._commit, path)
        committed: list[str | None] = [] if content is None else [*self._repository.blame(self._commit, path)]
        if self._now is None:
            return committed
        old, new = _lines(content or b""), _lines(self._now[path])
        ids: list[str | None] = [None] * len(new)
        # Git itself would run the programs that the configuration names for the files of a work tree.
        for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
            ids[block.b : block.b + block.size] = committed[block.a : block.a + block.size]
        return ids


def _lines(content: bytes) -> list[bytes]:
    return [line.removesuffix(b"\r") for line in content.split(b"\n")]
