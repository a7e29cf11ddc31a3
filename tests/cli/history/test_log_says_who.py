"""`klausel log` says who wrote a commit, who put it in, who stood by it and by which merge it came, and chooses by that."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from git_in_tests import FILES, Repository

from klausel.storage.git.objects import read_commit

NAME = "policies/features/letters.yaml"


@pytest.fixture
def told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Three commits: the policies, one by Bo with trailers on a branch, merged, and one by Cy."""
    made = Repository(tmp_path / "repo")
    made.commit(FILES, "First")
    made.git("checkout", "--quiet", "-b", "side")
    message = (
        "Burn\n\nWhy: no trailer\nreally\n\nReviewed-by: Dee <dee@example.com>\nCo-authored-by: Eve\n  <eve@example.com>"
    )
    made.replace(NAME, "to: read", "to: [read, burn]", message, author="Bo")
    made.git("checkout", "--quiet", "main")
    made.git("merge", "--quiet", "--no-ff", "-m", "Merge side", "side")
    made.replace(NAME, "[read, burn]", "[read, burn, write]", "Write", author="Cy")
    monkeypatch.chdir(made.folder)
    return made


def log(*arguments: object) -> list[dict[str, Any]]:
    result = run("log", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_commit_has_its_trailers_and_the_merge_that_brought_it(told_of: Repository) -> None:
    by_subject = {one["commit"]["subject"]: one for one in log()}
    burn = by_subject["Burn"]
    assert burn["commit"]["trailers"] == [
        {"key": "Reviewed-by", "value": "Dee <dee@example.com>"},
        {"key": "Co-authored-by", "value": "Eve <eve@example.com>"},
    ]
    assert (burn["commit"]["author"], burn["commit"]["committer"], burn["commit"]["signature"]) == ("Bo", "Bo", None)
    assert burn["merged_by"] == told_of.git("rev-parse", "HEAD~1")
    assert by_subject["First"]["merged_by"] is by_subject["Write"]["merged_by"] is None
    text = run("log").stdout
    assert "  Reviewed-by: Dee <dee@example.com>\n" in text
    assert f"  merged by {burn['merged_by'][:12]}\n" in text


@pytest.mark.usefixtures("told_of")
def test_commits_are_chosen_by_author_and_by_time() -> None:
    assert [one["commit"]["subject"] for one in log("--author", "BO@example")] == ["Burn"]
    assert [one["commit"]["subject"] for one in log("--since", "2026-01-05T07:03:00Z")] == ["Write"]
    assert [one["commit"]["subject"] for one in log("--until", "2026-01-05T07:02:00Z")] == ["First"]
    assert [one["commit"]["subject"] for one in log("-n", "1")] == ["Write"]
    assert "no commit changed anything" in run("log", "--author", "nobody").output


@pytest.mark.usefixtures("told_of")
def test_a_row_of_csv_and_of_html_has_all_about_a_change() -> None:
    rows = list(csv.DictReader(io.StringIO(run("log", "--format", "csv").stdout)))
    (burn,) = (row for row in rows if row["author"] == "Bo")
    assert (burn["kind"], burn["who"], burn["action"], burn["email"]) == ("gain", "clerk, boss", "burn", "bo@example.com")
    assert (burn["before"], burn["after"], burn["signature"]) == ("never", "always", "none")
    assert burn["trailers"].startswith("Reviewed-by: Dee")
    page = run("log", "--format", "html").stdout.replace("<wbr>", "")
    assert page.startswith("<!doctype html>")
    assert "Reviewed-by: Dee &lt;dee@example.com&gt;" in page
    day = f'<span class="day">{burn["date"].partition("T")[0]}</span>'
    # Bo committed it, too, and nobody signed it.
    assert f"<tr><td>{burn['commit'][:12]}</td><td>{day}</td><td>Bo</td><td>bo@example.com</td><td></td>" in page
    assert burn["commit"] not in page


@pytest.mark.parametrize(
    ("signature", "kind"),
    [("-----BEGIN SSH SIGNATURE-----", "ssh"), ("-----BEGIN PGP SIGNATURE-----", "openpgp"), ("something", "unknown")],
)
def test_a_signature_is_named_by_its_kind(signature: str, kind: str) -> None:
    head = f"tree 00\nauthor A <a@x> 1 +0000\ncommitter C <c@x> 2 +0000\ngpgsig {signature}\n abc\n\nSubject\n"
    commit = read_commit("id", head.encode())
    assert (commit.signature, commit.committer, commit.committer_email) == (kind, "C", "c@x")
    assert commit.trailers == ()
