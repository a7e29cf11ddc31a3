"""What was in force at a moment: along first parents, named, and never guessed; and a folder that was moved since."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from command_line import run as klausel
from git_in_tests import FILES, Repository

LETTERS = "policies/features/letters.yaml"


@pytest.fixture(autouse=True)
def own_folder() -> None:
    """These tests bring policies of their own."""


def rules(*at: str) -> str:
    """Which of reading and burning clerks may do to letters, by their first letters."""
    found = klausel("matrix", "--format", "csv", *at)
    assert found.exit_code == 0, found.output
    lines = [line for line in found.stdout.splitlines() if not line.startswith("#")]
    allowed = {row["action"] for row in csv.DictReader(lines) if row["clerk"] != "no"}
    return "".join(action[0] for action in ("read", "burn") if action in allowed)


@pytest.fixture
def merged_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A branch of 08:01 lets clerks burn; the main line of 08:02 says something else, and takes the branch at 08:03."""
    made = Repository(tmp_path / "repo")
    made.commit(FILES, "Clerks read letters")
    made.git("checkout", "--quiet", "-b", "burning")
    made.replace(LETTERS, "to: read", "to: [read, burn]")
    made.git("checkout", "--quiet", "main")
    made.commit({"README.md": "Meanwhile.\n"})
    made.minutes += 1
    made.git("merge", "--quiet", "--no-ff", "-m", "Merged", "burning")
    monkeypatch.chdir(made.folder)
    return made


@pytest.mark.parametrize("moment", ["2026-01-05T08:{:02}+01:00", "main@2026-01-05T07:{:02}Z", "2026-01-05T07:{:02}"])
def test_a_branch_counts_from_its_merge_on(merged_later: Repository, moment: str) -> None:
    merge = int(merged_later.git("log", "-1", "--format=%cd", "--date=format:%M"))
    burns = int(merged_later.git("log", "-1", "--format=%cd", "--date=format:%M", "burning"))
    assert burns < merge
    assert rules("--at", moment.format(burns)) == "r"
    assert rules("--at", moment.format(merge - 1)) == "r"
    assert rules("--at", moment.format(merge)) == "rb"
    assert rules("--at", f"burning@2026-01-05T07:{burns:02}") == "rb"


def test_the_answer_names_the_commit(merged_later: Repository) -> None:
    commit = merged_later.git("rev-parse", "HEAD")[:12]
    for command in (["matrix"], ["log"], ["blame", "letter", "burn"]):
        for moment in ("2026-02-01", "main@2026-02-01"):
            told = klausel(*command, "--at", moment)
            assert told.stderr == f"klausel: what was in force at {moment} is commit {commit}\n"
        told = klausel(*command, "--policies", ".@main@2026-02-01:policies")
        assert told.stderr == f"klausel: what was in force at main@2026-02-01 is commit {commit}\n"
    found = json.loads(klausel("diff", "2026-01-05T07:01", "2026-02-01", "--format", "json").stdout)
    assert [change["action"] for change in found["changes"]] == ["burn"]


def test_nothing_is_in_force_before_the_first_commit(merged_later: Repository) -> None:
    told = klausel("matrix", "--at", "2025-12-31")
    assert told.exit_code == 1
    assert told.stderr == (
        "klausel: nothing was in force on HEAD at 2025-12-31T00:00:00.000000Z: its first commit is younger\n"
    )


def test_a_clone_of_a_part_says_so(merged_later: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merged_later.git("clone", "--quiet", "--depth", "1", f"file://{merged_later.folder}", str(tmp_path / "part"))
    monkeypatch.chdir(tmp_path / "part")
    told = klausel("matrix", "--at", "2026-01-05T07:00")
    assert told.exit_code == 1
    assert "git fetch --unshallow brings the rest" in told.stderr


def test_a_clock_that_went_wrong_does_not_put_a_commit_in_force_before_the_one_under_it(merged_later: Repository) -> None:
    merged_later.minutes = 30
    merged_later.commit({LETTERS: FILES[LETTERS]}, "Late")
    merged_later.minutes = 10
    merged_later.commit({LETTERS: FILES[LETTERS].replace("to: read", "to: burn")}, "With a clock that is slow")
    assert rules("--at", "2026-01-05T07:20") == "rb"
    assert rules("--at", "2026-01-05T07:31") == "b"


def test_a_tag_that_is_also_a_date_is_asked_for(merged_later: Repository) -> None:
    merged_later.git("tag", "2026-02-01", "HEAD~1")
    told = klausel("matrix", "--at", "2026-02-01")
    assert told.exit_code == 1
    assert "write refs/tags/2026-02-01, or HEAD@2026-02-01" in told.stderr
    assert rules("--at", "refs/tags/2026-02-01") == "r"
    assert rules("--at", "HEAD@2026-02-01") == "rb"


def test_a_folder_that_was_moved_is_followed(merged_later: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    merged_later.git("tag", "before")
    (merged_later.folder / "authz").mkdir()
    merged_later.git("mv", "policies", "authz/policies")
    merged_later.commit({}, "Moved")
    merged_later.git("tag", "moved")
    merged_later.git("mv", "authz/policies", "rules")
    merged_later.commit(
        {"rules/features/letters.yaml": FILES[LETTERS].replace("to: read", "to: [read, write, burn]")}, "Again"
    )
    here = ("--policies", "rules")
    for revision in ("before", "moved", "HEAD", "2026-02-01"):
        assert rules("--at", revision, *here) == "rb"
    found = json.loads(klausel("diff", "before", "--format", "json", *here).stdout)
    assert [change["action"] for change in found["changes"]] == ["write"]
    told = klausel("blame", "letter", "burn", "--at", "before", *here)
    assert "policies/features/letters.yaml" in told.stdout
    missing = klausel("matrix", "--at", "before", "--policies", "nowhere")
    assert missing.exit_code == 1
