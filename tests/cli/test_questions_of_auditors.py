"""Each of the fourteen questions in docs/audit.md is answered by its one command, on a history of git, database and log."""

from __future__ import annotations

import re
import shlex
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import ROOT, run
from decision_logs import KeptLines, head_of, line_of
from git_in_tests import Repository
from policy_sets import Asked

from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.service.pipeline import open_policy
from klausel.storage.decision_log.queue import DecisionLog

ANSWERS = {
    1: ["user:leo"],
    2: ["user:leo"],
    3: ["quiz", "edit"],
    4: ["granted user:leo lead in acme/support", 'by "cara"', 'ticket "HR-12"'],
    5: ["Reviewers edit", "Reviewed-by: Eve", "reviewer"],
    6: ["Leads may", "is demanded no more"],
    7: ["ALLOW  user:leo edit quiz", "role: user:leo is lead in acme/support"],
    8: ["ALLOW  user:leo edit quiz:q1 in acme/support"],
    9: ["nothing was decided about user:ann in 90 days", "unused-permissions  user:leo"],
    10: ["user:ada holds both user and reviewer"],
    11: ["ending  user:ann agent in acme/support"],
    12: ["privileged  user:ada is admin in acme", "\n1 finding: 1 privileged"],
    13: ["the log is whole"],
    14: ["1 kept", "signed in review.csv.evidence.jsonl"],
}


def commands() -> dict[int, str]:
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    return {int(number): line for number, line in re.findall(r"^\| (\d+) \| [^|]+ \| `klausel ([^`]+)` \|$", text, re.M)}


def commit(repository: Repository, message: str) -> None:
    repository.git("add", "policies", "model.conf")
    repository.git("commit", "--quiet", "-m", message)


def replace(file: str, old: str, new: str) -> None:
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new, 1))


def record_a_decision() -> None:
    loaded = open_policy(Path("policies"), Path("model.conf"))
    log = DecisionLog(KeptLines(), strict=True)
    assert loaded.commit is not None
    version = {"digest": loaded.files_digest, "commit": loaded.commit.id, "dirty": False}
    head = head_of(log, policy=version)
    properties = {"account": "acme", "workspace": "support", "status": "published"}
    request = Request(Subject("user", "leo"), Action("edit"), Resource("quiz", "q1", properties))
    asked = Asked(loaded.compiled.policy, {"user:leo": [("user", "acme"), ("lead", "acme/support")]})
    Path("decisions.jsonl").write_bytes(line_of(log, asked, request, head))


def test_each_question_is_answered_by_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Repository(tmp_path / "desk")
    shutil.copytree(ROOT / "policies", made.folder / "policies", ignore=shutil.ignore_patterns("tests"))
    shutil.copy(ROOT / "model.conf", made.folder)
    monkeypatch.chdir(made.folder)
    monkeypatch.setenv("KLAUSEL_DATABASE", f"sqlite:///{tmp_path}/people.db")
    commit(made, "Policies of January")
    ends = (datetime.now(UTC) + timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = ["user:ada,admin,acme,", "user:leo,user,acme,", "user:leo,lead,acme/support,", "user:ann,user,acme,"]
    header = "subject,role,domain,from,until"
    Path("people.csv").write_text(
        "\n".join([header, *(f"{row}," for row in rows), f"user:ann,agent,acme/support,,{ends}", ""])
    )
    done = run("assignments", "import", "people.csv", "--by", "cara", "--ticket", "HR-12")
    assert done.exit_code == 0, done.stderr
    record_a_decision()
    replace("policies/features/quizzes.yaml", "  - allow: lead\n    to: edit", "  - allow: reviewer\n    to: edit")
    commit(made, "Reviewers edit\n\nReviewed-by: Eve <eve@example.com>")
    rule = Path("policies/invariants.yaml").read_text()
    start = rule.index("  - name: Leads never edit settings")
    Path("policies/invariants.yaml").write_text(rule[:start] + rule[rule.index("  - name: Admins always") :])
    commit(made, "Leads may")
    with Path("policies/invariants.yaml").open("a") as file:
        file.write("\n  - separate: [user, reviewer]\n")
    replace("policies/roles.yaml", "    keep_one: true", "    keep_one: true\n    privileged: true")
    commit(made, "What is kept apart and privileged")
    assert run("audit", "key", "audit.key").exit_code == 0
    assert run("audit", "checkpoint", "signed.jsonl", "--key", "audit.key").exit_code == 0
    assert run("review", "sheet", "review.csv", "--in", "acme").exit_code == 0
    sheet = Path("review.csv").read_text()
    filled = re.sub(r"^(user:leo,lead,.*),,,,(\S+)$", r"\1,keep,Cara,needed,\2", sheet, flags=re.M)
    assert filled != sheet
    Path("review.csv").write_text(filled)
    now = datetime.now(UTC)
    moments = {"DATE": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "SINCE": (now - timedelta(days=90)).strftime("%Y-%m-%d")}
    asked = commands()
    assert asked.keys() == ANSWERS.keys()
    for number, line in asked.items():
        done = run(*(moments.get(word, word) for word in shlex.split(line)))
        missing = [text for text in ANSWERS[number] if text not in done.stdout]
        assert not missing, (line, missing, done.stdout, done.stderr)
        assert done.exit_code == (1 if number == 10 else 0)
