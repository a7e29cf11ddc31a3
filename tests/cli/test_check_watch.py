"""`klausel check --watch`: each save is answered, with problems, tests, invariants and what changed since the last commit."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest
from command_line import INSTALLED, ROOT, Change, Klausel
from git_in_tests import Repository

LONGEST_SECONDS = 60
WAITS = "save a file to look again"


class Watching:
    """A running `klausel check --watch`, read up to what it says when it waits."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [INSTALLED, "check", "--watch"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
        )
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def told(self) -> str:
        text = ""
        while WAITS not in text:
            text += self._lines.get(timeout=LONGEST_SECONDS)
        return text


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    repository = Repository(tmp_path)
    repository.write(
        {
            f"policies/tests/{name}_test.yaml": (ROOT / "policies" / "tests" / f"{name}_test.yaml").read_text(
                encoding="utf-8"
            )
            for name in ("quizzes",)
        }
    )
    repository.commit({})
    started = Watching(tmp_path)
    yield started
    started.end()


def test_each_save_is_answered_until_it_is_ended(watching: Watching, change: Change) -> None:
    first = watching.told()
    assert "0 errors, " in first
    assert " invariants: none not met" in first
    assert "the last commit → now" in first

    change("policies/features/quizzes.yaml", "allow: lead\n    to: edit", "allow: reviewer\n    to: edit")
    gained = watching.told()
    assert "invariants: none not met" not in gained
    assert "(policy-test-failed)" in gained
    assert "  + " in gained and "reviewer" in gained.partition("the last commit → now")[2]

    change("policies/features/quizzes.yaml", "allow: reviewer\n    to: edit", "allow: reviwer\n    to: edit")
    broken = watching.told()
    assert 'unknown role "reviwer"' in broken
    assert "wait until there are no errors" in broken
    assert "\n1 error, 0 warnings\n" in broken

    watching.process.send_signal(signal.SIGINT)
    assert watching.process.wait(timeout=LONGEST_SECONDS) == 0


def test_without_git_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    (tmp_path / "policies" / "roles.yaml").touch()
    started = Watching(tmp_path)
    try:
        assert "there is no commit to compare with" in started.told()
    finally:
        started.end()


@pytest.mark.parametrize("words", [("--format", "json"), ("--database", "sqlite:///x.db")])
def test_what_cannot_be_watched_is_refused(klausel: Klausel, words: tuple[str, str]) -> None:
    assert klausel("check", "--watch", *words).exit_code == 2
