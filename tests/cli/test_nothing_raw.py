"""Whatever stands in a database or was sent in a request, no command prints a sign that a terminal obeys or that hides."""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from command_line import ROOT, run
from doors import ALLOWED, open_doors, with_subject
from stored_entities import todo_policy, user

import klausel.cli
from klausel.api.service_log import JsonLines, TextLines, current, show_log
from klausel.cli.main import main
from klausel.core.policy.assignment import Assignment
from klausel.core.records.change_record import Origin
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.entities.store import EntityStore
from klausel.storage.schema import open_database

FORGED = "user:root  always  (everybody, all)"
HOSTILE = f"user:eve\x1b[31m\x9b2J\n{FORGED}\r\u202e\u200b\u2028\ufeff"
"""As plain SQL may put it there."""
ACCEPTED = "user:mal\u202e\u200b\u2066\U000e0041"
"""As the service itself stores it."""
SAYS_NOTHING_OF_PEOPLE = {
    "assignments import": "reads a file of its caller's; its errors are below",
    "assignments purge-ended": "counts rows",
    "assignments rename-role": "counts rows",
    "entities import": "reads a file of its caller's; what it prints of it goes through the same function",
    "audit key": "makes keys",
    **dict.fromkeys(("keys new", "keys list", "keys revoke"), "tell what the operator said, and numbers"),
    "db check": "tells a number",
    "db grants": "tells names that it was given, of letters",
    "db restored": "tells the place that it was given",
    "db upgrade": "tells a number",
    "audit checkpoint": "counts records; its findings are those of verify",
    **dict.fromkeys(
        ("blame", "check", "compile", "declare", "fmt", "init", "log", "mutate", "picture", "prove"),
        "speaks of policy files",
    ),
    **dict.fromkeys(("schema", "test"), "speaks of policy files"),
    "import casbin": "reads files of its caller's; test_import_command has hostile ones",
    "export casbin": "reads files of its caller's; test_export_command has hostile ones",
    "lsp": "speaks to editors, in JSON",
    "playground": "prints an address of ours; its pages escape",
    "serve": "its log is below",
    "config show": "tells what the operator said",
    "shell": "is asked below",
}


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A database with hostile rows, by plain SQL and by the service, and their marks in the change log."""
    url = f"sqlite:///{tmp_path}/people.db"
    with open_doors(tmp_path / "people.db") as doors:
        roles = doors.service.policy.compiled.policy.roles
    with closing(AssignmentStore(open_database(url))) as store:
        rows = [Assignment(ACCEPTED, "admin", "acme"), Assignment(ACCEPTED, "lead", "acme/support")]
        store.write(roles, rows, [], Origin(by="bo\u202e", reason="so\u200b", ticket="T\u2066", channel="http"))
        EntityStore(store.engine).write(todo_policy(), [user(ACCEPTED.removeprefix("user:"), email="e\u202e\u200b")])
    with closing(sqlite3.connect(tmp_path / "people.db")) as connection, connection:
        for role, domain in (("user", "acme"), ("lead", "acme/support"), ("gone\x1b[2J\n", "acme\u202e")):
            values = ("g", HOSTILE, role, domain)
            connection.execute("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES (?, ?, ?, ?)", values)
    return url


@pytest.fixture
def decisions(tmp_path: Path) -> Path:
    """A decision log with hostile questions."""
    log = tmp_path / "decisions.jsonl"
    with open_doors(tmp_path / "own.db", decision_log=str(log)) as doors:
        doors.lane.post("/access/v1/evaluation", with_subject(ALLOWED, id="eve\u202e\u200b"))
        doors.lane.post("/access/v1/evaluation", {**ALLOWED, "action": {"name": "edit\x1b[31m\n"}})
        assert doors.service.decision_log is not None
        doors.service.decision_log.close()
    return log


def commands(group: click.Group = main, before: str = "") -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name


def asked(database: str, decisions: Path) -> dict[str, list[list[Any]]]:
    """What is run of each command; every format that it has."""
    base = ["--policies", ROOT / "policies", "--model", ROOT / "model.conf"]
    db = ["--database", database]
    formats = [["--format", "text"], ["--format", "json"]]
    tables = [["--format", one] for one in ("table", "markdown", "csv", "html")]
    lead = ["acme/support"]
    return {
        "who-can": [["edit", "quiz", "--in", *lead, *base, *db, *one] for one in formats],
        "what-can": [[who, "--in", *lead, *base, *db, *one] for one in formats for who in (HOSTILE, ACCEPTED)],
        "can": [[ACCEPTED, "edit", "quiz:q\u202e\n", "--in", *lead, *base, *db]],
        "explain": [
            [who, "edit", "quiz:q\u202e\n", "--in", *lead, *base, *db, *one]
            for one in formats
            for who in (HOSTILE, ACCEPTED)
        ],
        "matrix": [["--by", "person", "--in", *lead, *base, *db, *one] for one in tables],
        "findings": [[*base, *db, *one] for one in (*formats, ["--format", "csv"])],
        "assignments export": [[*db], ["-", *db]],
        "assignments grant": [
            [HOSTILE, "agent", "acme/support", *base, *db],
            [ACCEPTED, "ag\u202eent\x1b", "acme", *base, *db],
        ],
        "entities export": [[*db], ["-", *db]],
        "entities list": [["subject", "user", *db], ["resource", "todo\x1b", "--in", "a\u202e", *db]],
        "entities show": [["subject", ACCEPTED, *db], ["resource", HOSTILE, *db]],
        "entities set": [
            ["subject", ACCEPTED, '{"a\u202e": "\u202e"}', *base, *db],
            ["resource", HOSTILE, "{\x1b", *base, *db],
        ],
        "entities delete": [["subject", ACCEPTED, *base, *db], ["resource", HOSTILE, *base, *db]],
        "assignments revoke": [[HOSTILE, "agent", "acme/support", *base, *db]],
        "review sheet": [
            [decisions.with_name("sheet.csv"), *base, *db],
            [decisions.with_name("{reviewer}.csv"), "--reviewer-role", "lead", *base, *db],
        ],
        "review apply": [[decisions.with_name("sheet.csv"), "--dry-run", *base, *db]],
        "review verify": [[decisions, "--public-key", decisions, *db]],
        "audit show": [[*db, *one] for one in formats],
        "audit verify": [[*db, *one] for one in formats],
        "audit state": [["--at", "2099-01-01", *db]],
        "decisions find": [[decisions, *one] for one in formats],
        "decisions verify": [[decisions, *one] for one in formats],
        "decisions checkpoint": [[decisions.with_name("signed"), decisions, "--key", decisions]],
        "replay": [[decisions, *base, *one] for one in formats],
        "unused": [[decisions, *base, *one] for one in (*formats, ["--format", "csv"])],
    }


def assert_nothing_raw(text: str) -> None:
    for line in text.split("\n"):
        assert line.isprintable(), ascii(line)
        assert not line.startswith(FORGED), line


def test_no_command_prints_anything_raw(database: str, decisions: Path) -> None:
    told = ""
    for name, runs in asked(database, decisions).items():
        for arguments in runs:
            result = run(*name.split(), *arguments)
            assert result.exit_code in (0, 1, 2, 3), (name, result.output)
            assert_nothing_raw(result.output)
            told += result.output
    assert "\\u{1b}" in told
    assert "\\u{202e}" in told
    assert "\\u202e" in told, "JSON has it, too"


def test_every_command_was_asked_or_says_nothing_of_people(database: str, decisions: Path) -> None:
    known = {*asked(database, decisions), *SAYS_NOTHING_OF_PEOPLE, "diff", "review changes"}
    assert set(commands()) - known == set(), "a new command: walk it above"


@pytest.mark.parametrize("format_", ["text", "markdown", "html", "json"])
def test_the_people_of_a_difference_are_shown_escaped(database: str, tmp_path: Path, format_: str) -> None:
    """The people of `review` come in the sheet of `matrix`, walked above."""
    for name, grantee in (("before", "lead"), ("after", "agent")):
        folder = tmp_path / name / "features"
        folder.mkdir(parents=True)
        (folder.parent / "roles.yaml").write_text((ROOT / "policies" / "roles.yaml").read_text())
        grants = f"grants:\n  - {{allow: {grantee}, to: edit, resource: quiz}}\n"
        (folder / "quiz.yaml").write_text("resource_types:\n  quiz: {actions: [edit]}\n" + grants)
    sides = (tmp_path / "after", tmp_path / "before")
    result = run("diff", *sides, "--names", "--database", database, "--format", format_)
    assert result.exit_code == 0, result.output
    assert_nothing_raw(result.output)


def test_the_log_of_the_service_has_one_line_for_each_record() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = logging.LogRecord("klausel", logging.ERROR, __file__, 1, "failed for %s", (HOSTILE,), sys.exc_info())
    text = TextLines().format(record)
    assert_nothing_raw(text)
    assert "ERROR" in text.split("\n")[0]
    assert "failed for user:eve\\u{1b}" in text.split("\n")[0]
    current.request_id = "r-1\u202e"
    try:
        line = JsonLines().format(record)
    finally:
        current.request_id = None
    assert_nothing_raw(line)
    told = json.loads(line)
    assert (told["level"], told["request_id"]) == ("ERROR", "r-1\\u{202e}")
    assert told["message"].startswith("failed for user:eve")
    assert any("ValueError" in text for text in told["exception"])


def test_the_prompt_prints_nothing_raw(database: str) -> None:
    base = ["--policies", ROOT / "policies", "--model", ROOT / "model.conf", "--database", database]
    said = f"as {ACCEPTED}\ncan edit quiz:q\x1b[31m status=\u202e\nwhy\nwhat\nas\nnonsense\u200b\nas lead\u202e@acme\nquit\n"
    result = run("shell", *base, stdin=said)
    assert_nothing_raw(result.output)
    assert "\\u{202e}" in result.output


def test_an_import_that_fails_tells_nothing_raw(database: str, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f'subject,role,domain\n"{HOSTILE}",le\u202ead,"acme\x1b[31m"\n', encoding="utf-8", newline="")
    result = run("assignments", "import", file, "--policies", ROOT / "policies", "--database", database)
    assert result.exit_code == 1
    assert_nothing_raw(result.output)


def test_what_is_exported_is_imported_again(database: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "people.db")) as connection, connection:
        connection.execute("DELETE FROM casbin_rule WHERE v0 = ?", (HOSTILE,))
    run("assignments", "export", tmp_path / "out.csv", "--database", database)
    assert_nothing_raw((tmp_path / "out.csv").read_text("utf-8"))
    base = ["--policies", ROOT / "policies", "--model", ROOT / "model.conf"]
    result = run("assignments", "import", tmp_path / "out.csv", *base, "--database", f"sqlite:///{tmp_path}/other.db")
    assert result.exit_code == 0, result.output
    with closing(AssignmentStore(open_database(f"sqlite:///{tmp_path}/other.db"))) as store:
        assert {row.subject for row in store.export_rows()} == {ACCEPTED}


def test_commands_print_by_the_one_module_alone() -> None:
    """A difference of `fmt` is for tools, and problems are escaped where they are made."""
    folder = Path(klausel.cli.__file__).parent
    printing = {file.name for file in folder.glob("*.py") if "click.echo(" in file.read_text(encoding="utf-8")}
    assert printing <= {"output.py", "fmt.py", "problem_lines.py"}, "print by klausel.cli.output"


def test_the_driver_of_postgresql_adds_no_lines_of_another_form(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("klausel", "opentelemetry", "psycopg"):
        log = logging.getLogger(name)
        for attribute, value in (("handlers", []), ("level", log.level), ("propagate", log.propagate)):
            monkeypatch.setattr(log, attribute, value)
    show_log("json")
    driver = logging.getLogger("psycopg")
    assert not driver.isEnabledFor(logging.WARNING)
    assert isinstance(driver.handlers[0].formatter, JsonLines)
