"""`klausel --help`, slips in the names of commands, and what Tab completes in bash, zsh and fish."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from command_line import INSTALLED, Klausel

from klausel.cli.main import COMMANDS, SECTIONS, main


def test_help_lists_every_command_once_under_a_heading_with_a_whole_sentence(klausel: Klausel) -> None:
    text = klausel("--help").stdout
    for title, commands in SECTIONS.items():
        assert f"\n{title}:\n" in text
        for name in commands:
            assert text.count(f"\n  {name} ") == 1
    assert "..." not in text.partition("Write policies:")[2]
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("slip", "meant"), [("chek", "check"), ("what_can", "what-can"), ("assignment", "assignments"), ("zzz", None)]
)
def test_a_slip_in_the_name_of_a_command_is_told_with_the_nearest_one(
    klausel: Klausel, slip: str, meant: str | None
) -> None:
    result = klausel(slip)
    assert result.exit_code == 2
    assert f'there is no command "{slip}"; ' in result.stderr
    assert ("did you mean" in result.stderr) == (meant is not None)
    assert meant is None or f'did you mean "{meant}"?' in result.stderr


def asked(environment: Mapping[str, str]) -> str:
    """What the command tells a shell that asks it in this way, in this process."""
    return CliRunner().invoke(main, [], prog_name="klausel", env=environment).stdout


def asked_installed(environment: Mapping[str, str]) -> str:
    """The same of the command that pip installed."""
    done = subprocess.run([INSTALLED], env={**os.environ, **environment}, capture_output=True, encoding="utf-8", timeout=60)
    return done.stdout


def completed(words: str, shell: str = "bash", ask: Callable[[Mapping[str, str]], str] = asked) -> list[str]:
    """What the shell is told to complete behind these words, the last of which is not finished."""
    environment = {"_KLAUSEL_COMPLETE": f"{shell}_complete"}
    if shell == "fish":
        environment |= {"COMP_WORDS": words, "COMP_CWORD": words.split(" ")[-1]}
    else:
        environment |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    lines = [line for line in ask(environment).splitlines() if line]
    return lines[1::3] if shell == "zsh" else [line.partition(",")[2].partition("\t")[0] for line in lines]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_and_names_of_the_policies_are_completed_in_each_shell(shell: str) -> None:
    assert completed("klausel che", shell, asked_installed) == ["check"]
    assert completed("klausel who-can edit qui", shell, asked_installed) == ["quiz"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("klausel can user:leo publ", ["publish"]),
        ("klausel can user:leo publish qu", ["quiz"]),
        ("klausel explain --as le", ["lead@"]),
        ("klausel can --as user@acme,le", ["user@acme,lead@"]),
        ("klausel blame qu", ["quiz"]),
        ("klausel blame quiz publ", ["publish"]),
        ("klausel log --role review", ["reviewer"]),
        ("klausel check --explain unknown-ro", ["unknown-role"]),
    ],
)
def test_what_fits_where_the_cursor_is(words: str, expected: list[str]) -> None:
    assert completed(words) == expected


def test_names_are_completed_in_a_folder_below_and_nothing_is_said_where_there_are_no_policies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "policies" / "features")
    assert completed("klausel blame qu") == ["quiz"]
    (tmp_path / "elsewhere" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert completed("klausel blame qu") == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_fits_on_a_terminal(klausel: Klausel, name: str) -> None:
    result = klausel(name, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 100
