"""Stored properties as CSV, unchanged in and out, and their changes for auditors: shown, and as of a moment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run
from doors import Json
from stored_entities import write_policies

ENTITIES: list[Json] = [
    {"kind": "resource", "type": "todo", "id": "=7", "domain": "acme/red", "properties": {"owner": "=HYPERLINK(1)"}},
    {"kind": "resource", "type": "todo", "id": "8", "properties": {"done": False, "owner": "12", "size": -1.5}},
    {
        "kind": "resource",
        "type": "todo",
        "id": "9",
        "properties": {"labels": ["a", "b,c"], "owner": "", "place": {"city": "x"}},
    },
    {"kind": "subject", "type": "user", "id": "'ann", "properties": {"email": None}},
    {"kind": "subject", "type": "user", "id": "bob", "properties": {"email": "'x\u202e", "tags": []}},
    {"kind": "subject", "type": "user", "id": "cy", "properties": {"email": " null ", "grade": 10}},
    {"kind": "subject", "type": "user", "id": "di", "properties": {}},
]


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    named = write_policies(tmp_path / "todos")
    return ["--policies", named["policies"], "--model", named["model"], "--database", f"sqlite:///{tmp_path}/some.db"]


def lines(entities: list[Json]) -> str:
    return "".join(json.dumps(entity) + "\n" for entity in entities)


def test_a_csv_is_read_back_unchanged_and_holds_no_formula(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "in.jsonl").write_text(lines(ENTITIES))
    assert run("entities", "import", tmp_path / "in.jsonl", *options).exit_code == 0
    assert run("entities", "export", tmp_path / "all.csv", *options[4:]).exit_code == 0
    text = (tmp_path / "all.csv").read_text()
    assert text.startswith("kind,type,id,domain,done,email,grade,")
    assert not any(cell.startswith(("=", "+", "-", "@")) for line in text.splitlines() for cell in line.split(","))
    assert "\u202e" not in text
    assert run("entities", "export", "--format", "csv", *options[4:]).output == text
    told = run("entities", "import", tmp_path / "all.csv", *options)
    assert told.output.startswith("0 stored, 7 there already"), told.output
    other = [*options[:5], f"sqlite:///{tmp_path}/other.db"]
    assert run("entities", "import", "-", "--format", "csv", *other, stdin=text).exit_code == 0
    told_again = [json.loads(line) for line in run("entities", "export", *other[4:]).output.splitlines()]
    assert sorted(told_again, key=str) == sorted(ENTITIES, key=str)


def test_cells_are_read_by_what_the_policies_declare(tmp_path: Path, options: list[str]) -> None:
    file = tmp_path / "people.csv"
    file.write_text('\ufefftype,kind,id,email,grade,properties.tags\nuser,subject,1,12,3,"[""x""]"\n', encoding="utf-8")
    assert run("entities", "import", file, *options).exit_code == 0
    told = json.loads(run("entities", "show", "subject", "user:1", *options[4:]).output)
    assert told["properties"] == {"email": "12", "grade": 3, "tags": ["x"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "in.csv:1: the first line has no column kind"),
        ("kind,type,id,size,size\n", 'in.csv:1: the column "size" is there twice'),
        ("kind,type,id,size\nresource,todo,1\n", "in.csv:2: this row has 3 fields"),
        ("kind,type,id,size\nresource,todo,1,3\nresource,todo,2,big\n", "in.csv:3: error: properties.size"),
        ("kind,type,id,size\nthing,todo,1,3\n", "in.csv:2: kind: kind is neither"),
        ('kind,type,id,size\nresource,todo,"1,3\n', "in.csv:2: this is not CSV"),
    ],
)
def test_a_broken_csv_imports_nothing(tmp_path: Path, options: list[str], text: str, words: str) -> None:
    (tmp_path / "in.csv").write_text(text)
    result = run("entities", "import", tmp_path / "in.csv", *options)
    assert result.exit_code == 1
    assert words in result.output
    assert "nothing was imported" in result.output


def test_auditors_see_changes_of_stored_properties_and_what_was_stored_then(tmp_path: Path, options: list[str]) -> None:
    database = options[4:]
    assert run("assignments", "grant", "user:ann", "editor", "acme", *options).exit_code == 0
    for owner in ("ann", "bob"):
        properties = json.dumps({"owner": owner})
        told = run("entities", "set", "resource", "todo:7", properties, "--in", "acme/red", *options, "--by", "cara")
        assert told.exit_code == 0
    assert run("entities", "set", "subject", "user:ann", '{"email": "ann"}', *options).exit_code == 0
    shown = run("audit", "show", *options).output.splitlines()
    whats = [line.split("  ")[2] for line in shown]
    assert whats == [
        'stored subject user:ann {"email":"ann"}',
        'stored resource todo:7 in acme/red {"owner":"bob"}',
        'removed resource todo:7 in acme/red {"owner":"ann"}',
        'stored resource todo:7 in acme/red {"owner":"ann"}',
        "granted user:ann editor in acme",
    ]
    assert 'by "cara"' in shown[1]
    of_ann = run("audit", "show", "--subject", "user:ann", *options).output.splitlines()
    assert of_ann == [shown[0], shown[4]]
    assert run("audit", "show", "--resource", "todo:7", *options).output.splitlines() == shown[1:4]
    assert run("audit", "show", "--only", "roles", *options).output.splitlines() == shown[4:]
    assert run("audit", "show", "--only", "properties", "--limit", "2", *options).output.splitlines() == shown[:2]
    assert run("audit", "show", "--role", "editor", *options).output.splitlines() == shown[4:]
    assert run("audit", "show", "--by", "cara", "--domain", "acme/red", *options).output.splitlines() == shown[1:4]
    assert run("audit", "show", "--resource", "todo", *options).exit_code == 2
    assert run("audit", "show", "--resource", "todo:7", "--subject", "user:ann", *options).exit_code == 2

    records = [json.loads(line) for line in run("audit", "show", "--format", "json", *options).output.splitlines()]
    assert records[2]["change"] == "removed"
    then = records[3]["time"]
    told = run("entities", "show", "resource", "todo:7", "--at", then, *database)
    assert json.loads(told.output)["properties"] == {"owner": "ann"}
    assert run("entities", "show", "subject", "user:ann", "--at", then, *database).exit_code == 1
    told = run("entities", "export", "--at", then, *database)
    assert [json.loads(line)["properties"] for line in told.output.splitlines() if line[0] == "{"] == [{"owner": "ann"}]
    assert run("entities", "export", "--at", "2001-01-01", *database).exit_code == 1
    assert run("audit", "verify", *database).exit_code == 0
