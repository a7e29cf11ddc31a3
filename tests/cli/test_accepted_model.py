"""A model with a matcher of its own is taken only by its digest, and every analysis says first that it does not speak for it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import ROOT, run
from git_in_tests import Repository
from test_formats_of_commands import FORMATS

from klausel.app import create_app
from klausel.settings import Settings

OTHER = 'm = r.sub.id == "mallory" && p.eft == "allow" || '
NOTE = "NOT FOR THIS MODEL"
ASKED = {
    "subject": {"type": "user", "id": "mallory"},
    "action": {"name": "delete"},
    "resource": {
        "type": "document",
        "id": "d1",
        "properties": {"organization": "acme", "project": "website", "locked": False},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A policy set whose model lets one person do anything."""
    shutil.rmtree(tmp_path / "policies")
    shutil.copytree(ROOT / "server/klausel/starter/policies", tmp_path / "policies")
    text = (ROOT / "model.conf").read_text()
    (tmp_path / "model.conf").write_text(text.replace("\nm = ", f"\n{OTHER}"))
    return tmp_path


def digest(folder: Path) -> str:
    return f"sha256:{hashlib.sha256((folder / 'model.conf').read_bytes()).hexdigest()}"


def test_it_is_refused_without_its_digest_and_the_refusal_names_it(folder: Path) -> None:
    for accepted in ((), ("--accept-model", f"sha256:{0:064}")):
        result = run("check", "policies", *accepted)
        assert result.exit_code == 1
        assert f"--accept-model {digest(folder)}" in result.stdout


@pytest.mark.parametrize(
    "given", ["abc", "", "sha256:", "sha256:0000", f"{0:064}", f"sha1:{0:064}", f"sha256:{'A' * 64}", f" sha256:{0:064}"]
)
@pytest.mark.parametrize("command", [("check", "policies"), ("serve",)], ids=" ".join)
def test_what_is_no_digest_is_wrong_usage(folder: Path, command: tuple[str, ...], given: str) -> None:
    result = run(*command, "--accept-model", given)
    assert result.exit_code == 2
    assert "--accept-model" in result.stderr and f"{given!r} is no digest" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "command",
    [
        ("check", "policies"),
        ("prove",),
        ("matrix",),
        ("matrix", "--format", "csv"),
        ("who-can", "edit", "document"),
        ("mutate",),
    ],
    ids=" ".join,
)
def test_every_analysis_says_in_its_first_line_that_it_does_not_speak_for_it(folder: Path, command: tuple[str, ...]) -> None:
    result = run(*command, "--accept-model", digest(folder))
    # CSV is rows alone, for programs.
    told = result.stderr if "csv" in command else result.stdout
    assert NOTE in told.splitlines()[0]


def test_what_one_person_can_do_says_so_too(folder: Path) -> None:
    (folder / "people.csv").write_text("subject,role,domain\nuser:olga,owner,acme\n")
    accepted = ("--accept-model", digest(folder), "--database", "sqlite:///k.db")
    assert run("assignments", "import", "people.csv", *accepted).exit_code == 0
    result = run("what-can", "user:olga", "--in", "acme", *accepted)
    assert NOTE in result.stdout.splitlines()[0]


@pytest.mark.parametrize("command", [("check", "policies"), ("prove",), ("mutate",)], ids=" ".join)
def test_json_names_the_model_that_it_does_not_speak_for(folder: Path, command: tuple[str, ...]) -> None:
    result = run(*command, "--format", "json", "--accept-model", digest(folder))
    assert json.loads(result.stdout)["not_for_model"] == digest(folder)


ANALYSES = ("check", "prove", "mutate --processes 1", "matrix", "who-can edit document", "picture")


@pytest.mark.parametrize(("command", "format_"), [(one, format_) for one in ANALYSES for format_ in FORMATS[one.split()[0]]])
def test_no_format_of_an_analysis_leaves_out_that_it_does_not_speak_for_it(folder: Path, command: str, format_: str) -> None:
    result = run(*command.split(), "--format", format_, "--accept-model", digest(folder))
    assert digest(folder) in result.output, (
        f"{command} --format {format_} does not say that it speaks for another model: call say_other_model first in its writer, "
        "or add with_other_model to an object"
    )


def test_what_looks_back_says_so_too(folder: Path) -> None:
    (folder / "decisions.jsonl").write_text("", encoding="utf-8")
    git = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@acme.example"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "Policies"]):
        subprocess.run([*git, *arguments], check=True, cwd=folder)
    accepted = ("--accept-model", digest(folder))
    for command in (
        ("replay", "decisions.jsonl", *accepted),
        ("unused", "decisions.jsonl", *accepted),
        ("blame", "document", "edit"),
        ("blame", "document", "edit", "--at", "HEAD"),
    ):
        result = run(*command)
        assert NOTE in result.stdout.splitlines()[0], result.output
        assert json.loads(run(*command, "--format", "json").stdout)["not_for_model"] == digest(folder)


def test_processes_that_help_take_the_model_that_was_accepted(folder: Path) -> None:
    (folder / "decisions.jsonl").write_text("", encoding="utf-8")
    for command in ("replay", "unused"):
        result = run(command, "decisions.jsonl", "--processes", "2", "--accept-model", digest(folder))
        assert result.exit_code == 0, result.output


def test_a_changed_matcher_may_be_anything_and_fails_a_comparison(folder: Path) -> None:
    other = (folder / "model.conf").read_text()
    Repository(folder).commit({"model.conf": (ROOT / "model.conf").read_text()})
    assert run("diff", "--fail-on", "any").exit_code == 0
    (folder / "model.conf").write_text(other)
    result = run("diff", "--fail-on", "less", "--accept-model", digest(folder))
    assert result.exit_code == 1
    assert result.stdout.startswith("MAY BE ANYTHING")
    as_json = json.loads(run("diff", "--format", "json", "--accept-model", digest(folder)).stdout)
    assert (as_json["verdict"], as_json["not_for_model"]) == ("unknown", [None, digest(folder)])


def test_the_service_decides_by_it_names_it_and_gives_no_filter(folder: Path) -> None:
    settings = Settings(database="sqlite:///k.db", accept_model=(digest(folder),))
    client = create_app(settings).test_client()
    assert client.post("/access/v1/evaluation", json=ASKED).get_json()["decision"] is True
    assert client.get("/v1/policy").get_json()["not_for_model"] == digest(folder)
    assert client.post("/v1/explain", json=ASKED).get_json()["not_for_model"] == digest(folder)
    assert client.post("/v1/filter", json=ASKED).status_code == 501


def test_the_model_is_part_of_the_meaning(folder: Path) -> None:
    accepted = Settings(database="sqlite:///k.db", accept_model=(digest(folder),))
    with_other = create_app(accepted).test_client().get("/v1/policy").get_json()["meaning_digest"]
    (folder / "model.conf").write_text((ROOT / "model.conf").read_text())
    assert create_app(accepted).test_client().get("/v1/policy").get_json()["meaning_digest"] != with_other
