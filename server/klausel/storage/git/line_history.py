"""Which commit wrote a line of a policy file, as it stands in a commit or in the work tree."""

from __future__ import annotations

import difflib
import itertools
from pathlib import Path
from typing import Literal

from klausel.storage.git.objects import GitCommit, GitError
from klausel.storage.git.repository import GitRepository


class LineHistory:
    """The lines of the files of one side; `commit` is None for the work tree, whose changed lines no commit has written."""

    def __init__(self, repository: GitRepository, commit: GitCommit | None) -> None:
        self._repository = repository
        self._commit = commit
        self._files: dict[str, list[tuple[bytes, str | None]]] = {}

    def writer_of(self, file: str, line: int) -> GitCommit | None:
        """The last commit that wrote what begins on a line, counted from 1, of a file under its name for people.

        What begins there goes on as long as lines are indented deeper. None when some of it is not committed.
        """
        ids = {writer for _, writer in _block(self._known_lines(file), line)}
        if None in ids or not ids:
            return None
        return max((self._repository.commit(id_) for id_ in ids if id_), key=lambda commit: (commit.date, commit.id))

    def remover_of(self, file: str, line: int, later: LineHistory) -> GitCommit | Literal["work tree"] | None:
        """The commit that took away, or wrote otherwise, what begins on a line here and is not so on a later side.

        None where nobody can tell: the one side does not lead to the other, or the file got another name on the way.
        """
        path = self._repository.tree_path_or_none(Path(file)) if self._repository.work_tree else file
        if self._commit is None or path is None or later._repository.git_dir != self._repository.git_dir:
            return None
        block = len(_with_blank_ones(self._known_lines(file), line))
        try:
            tip = later._commit or self._repository.commit("HEAD")
            if tip.id == self._commit.id:
                return "work tree" if later._commit is None else None
            last = self._repository.last_with_each_line(self._commit, tip, path)[line - 1 : line - 1 + block]
            gone = [id_ for id_ in last if id_ != tip.id]
            if not gone:
                return "work tree" if later._commit is None else None
            # What the entry begins with says most: once that is gone, all of it is.
            if last[0] != tip.id:
                return self._repository.next_change(last[0], tip, path)
            removers = [self._repository.next_change(id_, tip, path) for id_ in dict.fromkeys(gone)]
            known: list[GitCommit] = [one for one in removers if one is not None]
            known.sort(key=lambda commit: (commit.committed, commit.id))
            return known[-1] if len(known) == len(removers) else None
        except GitError:
            return None

    def writer_of_line(self, file: str, line: int) -> GitCommit | None:
        """The commit that wrote one line alone, counted from 1; None when it is not committed."""
        lines = self._known_lines(file)
        id_ = lines[line - 1][1] if 0 < line <= len(lines) else None
        return None if id_ is None else self._repository.commit(id_)

    def _known_lines(self, file: str) -> list[tuple[bytes, str | None]]:
        if file not in self._files:
            self._files[file] = self._lines_of(file)
        return self._files[file]

    def _lines_of(self, file: str) -> list[tuple[bytes, str | None]]:
        path = self._repository.tree_path_or_none(Path(file)) if self._repository.work_tree else file
        if path is None:
            return []
        try:
            if self._commit is None:
                return self._lines_in_work_tree(path, Path(file))
            content, _ = self._repository.file_at(self._commit, path)
            return list(zip((content or b"").splitlines(), self._repository.blame(self._commit, path), strict=False))
        except (GitError, OSError):
            return []

    def _lines_in_work_tree(self, path: str, file: Path) -> list[tuple[bytes, str | None]]:
        """The lines, with the writers of those that are as in the last commit."""
        head = self._repository.commit("HEAD")
        content, _ = self._repository.file_at(head, path)
        now = file.read_bytes().splitlines()
        writers: list[str | None] = [None] * len(now)
        if content is not None:
            committed = self._repository.blame(head, path)
            matcher = difflib.SequenceMatcher(None, content.splitlines(), now, autojunk=False)
            for before, after, size in matcher.get_matching_blocks():
                writers[after : after + size] = committed[before : before + size]
        return list(zip(now, writers, strict=False))


def _block(lines: list[tuple[bytes, str | None]], line: int) -> list[tuple[bytes, str | None]]:
    """A line, counted from 1, and those below it that are indented deeper, without blank ones."""
    return [one for one in _with_blank_ones(lines, line) if one[0].strip()]


def _with_blank_ones(lines: list[tuple[bytes, str | None]], line: int) -> list[tuple[bytes, str | None]]:
    if not 0 < line <= len(lines):
        return []
    first = _indentation(lines[line - 1][0])
    rest = itertools.takewhile(lambda one: not one[0].strip() or _indentation(one[0]) > first, lines[line:])
    found = [lines[line - 1], *rest]
    while len(found) > 1 and not found[-1][0].strip():
        found.pop()
    return found


def _indentation(line: bytes) -> int:
    return len(line) - len(line.lstrip(b" "))
