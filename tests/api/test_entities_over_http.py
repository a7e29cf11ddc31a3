"""`/v1/entities`: put, read, list and take away stored properties; what callers of some accounts may do with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from doors import EVALUATION, EXPLAIN, SEARCHES, Door, Doors, Json, open_doors
from stored_entities import write_policies
from test_callers import Calling

from klausel.core.policy.assignment import Assignment
from klausel.core.terms.caller import Caller
from klausel.storage.callers.keys import KeyStore

ENTITIES = "/v1/entities"
SCOPES = ("assign", "search")
TODO: Json = {"kind": "resource", "type": "todo", "id": "1", "domain": "acme/red", "properties": {"owner": "ann@x"}}
ANN: Json = {"kind": "subject", "type": "user", "id": "ann", "properties": {"email": "ann@x"}}
KEY = "?kind=resource&type=todo&id=1"


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    with open_doors(tmp_path / "some.db", **write_policies(tmp_path)) as doors:
        yield doors


@pytest.fixture(params=["flask", "lane"])
def client(request: pytest.FixtureRequest, doors: Doors) -> Door:
    return doors.named(request.param)


def test_put_read_and_take_away(client: Door, doors: Doors) -> None:
    put = client.post(ENTITIES, {"put": [TODO, ANN], "by": "cara", "ticket": "T-1"})
    assert (put.status, put.json["stored"], put.json["removed"]) == (200, 2, 0)
    again = client.post(ENTITIES, {"put": [TODO, ANN]})
    assert again.json == {"revision": put.json["revision"], "stored": 0, "removed": 0}
    assert client.get(ENTITIES + KEY).json == {"entities": [TODO]}
    assert client.get(ENTITIES + "?kind=subject&type=user").json == {"entities": [ANN]}
    doors.service.store.write(doors.service.policy.compiled.policy.roles, [Assignment("user:ann", "editor", "acme")], [])
    question = {
        "subject": {"type": "user", "id": "ann"},
        "action": {"name": "update"},
        "resource": {"type": "todo", "id": "1"},
    }
    assert client.post(EVALUATION, question).json["decision"]
    assert client.post(EXPLAIN, question).json["from_store"] == [
        "resource.company",
        "resource.owner",
        "resource.team",
        "subject.email",
    ]
    gone = client.ask("DELETE", ENTITIES + KEY)
    assert (gone.status, gone.json["removed"]) == (200, 1)
    assert client.ask("DELETE", ENTITIES + KEY).json["removed"] == 0
    assert client.get(ENTITIES + KEY).json == {"entities": []}
    assert not client.post(EVALUATION, question).json["decision"]


def test_pages(client: Door) -> None:
    todos = [{**TODO, "id": f"{n:02}", "domain": ("acme", "zed")[n % 2]} for n in range(11)]
    client.post(ENTITIES, {"put": todos})
    shown: list[Json] = []
    path = f"{ENTITIES}?kind=resource&type=todo&limit=4"
    cursor = ""
    while True:
        page = client.get(path + cursor).json
        shown += page["entities"]
        if "next_cursor" not in page:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert shown == todos
    assert len(client.get(f"{ENTITIES}?kind=resource&type=todo&domain=zed").json["entities"]) == 5
    assert client.get(f"{ENTITIES}?kind=subject&type=todo{cursor}").status == 409
    assert client.get(f"{ENTITIES}?kind=resource&type=todo&id=1{cursor}").status == 409
    assert client.get(f"{ENTITIES}?kind=resource&type=todo&id=1&cursor=!").status == 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "nothing to change"),
        ({"put": [{**TODO, "properties": {"owner": 5}}]}, "put[0].properties.owner: owner is 5, but is declared as text"),
        ({"put": [{**TODO, "kind": "x"}]}, "put[0].kind"),
        ({"put": [{**TODO, "more": 1}]}, "more"),
        ({"put": [{**TODO, "type": "note"}]}, "under stored, resources, in policies/properties.yaml"),
        ({"put": [TODO], "delete": [{"kind": "resource", "type": "todo", "id": "1"}]}, "in both lists"),
        ({"put": [{**TODO, "id": str(n)} for n in range(1001)]}, "more than 1000"),
    ],
)
def test_faults_are_told_and_nothing_is_written(client: Door, body: Json, words: str) -> None:
    answer = client.post(ENTITIES, body)
    assert answer.status == (409 if words == "in both lists" else 400)
    assert words in answer.message
    assert client.get(f"{ENTITIES}?kind=resource&type=todo").json == {"entities": []}


@pytest.mark.parametrize("query", ["", "?kind=resource", "?kind=thing&type=todo", "?kind=resource&type=todo&limit=x"])
def test_what_is_no_query_is_refused(client: Door, query: str) -> None:
    assert client.get(ENTITIES + query).status == 400


def test_callers_of_some_accounts_reach_no_others(tmp_path: Path) -> None:
    with open_doors(tmp_path / "some.db", authentication="keys", **write_policies(tmp_path)) as doors:
        keys = KeyStore(doors.service.store.engine)

        def calling(*scopes: str, accounts: frozenset[str] | None = None) -> Calling:
            return Calling(doors.named("flask"), keys.new(Caller("shop", frozenset(scopes), accounts), None)[1])

        everywhere, acme = calling("assign", "check"), calling("assign", "check", accounts=frozenset({"acme"}))
        elsewhere = {**TODO, "id": "2", "domain": "zed/red"}
        assert everywhere.post(ENTITIES, {"put": [TODO, ANN, elsewhere]}).status == 200
        assert calling("check").post(ENTITIES, {"put": [TODO]}).status == 403
        assert calling("check").get(ENTITIES + KEY).status == 403
        assert calling("audit").get(ENTITIES + KEY).status == 200
        assert acme.post(ENTITIES, {"put": [{**TODO, "properties": {}}]}).status == 200
        for body in ({"put": [ANN]}, {"put": [{**elsewhere, "domain": "acme"}]}, {"put": [{**TODO, "domain": "zed"}]}):
            assert acme.post(ENTITIES, body).status == 403
        assert acme.ask("DELETE", f"{ENTITIES}?kind=resource&type=todo&id=2").json["removed"] == 0
        assert acme.get(f"{ENTITIES}?kind=resource&type=todo&id=2").status == 403
        assert acme.get(f"{ENTITIES}?kind=resource&type=todo&id=2&domain=acme").json == {"entities": []}
        assert acme.get(f"{ENTITIES}?kind=resource&type=todo").status == 403
        assert acme.get(f"{ENTITIES}?kind=resource&type=todo&domain=acme").json["entities"] == [{**TODO, "properties": {}}]
        # A stored resource lies where it is stored, whatever the question says.
        question = {
            "subject": {"type": "user", "id": "ann"},
            "action": {"name": "read"},
            "resource": {"type": "todo", "id": "2", "properties": {"company": "acme", "team": "red"}},
        }
        assert acme.post(EVALUATION, question).json["decision"] is False


def test_what_is_decided_is_recorded_with_what_was_stored(tmp_path: Path) -> None:
    log = tmp_path / "decisions.jsonl"
    with open_doors(
        tmp_path / "some.db", decision_log=str(log), decision_log_strict=True, **write_policies(tmp_path)
    ) as doors:
        door = doors.named("flask")
        door.post(ENTITIES, {"put": [TODO, ANN]})
        question = {"subject": {"type": "user", "id": "ann"}, "action": {"name": "update"}}
        door.post(EVALUATION, {**question, "resource": {"type": "todo", "id": "1"}})
    (line,) = log.read_text().splitlines()
    request = json.loads(line)
    assert request["subject"]["properties"] == {"email": "ann@x"}
    assert request["resource"]["properties"] == {"owner": "ann@x", "company": "acme", "team": "red"}


def test_her_own_todos_are_a_search_that_ends_with_the_role(client: Door, doors: Doors) -> None:
    roles, store = doors.service.policy.compiled.policy.roles, doors.service.store
    editor = Assignment("user:ann", "editor", "acme")
    todos = [{**TODO, "id": str(n), "properties": {"owner": "ann@x" if n % 2 else "bob@x"}} for n in range(1, 10)]
    elsewhere = {**TODO, "id": "0", "domain": "zed/red"}
    client.post(ENTITIES, {"put": [*todos, elsewhere, ANN]})
    store.write(roles, [editor], [])
    asked: Json = {"subject": {"type": "user", "id": "ann"}, "action": {"name": "update"}, "resource": {"type": "todo"}}
    assert [one["id"] for one in client.post(SEARCHES["resource"], asked).json["results"]] == ["1", "3", "5", "7", "9"]
    page = client.post(SEARCHES["resource"], {**asked, "page": {"limit": 2}}).json
    assert page["results"] == [{"type": "todo", "id": "1"}, {"type": "todo", "id": "3"}]
    further = {"limit": 2, "token": page["page"]["next_token"]}
    assert [one["id"] for one in client.post(SEARCHES["resource"], {**asked, "page": further}).json["results"]] == ["5", "7"]
    another = {**asked, "action": {"name": "read"}, "page": further}
    assert client.post(SEARCHES["resource"], another).status == 409
    store.write(roles, [], [editor])
    assert client.post(SEARCHES["resource"], asked).json["results"] == []


def test_people_without_a_role_are_found_by_what_is_stored_of_them(client: Door) -> None:
    bob = {"kind": "subject", "type": "user", "id": "bob", "properties": {"email": "bob@x"}}
    client.post(ENTITIES, {"put": [ANN, bob]})
    note = {"type": "note", "id": "1", "properties": {"owner": "ann@x"}}
    asked = {"subject": {"type": "user"}, "action": {"name": "read"}, "resource": note}
    assert client.post(SEARCHES["subject"], asked).json["results"] == [{"type": "user", "id": "ann"}]
    assert client.post(SEARCHES["subject"], {**asked, "subject": {"type": "robot"}}).json["results"] == []


def test_callers_of_some_accounts_find_nothing_in_others(tmp_path: Path) -> None:
    with open_doors(tmp_path / "some.db", authentication="keys", **write_policies(tmp_path)) as doors:
        keys = KeyStore(doors.service.store.engine)
        owners = [Assignment("user:ann", "owner", account) for account in ("acme", "zed")]
        doors.service.store.write(doors.service.policy.compiled.policy.roles, owners, [])
        asked = {"subject": {"type": "user", "id": "ann"}, "action": {"name": "read"}, "resource": {"type": "todo"}}
        places = {"1": "acme/red", "2": "zed/red", "3": "", "4": "acme"}
        put = [{**TODO, "id": id_, "domain": place} for id_, place in places.items()]

        def found(accounts: frozenset[str] | None, **properties: str) -> list[str]:
            caller = Calling(doors.named("flask"), keys.new(Caller("shop", frozenset(SCOPES), accounts), None)[1])
            if accounts is None:
                caller.post(ENTITIES, {"put": put})
            about = {**asked, "resource": {"type": "todo", "properties": properties}}
            return [one["id"] for one in caller.post(SEARCHES["resource"], about).json["results"]]

        assert found(None) == ["1", "2", "4"]
        assert found(frozenset({"acme"})) == ["1", "4"]
        # Only what is stored without a domain lies where the question says.
        assert found(frozenset({"zed"}), company="zed") == ["2", "3"]
        assert found(frozenset({"acme"}), company="zed") == ["1", "4"]


def test_the_scope_entities_opens_stored_properties_and_no_role_assignments(tmp_path: Path) -> None:
    with open_doors(tmp_path / "some.db", authentication="keys", **write_policies(tmp_path)) as doors:
        key = KeyStore(doors.service.store.engine).new(Caller("catalogue", frozenset({"entities"})), None)[1]
        for door in (doors.flask, doors.lane):
            caller = Calling(door, key)
            assert caller.post(ENTITIES, {"put": [TODO, ANN]}).status == 200
            assert caller.get(ENTITIES + KEY).json == {"entities": [TODO]}
            assert caller.ask("DELETE", ENTITIES + KEY, b"").json["removed"] == 1
            role = {"subject": "user:ann", "role": "owner", "domain": "acme"}
            assert caller.post("/v1/assignments", {"grant": [role]}).status == 403
            assert caller.get("/v1/assignments").status == 403
