"""How problems are shown: on a terminal with the line they are about, causes first, and what says the same folded."""

import os
import pty
import subprocess

import pytest
from command_line import INSTALLED, Change, Klausel

from klausel.cli.problem_lines import Terminal, grouped, lines_of
from klausel.core.terms.problem import Place, Problem

PLAIN = Terminal(80, has_colours=False)


def problem(
    line: int, column: int = 1, id_: str = "unknown-role", message: str = 'unknown role "led"', file: str = "a.yaml"
) -> Problem:
    return Problem(Place(file, line, column), id_, message, "write another")


def shown(text: str, column: int, terminal: Terminal = PLAIN) -> list[str]:
    return list(lines_of([problem(1, column)], terminal, {"a.yaml": text}.get))


def test_without_a_terminal_each_problem_is_one_line() -> None:
    assert list(lines_of([problem(1), problem(2)], None)) == [str(problem(1)), str(problem(2))]


def test_on_a_terminal_the_line_stands_under_it_with_a_caret_under_the_word() -> None:
    assert shown("  - allow: led  # who", 12) == [
        "a.yaml:1:12: error (unknown-role)",
        '  unknown role "led"; write another',
        "  1 |   - allow: led  # who",
        "    |            ^^^",
        "",
    ]


@pytest.mark.parametrize("column", [1, 70, 150, 199, 200])
def test_a_long_line_is_cut_around_the_word_to_what_the_terminal_shows(column: int) -> None:
    text = "".join(chr(ord("a") + number % 26) if number % 7 else " " for number in range(200))
    source, carets = shown(text, column)[2:4]
    assert len(source) <= 80
    assert len(carets) <= 80
    assert source[carets.index("^")] in (text[column - 1 : column] or " …")


def test_carets_stand_below_wide_and_combined_signs() -> None:
    source, carets = shown("名前: lëd", 5)[2:4]
    assert source == "  1 | 名前: lëd"
    assert carets == "    |       ^^^"


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    assert "\x1b" not in "".join(shown("allow: \x1b[31mled\u202e", 8))


def test_a_place_outside_of_the_file_has_no_line() -> None:
    assert shown("", 1) == ["a.yaml:1:1: error (unknown-role)", '  unknown role "led"; write another', ""]
    assert len(list(lines_of([problem(9)], PLAIN, {"a.yaml": "one"}.get))) == 3


def test_many_that_say_the_same_are_folded_and_few_are_not() -> None:
    many = [problem(line) for line in range(1, 6)]
    assert list(lines_of(many, None))[1:] == ["  and 4 more that say the same, in a.yaml (klausel check --all shows them)"]
    assert list(lines_of(many[:3], None)) == list(map(str, many[:3]))
    assert list(lines_of(many, None, show_all=True)) == list(map(str, many))


def test_names_that_a_broken_file_hides_follow_from_it() -> None:
    broken = problem(3, id_="yaml-syntax", message="this is not YAML", file="z.yaml")
    hidden = [problem(line, message=f'unknown role "r{line}"') for line in range(1, 5)]
    other = problem(9, id_="bad-name", message="a bad name")
    groups = grouped([*hidden, other, broken])
    assert [group.first for group in groups] == [broken, other]
    assert (groups[0].more, groups[0].why) == (hidden, "may follow from it")


def test_every_problem_is_counted_and_programs_get_all_of_them(klausel: Klausel, change: Change) -> None:
    change("policies/roles.yaml", "  lead:", "  leed:")
    result = klausel("check")
    assert result.stdout.count("\n") == 2
    count = int(result.stderr.split()[1])
    assert f"and {count - 1} more that say the same, in " in result.stdout
    assert klausel("check", "--all").stdout.count("\n") == count
    assert klausel("check", "--format", "json").stdout.count('"id": "unknown-role"') == count
    assert klausel("check", "--format", "github").stdout.count("\n") == count


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_terminals_that_want_them(change: Change, variables: dict[str, str], coloured: bool) -> None:
    change("policies/features/quizzes.yaml", "allow: lead", "allow: leda")
    screen, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **variables}
    environment = {name: value for name, value in environment.items() if name != "NO_COLOR" or "NO_COLOR" in variables}
    subprocess.run([INSTALLED, "check"], stdout=terminal, stderr=subprocess.DEVNULL, env=environment, timeout=60)
    os.close(terminal)
    printed = b""
    try:
        while chunk := os.read(screen, 10_000):
            printed += chunk
    except OSError:  # Linux says so where the other side is closed
        pass
    os.close(screen)
    assert b"^^^^" in printed
    assert (b"\x1b[" in printed) == coloured
