"""`klausel assignments import` and `export`: exact, all or nothing, with the line of every fault."""

import os
import subprocess
from pathlib import Path

import pytest
from command_line import DEMO, INSTALLED, LONGEST_SECONDS, Change, Klausel, on_a_terminal

HEADER = "subject,role,domain\n"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def exported(klausel: Klausel) -> bytes:
    result = klausel("assignments", "export")
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def test_the_demo_people_come_back_byte_for_byte_but_sorted(klausel: Klausel) -> None:
    result = klausel("assignments", "import", DEMO)
    assert result.exit_code == 0
    assert result.stdout.startswith("17 added, 0 there already; revision ")
    header, *rows = DEMO.read_bytes().splitlines(keepends=True)
    assert exported(klausel) == header + b"".join(sorted(rows))


def test_importing_again_adds_nothing_and_keeps_the_revision(klausel: Klausel) -> None:
    first, second = (klausel("assignments", "import", DEMO).stdout for _ in range(2))
    assert second.startswith("0 added, 17 there already; revision ")
    assert first.split()[-1] == second.split()[-1]


AWKWARD = [
    "#not-a-comment:x",
    "#",
    "=HYPERLINK(1):x",
    "a",
    "a b ",
    " a",
    "user:a,b",
    'user:"quoted"',
    'user:"',
    "user:'",
    "user:a;b\\n",
    "user:日本語 🎉",
    "user:e\u0301 and é",
    "user:\u00a0\u200b\u3000",
    "user:a:b/c",
    "user:%s{0}",
    "user:" + "x" * 250,
    "=1+1:x",
    "@sum:1",
]


def test_awkward_ids_survive_export_and_import_byte_for_byte(klausel: Klausel, people: Path, tmp_path: Path) -> None:
    subjects = sorted({name if ":" in name else f"user:{name}" for name in AWKWARD} | {"user:ada"})
    domains = ["acme, inc", "=1+1", "-x", '"acme"', "#acme", "Ärger & Söhne", " acme ", "acme"]
    rows = [("user:ada", "admin", domain) for domain in domains]
    rows += [(subject, "user", domain) for subject in subjects for domain in domains]
    quoted = [",".join('"' + part.replace('"', '""') + '"' for part in row) for row in rows]
    people.write_text(HEADER + "\n".join(quoted), encoding="utf-8")
    result = klausel("assignments", "import", people)
    assert result.stdout.startswith(f"{len(rows)} added"), result.output
    first = exported(klausel)
    assert klausel("assignments", "export", "copy.csv").exit_code == 0
    assert (tmp_path / "copy.csv").read_bytes() == first
    os.remove("klausel.db")
    assert klausel("assignments", "import", "copy.csv").stdout.startswith(f"{len(rows)} added")
    assert exported(klausel) == first


def test_line_ends_of_windows_blank_lines_and_a_missing_last_line_end_are_fine(klausel: Klausel, people: Path) -> None:
    people.write_bytes(b"subject,role,domain\r\nuser:ada,admin,acme\r\n\r\nuser:bob,user,acme")
    assert klausel("assignments", "import", people).stdout.startswith("2 added")
    assert exported(klausel) == b"subject,role,domain\nuser:ada,admin,acme\nuser:bob,user,acme\n"


def test_a_header_alone_adds_nothing(klausel: Klausel, people: Path) -> None:
    people.write_text(HEADER)
    assert klausel("assignments", "import", people).stdout.startswith("0 added, 0 there already")


@pytest.mark.parametrize("header", ["", "subject,role", "Subject,Role,Domain", "role,subject,domain", "subject;role;domain"])
def test_another_header_is_a_fault_of_line_1(klausel: Klausel, people: Path, header: str) -> None:
    people.write_text(f"{header}\nuser:ada,admin,acme\n" if header else "")
    result = klausel("assignments", "import", people)
    assert result.exit_code == 1
    found = f'the header is "{header}"' if header else "there is no header"
    assert (
        f"{people}:1: error: {found}; the first line must be subject,role,domain or subject,role,domain,from,until\n"
        in result.stderr
    )
    assert result.stderr.endswith(f"{people}: nothing was imported\n")
    assert exported(klausel) == HEADER.encode()


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"\xef\xbb\xbfsubject,role,domain\n", 1, "starts with a byte order mark; save it as UTF-8 without one"),
        (b"\xff\xfes\0u\0", 1, "starts with a byte order mark"),
        (b"subject,role,domain\nuser:ada,admin,acme\nuser:\xff,user,acme\n", 3, "this row is not UTF-8; save the file"),
        (b'subject,role,domain\nuser:ada,admin,acme\n"user:bob,user,acme\nuser:x', 3, "this is not CSV"),
        (b'subject,role,domain\nuser:ada,"ad"min,acme\n', 2, "this is not CSV"),
        (b"subject,role,domain\nuser:ada,admin,acme\rrest\n", 2, "a carriage return stands without a line feed"),
        (b"subject,role,domain\nuser:ada,admin,acme\nuser:" + b"x" * 200_000 + b",user,acme\n", 3, "this is not CSV"),
        (b"subject,role,domain\nuser:ada,admin,acme\n\nuser:bob,user\n", 4, "a row has 3 fields, subject,role,domain; "),
        (b"subject,role,domain\nuser:ada,admin,acme,\n", 2, "this one has 4"),
        (b"subject,role,domain\nuser:ada,adnim,acme\n", 2, 'unknown role "adnim"; did you mean "admin"?'),
        (b"subject,role,domain\nada,admin,acme\n", 2, "write it as type:id, such as user:ada"),
        (b"subject,role,domain\nuser:,admin,acme\n", 2, "subject is empty"),
        (b"subject,role,domain\na/b:x,admin,acme\n", 2, 'subject has a type with ":" or "/"'),
        (b"subject,role,domain\nuser:ada,lead,acme\n", 2, "write the domain as account/workspace"),
        (b"subject,role,domain\nuser:ada,admin,acme/support\n", 2, "write the domain as account"),
        (b"subject,role,domain\nuser:ada,lead,acme//\n", 2, "has an empty part"),
        (b"subject,role,domain\nuser:a\0b,admin,acme\n", 2, "control character"),
        (b'subject,role,domain\nuser:ada,admin,acme\n"user:a\nb",user,acme\n', 3, "control character"),
        (b"subject,role,domain\nuser:" + b"x" * 251 + b",admin,acme\n", 2, "longer than 255 characters"),
        (b"subject,role,domain\nuser:ada,\x1b[31m,acme\n", 2, 'unknown role "\\u{1b}[31m"'),
        (b"subject,role,domain\nuser:ada,admin,acme\nuser:bob,lead,acme/support\n", 3, "(requires-role-above)"),
        (b"subject,role,domain\nuser:ada,admin,acme\n\nuser:bob,user,globex\n", 4, "globex would have people in it but no"),
    ],
)
def test_a_fault_is_told_with_file_and_line_and_nothing_is_imported(
    klausel: Klausel, people: Path, content: bytes, line: int, said: str
) -> None:
    people.write_bytes(content)
    result = klausel("assignments", "import", people)
    assert (result.exit_code, result.stdout) == (1, "")
    first, *_, last = result.stderr.splitlines()
    assert first.startswith(f"{people}:{line}: error: ")
    assert said in first
    assert last == f"{people}: nothing was imported"
    assert "\x1b" not in result.stderr
    assert exported(klausel) == HEADER.encode()


def test_every_faulty_row_is_told_at_once_in_the_order_of_the_file(klausel: Klausel, people: Path) -> None:
    people.write_text(f"{HEADER}user:a,usr,acme\nuser:b\nuser:c,user,acme\nd,user,acme\n\nuser:e,user,a,b\n")
    lines = klausel("assignments", "import", people).stderr.splitlines()
    assert [line.split(": ")[0].rpartition(":")[2] for line in lines[:-1]] == ["2", "3", "5", "7"]


def test_a_long_list_of_faults_is_cut_and_says_so(klausel: Klausel, people: Path) -> None:
    people.write_text(HEADER + "".join(f"user:u{number},usr,acme\n" for number in range(500)))
    lines = klausel("assignments", "import", people).stderr.splitlines()
    assert len(lines) == 21
    assert lines[-1] == f"{people}: nothing was imported; these are the first 20 faults"


def test_a_fault_leaves_what_was_there_before(klausel: Klausel, people: Path) -> None:
    klausel("assignments", "import", DEMO)
    before = exported(klausel)
    people.write_text(f"{HEADER}user:zoe,user,acme\nuser:zoe,lead,acme/support\nuser:zoe,lead,globex/support\n")
    result = klausel("assignments", "import", people)
    assert result.exit_code == 1
    message = "user:zoe would be lead in globex/support without a role of level account in globex"
    assert f"{people}:4: error: {message} (requires-role-above)" in result.stderr
    assert exported(klausel) == before


def test_a_violation_in_a_workspace_names_the_first_row_of_the_account(klausel: Klausel, people: Path) -> None:
    people.write_text(f"{HEADER}user:a,admin,acme\nuser:b,user,newco\nuser:b,lead,newco/x\n")
    assert f"{people}:3: error: newco would have people" in klausel("assignments", "import", people).stderr


def test_rows_are_read_from_standard_input_when_the_file_is_a_dash(klausel: Klausel) -> None:
    result = klausel("assignments", "import", "-", stdin=DEMO.read_bytes())
    assert result.stdout.startswith("17 added")
    result = klausel("assignments", "import", "-", stdin=f"{HEADER}user:x,usr,acme\n")
    assert result.stderr.startswith('standard input:2: error: unknown role "usr"')
    result = klausel("assignments", "import", "-", stdin=f"{HEADER}user:x,lead,acme/support\n")
    assert result.stderr.startswith("standard input: error: user:x would be lead in acme/support")


def test_a_pipe_is_read_once_and_whole(klausel: Klausel) -> None:
    reading, writing = os.pipe()
    os.write(writing, DEMO.read_bytes())
    os.close(writing)
    result = klausel("assignments", "import", f"/dev/fd/{reading}")
    os.close(reading)
    assert result.stdout.startswith("17 added"), result.output


def test_a_file_that_is_not_there_or_cannot_be_written_is_told(klausel: Klausel) -> None:
    assert klausel("assignments", "import", "nope.csv").exit_code == 2
    assert klausel("assignments", "import", "policies").exit_code == 2
    klausel("assignments", "import", DEMO)
    result = klausel("assignments", "export", "nowhere/people.csv")
    assert result.exit_code == 1
    assert result.stderr.startswith("klausel: nowhere/people.csv cannot be written: No such file or directory; name another")


def test_a_broken_policy_set_refuses_an_import(klausel: Klausel, change: Change) -> None:
    change("policies/features/quizzes.yaml", "to: take", "to: tke")
    result = klausel("assignments", "import", DEMO)
    assert result.exit_code == 1
    assert result.stderr.startswith("policies/features/quizzes.yaml:16:9: error: ")
    assert not Path("klausel.db").exists()


def test_fifty_thousand_people_go_in_and_out_and_a_terminal_sees_how_far_it_is(people: Path, tmp_path: Path) -> None:
    people_count = 50_000
    rows = sorted(f"user:u{number:05},user,acme\n" for number in range(people_count))
    people.write_text(f"{HEADER}user:ada,admin,acme\n{''.join(rows)}")
    assert "people.csv: 100%" in on_a_terminal("assignments", "import", "people.csv")
    assert "/50.0k [" in on_a_terminal("assignments", "export", "copy.csv")
    assert (tmp_path / "copy.csv").read_bytes() == people.read_bytes()


def test_without_a_terminal_there_is_no_progress_bar(klausel: Klausel) -> None:
    for arguments in (("import", DEMO), ("export", "people.csv")):
        result = klausel("assignments", *arguments)
        assert (result.exit_code, result.stderr) == (0, "")


def test_export_to_standard_output_is_utf_8_whatever_the_terminal_speaks(klausel: Klausel, people: Path) -> None:
    people.write_text(f"{HEADER}user:é日,admin,acme\n", encoding="utf-8")
    klausel("assignments", "import", people)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [INSTALLED, "assignments", "export"], capture_output=True, env=environment, timeout=LONGEST_SECONDS
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == people.read_bytes()


@pytest.mark.usefixtures("demo_people")
def test_a_role_is_renamed_for_everybody_and_the_log_says_by_whom(klausel: Klausel) -> None:
    renamed = klausel("assignments", "rename-role", "lead", "reviewer", "--by", "cara", "--reason", "one role less")
    assert renamed.exit_code == 0, renamed.output
    assert " role assignments renamed from lead to reviewer; revision " in renamed.stdout
    assert ",lead," not in exported(klausel).decode()
    logged = klausel("audit", "show", "--by", "cara").stdout
    assert "one role less" in logged


@pytest.mark.usefixtures("demo_people")
def test_a_rename_that_cannot_be_is_refused_as_a_whole(klausel: Klausel) -> None:
    before = exported(klausel)
    unknown = klausel("assignments", "rename-role", "lead", "reviewr")
    assert (unknown.exit_code, 'did you mean "reviewer"?' in unknown.stderr) == (1, True)
    misplaced = klausel("assignments", "rename-role", "lead", "user")
    assert misplaced.exit_code == 1
    assert misplaced.stderr.endswith("klausel: nothing was changed\n")
    assert exported(klausel) == before


@pytest.mark.usefixtures("demo_people")
def test_one_role_assignment_is_revoked_once(klausel: Klausel) -> None:
    row = ("user:leo", "lead", "acme/support")
    revoked = klausel("assignments", "revoke", *row, "--by", "cara", "--reason", "left the team")
    assert revoked.exit_code == 0, revoked.output
    assert revoked.stdout.startswith("revoked user:leo lead in acme/support; revision ")
    assert ",".join(row) not in exported(klausel).decode()
    again = klausel("assignments", "revoke", *row)
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr == "klausel: user:leo lead in acme/support is no role assignment, so nothing was changed\n"


def test_a_change_on_behalf_goes_as_far_as_the_policies_let_the_person(klausel: Klausel, people: Path) -> None:
    klausel("assignments", "import", DEMO)
    before = exported(klausel)
    refused = klausel("assignments", "grant", "user:eve", "admin", "acme", "--on-behalf-of", "user:max")
    assert refused.exit_code == 1
    assert "user:max may not grant admin in acme to user:eve: no grant of the policies allows it" in refused.stderr
    people.write_text(f"{HEADER}user:eve,user,acme\nuser:max,admin,acme\n")
    imported = klausel("assignments", "import", people, "--on-behalf-of", "user:max")
    assert (imported.exit_code, "people.csv:3: error: user:max may not grant admin" in imported.stderr) == (1, True)
    assert klausel("assignments", "revoke", "user:ada", "admin", "acme", "--on-behalf-of", "user:max").exit_code == 1
    assert exported(klausel) == before
    people.write_text(f"{HEADER}user:eve,user,acme\n")
    assert klausel("assignments", "import", people, "--on-behalf-of", "user:max").stdout.startswith("1 added")
    assert klausel("assignments", "revoke", "user:eve", "user", "acme", "--on-behalf-of", "user:max").exit_code == 0
    assert "user:max" in klausel("audit", "show").stdout
    assert klausel("assignments", "grant", "user:eve", "user", "acme", "--on-behalf-of", "max").exit_code == 2
