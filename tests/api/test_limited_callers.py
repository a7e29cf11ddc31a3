"""A caller that is limited to accounts learns nothing of what is stored in others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from doors import EVALUATION, EXPLAIN, PERMISSIONS, POLICY, SEARCHES, Answer, Doors, Json, grant, open_doors

from klausel.core.policy.assignment import Assignment
from klausel.core.terms.caller import SCOPES, Caller
from klausel.service import authentication
from klausel.service.authentication import ApiKeys, Unauthenticated
from klausel.storage.callers.keys import ApiKey, KeyStore

ROLES = """
levels: {company: {named_by: company, identified_by: company}}
roles: {owner: {level: company}, member: {level: company}}
"""
NOTES = """
resource_types:
  note: {actions: [read, edit], properties: {status: text}}
  company: {actions: [close]}
grants:
  - {allow: member, to: read, resource: note}
  - {allow: member, to: edit, resource: note, when: resource.status == "draft"}
  - {allow: anyone, to: read, resource: note, when: resource.status == "public"}
  - {allow: owner, to: close, resource: company}
"""
ENTITIES = "/v1/entities"


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("limited")
    policies = folder / "policies"
    files = {
        "roles.yaml": ROLES,
        "features/notes.yaml": NOTES,
        "properties.yaml": "stored: {subjects: [user], resources: [note]}\n",
    }
    for name, text in files.items():
        (policies / name).parent.mkdir(parents=True, exist_ok=True)
        (policies / name).write_text(text)
    log = {"decision_log": "database", "decision_log_strict": True}
    with open_doors(folder / "own.db", policies=str(policies), authentication="keys", **log) as opened:
        grant(
            opened.service,
            [("user:max", "member", "acme"), ("user:max", "owner", "globex"), ("user:gina", "owner", "globex")],
        )
        stored = [
            {"kind": "resource", "type": "note", "id": "theirs", "domain": "globex", "properties": {"status": "public"}},
            {"kind": "resource", "type": "note", "id": "ours", "domain": "acme", "properties": {"status": "draft"}},
            {"kind": "subject", "type": "user", "id": "gina", "properties": {"email": "gina@globex.example"}},
        ]
        answer = Asking(opened, "assign").send("POST", ENTITIES, {"put": stored})
        assert answer.status == 200, answer.body
        yield opened


class Asking:
    """A caller with these scopes, all where none are named."""

    def __init__(self, doors: Doors, *scopes: str, accounts: frozenset[str] | None = None) -> None:
        self._doors = doors
        store = KeyStore(doors.service.store.engine)
        self._key = store.new(Caller("app", frozenset(scopes or SCOPES), accounts), None)[1]

    def send(self, method: str, path: str, body: object = None) -> Answer:
        sent = b"" if body is None else json.dumps(body).encode()
        return self._doors.lane.ask(method, path, sent, headers={"Authorization": f"Bearer {self._key}"})


@pytest.fixture
def acme(doors: Doors) -> Asking:
    return Asking(doors, accounts=frozenset({"acme"}))


def about(id_: str, action: str = "read", **properties: object) -> Json:
    return {
        "subject": {"type": "user", "id": "max"},
        "action": {"name": action},
        "resource": {"type": "note", "id": id_, "properties": properties},
    }


PROPERTIES: list[Json] = [{}, {"company": "acme"}, {"company": "acme", "status": "draft"}]


@pytest.mark.parametrize("action", ["read", "edit"])
@pytest.mark.parametrize("properties", PROPERTIES, ids=str)
def test_what_lies_in_another_account_is_as_if_it_were_nowhere_but_never_allowed(
    acme: Asking, properties: Json, action: str
) -> None:
    def told(path: str, id_: str, **more: object) -> bytes:
        question = about(id_, action, **properties)
        asked = {**question, "resources": [question["resource"]], "conditions": True, "options": {"reasons": True}, **more}
        answer = acme.send("POST", path, asked)
        return b"%d " % answer.status + answer.body.replace(b"theirs", b"nowhere")

    def ask(id_: str) -> dict[str, bytes]:
        people: Json = {"subject": {"type": "user"}}
        paths = (EVALUATION, EXPLAIN, SEARCHES["subject"], SEARCHES["action"], PERMISSIONS)
        return {path: told(path, id_, **(people if path == SEARCHES["subject"] else {})) for path in paths}

    theirs, nowhere = ask("theirs"), ask("nowhere")
    if b'"decision":true' not in nowhere[EVALUATION]:
        for path in (EVALUATION, EXPLAIN):
            assert theirs[path] == nowhere[path]
    else:
        reason = b"this caller may not ask about this account"
        assert all(reason in theirs[path] and b'"decision":false' in theirs[path] for path in (EVALUATION, EXPLAIN))
    nothing = b'200 {"page":{"next_token":"","count":0,"total":0},"results":[]}'
    for path in (SEARCHES["subject"], SEARCHES["action"]):
        assert theirs[path] in (nothing, nowhere[path]) and (theirs[path] == nothing or theirs[path].startswith(b"403"))
    menu, menu_of_nowhere = (json.loads(one[PERMISSIONS][4:])["permissions"][0] for one in (theirs, nowhere))
    assert menu == {**menu_of_nowhere, "actions": []}


@pytest.mark.parametrize("more", ["", "&domain=acme"])
def test_what_is_stored_of_another_account_reads_as_what_is_not_stored(acme: Asking, more: str) -> None:
    def told(id_: str) -> list[tuple[int, bytes]]:
        address = f"{ENTITIES}?kind=resource&type=note&id={id_}"
        answers = [acme.send("GET", address + more), acme.send("DELETE", address)]
        return [(answer.status, answer.body) for answer in answers]

    assert told("theirs") == told("nowhere")


def test_what_lies_in_the_own_account_is_looked_up(acme: Asking, doors: Doors) -> None:
    assert acme.send("POST", EVALUATION, about("ours", "edit")).json["decision"] is True
    assert acme.send("GET", f"{ENTITIES}?kind=resource&type=note&id=ours").json["entities"]
    everywhere = Asking(doors)
    assert everywhere.send("POST", EVALUATION, about("theirs")).json["decision"] is True
    assert everywhere.send("GET", f"{ENTITIES}?kind=resource&type=note&id=theirs").json["entities"]


def test_records_of_decisions_tell_nothing_that_is_stored_of_people(acme: Asking, doors: Doors) -> None:
    entity, log = f"{ENTITIES}?kind=subject&type=user&id=gina", "/console/decisions?format=json&person=user:gina"
    assert acme.send("GET", entity).status == 403
    question = {**about("new", company="acme"), "subject": {"type": "user", "id": "gina"}}
    assert acme.send("POST", EVALUATION, question).json["decision"] is False
    everything = Asking(doors).send("GET", log)
    assert b"gina@globex" in everything.body
    at = everything.json["records"][0]["at"]
    for path in (log, f"/console/decision?at={at}&format=json"):
        told = acme.send("GET", path)
        assert (told.status, b"gina" in told.body, b"gina@globex" in told.body) == (200, True, False)


def test_nothing_of_another_account_is_deleted(acme: Asking, doors: Doors) -> None:
    answer = acme.send("DELETE", f"{ENTITIES}?kind=resource&type=note&id=theirs")
    assert (answer.status, answer.json["removed"]) == (200, 0)
    assert doors.service.entities.read(("resource", "note", "theirs")) is not None


def test_a_membership_that_has_ended_is_not_told_for_groups_belong_to_no_account(acme: Asking, doors: Doors) -> None:
    ended = Assignment("user:max", "group:globex-owners", "", None, "2020-01-01T00:00:00Z")
    with doors.service.store.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO casbin_rule (ptype, v0, v1, v2, v4) VALUES ('gm', ?, ?, '', ?)",
            (ended.subject, ended.role, ended.ends),
        )
    question = about("new", company="acme")
    assert "globex" not in acme.send("POST", EXPLAIN, question).body.decode()
    reasons = acme.send("POST", EVALUATION, {**about("new", "edit", company="acme"), "options": {"reasons": True}})
    assert "globex" not in reasons.body.decode()
    assert "globex" in Asking(doors).send("POST", EXPLAIN, question).body.decode()


def test_what_is_stored_in_all_accounts_is_counted_for_nobody_who_knows_some(acme: Asking, doors: Doors) -> None:
    assert acme.send("GET", POLICY).json["orphaned_assignments"] is None
    assert Asking(doors).send("GET", POLICY).json["orphaned_assignments"] == {"count": 0, "roles": []}


def test_the_menu_of_a_browser_counts_the_own_domains_alone(
    acme: Asking, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("klausel.api.casbin_js.MOST_DOMAINS", 1)
    assert Asking(doors).send("GET", "/v1/casbin-js?subject=user:max").status == 400
    assert acme.send("GET", "/v1/casbin-js?subject=user:max").status == 200


def test_readiness_quotes_no_files_where_callers_must_prove_themselves(doors: Doors) -> None:
    file = Path(doors.service.settings.policies) / "features" / "notes.yaml"
    text = file.read_text()
    try:
        file.write_text(text.replace("allow: owner", "allow: ownr"))
        assert doors.service.reload_policy() == "refused"
        refused = doors.lane.get("/readyz").json["refused"]
        assert (refused["count"], refused["problems"]) == (1, [])
        assert Asking(doors).send("GET", POLICY).json["refused"]["problems"]
    finally:
        file.write_text(text)
        assert doors.service.reload_policy() == "unchanged"


def test_while_nobody_can_tell_what_others_write_a_key_is_looked_up_each_time(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "SECONDS_KEPT", 60.0)
    store = KeyStore(doors.service.store.engine)
    id_, key = store.new(Caller("app", frozenset({"check"}), None), None)
    keys = ApiKeys(store, mark=lambda: None)
    doors.service.store.close_first.append(keys.close)
    assert keys.caller_of(key).name == "app"
    assert store.revoke(id_)
    with pytest.raises(Unauthenticated, match="revoked"):
        keys.caller_of(key)


def test_a_key_ends_at_the_second_that_it_names(doors: Doors) -> None:
    store = KeyStore(doors.service.store.engine)
    key = store.new(Caller("app", frozenset({"check"}), None), 2_000_000_000)[1]
    keys = ApiKeys(store, lambda: 1_999_999_999.0)
    doors.service.store.close_first.append(keys.close)
    assert keys.caller_of(key).name == "app"
    with pytest.raises(Unauthenticated, match="expired"):
        ApiKeys(store, lambda: 2_000_000_000.0).caller_of(key)


def test_what_is_no_key_is_looked_up_once(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "SECONDS_KEPT", 60.0)
    store = KeyStore(doors.service.store.engine)
    asked = []

    class Counting(KeyStore):
        def find(self, key: str) -> ApiKey | None:
            asked.append(key)
            return store.find(key)

    keys = ApiKeys(Counting(doors.service.store.engine))
    wrong = f"klausel_{'0' * 12}_{'a' * 43}"
    for _ in range(3):
        with pytest.raises(Unauthenticated, match="there is no such API key"):
            keys.caller_of(wrong)
    assert asked == [wrong]
