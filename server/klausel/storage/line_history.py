"""Which commit wrote a line of a policy file, as it stands in a commit or in the work tree."""

from __future__ import annotations

import difflib
from pathlib import Path

from klausel.storage.git_objects import GitCommit, GitError
from klausel.storage.git_repository import GitRepository


class LineHistory:
    """The lines of the files of one side; `commit` is None for the work tree, whose changed lines no commit has written."""

    def __init__(self, repository: GitRepository, commit: GitCommit | None) -> None:
        self._repository = repository
        self._commit = commit
        self._writers: dict[str, list[str | None]] = {}

    def writer_of(self, file: str, line: int) -> GitCommit | None:
        """The commit that wrote a line, counted from 1, of a file under its name for people; None when none did."""
        if file not in self._writers:
            self._writers[file] = self._writers_of(file)
        writers = self._writers[file]
        id_ = writers[line - 1] if 0 < line <= len(writers) else None
        return None if id_ is None else self._repository.commit(id_)

    def _writers_of(self, file: str) -> list[str | None]:
        path = self._repository.tree_path_or_none(Path(file)) if self._repository.work_tree else file
        if path is None:
            return []
        try:
            if self._commit is not None:
                return list(self._repository.blame(self._commit, path))
            return self._writers_in_work_tree(path, Path(file))
        except (GitError, OSError):
            return []

    def _writers_in_work_tree(self, path: str, file: Path) -> list[str | None]:
        """The writers of the lines that are as in the last commit; None for others."""
        head = self._repository.commit("HEAD")
        content, _ = self._repository.file_at(head, path)
        now = file.read_bytes().splitlines()
        writers: list[str | None] = [None] * len(now)
        if content is None:
            return writers
        committed = self._repository.blame(head, path)
        matcher = difflib.SequenceMatcher(None, content.splitlines(), now, autojunk=False)
        for before, after, size in matcher.get_matching_blocks():
            writers[after : after + size] = committed[before : before + size]
        return writers
