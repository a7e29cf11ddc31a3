"""Every command finds the policies that are meant: those named, or those here or in a folder above."""

from pathlib import Path

import click
import pytest
from command_line import Change, Klausel

from klausel.cli.main import main

WITHOUT_DIR = {"diff", "picture", "replay", "unused"}
"""Commands that take folders, or any number of files, for something else."""


def commands_with_policies() -> list[str]:
    found = []
    for name in main.list_commands(click.Context(main)):
        command = main.get_command(click.Context(main), name)
        assert command is not None
        if any(parameter.name == "policies" for parameter in command.params):
            found.append(name)
    return found


@pytest.mark.parametrize("name", commands_with_policies())
def test_every_command_takes_the_folder_as_its_last_argument_and_as_an_option(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    usage = " ".join(command.collect_usage_pieces(click.Context(command)))
    assert usage.endswith("[DIR]") == (name not in WITHOUT_DIR | {"fmt"})
    assert ("[DIR | FILE...]" in usage) == (name == "fmt")
    assert any("--policies" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize("words", ["check", "test", "prove", "compile", "schema --check", "fmt --check", "matrix"])
def test_the_policies_are_found_from_a_folder_below(
    klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    for below in ("src/deep", "policies", "policies/features"):
        (tmp_path / below).mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(tmp_path / below)
        result = klausel(*words.split())
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "words", ["check {}", "test {}", "prove {}", "fmt {} --check", "schema {} --check", "who-can edit quiz {}"]
)
def test_a_folder_is_named_as_an_argument(
    klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("KLAUSEL_POLICIES", "nowhere")
    assert klausel(*words.format("../policies").split()).exit_code == 0


def test_the_search_ends_at_the_root_of_a_repository(
    klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "product" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "product")
    result = klausel("check")
    assert result.exit_code == 1
    assert "policies:1:1: error: there is no such folder" in result.output


def test_a_folder_named_twice_is_refused(klausel: Klausel) -> None:
    for words in (("check", "policies", "--policies", "policies"), ("check", "--policies", "policies", "policies")):
        result = klausel(*words)
        assert result.exit_code == 2
        assert "named twice" in result.stderr


def test_a_folder_without_policies_says_so_once_and_not_of_each_file(klausel: Klausel, tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"notes{number}.yaml").write_text("")
    result = klausel("check", ".")
    assert result.exit_code == 1
    assert result.stdout.startswith("roles.yaml:1:1: error: there is no roles.yaml; did you mean the folder policies? Every")
    assert result.stdout.count("\n") == 1


def test_a_slip_in_the_name_of_the_first_file_is_told(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "role.yaml").write_text("roles: {}\n")
    (tmp_path / "new" / "notes.txt").write_text("")
    lines = klausel("check", "new").stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["new/role.yaml", "new/roles.yaml"]
    assert 'did you mean "roles.yaml"?' in lines[0]


@pytest.mark.usefixtures("demo_people")
def test_the_database_lies_beside_the_policies_that_were_found(
    klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "policies")
    question = "can user:leo edit quiz --in acme/support --set status=published"
    assert klausel(*question.split()).exit_code == 0
    assert klausel("audit", "verify").exit_code == 0
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    result = klausel(*question.split(), "--policies", "../policies")
    assert (result.exit_code, "there is no database at klausel.db" in result.stderr) == (1, True)


def test_a_problem_is_shown_at_a_path_that_leads_there(
    klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    change("policies/features/quizzes.yaml", "resource: quiz", "resource: quzi")
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    first = klausel("check").stdout.partition(":")[0]
    assert first == "../policies/features/quizzes.yaml"
    assert Path(first).is_file()
