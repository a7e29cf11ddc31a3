"""Judging copies of policies in a process of its own, within bounds, so that no copy can hold up decisions.

Run as a program it does the work: what is asked for comes by standard input, and each part goes out as a line of JSON.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import klausel
from klausel.service.playground import Playground, cursor_told, editable_files, folders_in_repository, judged, patch_between
from klausel.storage.policy_files.folder import PolicyFiles

SECONDS = 10
"""How long one copy may be worked on, by the clock and by the processor."""
MOST_MEMORY = 2 * 1024**3
MOST_READ_HERE = 300_000
"""The bytes of files up to which they are read without a process of its own."""
_NICENESS = 10

_log = logging.getLogger(__name__)


class Busy(Exception):
    """Another copy is being worked on."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found out of a copy; what is None was not, for an error is in the way, or for the reason in `unknown`."""

    problems: dict[str, Any] | None
    tests: dict[str, Any] | None
    invariants: int | None
    proofs: tuple[dict[str, Any], ...]
    difference: dict[str, Any] | None
    unknown: str | None

    def as_json(self) -> dict[str, Any]:
        """A judgement as programs read it."""
        proofs = None if self.invariants is None else {"count": self.invariants, "verdicts": list(self.proofs)}
        changes = None if self.difference is None else self.difference.get("changes")
        return {
            "problems": self.problems,
            "tests": self.tests,
            "proofs": proofs,
            "difference": changes,
            "unknown": self.unknown,
        }


class Workbench:
    """Judges one copy at a time, in a process that ends with it, and makes one patch at a time; who comes meanwhile is refused.

    A patch does not wait for a judgement, nor does what an editor asks about its cursor: the page asks whenever somebody typed.
    """

    def __init__(self, playground: Playground, seconds: float = SECONDS) -> None:
        self._playground = playground
        self._seconds = seconds
        self._turns = {"judge": threading.Lock(), "patch": threading.Lock(), "cursor": threading.Lock()}

    def judge(self, before: PolicyFiles, after: PolicyFiles) -> Judgement:
        """What is to be said of a copy, as far as the bounds let it be found out; raises `Busy`."""
        asked = self._playground
        work = ("judge", before, after, (tuple(asked.accepted_models), asked.most_steps, asked.called))
        parts, unknown = self._done(work)
        named = {name: told for name, told in parts if name != "proof"}
        return Judgement(
            named.get("problems"),
            named.get("tests"),
            named["invariants"]["count"] if "invariants" in named else None,
            tuple(told for name, told in parts if name == "proof"),
            named.get("difference"),
            None if "end" in named else unknown,
        )

    def patch(self, before: PolicyFiles, after: PolicyFiles) -> bytes | str:
        """The changes of a copy as a patch, or why it cannot be made, as a sentence; raises `Busy`."""
        parts, unknown = self._done(("patch", before, after, (folders_in_repository(self._playground.policies),)))
        return b64decode(parts[0][1]["patch"]) if parts else unknown

    def at_cursor(self, before: PolicyFiles, after: PolicyFiles, file: str, line: int, column: int, asked: str) -> Any:
        """What `cursor_told` says; nothing where it cannot be found out. Raises `Busy`.

        Of a small set that is told at once where nothing is done but reading files, or a file is as it was.
        """
        is_small = sum(len(one.content) for one in after.files) <= MOST_READ_HERE
        is_as_it_was = editable_files(before).get(file) == editable_files(after).get(file)
        if is_small and (asked == "offers" or is_as_it_was):
            with self._its_turn("cursor"):
                return cursor_told(before, before if asked == "about" else after, file, line, column, asked)
        parts, _ = self._done(("cursor", before, after, (file, line, column, asked)))
        return parts[0][1] if parts else None

    def _done(self, work: tuple[str, PolicyFiles, PolicyFiles, tuple[Any, ...]]) -> tuple[list[tuple[str, Any]], str]:
        """The parts that came, and why no more did, where the last one is missing."""
        kind, before, after, more = work
        plain = pickle.dumps((kind, _plain(before), _plain(after), more))
        with self._its_turn(kind):
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(self._seconds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
            )
            with process:
                try:
                    out, err = process.communicate(plain, timeout=self._seconds)
                    unknown = "the work ended early, and the log says why"
                    if process.returncode:
                        unknown = _why_ended(process.returncode, err.decode("utf-8", "replace"), self._seconds)
                except subprocess.TimeoutExpired:
                    process.kill()
                    out, _ = process.communicate()
                    unknown = _too_long(self._seconds)
        whole = out.split(b"\n")[:-1]
        return [tuple(json.loads(line)) for line in whole], unknown

    @contextmanager
    def _its_turn(self, kind: str) -> Iterator[None]:
        turn = self._turns[kind]
        if not turn.acquire(blocking=False):
            raise Busy("another copy is being looked at; try again in a moment")
        try:
            yield
        finally:
            turn.release()


def _too_long(seconds: float) -> str:
    return f"it could not all be worked out within {seconds:g} seconds"


def _why_ended(code: int, err: str, seconds: float) -> str:
    if "MemoryError" in err:
        return f"it could not all be worked out within {MOST_MEMORY // 1024**3} GB of memory"
    if code < 0:
        return _too_long(seconds)
    _log.error("a copy of policies could not be judged: %s", err[-2000:])
    return "the work failed, and the log says why"


def _plain(found: PolicyFiles) -> PolicyFiles:
    """The files without the way to their commit, which stays in this process."""
    return replace(found, find_commit=_no_commit)


def _no_commit() -> None:
    return None


def _environment() -> dict[str, str]:
    """The environment of the work: this one, without what is secret in it, and with the way to this very package."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("KLAUSEL_")}
    package = str(Path(klausel.__file__).resolve().parents[1])
    found["PYTHONPATH"] = os.pathsep.join(filter(None, (found.get("PYTHONPATH"), package)))
    return found


def _bound(seconds: int) -> None:
    """Bounds this process: the processor's time and memory it may take, and that it comes behind whatever decides."""
    if sys.platform == "win32":
        return
    import resource

    os.nice(_NICENESS)
    for kind, most in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, MOST_MEMORY), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


def main() -> None:
    """Does the work that comes by standard input."""
    _bound(max(1, round(float(sys.argv[1]))))
    kind, before, after, more = pickle.load(sys.stdin.buffer)
    parts: Iterator[tuple[str, Any]]
    if kind == "patch":
        parts = iter([("patch", {"patch": b64encode(patch_between(before, after, *more)).decode()})])
    elif kind == "cursor":
        parts = iter([("cursor", cursor_told(before, after, *more))])
    else:
        parts = judged(before, after, *more)
    for name, told in parts:
        print(json.dumps([name, told], default=str), flush=True)


if __name__ == "__main__":
    main()
