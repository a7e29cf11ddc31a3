"""What was in force at a moment: along first parents, named, and never guessed; and a folder that was moved since."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import Result
from command_line import run as klausel
from git_in_tests import FILES, Repository

from klausel.cli.main import main

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


def test_commits_whose_clocks_disagree_about_a_moment_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Repository(tmp_path / "repo")
    first = made.commit(FILES, "Clerks read letters")
    made.minutes = 400
    ahead = made.replace(LETTERS, "to: read", "to: [read, burn]", "By a clock that was ahead")
    made.minutes = 10
    last = made.commit({"README.md": "Meanwhile.\n"})
    monkeypatch.chdir(made.folder)
    told = klausel("matrix", "--at", "2026-01-05T08:30+01:00").stderr
    assert f"is commit {first[:12]}\n" in told
    assert f"commit {ahead[:12]} on top of it is dated 2026-01-05T13:41:00.000000Z, and {last[:12]} on top of that" in told
    for moment in ("2026-01-05T08:05+01:00", "2026-01-06"):
        assert klausel("matrix", "--at", moment).stderr.count("klausel:") == 1


def test_a_question_about_people_names_the_commit_of_a_moment_once(merged_later: Repository) -> None:
    commit = merged_later.git("rev-parse", "HEAD")[:12]
    (merged_later.folder / "people.csv").write_text("subject,role,domain\nuser:cleo,clerk,hill\n")
    klausel("assignments", "import", "people.csv")
    ask = ("user:cleo", "read", "letter")
    for command in (("can", *ask), ("explain", *ask), ("who-can", *ask[1:]), ("what-can", ask[0])):
        told = klausel(*command, "--in", "hill", "--at", "main@2026-02-01").stderr
        named = f"klausel: what was in force at main@2026-02-01 is commit {commit}\n"
        assert told == f"{named}klausel: role assignments as of now\n"
        told = klausel(*command, "--in", "hill", "--at", "main").stderr
        assert told == f"klausel: policies as of commit {commit}, role assignments as of now\n"


EVERY = {
    "check": "check",
    "compile": "compile",
    "export casbin": "export casbin {new}",
    "test": "test",
    "mutate": "mutate",
    "prove": "prove",
    "diff": "diff {at} {at}",
    "can": "can user:cleo read letter --in one --database sqlite:///{new}.db",
    "explain": "explain user:cleo read letter --in one --database sqlite:///{new}.db",
    "who-can": "who-can read letter",
    "what-can": "what-can user:cleo --in one --database sqlite:///{new}.db",
    "matrix": "matrix",
    "picture": "picture",
    "log": "log",
    "blame": "blame letter read",
    "review changes": "review changes --since {at}",
    "findings": "findings --database sqlite:///{new}.db",
    "replay": "replay none.jsonl",
    "unused": "unused none.jsonl",
}
"""Each command that takes a commit, with what it needs."""


def with_commits(group: click.Group, before: str = "") -> Iterator[str]:
    """The names of all commands that take a commit."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from with_commits(command, f"{before}{name} ")
        elif any("REV" in (parameter.metavar or "") for parameter in command.params):
            yield before + name


def test_every_command_that_takes_a_commit_is_tried() -> None:
    assert set(with_commits(main)) == EVERY.keys()


@pytest.mark.parametrize("name", EVERY)
def test_every_command_that_takes_a_commit_takes_a_moment_and_names_the_commit(
    merged_later: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    merged_later.minutes += 1
    merged_later.git("mv", "policies", "rules")
    merged_later.commit({"none.jsonl": ""}, "Moved")
    merged_later.git("tag", "v1")
    (tmp_path / "people.csv").write_text("subject,role,domain\nuser:cleo,clerk,one\n")
    people = ("--database", f"sqlite:///{tmp_path}/new.db", "--policies", "rules")
    assert klausel("assignments", "import", tmp_path / "people.csv", *people).exit_code == 0
    when = {
        "2026-02-01": "v1",
        "2026-01-05T08:04+01:00": "v1~1",
        "main@2026-01-05T07:04Z": "v1~1",
        "v1~1": "v1~1",
        "v1": "v1",
    }

    def asked(at: str) -> Result:
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        command = EVERY[name].format(at=at, new=f"{tmp_path}/new").split()
        return klausel(*command, *(() if "{at}" in EVERY[name] else ("--at", at)), "--policies", "rules")

    for at, revision in when.items():
        told = asked(at)
        assert told.exit_code == (1 if name == "mutate" else 0), told.output
        if "v1" not in at:
            assert merged_later.git("rev-parse", revision)[:10] in told.output, told.output
    reflog = asked("main@{yesterday}")
    assert reflog.exit_code == 1 and "asks the reflog of this clone" in reflog.stderr
    merged_later.git("clone", "--quiet", "--depth", "1", f"file://{merged_later.folder}", str(tmp_path / "part"))
    monkeypatch.chdir(tmp_path / "part")
    cut = asked("2026-01-05T07:04")
    assert cut.exit_code == 1 and "git fetch --unshallow brings the rest" in cut.stderr


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
