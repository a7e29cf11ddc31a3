"""`klausel shell`: questions at a prompt, what Tab completes there, and files that change in between."""

import os
import sys
from pathlib import Path

import pytest
from command_line import INSTALLED, Change, Klausel

from klausel.cli.options import load_or_exit
from klausel.cli.shell import Shell


def answers(klausel: Klausel, *lines: str) -> list[str]:
    result = klausel("shell", stdin="\n".join([*lines, "quit", ""]))
    assert result.exit_code == 0, result.output
    return result.stdout.replace("klausel> ", "\n").strip().splitlines()[1:]


def test_somebody_with_a_role_is_asked_for_and_explained(klausel: Klausel) -> None:
    told = "\n".join(
        answers(klausel, "as lead@acme/support", "can edit quiz status=published", "can edit quiz status=draft", "why")
    )
    assert "user:somebody with lead in acme/support, user in acme, asking in acme/support" in told
    assert "allowed by policies/features/quizzes.yaml:" in told
    assert "DENY  user:somebody edit quiz in acme/support" in told
    assert 'resource.status == "published"' in told


def test_help_lists_words_only_and_a_longer_word_is_not_taken_for_a_shorter_one(klausel: Klausel) -> None:
    listed = answers(klausel, "help")
    assert "again  as  can  exit  help  in  quit  what  why" in listed
    told = 'klausel: "what-if" is nothing that can be said here; help lists what can'
    assert told in answers(klausel, "what-if")


def test_who_is_asked_for_may_change_and_the_question_stays(klausel: Klausel) -> None:
    lines = [
        "as agent@acme/support",
        "can edit quiz status=published",
        "as lead@acme/support",
        "again",
        "in acme/sales",
        "again",
    ]
    told = answers(klausel, *lines)
    assert [line.partition(" ")[0].rstrip(",") for line in told if line.startswith(("allowed", "denied"))] == [
        "denied",
        "allowed",
        "denied",
    ]


@pytest.mark.usefixtures("demo_people")
def test_a_person_of_the_database_is_asked_for(klausel: Klausel) -> None:
    told = answers(klausel, "as user:leo", "in acme/support", "can edit quiz status=published", "what")
    assert any(line.startswith("user:leo with ") and "lead in acme/support" in line for line in told)
    assert any(line.startswith("allowed by ") for line in told)
    assert any(line.startswith("edit quiz  when ") for line in told), told


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("as led@acme/support", 'unknown role "led"; did you mean "lead"?'),
        ("as user:leo", "there is no database at klausel.db"),
        ("can edit", "say an action and a type"),
        ("can edit quiz status", "is not NAME=VALUE"),
        ("can edit 'quiz", "close the quote"),
        ("again", "nothing has been asked yet"),
        ("why", "nothing has been asked yet"),
        ("what", "say where"),
        ("cna edit quiz", '"cna" is nothing that can be said here'),
    ],
)
def test_a_mistake_is_told_and_the_prompt_goes_on(klausel: Klausel, line: str, message: str) -> None:
    result = klausel("shell", stdin=f"{line}\nas anyone\nquit\n")
    assert message in result.output
    assert "user:somebody with no role" in result.stdout


def test_a_line_is_changed_and_the_question_asked_again(
    tmp_path: Path, change: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Shell(Path("policies"), None, "", load_or_exit(Path("policies"), None))
    asked.onecmd("as reviewer@acme/support")
    asked.onecmd("can edit quiz status=published")
    change("policies/features/quizzes.yaml", "allow: lead\n    to: edit", "allow: reviewer\n    to: edit")
    asked.onecmd("again")
    change("policies/features/quizzes.yaml", "allow: reviewer\n    to: edit", "allow: reviwer\n    to: edit")
    asked.onecmd("again")
    told = capsys.readouterr().out
    assert [part.partition(" ")[0] for part in told.splitlines() if part.startswith(("denied", "allowed"))] == [
        "denied,",
        "allowed",
        "allowed",
    ]
    assert "(the files have changed)" in told
    assert 'unknown role "reviwer"' in told
    assert "so this answer is by those before" in told


def completions(line: str) -> list[str]:
    asked = Shell(Path("policies"), None, "", load_or_exit(Path("policies"), None))
    asked.onecmd("as lead@acme/support")
    begin = max(line.rfind(" "), line.rfind(",")) + 1
    if " " not in line:
        return asked.completenames(line)
    found: list[str] = getattr(asked, f"complete_{line.split()[0]}")(line[begin:], line, begin, len(line))
    return found


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("c", ["can"]),
        ("as le", ["lead@"]),
        ("as user@acme,rev", ["reviewer@"]),
        ("as lead@acme", ["lead@acme", "lead@acme/support"]),
        ("in acme/", ["acme/support"]),
        ("can publ", ["publish"]),
        ("can edit qu", ["quiz"]),
        ("can edit quiz st", ["status="]),
    ],
)
def test_tab_completes_the_words_of_the_policies(line: str, completed: list[str]) -> None:
    assert completions(line) == completed


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_tab_works_on_a_terminal() -> None:
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {"TERM": "dumb", "INPUTRC": os.devnull}
        os.execv(INSTALLED, [INSTALLED, "shell"])
    shown = b""
    with os.fdopen(terminal, "r+b", buffering=0) as screen:
        while b"klausel> " not in shown:
            shown += screen.read(1000)
        screen.write(b"as lead@acme/support\ncan publ\t qui\t\nquit\n")
        try:
            while chunk := screen.read(1000):
                shown += chunk
        except OSError:  # Linux says so where the other side has ended
            pass
    os.waitpid(child, 0)
    assert b"can publish quiz" in shown
