"""`klausel compile`: the Casbin rows that the files mean, each with its place, and as stock Casbin reads them."""

import csv
import json
from pathlib import Path

import casbin
import pytest
from command_line import Change, Klausel


def stock(policy: str, folder: Path) -> casbin.Enforcer:
    """Stock Casbin over a file of rows."""
    file = folder / "policy.csv"
    file.write_text(policy, encoding="utf-8")
    return casbin.Enforcer(str(folder / "model.conf"), str(file))


def test_text_has_the_place_before_each_row(klausel: Klausel) -> None:
    result = klausel("compile")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "policies/features/account.yaml:12:5: p, account_manager, *, account, view_settings, True, allow"
    assert any(line.startswith("policies/roles.yaml:") and line.endswith(": g, reviewer, agent, *") for line in lines)


def test_json_holds_the_same_rows_as_text(klausel: Klausel) -> None:
    rows = json.loads(klausel("compile", "--format", "json").stdout)["rows"]
    as_text = [f"{row['source']}: {', '.join([row['type'], *row['fields']])}" for row in rows]
    assert as_text == klausel("compile").stdout.splitlines()


def test_csv_loads_in_stock_casbin_with_the_model_field_by_field(klausel: Klausel, tmp_path: Path) -> None:
    rows = json.loads(klausel("compile", "--format", "json").stdout)["rows"]
    enforcer = stock(klausel("compile", "--format", "csv").stdout, tmp_path)
    assert enforcer.get_policy() == [row["fields"] for row in rows if row["type"] == "p"]
    assert enforcer.get_grouping_policy() == [row["fields"] for row in rows if row["type"] == "g"]


@pytest.mark.parametrize("text", ["a,b", "a)", "(a", "[", "]", '"', "#", "p, x, *", " a ", "ä,é", "\\", "&& !", "a'b"])
def test_texts_in_conditions_come_through_stock_casbin_whatever_they_hold(
    klausel: Klausel, tmp_path: Path, text: str
) -> None:
    grant = {"allow": "lead", "to": "take", "resource": "quiz", "when": f"resource.title == {json.dumps(text)}"}
    if text == "a'b":
        grant["when"] = 'resource.title == "a\'b"'
    (tmp_path / "policies/features/more.yaml").write_text(json.dumps({"grants": [grant]}), encoding="utf-8")
    result = klausel("compile", "--format", "json")
    assert result.exit_code == 0, result.stderr
    wanted = [
        row["fields"] for row in json.loads(result.stdout)["rows"] if row["source"].startswith("policies/features/more")
    ]
    enforcer = stock(klausel("compile", "--format", "csv").stdout, tmp_path)
    assert wanted and [row for row in enforcer.get_policy() if row in wanted] == wanted


@pytest.mark.parametrize("domain", ["acme)", "[acme]"])
def test_a_domain_that_casbin_cannot_read_from_a_file_is_refused_by_name_and_place(
    klausel: Klausel, tmp_path: Path, domain: str
) -> None:
    grant = {"allow": "lead", "to": "take", "resource": "quiz", "in": domain}
    (tmp_path / "policies/features/more.yaml").write_text(json.dumps({"grants": [grant]}))
    result = klausel("compile", "--format", "csv")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f'policies/features/more.yaml:1:13: Casbin cannot read the domain "{domain}" from a file' in result.stderr
    assert "use --format json" in result.stderr
    assert klausel("compile").exit_code == klausel("compile", "--format", "json").exit_code == 0


def test_the_rows_of_a_csv_file_keep_their_own_lines(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "policies/features/more.csv").write_text("# a remark\np, lead, acme, quiz, delete, true, deny\n")
    (line,) = [one for one in klausel("compile").stdout.splitlines() if "more.csv" in one]
    assert line == "policies/features/more.csv:2:1: p, lead, acme, quiz, delete, True, deny"
    assert next(csv.reader([line.split(": ")[1]], skipinitialspace=True))[1] == "lead"


def test_a_broken_set_gives_no_rows_but_its_problems(klausel: Klausel, change: Change) -> None:
    change("policies/features/quizzes.yaml", "to: take", "to: tke")
    for form in ("text", "csv", "json"):
        result = klausel("compile", "--format", form)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("policies/features/quizzes.yaml:16:9: error: unknown action")
        assert result.stderr.endswith("the policies in policies have problems; fix them first\n")
