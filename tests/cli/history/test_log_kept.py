"""What `klausel log` keeps beside the repository makes it quick and changes nothing: not damaged, forged, or of another topic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run
from git_in_tests import FILES, Repository
from jsonschema import Draft202012Validator

from klausel.cli.output_schemas import schema_of
from klausel.service.policy_history import PolicyHistory
from klausel.service.refused_commits import RefusedCommits

NAME = "policies/features/letters.yaml"
FORMATS = ("text", "json", "csv", "html")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Good commits, one that does not load, and one that changes no meaning; the log was asked for once."""
    made = Repository(tmp_path / "repo")
    made.commit(FILES, "First")
    made.replace(NAME, "to: read", "to: [read, burn]", "Burn")
    made.replace(NAME, "allow: clerk", "allow: nobody-knows", "Broken")
    made.replace(NAME, "allow: nobody-knows", "allow: clerk", "Whole again")
    made.replace(NAME, "grants:", "# A remark\ngrants:", "Remark")
    monkeypatch.chdir(made.folder)
    assert "Burn" in run("log").stdout
    return made


def logs(*arguments: str) -> list[str]:
    found = [run("log", "--format", name, *arguments) for name in FORMATS]
    assert [one.exit_code for one in found] == [0] * len(FORMATS)
    return [one.stdout for one in found]


def kept(made: Repository) -> list[Path]:
    return sorted((made.folder / ".git" / "klausel").iterdir())


def test_a_second_look_reads_no_policy_and_says_the_same(asked: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out = logs("--fresh")

    def fails(*_: object) -> None:
        raise AssertionError("a commit was worked out again")

    with monkeypatch.context() as patched:
        patched.setattr(PolicyHistory, "step", fails)
        assert logs() == worked_out
    asked.replace(NAME, "[read, burn]", "[read, burn, write]", "Write")
    assert logs() == logs("--fresh") != worked_out


def test_what_check_found_is_kept_and_has_the_form_of_every_commit(
    asked: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "invariants:\n  - {name: Nobody reads, never: clerk, to: read, resource: letter}\n"
    asked.commit({"policies/invariants.yaml": broken}, "Refused")
    asked.replace(NAME, "# A remark", "# Another remark", "Remark while refused")
    worked_out = logs("--check", "--fresh")
    assert all("would have been refused" in text or "would_have_been_refused" in text for text in worked_out)
    schema = schema_of("log")
    told = [json.loads(line) for line in worked_out[FORMATS.index("json")].splitlines()]
    assert [one["commit"]["subject"] for one in told if one["would_have_been_refused"]][:2] == [
        "Remark while refused",
        "Refused",
    ]
    for one in told:
        Draft202012Validator(schema).validate(one)

    def fails(*_: object) -> None:
        raise AssertionError("a commit was checked again")

    with monkeypatch.context() as patched:
        patched.setattr(RefusedCommits, "problems", fails)
        assert logs("--check") == worked_out


def test_several_processes_find_what_one_finds(asked: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        denied = f"invariants:\n  - {{name: Rule {number}, never: clerk, to: read, resource: letter}}\n"
        asked.commit({"policies/invariants.yaml": denied if number % 3 else "invariants: []\n"}, f"Rule {number}")
    asked.git("checkout", "--quiet", "--orphan", "unborn")
    by_one = logs("--check", "--fresh", "--at", "main")
    monkeypatch.setattr("klausel.cli.refusals.FEWEST_FOR_PROCESSES", 1)
    monkeypatch.setattr("klausel.cli.refusals.AT_ONCE", 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert logs("--check", "--fresh", "--at", "main") == by_one
    assert "would have been refused" in run("log", "--check", "--fresh", "--at", "main", "-n", "1").stdout


def test_what_is_damaged_is_worked_out_again(asked: Repository) -> None:
    worked_out = logs("--fresh")
    (file,) = kept(asked)
    whole = file.read_bytes()
    for content in (
        whole.replace(b"burn", b"read"),
        whole[: len(whole) // 2],
        b"\x00\xff" * 100,
        b"",
        whole.replace(b"null", b"true"),
    ):
        file.write_bytes(content)
        assert logs() == worked_out
    file.unlink()
    file.mkdir()
    assert logs() == worked_out
    file.rmdir()
    file.parent.rmdir()
    assert logs() == worked_out


@pytest.mark.usefixtures("asked")
def test_each_topic_and_each_place_from_which_it_is_asked_has_answers_of_its_own(
    monkeypatch: pytest.MonkeyPatch, asked: Repository
) -> None:
    assert "Burn" not in run("log", "--action", "write").stdout
    assert "Burn" in run("log", "--action", "burn").stdout
    monkeypatch.chdir(asked.folder / "policies")
    assert logs("--policies", ".") == logs("--policies", ".", "--fresh")


def test_what_was_before_the_end_of_a_clone_is_not_kept(
    asked: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.git("clone", "--quiet", "--depth", "1", f"file://{asked.folder}", str(tmp_path / "clone"))
    asked.git("-C", str(tmp_path / "clone"), "config", "protocol.file.allow", "always")
    monkeypatch.chdir(tmp_path / "clone")
    assert "the clone ends here" in run("log").stdout
    asked.git("-C", str(tmp_path / "clone"), "fetch", "--quiet", "--unshallow")
    assert "the clone ends here" not in run("log").stdout
