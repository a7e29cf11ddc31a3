"""`klausel entities`: JSON lines in and out unchanged, whole or nothing, one by one, and in the change log."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import on_a_terminal, run
from sqlalchemy import text
from stored_entities import write_policies

from klausel.storage.schema import open_database

TODO = {"kind": "resource", "type": "todo", "id": "7", "domain": "acme/red", "properties": {"owner": "\u202eann", "size": 1}}
ANN = {"kind": "subject", "type": "user", "id": "ann", "properties": {"email": "ann@x"}}


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    named = write_policies(tmp_path / "todos")
    return ["--policies", named["policies"], "--model", named["model"], "--database", f"sqlite:///{tmp_path}/some.db"]


def lines(*entities: object) -> str:
    return "".join(json.dumps(entity) + "\n" for entity in entities)


def test_what_is_imported_is_exported_unchanged(tmp_path: Path, options: list[str]) -> None:
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    file.write_text(lines(TODO, ANN))
    assert "2 stored, 0 there already" in run("entities", "import", file, *options).output
    assert "0 stored, 2 there already" in run("entities", "import", file, *options).output
    assert run("entities", "export", out, *options[4:]).exit_code == 0
    assert out.read_text() == run("entities", "export", *options[4:]).output == lines(TODO, ANN)
    assert run("audit", "verify", *options[4:]).exit_code == 0


def test_on_a_terminal_a_bar_shows_how_far_it_is(tmp_path: Path, options: list[str]) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(lines(TODO, ANN))
    assert "/2.00 [" in on_a_terminal("entities", "import", str(file), *options)
    assert "/2.00 [" in on_a_terminal("entities", "export", str(tmp_path / "out.jsonl"), *options[4:])
    assert run("entities", "import", file, *options).stderr == ""


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("[]\n", "in.jsonl:2: this is no entity"),
        (lines({**TODO, "more": 1}), "in.jsonl:2: this is no entity"),
        (lines({**TODO, "domain": None}), "in.jsonl:2: the domain is no text"),
        (lines({**TODO, "id": "8", "properties": {"size": "big"}}), "in.jsonl:2: error: properties.size"),
        (lines({**TODO, "properties": []}), "properties are no object"),
    ],
)
def test_one_broken_line_and_nothing_is_imported(tmp_path: Path, options: list[str], broken: str, words: str) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(lines(ANN) + broken)
    result = run("entities", "import", file, *options)
    assert result.exit_code == 1
    assert words in result.output
    assert "nothing was imported" in result.output
    assert run("entities", "export", *options[4:]).output == ""


def test_one_is_set_shown_listed_and_taken_away(options: list[str]) -> None:
    database = options[4:]
    told = run("entities", "set", "resource", "todo:7", json.dumps(TODO["properties"]), "--in", "acme/red", *options)
    assert told.output.startswith("stored")
    assert json.loads(run("entities", "show", "resource", "todo:7", *database).output) == TODO
    assert json.loads(run("entities", "list", "resource", "todo", "--in", "acme", *database).output) == TODO
    assert run("entities", "list", "resource", "todo", "--in", "zed", *database).output == ""
    assert run("entities", "set", "resource", "todo:8", '{"size": "x"}', *options).exit_code == 1
    assert run("entities", "set", "resource", "todo:8", "{", *options).exit_code == 2
    assert run("entities", "show", "resource", "todo", *database).exit_code == 2
    assert run("entities", "delete", "resource", "todo:7", *options, "--by", "cara").exit_code == 0
    assert run("entities", "delete", "resource", "todo:7", *options).exit_code == 1
    assert run("entities", "show", "resource", "todo:7", *database).exit_code == 1


def test_can_and_explain_decide_by_what_is_stored_now_and_was_then(options: list[str]) -> None:
    database = options[4:]
    assert run("assignments", "grant", "user:ann", "editor", "acme", *options).exit_code == 0
    for kind, name, properties in (("subject", "user:ann", {"email": "ann@x"}), ("resource", "todo:7", {"owner": "ann@x"})):
        place = ["--in", "acme/red"] if kind == "resource" else []
        assert run("entities", "set", kind, name, json.dumps(properties), *place, *options).exit_code == 0
    question = ("user:ann", "update", "todo:7")
    assert run("can", *question, *options).exit_code == 0
    explained = json.loads(run("explain", *question, "--format", "json", *options).output)
    assert explained["from_store"] == ["resource.company", "resource.owner", "resource.team", "subject.email"]
    shell = run("shell", *options, stdin="as user:ann\ncan update todo:7\n")
    assert "allowed by" in shell.output
    engine = open_database(database[1])
    with engine.connect() as connection:
        then = connection.execute(text("SELECT max(microseconds) FROM klausel_assignment_log")).scalar_one()
    engine.dispose()
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=then)
    assert run("entities", "set", "resource", "todo:7", '{"owner": "bob@x"}', "--in", "acme/red", *options).exit_code == 0
    assert run("can", *question, *options).exit_code == 3
    assert run("can", *question, "--people-at", moment.isoformat(), *options).exit_code == 0
    # With --as nothing is asked of the database.
    sent = ("--set", "owner=x", "--set", "subject.email=x")
    assert run("can", "--as", "editor@acme", "update", "todo:7", *sent, *options).exit_code == 0


def test_who_can_and_what_can_answer_by_what_is_stored_now_and_was_then(options: list[str]) -> None:
    database = options[4:]
    for name in ("ann", "bob", "cy"):
        assert run("assignments", "grant", f"user:{name}", "editor", "acme", *options).exit_code == 0
        if name != "cy":
            properties = json.dumps({"email": f"{name}@x"})
            assert run("entities", "set", "subject", f"user:{name}", properties, *options).exit_code == 0
    place = ("--in", "acme/red")
    assert run("entities", "set", "resource", "todo:7", '{"owner": "ann@x"}', *place, *options).exit_code == 0

    def verdicts(*more: str) -> list[str]:
        lines = run("who-can", "update", "todo:7", "--in", "acme/red", *more, *options).output.splitlines()
        return [" ".join(line.split()[:5]) for line in lines if line.startswith("user:")]

    # Of cy no address is stored: a request may send one.
    always = "user:ann always (editor in acme,"
    assert verdicts() == [always, "user:cy when subject.email == resource.owner"]
    open_ = run("who-can", "update", "todo", "--in", "acme/red", *options).output
    assert "user:bob  when subject.email == resource.owner" in open_
    told = run("what-can", "user:bob", "--in", "acme/red", "--set", "owner=ann@x", *options).output
    assert "update" not in told
    told = run("what-can", "user:ann", "--in", "acme/red", "--set", "owner=ann@x", *options).output
    assert "update  always" in told
    shell = run("shell", *options, stdin="as user:ann\nin acme/red\nwhat\n").output
    assert "update todo  when subject.email == resource.owner" in shell
    elsewhere = run("who-can", "update", "todo:7", "--in", "acme/blue", *options)
    assert (elsewhere.exit_code, "todo:7 is stored in acme/red" in elsewhere.output) == (2, True)
    engine = open_database(database[1])
    with engine.connect() as connection:
        then = connection.execute(text("SELECT max(microseconds) FROM klausel_assignment_log")).scalar_one()
    engine.dispose()
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=then)
    assert run("entities", "set", "resource", "todo:7", '{"owner": "bob@x"}', *place, *options).exit_code == 0
    assert verdicts()[0] == always.replace("ann", "bob")
    assert verdicts("--people-at", moment.isoformat())[0] == always
