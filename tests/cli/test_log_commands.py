"""`klausel replay` and `klausel unused` on logs of the shipped policies."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from decision_logs import recorded_lines
from policy_sets import ROOT, Asked

from klausel.cli.main import main
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.service.pipeline import open_policy

PEOPLE = {
    "user:leo": [("user", "acme"), ("lead", "acme/support")],
    "user:ann": [("user", "acme"), ("agent", "acme/support")],
    "user:ada": [("admin", "acme")],
}


@pytest.fixture(autouse=True)
def own_folder() -> None:
    """These tests bring policies of their own."""


def asking(person: str, action: str, type_: str, **properties: object) -> Request:
    where = {"account": "acme", "workspace": "support"}
    return Request(Subject("user", person), Action(action), Resource(type_, "x1", {**where, **properties}))


QUESTIONS = [
    *[asking("leo", "edit", "quiz", status="published")] * 3,
    asking("leo", "delete", "quiz", status="published"),
    asking("ann", "edit", "quiz", status="published"),
    asking("ada", "edit", "quiz", status="published"),
]


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", folder, ignore=shutil.ignore_patterns("tests"))
    shutil.copy(ROOT / "model.conf", tmp_path)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def log(policies: Path) -> Path:
    file = policies.parent / "decisions.jsonl"
    policy = open_policy(policies, policies.parent / "model.conf").compiled.policy
    file.write_bytes(b"".join(recorded_lines(Asked(policy, PEOPLE), QUESTIONS, ["/context/*"])))
    return file


def klausel(*arguments: object, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


@pytest.fixture
def without_leads(policies: Path) -> Iterator[None]:
    """Takes the grant away by which leads edit what is published, and says nothing else."""
    file = policies / "features" / "quizzes.yaml"
    text = file.read_text(encoding="utf-8")
    start = text.index("  - allow: lead\n    to: edit\n")
    end = text.index("  - allow:", start + 1)
    file.write_text(text[:start] + text[end:], encoding="utf-8")
    yield


def test_under_the_same_policies_nothing_flips(log: Path) -> None:
    done = klausel("replay", log, "--fail-on", "any")
    assert done.exit_code == 0
    assert "6 decisions replayed" in done.stdout
    assert "6 as before, 0 allowed now, 0 denied now, 0 not known" in done.stdout


def test_flips_are_grouped_by_the_grant_that_is_gone_with_examples(log: Path, without_leads: None) -> None:
    done = klausel("replay", log, "--format", "json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert (found["replayed"], found["same"], found["allowed_now"]) == (6, 6 - found["denied_now"], 0)
    flip = found["flips"][0]
    assert flip["count"] >= 3
    assert flip["before"]["grant"]["text"] == "allow lead to edit quiz when is_published"
    assert flip["after"] == {"decision": False, "grant": None, "judged": True}
    assert flip["cause"].endswith("which is gone")
    assert flip["examples"][0]["place"].endswith("decisions.jsonl:1")
    assert flip["examples"][0]["question"] == "user:leo edit quiz:x1 in acme/support"


@pytest.mark.parametrize(("kinds", "code"), [("less", 1), ("any", 1), ("more", 0)])
def test_the_exit_code_says_whether_something_flipped_that_must_not(
    log: Path, without_leads: None, kinds: str, code: int
) -> None:
    assert klausel("replay", log, "--fail-on", kinds).exit_code == code


def test_compressed_files_standard_input_and_several_processes_give_the_same(log: Path, without_leads: None) -> None:
    packed = log.with_name("packed.jsonl.gz")
    packed.write_bytes(gzip.compress(log.read_bytes()))
    wanted = klausel("replay", log, "--format", "json").stdout
    one = klausel("replay", packed, "--format", "json", "--processes", 2)
    other = klausel("replay", "-", "--format", "json", "--processes", 1, stdin=log.read_bytes())
    for done in (one, other):
        found, expected = json.loads(done.stdout), json.loads(wanted)
        for flip in (*found["flips"], *expected["flips"]):
            del flip["examples"]
        assert found == expected


def test_lines_that_are_no_records_are_named_and_passed_over(log: Path) -> None:
    log.write_bytes(b"no json\n" + log.read_bytes() + b'{"time": "half')
    done = klausel("replay", log)
    assert done.exit_code == 0
    assert f"{log}:1: error: the line is not JSON" in done.stderr
    assert f"{log}:8: error:" in done.stderr
    assert "6 decisions replayed" in done.stdout


def test_a_missing_file_is_said_in_one_line(policies: Path) -> None:
    done = klausel("replay", "missing.jsonl")
    assert (done.exit_code, done.stderr) == (1, "klausel: missing.jsonl cannot be read: no such file or directory\n")


def test_without_a_log_the_usage_is_wrong(policies: Path) -> None:
    assert klausel("replay").exit_code == klausel("unused").exit_code == 2


def test_dropped_decisions_are_told(log: Path) -> None:
    log.write_bytes(log.read_bytes() + b'{"time":"2026-03-01T00:00:00.000000Z","dropped":42}\n')
    assert "42 more decisions were not recorded" in klausel("replay", log).stdout
    assert "42 decisions were not recorded" in klausel("unused", log).stderr


def test_what_decided_is_used_and_everything_else_is_listed(log: Path, policies: Path) -> None:
    found = json.loads(klausel("unused", log, "--format", "json").stdout)
    policy = open_policy(policies, policies.parent / "model.conf").compiled.policy
    texts = {grant["text"] for grant in found["unused_grants"]}
    assert "allow lead to edit quiz when is_published" not in texts
    assert len(texts) == len({str(grant) for grant in policy.grants}) - len(
        [n for n in found["uses_of_grants"].values() if n]
    )
    assert found["uses_of_roles"]["lead"]["assigned"] == 3
    assert {"admin", "lead"}.isdisjoint(found["unused_roles"])
    assert "agent" in found["unused_roles"]
    assert {"resource_type": "quiz", "action": "edit"} not in found["actions_never_asked"]
    assert {"resource_type": "quiz", "action": "create"} in found["actions_never_asked"]
    assert any("days" in warning for warning in found["warnings"])


def test_a_grant_that_moved_or_is_written_in_another_order_is_still_used(log: Path, policies: Path) -> None:
    before = json.loads(klausel("unused", log, "--format", "json").stdout)
    file = policies / "features" / "quizzes.yaml"
    file.write_text("# one more line\n\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    after = json.loads(klausel("unused", log, "--format", "json").stdout)
    assert [one["id"] for one in after["unused_grants"]] == [one["id"] for one in before["unused_grants"]]
    assert after["grants_gone"] == []


def test_only_the_period_counts_and_explanations_do_not(log: Path) -> None:
    assert "0 decisions" in klausel("unused", log, "--until", "2020-01-01").stdout
    assert "0 decisions" in klausel("unused", log, "--since", "2999-01-01T00:00:00+02:00").stdout
    assert "6 decisions" in klausel("unused", log, "--since", "2020-01-01", "--until", "2999-01-01").stdout
    log.write_bytes(log.read_bytes().replace(b'"route":"evaluation"', b'"route":"explain"'))
    assert "0 decisions" in klausel("unused", log).stdout


def test_as_csv_there_is_a_row_for_each_finding(log: Path) -> None:
    done = klausel("unused", log, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["kind"] for row in rows} >= {"unused grant", "unused role", "action never asked"}
    assert all(":" in row["source"] for row in rows)


def test_a_wrong_time_is_wrong_usage(log: Path) -> None:
    done = klausel("unused", log, "--since", "yesterday")
    assert done.exit_code == 2
    assert "2026-03-01" in done.stderr
