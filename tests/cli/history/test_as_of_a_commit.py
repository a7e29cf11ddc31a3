"""Commands answer as of a commit, with `--at` or an address, from any kind of repository."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import run as klausel
from git_in_tests import FILES, Repository

from klausel.storage.policy_files.git_source import GitAddress, git_address

PEOPLE = "subject,role,domain\nuser:cleo,clerk,one\n"


@pytest.fixture
def grown(made: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Clerks may burn letters since the second commit, which is tagged; in the work tree nobody may do anything."""
    made.replace("policies/features/letters.yaml", "to: read", "to: [read, burn]")
    made.git("tag", "v2")
    monkeypatch.chdir(made.folder)
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert klausel("assignments", "import", tmp_path / "people.csv", "--database", f"sqlite:///{tmp_path}/db").exit_code == 0
    monkeypatch.setenv("KLAUSEL_DATABASE", f"sqlite:///{tmp_path}/db")
    made.write({"policies/features/letters.yaml": "resource_types:\n  letter: {actions: [read]}\n"})
    return made


QUESTION = ("user:cleo", "burn", "letter", "--in", "one")


def test_can_answers_as_of_a_commit_and_says_so(grown: Repository) -> None:
    now, then, before = (klausel("can", *QUESTION, *at) for at in ((), ("--at", "v2"), ("--at", "v2~1")))
    assert (now.exit_code, then.exit_code, before.exit_code) == (3, 0, 3)
    assert then.stdout == "allowed by policies/features/letters.yaml:4: allow clerk to burn letter\n"
    commit = grown.git("rev-parse", "v2")
    assert then.stderr == f"klausel: policies as of commit {commit[:12]}, role assignments as of now\n"
    assert now.stderr == ""


def test_explain_answers_as_of_a_commit(grown: Repository) -> None:
    told = klausel("explain", *QUESTION, "--at", "v2", "--format", "json")
    assert (told.exit_code, json.loads(told.stdout)["decision"]) == (0, True)


@pytest.mark.parametrize("command", [["can", *QUESTION], ["compile"], ["prove"], ["test"]])
def test_an_address_names_policies_at_a_ref_of_a_bare_repository(
    grown: Repository, tmp_path: Path, command: list[str]
) -> None:
    grown.git("clone", "--quiet", "--bare", ".", str(tmp_path / "a@b.git"))
    told = klausel(*command, "--policies", f"{tmp_path}/a@b.git@main:policies")
    assert told.exit_code == 0 or "there are no" in told.output, told.output
    assert str(tmp_path) not in told.stdout


def test_check_reads_an_address_too(grown: Repository) -> None:
    assert klausel("check", ".@v2:policies").exit_code == 0
    grown.commit({"policies/roles.yaml": "levels: {house: {named_by: house}}\nroles: {boss: {level: hous}}\n"})
    told = klausel("check", ".@main:policies")
    assert told.exit_code == 1 and "policies/roles.yaml:2:23: error: unknown level" in told.stdout
    assert klausel("check", ".@main:policy").stderr.endswith("has no folder policy\n")
    refused = klausel("can", *QUESTION, "--at", "main")
    commit = grown.git("rev-parse", "main")[:12]
    assert refused.exit_code == 1 and f"policies at main, commit {commit}, do not load" in refused.stderr
    assert f"ask with --at {commit}~1\n" in refused.stderr
    assert klausel("can", *QUESTION, "--at", f"{commit}~1").exit_code == 0


def test_a_commit_is_named_once(grown: Repository) -> None:
    told = klausel("can", *QUESTION, "--policies", ".@main:policies", "--at", "v2")
    assert told.exit_code == 2 and "names a commit already" in told.stderr


def test_what_git_does_not_know_ends_with_one_line(grown: Repository, tmp_path: Path) -> None:
    told = klausel("can", *QUESTION, "--at", "--help")
    assert told.exit_code == 1 and told.stderr.startswith('klausel: git knows no commit "--help"')
    shutil.copytree(grown.folder / "policies", tmp_path / "plain")
    told = klausel("can", *QUESTION, "--policies", tmp_path / "plain", "--at", "HEAD")
    assert told.exit_code == 1 and "there is no git repository" in told.stderr


def test_the_model_is_that_of_the_commit(grown: Repository, tmp_path: Path) -> None:
    old = FILES["model.conf"]
    grown.commit({"model.conf": "[nonsense]\n"})
    assert klausel("compile", "--policies", ".@main:policies").exit_code == 1
    assert klausel("compile", "--policies", ".@v2:policies").exit_code == 0
    assert klausel("can", *QUESTION, "--at", "v2", "--model", "model.conf").exit_code == 0
    assert klausel("can", *QUESTION, "--at", "main", "--model", "model.conf").exit_code == 1
    (tmp_path / "other.conf").write_text(old)
    assert klausel("can", *QUESTION, "--at", "main", "--model", tmp_path / "other.conf").exit_code == 3


def test_a_folder_whose_name_looks_like_an_address_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a@b:c").mkdir()
    assert git_address(f"{tmp_path}/a@b:c") is None
    assert git_address("policies") is None and git_address("@main:x") is None and git_address("repo@main") is None
    assert git_address("none@main:x/y") == GitAddress(Path("none"), "main", "x/y")
    assert git_address(f"{tmp_path}@HEAD@{{1}}:") == GitAddress(tmp_path, "HEAD@{1}", "")
    for folder, inside in (("./x/", "x"), (".", ""), ("x//y", "x/y")):
        assert git_address(f"{tmp_path}@main:{folder}") == GitAddress(tmp_path, "main", inside)


@pytest.mark.parametrize("time", ["", "T12:00", "T12:00Z", "T12:00:30", "T12:00:30.25Z", "T12:00+01:00", "T12:00:30-01:00"])
def test_a_time_in_an_address_keeps_its_colons(tmp_path: Path, time: str) -> None:
    for revision in (f"2026-03-01{time}", f"main@2026-03-01{time}", f"a@b@2026-03-01{time}"):
        for folder in ("policies", "one:two", ""):
            assert git_address(f"{tmp_path}@{revision}:{folder}") == GitAddress(tmp_path, revision, folder)
        assert git_address(revision) is None


def test_a_slip_in_the_name_of_a_repository_does_not_find_the_one_around_it(grown: Repository) -> None:
    assert klausel("check", ".@main:policies").exit_code == 0
    result = klausel("check", "nowhere@main:policies")
    assert (result.exit_code, result.stderr) == (1, "klausel: nowhere: there is no git repository, and no such folder\n")


@pytest.mark.parametrize("command", ["fmt", "schema"])
def test_what_writes_files_wants_a_folder(grown: Repository, command: str) -> None:
    result = klausel(command, "--policies", ".@main:policies")
    assert result.exit_code == 2
    assert "files are written in a folder" in result.stderr
