"""Entities that files of the policies tell: joined like stored ones, told with their place, and changed in the files alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from doors import EVALUATION, EXPLAIN, SEARCHES, Door, Doors, Json, open_doors
from opened_services import as_file
from policy_sets import MODEL
from stored_entities import FILES, todo, todo_policy, user, write_policies

from klausel.cli.main import main
from klausel.core.difference.compare import difference_between
from klausel.core.difference.report import DifferenceReport, headline, notes
from klausel.core.loading.load import SourceFile, load_policy
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import Entity
from klausel.core.policy.policy_set import PolicySet

ENTITIES = "/v1/entities"
IN_FILES = """
subjects:
  - {type: user, id: ann, properties: {email: ann@x}}
resources:
  - type: todo
    id: always
    in: acme/red
    properties:
      owner: ann@x
"""
ANN: Json = {"kind": "subject", "type": "user", "id": "ann", "properties": {"email": "else@x"}}
QUESTION: Json = {
    "subject": {"type": "user", "id": "ann", "properties": {"email": "nobody@x"}},
    "action": {"name": "update"},
    "resource": {"type": "todo", "id": "always"},
}


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    options = write_policies(tmp_path)
    with open_doors(tmp_path / "some.db", **options) as doors:
        roles = doors.service.policy.compiled.policy.roles
        doors.service.store.write(roles, [Assignment("user:ann", "editor", "acme")], [])
        # What was stored before a file spoke of the same.
        door = doors.named("flask")
        door.post(ENTITIES, {"put": [ANN, *(todo(f"t{n}", owner="ann@x").as_json() for n in range(3))]})
        (tmp_path / "policies" / "entities.yaml").write_text(IN_FILES)
        doors.service.reload_policy()
        yield doors


@pytest.fixture
def client(doors: Doors) -> Door:
    return doors.named("lane")


def test_what_a_file_says_wins_and_counts_with_the_next_reload(client: Door, doors: Doors, tmp_path: Path) -> None:
    assert client.post(EVALUATION, QUESTION).json["decision"]
    (tmp_path / "policies" / "entities.yaml").write_text(IN_FILES.replace("ann@x}}", "other@x}}"))
    assert doors.service.reload_policy() == "taken"
    assert not client.post(EVALUATION, QUESTION).json["decision"]
    (tmp_path / "policies" / "entities.yaml").unlink()
    assert doors.service.reload_policy() == "taken"
    # Now the stored email counts again, and nothing says where this todo lies.
    told = client.post(EXPLAIN, QUESTION).json
    assert (told["decision"], told["from_store"], "from_files" in told) == (False, ["subject.email"], False)


def test_an_explanation_names_the_file_and_the_line_of_each_value(client: Door) -> None:
    told = client.post(EXPLAIN, QUESTION).json
    start = told["from_files"]["subject.email"].removesuffix("entities.yaml:3")
    assert told["from_files"] == {
        "subject.email": f"{start}entities.yaml:3",
        "resource.owner": f"{start}entities.yaml:9",
    }
    assert "from_store" not in told


def test_searches_find_what_files_tell_among_what_is_stored(client: Door) -> None:
    asked = {"subject": {"type": "user", "id": "ann"}, "action": {"name": "update"}, "resource": {"type": "todo"}}
    found = client.post(SEARCHES["resource"], asked).json["results"]
    assert [one["id"] for one in found] == ["always", "t0", "t1", "t2"]
    page = client.post(SEARCHES["resource"], {**asked, "page": {"limit": 1}}).json["page"]
    found = client.post(SEARCHES["resource"], {**asked, "page": {"token": page["next_token"], "limit": 2}}).json["results"]
    assert [one["id"] for one in found] == ["t0", "t1"]
    people = {**QUESTION, "subject": {"type": "user"}}
    assert client.post(SEARCHES["subject"], people).json["results"] == [{"type": "user", "id": "ann"}]
    actions = {name: QUESTION[name] for name in ("subject", "resource")}
    assert client.post(SEARCHES["action"], actions).json["results"] == [{"name": "update"}]
    told = client.post("/v1/filter", asked | {"domain": "acme"}).json
    assert '"ann@x"' in json.dumps(told)
    menu = {"subject": QUESTION["subject"], "resources": [QUESTION["resource"], {"type": "todo", "id": "t9"}]}
    assert [one["actions"] for one in client.post("/v1/permissions", menu).json["permissions"]] == [["update"], []]


def test_nothing_is_written_to_the_database_of_what_a_file_tells(client: Door) -> None:
    words = "what decisions look up of user:ann is written in "
    for answer in (
        client.post(ENTITIES, {"put": [todo("t5").as_json(), ANN]}),
        client.post(ENTITIES, {"delete": [{name: ANN[name] for name in ("kind", "type", "id")}]}),
        client.ask("DELETE", f"{ENTITIES}?kind=subject&type=user&id=ann"),
    ):
        assert answer.status == 400
        assert words in answer.message
        assert answer.message.endswith("entities.yaml:3; change it there, or remove it there")
    assert client.get(f"{ENTITIES}?kind=resource&type=todo&id=t5").json == {"entities": []}


def test_what_files_tell_is_read_and_listed_with_its_place(client: Door) -> None:
    (ann,) = client.get(f"{ENTITIES}?kind=subject&type=user&id=ann").json["entities"]
    assert ann.pop("written_in").endswith("entities.yaml:3")
    assert ann == {**ANN, "properties": {"email": "ann@x"}}
    assert client.get(f"{ENTITIES}?kind=subject&type=user").json["entities"][0]["properties"] == {"email": "ann@x"}
    shown, path, cursor = [], f"{ENTITIES}?kind=resource&type=todo&domain=acme&limit=2", ""
    while True:
        page = client.get(path + cursor).json
        shown += [(one["id"], "written_in" in one) for one in page["entities"]]
        if "next_cursor" not in page:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert shown == [("always", True), ("t0", False), ("t1", False), ("t2", False)]


def with_entities(text: str, **more: str) -> PolicySet:
    files = FILES | {"entities.yaml": text} | {f"entities/{name}.yaml": other for name, other in more.items()}
    return load_policy(SourceFile(name, f"policies/{name}", one.encode()) for name, one in files.items()).or_raise()


def test_a_difference_names_the_entities_that_are_written_otherwise() -> None:
    before = as_file([user("ann", email="a@x", grade=1), todo("1", "acme"), user("gone")])
    after = as_file([user("ann", email="b@x", tags=["new"]), todo("1", "acme/red"), user("new", grade=2)])
    report = DifferenceReport(difference_between(with_entities(before), with_entities(after)), "before", "after")
    assert headline(report) == "the rules are the same, but what files say of 4 entities changes"
    assert notes(report) == [
        'what is written of the subject user:ann: grade is gone; it was 1; email is "b@x"; it was "a@x"; tags is ["new"] '
        "(policies/entities.yaml:2)",
        "the subject user:gone is no longer written; it was in policies/entities.yaml:3, with no property",
        "what is written of the resource todo:1: it lies in acme/red; before, it lies in acme (policies/entities.yaml:5)",
        "the subject user:new is written in policies/entities.yaml:3 now, with grade 2",
        "who gains and loses by what files say of entities is not compared; ask klausel can, or policy tests",
    ]
    same = DifferenceReport(difference_between(with_entities(before), with_entities("# Moved.\n" + before)), "", "")
    assert headline(same) == "the same: nothing changes in what is allowed"
    assert notes(same) == []


def test_digests_tell_what_files_say(tmp_path: Path) -> None:
    from klausel.casbin_policies.rows import meaning_digest

    one, other = with_entities(as_file([user("ann", grade=1)])), with_entities(as_file([user("ann", grade=2)]))
    parted = with_entities(as_file([user("bob")]), more=as_file([user("ann", grade=1)]))
    joined = with_entities(as_file([user("ann", grade=1), user("bob")]))
    assert len({meaning_digest(policy) for policy in (todo_policy(), one, other)}) == 3
    assert len({policy.files_digest for policy in (todo_policy(), one, other)}) == 3
    assert meaning_digest(parted) == meaning_digest(joined)


def klausel(*arguments: str) -> Result:
    result = CliRunner().invoke(main, [*arguments], env={"KLAUSEL_DATABASE": "sqlite:///some.db"})
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_policies(tmp_path)
    (tmp_path / "policies" / "entities.yaml").write_text(IN_FILES)
    (tmp_path / "model.conf").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_line_asks_by_what_files_tell(folder: Path) -> None:
    explained = klausel("explain", "--as", "editor@acme", "update", "todo:always", "--set", "subject.email=ann@x")
    assert explained.exit_code == 0, explained.output
    assert "  resource.owner is written in policies/entities.yaml:9\n" in explained.output
    assert klausel("can", "--as", "editor@acme", "update", "todo:other", "--in", "acme").exit_code == 3
    refused = klausel("entities", "set", "subject", "user:ann", '{"email": "x"}')
    assert refused.exit_code == 1
    assert "user:ann is written in policies/entities.yaml:3; change it there" in refused.output
    lines = [Entity("subject", "user", name).as_json() for name in ("bob", "ann")]
    (folder / "people.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    refused = klausel("entities", "import", "people.jsonl")
    assert "people.jsonl:2: error: id: what decisions look up of user:ann is written in" in refused.output


def test_a_difference_of_what_files_tell_fails_whatever_is_asked_for_as_nobody_compares_it(folder: Path) -> None:
    shutil.copytree(folder / "policies", folder / "later")
    for fail_on in ("more", "less", "any"):
        assert klausel("diff", "policies", "later", "--fail-on", fail_on).exit_code == 0
    (folder / "later" / "entities.yaml").write_text(IN_FILES.replace("owner: ann@x", "owner: bob@x"))
    for fail_on in ("more", "less", "any"):
        told = klausel("diff", "policies", "later", "--fail-on", fail_on)
        assert told.exit_code == 1
        assert "who gains and loses by what files say of entities is not compared" in told.output
    assert klausel("diff", "policies", "later").exit_code == 0


def test_who_can_and_what_can_ask_by_what_files_tell(folder: Path) -> None:
    for subject in ("user:ann", "user:bob"):
        assert klausel("assignments", "grant", subject, "editor", "acme").exit_code == 0
    asked = ("who-can", "update", "todo:always", "--in", "acme/red", "--format", "json")
    what = ("what-can", "user:ann", "--in", "acme/red", "--set", "owner=ann@x", "--format", "json")

    def told(*arguments: str) -> list[tuple[str, str, str]]:
        lines = map(json.loads, klausel(*arguments).stdout.splitlines())
        return [(line["subject"], line["action"], line["verdict"]) for line in lines]

    # Nothing is known of bob, so a request may say what his email is.
    assert told(*asked) == [("user:ann", "update", "always"), ("user:bob", "update", "when")]
    assert told(*what) == [("user:ann", "update", "always"), ("user:ann", "read", "always")]
    (folder / "policies" / "entities.yaml").write_text(IN_FILES.replace("email: ann@x", "email: else@x"))
    assert told(*asked) == [("user:bob", "update", "when")]
    assert told(*what) == []


def test_policy_tests_ask_by_what_files_tell(folder: Path) -> None:
    (folder / "policies" / "tests").mkdir()
    (folder / "policies" / "tests" / "todos_test.yaml").write_text(
        "people:\n  ann: {roles: {acme: editor}}\n  bob: {roles: {acme: editor}, email: bob@x}\n"
        "resources:\n  always: {type: todo, in: acme}\n"
        "tests:\n  - {name: editors update their own, resource: always, actions: update, allowed: {ann: update}}\n"
    )
    assert "1 of 1 tests passed" in klausel("test").output
    (folder / "policies" / "entities.yaml").write_text(IN_FILES.replace("owner: ann@x", "owner: bob@x"))
    failed = klausel("test")
    assert failed.exit_code == 1
    assert "bob" in failed.output


def test_the_formatter_writes_the_shortest_form(folder: Path) -> None:
    assert klausel("fmt").exit_code == 0
    text = (folder / "policies" / "entities.yaml").read_text()
    assert "  - {type: todo, id: always, in: acme/red, properties: {owner: ann@x}}\n" in text
    explained = klausel("explain", "--as", "editor@acme", "update", "todo:always", "--set", "subject.email=ann@x")
    assert explained.exit_code == 0
    assert klausel("fmt", "--check").exit_code == 0
