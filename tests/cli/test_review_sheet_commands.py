"""`klausel review sheet`, `apply` and `verify`: a review ends in revoked role assignments and signed evidence."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import openpyxl
import pytest
from command_line import Klausel
from decision_logs import recorded_lines
from policy_sets import Asked

from klausel.core.records.review_sheet import COLUMNS, DECISIONS
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.service.pipeline import open_policy

Fill = Callable[[list[dict[str, str]]], None]
pytestmark = pytest.mark.usefixtures("demo_people")


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


def write_rows(path: Path, rows: list[dict[str, str]], delimiter: str = ",", encoding: str = "utf-8-sig") -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def sheet(klausel: Klausel, tmp_path: Path) -> Path:
    """A sheet of everybody in acme."""
    path = tmp_path / "review.csv"
    result = klausel("review", "sheet", path, "--in", "acme")
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def key(klausel: Klausel, tmp_path: Path) -> Path:
    assert klausel("audit", "key", tmp_path / "audit.key").exit_code == 0
    return tmp_path / "audit.key"


def held(klausel: Klausel) -> set[str]:
    return set(klausel("assignments", "export").stdout.splitlines()[1:])


def decide(path: Path, *of: tuple[str, str, str], decision: str = "revoke", reviewer: str = "Cara") -> None:
    """Writes a decision for each (person, role, place) into a sheet."""
    rows = rows_of(path)
    for row in rows:
        if (row["person"], row["role"], row["place"]) in of:
            row |= {"decision": decision, "reviewer": reviewer}
    write_rows(path, rows)


LEO = ("user:leo", "lead", "acme/support")
LEO_IN_SALES = ("user:leo", "agent", "acme/sales")


def test_a_sheet_has_a_row_for_each_role_assignment_in_scope(klausel: Klausel, sheet: Path, tmp_path: Path) -> None:
    assert (
        klausel("assignments", "grant", *LEO, "--until", "2999-01-01T00:00:00Z", "--by", "dan", "--ticket", "HR-1").exit_code
        == 0
    )
    assert klausel("review", "sheet", sheet, "--in", "acme").exit_code == 0
    rows = rows_of(sheet)
    assert tuple(rows[0]) == COLUMNS
    expected = {line for line in held(klausel) if line.split(",")[2].split("/")[0] == "acme"}
    assert {
        ",".join((row["person"], row["role"], row["place"], row["from"], row["until"].strip("'"))) for row in rows
    } == expected
    (leo,) = (row for row in rows if (row["person"], row["role"], row["place"]) == LEO)
    assert (leo["granted by"], leo["ticket"], leo["decision"]) == ("dan", "HR-1", "")
    assert leo["since"].startswith("'20")
    ada = next(row for row in rows if row["person"] == "user:ada")
    assert json.loads((tmp_path / "review.csv.facts.json").read_text())["in"] == "acme"
    assert ada["row"].endswith(f"-1/{len(rows)}")


def test_what_a_sheet_decides_is_revoked_in_one_signed_record(klausel: Klausel, sheet: Path, key: Path) -> None:
    before = held(klausel)
    decide(sheet, LEO, LEO_IN_SALES)
    decide(sheet, ("user:mia", "manager", "acme/support"), ("user:ada", "admin", "acme"), decision="Keep", reviewer="Dan")
    result = klausel("review", "apply", sheet, "--key", key, "--ticket", "AUD-7")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("2 revoked, ")
    assert "not decided: user:leo user in acme (line " in result.output
    assert {
        ",".join((*row, ",")) if any(line.count(",") == 4 for line in before) else ",".join(row)
        for row in (LEO, LEO_IN_SALES)
    } == (before - held(klausel))
    shown = [json.loads(line) for line in klausel("audit", "show", "--format", "json", "--limit", "2").stdout.splitlines()]
    assert {one["number"] for one in shown} == {shown[0]["number"]}
    assert (shown[0]["by"], shown[0]["ticket"], shown[0]["channel"]) in (
        ("Cara, Dan", "AUD-7", "cli"),
        ("Cara", "AUD-7", "cli"),
    )
    assert shown[0]["reason"].startswith("access review: sheet sha256:")
    evidence = sheet.with_name("review.csv.evidence.jsonl")
    lines = [json.loads(line) for line in evidence.read_text().splitlines()]
    assert (lines[0]["revoked"], lines[0]["undecided"]) == (2, len(rows_of(sheet)) - 2 - lines[0]["kept"])
    assert {(one["subject"], one["reviewer"]) for one in lines[1:-1] if one["decision"] == "revoke"} == {
        ("user:leo", "Cara")
    }
    verify = ("review", "verify", evidence, "--public-key", f"{key}.pub", "--sheet", sheet)
    assert klausel(*verify).exit_code == 0
    assert klausel("audit", "verify", "--checkpoints", _checkpoints(evidence), "--public-key", f"{key}.pub").exit_code == 0
    evidence.write_text(evidence.read_text().replace('"Cara"', '"Dora"', 1))
    refused = klausel(*verify)
    assert refused.exit_code == 1
    assert "a line was changed" in refused.output


def _checkpoints(evidence: Path) -> Path:
    """The last line of evidence, which is a checkpoint of the change log."""
    path = evidence.with_suffix(".checkpoints")
    path.write_text(evidence.read_text().splitlines()[-1] + "\n")
    return path


def test_a_review_that_keeps_everything_leaves_a_record_too(klausel: Klausel, sheet: Path, key: Path) -> None:
    before = held(klausel)
    decide(sheet, LEO, decision="keep")
    result = klausel("review", "apply", sheet, "--key", key)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("0 revoked, 1 kept")
    assert held(klausel) == before
    assert klausel("audit", "verify").exit_code == 0
    evidence = sheet.with_name("review.csv.evidence.jsonl")
    assert klausel("review", "verify", evidence, "--public-key", f"{key}.pub").exit_code == 0
    again = klausel("review", "apply", sheet, "--key", key)
    assert "evidence is never overwritten" in again.output


def test_every_broken_row_is_named_and_nothing_is_done(klausel: Klausel, sheet: Path, key: Path) -> None:
    before = held(klausel)
    rows = rows_of(sheet)
    rows[0] |= {"decision": "perhaps", "reviewer": "Cara"}
    rows[1] |= {"decision": "revoke"}
    rows[2] |= {"decision": "revoke", "reviewer": rows[2]["person"]}
    rows[3] |= {"person": "user:somebody"}
    rows[5] |= {"row": rows[4]["row"]}
    rows[6] |= {"decision": "revoke", "reviewer": "Cara"}
    write_rows(sheet, rows)
    result = klausel("review", "apply", sheet, "--key", key)
    assert result.exit_code == 1
    for line, words in (
        (2, '"perhaps" is no decision'),
        (3, "a decision needs its reviewer"),
        (4, "decides about a role of their own"),
        (5, "do not belong to its mark"),
        (7, "it is the row of line 6 again"),
    ):
        assert any(one.startswith(f"review.csv:{line}: error: ") and words in one for one in result.output.splitlines()), (
            words
        )
    assert "nothing was changed" in result.output
    assert held(klausel) == before
    assert not sheet.with_name("review.csv.evidence.jsonl").exists()


@pytest.mark.parametrize("change", ["revoked", "granted again", "other times"])
def test_a_role_assignment_that_changed_since_is_refused(klausel: Klausel, sheet: Path, key: Path, change: str) -> None:
    decide(sheet, LEO_IN_SALES)
    times = ("--until", "2999-01-01T00:00:00Z") if change == "other times" else ()
    if change != "other times":
        assert klausel("assignments", "revoke", *LEO).exit_code == 0
    if change != "revoked":
        assert klausel("assignments", "grant", *LEO, *times).exit_code == 0
    before = held(klausel)
    result = klausel("review", "apply", sheet, "--key", key)
    assert result.exit_code == 1
    words = "is no role assignment any more" if change == "revoked" else "was changed since the sheet was written"
    assert words in result.output
    assert held(klausel) == before


def test_what_the_rules_forbid_is_refused_whole(klausel: Klausel, sheet: Path, key: Path) -> None:
    before = held(klausel)
    decide(sheet, ("user:leo", "user", "acme"), LEO_IN_SALES)
    result = klausel("review", "apply", sheet, "--key", key)
    assert result.exit_code == 1
    assert "(requires-role-above)" in result.output or "requires" in result.output
    assert held(klausel) == before
    assert not sheet.with_name("review.csv.evidence.jsonl").exists()


def test_a_trial_tells_and_changes_nothing(klausel: Klausel, sheet: Path) -> None:
    before = held(klausel)
    decide(sheet, LEO)
    result = klausel("review", "apply", sheet, "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("1 revoked, 0 kept")
    assert "nothing was changed" in result.output
    assert held(klausel) == before


@pytest.mark.parametrize(("delimiter", "encoding"), [(";", "utf-8-sig"), ("\t", "utf-16"), (",", "utf-8")])
def test_csv_as_spreadsheet_programs_write_it_is_read(
    klausel: Klausel, sheet: Path, key: Path, delimiter: str, encoding: str
) -> None:
    decide(sheet, LEO)
    rows = rows_of(sheet)
    del rows[0]
    rows.reverse()
    write_rows(sheet, [{"my notes": "=1+1", **row, "findings": "", "since": "46000"} for row in rows], delimiter, encoding)
    result = klausel("review", "apply", sheet, "--key", key)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("1 revoked")
    assert "1 rows that are missing in the sheet, by their numbers 1" in result.output


def test_a_workbook_is_locked_but_for_what_reviewers_write_and_survives_a_round(
    klausel: Klausel, tmp_path: Path, key: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "klausel.db")) as connection, connection:
        for subject in ("user:=1+1", "user:007"):
            connection.execute("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', ?, 'user', 'acme')", (subject,))
    path = tmp_path / "review.xlsx"
    assert klausel("review", "sheet", path, "--in", "acme").exit_code == 0
    book = openpyxl.load_workbook(path)
    page = book["review"]
    assert page.protection.sheet
    assert page.freeze_panes == "D2", "who decides sees about whom, which role and where"
    for letter in "ABCF":
        longest = max(len(cell.value or "") for cell in page[letter])
        assert longest < page.column_dimensions[letter].width <= longest + 5, letter
    (validation,) = page.data_validations.dataValidation
    assert validation.formula1 == f'"{",".join(DECISIONS)}"'
    columns = {cell.value: cell.column for cell in page[1]}
    assert [
        page.cell(2, columns[name]).protection.locked for name in ("person", "decision", "reviewer", "comment", "row")
    ] == [
        True,
        False,
        False,
        False,
        True,
    ]
    assert {cell.data_type for row in page.iter_rows(values_only=False) for cell in row if cell.value is not None} == {"s"}
    for row in range(2, page.max_row + 1):
        if (
            page.cell(row, columns["person"]).value in ("user:=1+1", "user:leo")
            and page.cell(row, columns["role"]).value != "user"
        ):
            page.cell(row, columns["decision"]).value = "revoke"
            page.cell(row, columns["reviewer"]).value = 4711
    book.save(path)
    result = klausel("review", "apply", path, "--key", key)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("2 revoked")
    assert not any(line.startswith("user:leo,") and ",user," not in line for line in held(klausel))


def test_each_reviewer_gets_a_file_without_their_own_rows(klausel: Klausel, tmp_path: Path) -> None:
    pattern = tmp_path / "for-{reviewer}.csv"
    assert klausel("review", "sheet", pattern, "--in", "acme").exit_code == 2
    result = klausel("review", "sheet", pattern, "--in", "acme", "--reviewer-role", "admin")
    assert result.exit_code == 0, result.output
    files = {path.name: rows_of(path) for path in tmp_path.glob("for-*.csv")}
    assert set(files) == {"for-user_ada.csv", "for-nobody.csv"}
    assert {row["person"] for row in files["for-nobody.csv"]} == {"user:ada"}
    assert all(row["reviewer"] == "user:ada" != row["person"] for row in files["for-user_ada.csv"])


def test_a_sheet_says_when_each_role_was_last_of_use(klausel: Klausel, tmp_path: Path) -> None:
    loaded = open_policy(tmp_path / "policies", tmp_path / "model.conf")
    asked = Asked(
        loaded.compiled.policy, {"user:leo": [("user", "acme"), ("lead", "acme/support"), ("agent", "acme/sales")]}
    )
    properties = {"account": "acme", "workspace": "support", "status": "published"}
    request = Request(Subject("user", "leo", {}), Action("edit", {}), Resource("quiz", "q1", properties), {})
    (tmp_path / "decisions.jsonl").write_bytes(b"".join(recorded_lines(asked, [request])))
    path = tmp_path / "review.csv"
    result = klausel("review", "sheet", path, "--in", "acme", "--decisions", tmp_path / "decisions.jsonl")
    assert result.exit_code == 0, result.output
    used = {(row["person"], row["role"], row["place"]): row["last used"] for row in rows_of(path)}
    assert used[LEO].startswith("'20")
    assert used[LEO_IN_SALES] == "never in this log"


def test_findings_stand_beside_the_role_that_they_are_about(klausel: Klausel, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "klausel.db")) as connection, connection:
        connection.execute("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:una', 'retired', 'acme')")
    path = tmp_path / "review.csv"
    assert klausel("review", "sheet", path, "--role", "user").exit_code == 0
    assert {row["role"] for row in rows_of(path)} == {"user"}
    assert klausel("review", "sheet", path).exit_code == 0
    (una,) = (row for row in rows_of(path) if row["person"] == "user:una")
    assert "counts for nothing" in una["findings"]


def open_document() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        packed.writestr("content.xml", "<office:document-content/>")
    return content.getvalue()


def test_what_is_no_sheet_is_refused(klausel: Klausel, tmp_path: Path, key: Path) -> None:
    for content, words in (
        (b"PK\x03\x04 no zip", "cannot be read as a workbook"),
        (b"person,role\n", "look at: place"),
        (b"\xff person", "choose Unicode (UTF-8)"),
        (open_document(), "save it as Excel 2007-365 (.xlsx)"),
        (b"", "name each column once"),
    ):
        path = tmp_path / "sheet.csv"
        path.write_bytes(content)
        result = klausel("review", "apply", path, "--key", key)
        assert result.exit_code == 1
        assert words in result.output
    assert klausel("review", "apply", path).exit_code == 2
    assert klausel("review").exit_code == 2
    assert klausel("review", "--since", "HEAD", "sheet", path).exit_code == 2


def test_of_lines_that_are_no_records_ten_are_told_over_all_logs(klausel: Klausel, tmp_path: Path) -> None:
    logs = [tmp_path / f"{name}.jsonl" for name in ("one", "other")]
    for log in logs:
        log.write_text("no record\n" * 8)
    decisions = [word for log in logs for word in ("--decisions", log)]
    result = klausel("review", "sheet", tmp_path / "review.csv", "--in", "acme", *decisions)
    assert result.stderr.count("it is passed over") == 10
    assert "and 6 more lines that are no records" in result.stderr
