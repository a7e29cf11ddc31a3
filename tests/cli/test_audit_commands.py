"""`klausel audit`, and asking by the people of a moment."""

from __future__ import annotations

import getpass
import json
import os
import sqlite3
from pathlib import Path

import pytest
from command_line import Klausel

PEOPLE = "subject,role,domain\nuser:new,user,acme\nuser:new,lead,acme/support\n"


@pytest.fixture
def changed(demo_people: None, klausel: Klausel, tmp_path: Path) -> Path:
    """The demo people and two more rows, of record 3."""
    (tmp_path / "people.csv").write_text(PEOPLE)
    claims = ("--by", "cara", "--reason", "new here", "--ticket", "HR-7")
    assert klausel("assignments", "import", "people.csv", *claims).exit_code == 0
    return tmp_path / "klausel.db"


def lines(klausel: Klausel, *arguments: object) -> list[str]:
    done = klausel(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def tamper(database: Path, statement: str) -> None:
    """Lifts the triggers, and puts them back so that they do not tell."""
    connection = sqlite3.connect(database)
    guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in guards:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement)
    for _, guard in guards:
        connection.execute(guard)
    connection.commit()
    connection.close()


def times(klausel: Klausel) -> dict[int, str]:
    shown = (json.loads(line) for line in lines(klausel, "audit", "show", "--format", "json"))
    return {change["number"]: change["time"] for change in shown}


def test_a_change_is_shown_in_one_line_with_who_and_why_claims_in_quotes(changed: Path, klausel: Klausel) -> None:
    newest, before = lines(klausel, "audit", "show", "--subject", "user:new")
    assert newest.startswith("3  ")
    assert newest.endswith(
        f'granted user:new user in acme  cli {getpass.getuser()}  by "cara"  ticket "HR-7"  reason "new here"'
    )
    assert "user:new lead in acme/support" in before


def test_changes_as_json_have_every_field(changed: Path, klausel: Klausel) -> None:
    (line,) = lines(klausel, "audit", "show", "--limit", 1, "--by", "cara", "--format", "json")
    change = json.loads(line)
    assert (change["number"], change["change"], change["by"], change["ticket"]) == (3, "granted", "cara", "HR-7")
    assert (change["version"], len(change)) == (1, 15)


def test_filters_pick_among_the_changes(changed: Path, klausel: Klausel) -> None:
    every = lines(klausel, "audit", "show")
    assert len(every) == 17 + 2
    when = times(klausel)
    for filters in (["--domain", "acme/support"], ["--role", "lead"], ["--until", when[3]], ["--since", when[3]]):
        shown = lines(klausel, "audit", "show", *filters)
        assert 0 < len(shown) < len(every)
        assert [line for line in every if line in shown] == shown


@pytest.mark.parametrize("moment", ["yesterday", "2026-13-01", "2026-03-01 12:00", "2026-3-1", ""])
def test_a_moment_that_is_none_is_wrong_usage(changed: Path, klausel: Klausel, moment: str) -> None:
    done = klausel("audit", "show", "--since", moment)
    assert done.exit_code == 2
    assert "write 2026-03-01" in done.stderr


def test_a_claim_that_is_too_long_is_wrong_usage_and_imports_nothing(
    demo_people: None, klausel: Klausel, tmp_path: Path
) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    done = klausel("assignments", "import", "people.csv", "--by", "x" * 300)
    assert done.exit_code == 2
    assert "by is longer than 255 characters" in done.stderr
    assert lines(klausel, "audit", "show", "--subject", "user:new") == []


def test_the_state_of_a_moment_is_an_export_of_that_moment(changed: Path, klausel: Klausel) -> None:
    when = times(klausel)
    now = lines(klausel, "assignments", "export")
    done = klausel("audit", "state", "--at", when[3])
    assert done.stdout.splitlines() == now
    assert f"as of {when[3]}, after record 3" in done.stderr
    assert lines(klausel, "audit", "state", "--at", when[2]) == [line for line in now if "user:new" not in line]
    one = lines(klausel, "audit", "state", "--at", "2999-01-01", "--subject", "user:new", "--domain", "acme")
    assert one == ["subject,role,domain", "user:new,user,acme"]


def test_of_a_moment_before_the_log_nothing_is_said(changed: Path, klausel: Klausel) -> None:
    for command in (
        ("audit", "state", "--at", "2001-01-01"),
        ("can", "user:leo", "edit", "quiz", "--in", "acme/support", "--people-at", "2001-01-01"),
        ("who-can", "edit", "quiz", "--in", "acme/support", "--people-at", "2001-01-01"),
        ("what-can", "user:leo", "--in", "acme/support", "--people-at", "2001-01-01"),
        ("matrix", "--by", "person", "--in", "acme/support", "--people-at", "2001-01-01"),
    ):
        done = klausel(*command)
        assert done.exit_code == 1
        assert done.stdout == ""
        assert "the log begins at" in done.stderr


def test_can_and_explain_ask_by_the_people_of_a_moment(changed: Path, klausel: Klausel) -> None:
    when = times(klausel)
    question = ("user:new", "edit", "quiz", "--in", "acme/support", "--set", "status=published")
    for command in ("can", "explain"):
        assert klausel(command, *question).exit_code == 0
        assert klausel(command, *question, "--people-at", when[3]).exit_code == 0
        assert klausel(command, *question, "--people-at", when[2]).exit_code == 3
    explained = klausel("explain", *question, "--people-at", when[3])
    assert "user:new is lead" in explained.stdout
    assert explained.stderr == f"klausel: role assignments as of {when[3]}\n"


def test_searches_and_the_matrix_by_person_are_as_of_a_moment(changed: Path, klausel: Klausel) -> None:
    when = times(klausel)
    for command in (
        ("who-can", "edit", "quiz", "--in", "acme/support"),
        ("what-can", "user:new", "--in", "acme/support"),
        ("matrix", "--by", "person", "--in", "acme/support", "--format", "csv"),
    ):
        now = lines(klausel, *command)
        as_of_the_last, as_of_the_one_before = (
            lines(klausel, *command, "--people-at", moment) for moment in (when[3], when[2])
        )
        assert as_of_the_last == now
        assert as_of_the_one_before != as_of_the_last
        assert not any("user:new" in line for line in as_of_the_one_before)
    told = klausel("who-can", "edit", "quiz", "--in", "acme/support", "--people-at", when[3])
    assert told.stderr == f"klausel: role assignments as of {when[3]}\n"
    sheet = klausel("matrix", "--by", "person", "--in", "acme/support", "--people-at", when[3])
    assert f"role assignments as of: {when[3]}" in sheet.stdout
    assert "role assignments at revision" not in sheet.stdout


def test_a_list_of_roles_is_of_no_moment(klausel: Klausel) -> None:
    for command in (("who-can", "edit", "quiz"), ("matrix",)):
        done = klausel(*command, "--people-at", "2026-01-01")
        assert done.exit_code == 2
        assert "--people-at goes with" in done.stderr


def test_a_whole_log_is_verified(changed: Path, klausel: Klausel) -> None:
    (line,) = lines(klausel, "audit", "verify")
    assert line.startswith("3 records, 19 changes, 0 checkpoints: the log is whole")
    told = json.loads(klausel("audit", "verify", "--format", "json").stdout)
    assert (told["ok"], told["records"], told["changes"], told["findings"]) == (True, 3, 19, [])


def test_tampering_is_named_and_the_exit_code_is_1(changed: Path, klausel: Klausel) -> None:
    tamper(changed, "UPDATE klausel_assignment_log SET actor = 'dan' WHERE number = 3")
    done = klausel("audit", "verify")
    assert done.exit_code == 1
    assert done.stderr.startswith("record 3: edited: ")
    assert "1 faults" not in done.stdout
    assert "1 fault;" in done.stdout
    told = klausel("audit", "verify", "--format", "json")
    assert told.exit_code == 1
    assert [finding["kind"] for finding in json.loads(told.stdout)["findings"]] == ["edited"]


def test_a_log_that_can_be_changed_is_found_though_nobody_changed_it(changed: Path, klausel: Klausel) -> None:
    connection = sqlite3.connect(changed)
    connection.execute("DROP TRIGGER klausel_assignment_log_row_no_delete")
    connection.commit()
    connection.close()
    done = klausel("audit", "verify")
    assert done.exit_code == 1
    assert done.stderr.startswith("the log: guard: klausel_assignment_log_row can be changed")
    assert "CREATE TRIGGER klausel_assignment_log_row_no_delete BEFORE delete" in done.stderr


def test_checkpoints_show_a_tail_that_is_gone(changed: Path, klausel: Klausel) -> None:
    lines(klausel, "audit", "key", "audit.key")
    (signed,) = lines(klausel, "audit", "checkpoint", "checkpoints.jsonl", "--key", "audit.key")
    assert signed == "record 3 is signed in checkpoints.jsonl"
    verify = ("audit", "verify", "--checkpoints", "checkpoints.jsonl", "--public-key", "audit.key.pub")
    assert "1 checkpoint:" in lines(klausel, *verify)[0]
    for statement in (
        "DELETE FROM klausel_assignment_log WHERE number = 3",
        "DELETE FROM klausel_assignment_log_row WHERE number = 3",
        "DELETE FROM casbin_rule WHERE v0 = 'user:new'",
        "UPDATE klausel_state SET revision = 1",
    ):
        tamper(changed, statement)
    assert klausel("audit", "verify").exit_code == 0
    done = klausel(*verify)
    assert done.exit_code == 1
    assert done.stderr.startswith("record 3: tail: ")
    again = klausel("audit", "checkpoint", "checkpoints.jsonl", "--key", "audit.key")
    assert again.exit_code == 1
    assert "nothing was signed" in again.stderr


def test_checkpoints_are_signed_over_what_fits_the_last_one_only(changed: Path, klausel: Klausel, tmp_path: Path) -> None:
    lines(klausel, "audit", "key", "audit.key")
    for _ in range(2):
        lines(klausel, "audit", "checkpoint", "checkpoints.jsonl", "--key", "audit.key")
    file = tmp_path / "checkpoints.jsonl"
    assert len(file.read_text().splitlines()) == 2
    file.write_text(file.read_text().replace('"number":3', '"number":2', 1))
    done = klausel("audit", "checkpoint", "checkpoints.jsonl", "--key", "audit.key")
    assert done.exit_code == 1
    assert "checkpoints.jsonl:1:" in done.stderr
    done = klausel("audit", "verify", "--checkpoints", "checkpoints.jsonl", "--public-key", "audit.key.pub")
    assert done.exit_code == 1
    assert "checkpoints.jsonl:1:" in done.stderr


def test_a_file_of_checkpoints_needs_its_key(changed: Path, klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "checkpoints.jsonl").write_text("{}\n")
    done = klausel("audit", "verify", "--checkpoints", "checkpoints.jsonl")
    assert done.exit_code == 2
    assert "go together" in done.stderr


def test_a_key_is_never_overwritten(klausel: Klausel) -> None:
    assert klausel("audit", "key", "audit.key").exit_code == 0
    again = klausel("audit", "key", "audit.key")
    assert again.exit_code == 1
    assert "exists already" in again.stderr


@pytest.mark.skipif(os.name != "posix", reason="files have no mode there")
@pytest.mark.parametrize(("mode", "warns"), [(0o600, False), (0o400, False), (0o644, True), (0o620, True)])
def test_a_key_that_others_may_use_is_warned_of(
    changed: Path, klausel: Klausel, tmp_path: Path, mode: int, warns: bool
) -> None:
    lines(klausel, "audit", "key", "audit.key")
    (tmp_path / "audit.key").chmod(mode)
    done = klausel("audit", "checkpoint", "checkpoints.jsonl", "--key", "audit.key")
    assert done.exit_code == 0
    assert ("chmod 600 audit.key" in done.stderr) is warns
    assert (f"has the mode {mode:o}" in done.stderr) is warns


def test_other_commands_do_not_wait_for_cryptography(changed: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys\nfrom klausel.cli.main import main\n"
        "main(['audit', 'show', '--limit', '1'], standalone_mode=False)\nassert 'cryptography' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
