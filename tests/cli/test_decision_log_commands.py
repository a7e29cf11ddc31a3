"""`klausel decisions`, and `klausel explain --record`, on logs of the shipped policies in a repository."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import ROOT, run
from decision_logs import KeptLines, head_of, line_of
from git_in_tests import Repository
from policy_sets import Asked

from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.service.pipeline import LoadedPolicy, open_policy
from klausel.storage.decision_log.queue import DecisionLog
from klausel.storage.decision_log.sinks import open_sink

PEOPLE = {
    "user:leo": [("user", "acme"), ("lead", "acme/support")],
    "user:ann": [("user", "acme"), ("agent", "acme/support")],
}


def asking(person: str, action: str, id_: str = "q1") -> Request:
    properties = {"account": "acme", "workspace": "support", "status": "published"}
    return Request(Subject("user", person), Action(action), Resource("quiz", id_, properties))


QUESTIONS = [asking("leo", "edit"), asking("leo", "delete"), asking("ann", "edit", "q2"), asking("ann", "take")]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(tmp_path / "desk")
    shutil.copytree(ROOT / "policies", made.folder / "policies", ignore=shutil.ignore_patterns("tests"))
    shutil.copy(ROOT / "model.conf", made.folder)
    commit(made, "policies of then")
    monkeypatch.chdir(made.folder)
    return made


def commit(repository: Repository, message: str) -> None:
    repository.git("add", "policies", "model.conf")
    repository.git("commit", "--quiet", "-m", message)


@pytest.fixture
def log(repository: Repository) -> Path:
    return write_log(repository.folder / "decisions.jsonl")


def write_log(file: Path, max_bytes: int = 1_000_000) -> Path:
    loaded = open_policy(Path("policies"), Path("model.conf"))
    sink = open_sink(str(file), "", max_bytes, 0)
    for number, question in enumerate(QUESTIONS):
        sink.write([line_by(loaded, question, f"r{number}")])
    sink.close()
    return file


def line_by(loaded: LoadedPolicy, question: Request, request_id: str) -> bytes:
    log = DecisionLog(KeptLines(), strict=True)
    assert loaded.commit is not None
    version = {"digest": loaded.files_digest, "commit": loaded.commit.id, "dirty": False}
    head = head_of(log, request_id=request_id, policy=version, id=f"id-of-{request_id}")
    return line_of(log, Asked(loaded.compiled.policy, PEOPLE), question, head)


def change_the_policies(repository: Repository) -> None:
    file = repository.folder / "policies" / "features" / "quizzes.yaml"
    file.write_text(file.read_text().replace("allow: lead", "allow: account_manager"))
    commit(repository, "leads edit no more")


def test_a_whole_log_verifies_and_a_changed_one_does_not(log: Path) -> None:
    done = run("decisions", "verify", log)
    assert (done.exit_code, done.stdout.split(";")[0]) == (0, "4 records, 1 file, 0 checkpoints: the log is whole")
    log.write_bytes(log.read_bytes().replace(b'"id":"q2"', b'"id":"q3"'))
    done = run("decisions", "verify", log)
    assert done.exit_code == 1
    assert f"{log}:3: edited: record 3 is not as it was written" in done.stderr
    assert json.loads(run("decisions", "verify", log, "--format", "json").stdout)["faults"][0]["kind"] == "edited"


def test_a_missing_file_is_found_and_may_be_expected(repository: Repository) -> None:
    log = write_log(repository.folder / "many.jsonl", 100)
    files = sorted(repository.folder.glob("many.jsonl*"))
    assert run("decisions", "verify", *files).exit_code == 0
    done = run("decisions", "verify", files[0], files[1], files[3])
    assert (done.exit_code, "record 2 is between it and" in done.stderr) == (1, True)
    assert "it begins with record 4" in run("decisions", "verify", log).stderr
    assert run("decisions", "verify", log, "--begins-later").exit_code == 0


def test_a_checkpoint_finds_an_end_that_was_cut_off(log: Path) -> None:
    assert run("audit", "key", "audit.key").exit_code == 0
    signed = run("decisions", "checkpoint", "signed", log, "--key", "audit.key")
    assert signed.stdout == "record 4 is signed in signed\n"
    checked = ("decisions", "verify", log, "--checkpoints", "signed", "--public-key", "audit.key.pub")
    assert run(*checked).exit_code == 0
    log.write_bytes(b"".join(log.read_bytes().splitlines(True)[:3]))
    assert run("decisions", "verify", log).exit_code == 0
    done = run(*checked)
    assert (done.exit_code, "record 4: checkpoint: a checkpoint signed it" in done.stderr) == (1, True)
    refused = run("decisions", "checkpoint", "signed", log, "--key", "audit.key")
    assert "the log is not whole, so nothing was signed" in refused.stderr


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ([], [1, 2, 3, 4]),
        (["--person", "user:leo"], [1, 2]),
        (["--person", "user:le"], []),
        (["--action", "edit"], [1, 3]),
        (["--resource", "quiz"], [1, 2, 3, 4]),
        (["--resource", "quiz:q2"], [3]),
        (["--outcome", "deny"], [2, 3]),
        (["--request-id", "r3"], [4]),
        (["--record-id", "id-of-r1"], [2]),
        (["--until", "2020-01-01"], []),
        (["--since", "2020-01-01", "--limit", "1"], [1]),
        (["--person", "user:ann", "--outcome", "allow"], [4]),
    ],
)
def test_records_are_found_by_every_option(log: Path, options: list[str], lines: list[int]) -> None:
    done = run("decisions", "find", log, *options)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [f"{log}:{line}" for line in lines]


def test_a_record_is_explained_by_the_policies_and_the_roles_of_then(log: Path, repository: Repository) -> None:
    change_the_policies(repository)
    place = run("decisions", "find", log, "--request-id", "r0").stdout.split()[0]
    done = run("explain", "--record", place)
    assert done.exit_code == 0
    assert "allow lead to edit quiz when is_published" in done.stdout
    assert "role: user:leo is lead in acme/support" in done.stdout
    assert run("explain", "--record", log.read_text().splitlines()[1]).exit_code == 3


def test_a_clone_without_the_commit_of_a_record_says_how_to_get_it(
    log: Path, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_the_policies(repository)
    line = log.read_text().splitlines()[0]
    repository.git("clone", "--quiet", "--depth", "1", repository.folder.as_uri(), str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")
    refused = run("explain", "--record", line)
    assert refused.exit_code == 1
    assert "; this clone begins later; git fetch --unshallow brings the rest\n" in refused.stderr


def test_a_record_is_not_explained_by_other_policies_unless_asked(log: Path, repository: Repository) -> None:
    change_the_policies(repository)
    line = log.read_text().splitlines()[0]
    without_commit = json.loads(line)
    del without_commit["policy"]["commit"]
    without_commit["policy"]["digest"] = "sha256:0"
    refused = run("explain", "--record", json.dumps(without_commit))
    assert refused.exit_code == 1
    assert "are neither those here nor of a commit before them; name another branch with --at" in refused.stderr
    other = run("explain", "--record", line, "--at", "HEAD")
    assert other.exit_code == 3
    assert "are not those that decided then" in other.stderr
    assert "it was allowed then; this explanation is of another decision" in other.stderr


def test_the_policies_of_then_are_found_by_their_digest_where_the_record_names_no_commit(
    log: Path, repository: Repository
) -> None:
    then = repository.git("rev-parse", "HEAD")[:12]
    change_the_policies(repository)
    repository.git("mv", "policies", "rules")
    repository.commit({}, "Moved")
    without_commit = json.loads(log.read_text().splitlines()[0])
    del without_commit["policy"]["commit"]
    done = run("explain", "--record", json.dumps(without_commit), "--policies", "rules")
    assert (done.exit_code, f"policies as of commit {then}, whose files are those of the record" in done.stderr) == (0, True)
    assert "allow lead to edit quiz when is_published" in done.stdout


@pytest.mark.parametrize("record", ["decisions.jsonl:99", "nowhere:1", "decisions.jsonl", "{}", '{"dropped": 3}'])
def test_what_is_no_record_is_refused_in_a_sentence(log: Path, record: str) -> None:
    done = run("explain", "--record", record)
    assert done.exit_code in (1, 2)
    assert not done.stdout


def test_a_decision_of_a_batch_that_shares_its_line_is_found_and_explained(log: Path) -> None:
    with_roles = dict(json.loads(log.read_text().splitlines()[0]))
    parts = {name: with_roles.pop(name) for name in ("subject", "action", "decision", "grant")}
    with_roles["shared"] = [parts["subject"]]
    others = {name: parts[name] for name in ("action", "decision", "grant")}
    with_roles["decisions"] = [{**others, "index": at, "shared": {"subject": 0}} for at in range(2)]
    del with_roles["number"], with_roles["sealed"]
    log.write_text(json.dumps(with_roles, separators=(",", ":")) + "\n")
    found = run("decisions", "find", log, "--person", "user:leo", "--format", "json").stdout.splitlines()
    assert [json.loads(line)["index"] for line in found] == [0, 1]
    assert "role: user:leo is lead in acme/support" in run("explain", "--record", found[1]).stdout
    assert [json.loads(line)["place"] for line in found] == [f"{log}:1:1", f"{log}:1:2"]
    assert "role: user:leo is lead in acme/support" in run("explain", "--record", f"{log}:1:2").stdout
    assert f"name one as {log}:1:1 to {log}:1:2" in run("explain", "--record", f"{log}:1").stderr
    assert "holds 2 decisions; name one of them by its number" in run("explain", "--record", f"{log}:1:3").stderr


def test_a_record_takes_the_place_of_the_question(log: Path) -> None:
    assert "leave out SUBJECT" in run("explain", "--record", f"{log}:1", "--in", "acme").stderr


def test_replay_keeps_to_a_period(log: Path) -> None:
    assert run("replay", log, "--until", "2020-01-01").stdout.startswith("0 decisions replayed")
    assert run("replay", log, "--since", "2020-01-01").stdout.startswith("4 decisions replayed")
