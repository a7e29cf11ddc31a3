"""Answers about commits, kept in a file beside the repository; it may be deleted at any time, and a damaged line is none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

FOLDER = "klausel"
LARGEST_FILE = 256 * 1024 * 1024
_MARK = 32


class KeptAnswers:
    """Answers of one kind by commit, each a JSON object or None; those of other questions, folders or versions are apart.

    What cannot be read counts as not there, and what cannot be written is not kept: nothing fails for it. With `fresh` all
    count as not there.
    """

    def __init__(self, git_dir: Path, question: Mapping[str, object], fresh: bool = False) -> None:
        asked = sha256(orjson.dumps(question, option=orjson.OPT_SORT_KEYS)).hexdigest()
        self._file = git_dir / FOLDER / f"{asked[:_MARK]}.jsonl"
        self._asked = asked.encode("ascii")
        self._known = {} if fresh else self._read()
        self._new: list[bytes] = []

    def __contains__(self, commit: str) -> bool:
        return commit in self._known

    def __getitem__(self, commit: str) -> dict[str, Any] | None:
        answer: dict[str, Any] | None = orjson.loads(self._known[commit])
        return answer

    def keep(self, commit: str, answer: Mapping[str, object] | None) -> None:
        """Remembers an answer; `close` writes it."""
        try:
            line = commit.encode("ascii") + b" " + orjson.dumps(answer)
        except TypeError:
            # A name that is no UTF-8, for one; it is worked out each time.
            return
        self._new.append(self._mark(line) + b" " + line + b"\n")

    def close(self) -> None:
        """Writes what is new, in one piece, behind what others wrote meanwhile."""
        if not self._new:
            return
        try:
            self._file.parent.mkdir(exist_ok=True)
            is_full = self._file.is_file() and self._file.stat().st_size > LARGEST_FILE
            flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if is_full else os.O_APPEND)
            with os.fdopen(os.open(self._file, flags, 0o600), "ab", buffering=0) as out:
                # Whatever stands before without a line end stays a line of its own.
                out.write(b"\n" + b"".join(self._new))
        except OSError:
            return
        finally:
            self._new.clear()

    def _read(self) -> dict[str, bytes]:
        try:
            lines = self._file.read_bytes().split(b"\n") if self._file.stat().st_size <= 2 * LARGEST_FILE else []
        except OSError:
            return {}
        known: dict[str, bytes] = {}
        for line in lines:
            mark, told = line[:_MARK], line[_MARK + 1 :]
            if told and mark == self._mark(told):
                commit, _, answer = told.partition(b" ")
                known[commit.decode("ascii", "replace")] = answer
        return known

    def _mark(self, line: bytes) -> bytes:
        return sha256(self._asked + line).hexdigest()[:_MARK].encode("ascii")
