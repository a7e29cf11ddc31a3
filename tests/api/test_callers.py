"""Callers prove who they are, may do what their scopes say, and learn of no account but theirs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from doors import (
    ALLOWED,
    ASSIGNMENTS,
    EVALUATION,
    EXPLAIN,
    FILTER,
    PERMISSIONS,
    POLICY,
    SEARCHES,
    Door,
    Doors,
    asking,
    demo_people,
    grant,
    policies_alone,
)
from sqlalchemy import text

from klausel.api import access
from klausel.api.access import SCOPES_OF_ROUTES, RouteWithoutScope, check_routes
from klausel.app import create_flask_app
from klausel.core.terms.caller import SCOPES, Caller
from klausel.service import authentication
from klausel.storage.callers.keys import KeyStore

ELSEWHERE = asking("leo", "edit", "quiz", "q1", account="other", workspace="support", status="published")
JSON = {"Content-Type": "application/json"}


def _in_json(path: str) -> str:
    """The address of a route, of pages that of their JSON twins."""
    return f"{path}?format=json" if path.startswith("/console") else path


class Calling(Door):
    """A door at which every request carries a key."""

    def __init__(self, door: Door, key: str) -> None:
        self._door = door
        self._key = key

    def _send(self, method: str, path: str, body: bytes, headers: object) -> object:  # type: ignore[override]
        return self._door._send(method, path, body, {**headers, "Authorization": f"Bearer {self._key}"})  # type: ignore[dict-item]


@pytest.fixture
def guarded(opened: Callable[..., Doors], tmp_path: Path) -> Doors:
    log = {"decision_log": str(tmp_path / "decisions.jsonl"), "decision_log_strict": True}
    doors = opened(policies=policies_alone(), authentication="keys", **log)
    grant(doors.service, demo_people())
    return doors


@pytest.fixture
def keys(guarded: Doors) -> KeyStore:
    return KeyStore(guarded.service.store.engine)


@pytest.fixture
def calling(guarded: Doors, keys: KeyStore, door_name: str) -> Callable[..., Calling]:
    """The door to the service for a caller with these scopes and accounts."""

    def call(*scopes: str, accounts: frozenset[str] | None = None, expires: int | None = None) -> Calling:
        return Calling(guarded.named(door_name), keys.new(Caller("shop", frozenset(scopes), accounts), expires)[1])

    return call


@pytest.fixture(autouse=True)
def no_keeping(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(authentication, "SECONDS_KEPT", 0.0)
    yield


def test_nobody_is_answered_without_a_proof(guarded: Doors, door_name: str) -> None:
    door = guarded.named(door_name)
    for (method, path), scopes in SCOPES_OF_ROUTES.items():
        if not scopes:
            continue
        answer = door.ask(method, _in_json(path), b"{}" if method == "POST" else b"")
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="klausel"'), path
        assert method != "GET" or door.ask("HEAD", _in_json(path)).status == 401
    assert guarded.flask.get("/healthz").status == 200


@pytest.mark.parametrize(
    "header", ["Basic YTpi", "Bearer", "Bearer ", "Bearer klausel_x", "Bearer abc", "klausel_0123456789ab_" + "a" * 43]
)
def test_what_proves_nothing_is_no_proof(guarded: Doors, door_name: str, header: str) -> None:
    answer = guarded.named(door_name).ask("POST", EVALUATION, b"{}", headers={"Authorization": header})
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_key_lets_its_caller_ask(calling: Callable[..., Calling]) -> None:
    door = calling("check")
    assert door.allows(ALLOWED)
    assert door.decisions({"evaluations": [ALLOWED, ELSEWHERE]}) == [True, False]


def test_the_secret_of_another_key_opens_nothing(calling: Callable[..., Calling], keys: KeyStore, guarded: Doors) -> None:
    good, other = (keys.new(Caller("x", frozenset({"check"})), None)[1] for _ in range(2))
    mixed = good[:21] + other[21:]
    assert Calling(guarded.lane, good).allows(ALLOWED)
    assert Calling(guarded.lane, mixed).post(EVALUATION, ALLOWED).status == 401
    with guarded.service.store.engine.begin() as connection:
        connection.execute(text("UPDATE klausel_api_key SET hash = 'é'"))
    assert Calling(guarded.lane, other).post(EVALUATION, ALLOWED).status == 401


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_opens_its_routes_alone(calling: Callable[..., Calling], scope: str) -> None:
    door = calling(scope)
    for (method, path), scopes in SCOPES_OF_ROUTES.items():
        answer = door.ask(method, _in_json(path), b"{}" if method == "POST" else b"") if scopes else None
        if answer is None or scope in scopes:
            assert answer is None or answer.status not in (401, 403), (path, answer.body)
            continue
        assert answer.status == 403
        assert method != "GET" or door.ask("HEAD", _in_json(path)).status == 403
        assert answer.message == f"this needs the scope {' or '.join(scopes)}, which this caller lacks"
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_a_key_counts_in_its_header_alone_and_once(guarded: Doors, keys: KeyStore, door_name: str) -> None:
    one, other = (keys.new(Caller("shop", frozenset({"check"})), None)[1] for _ in range(2))

    def status(header: str, path: str = EVALUATION, **more: str) -> int:
        headers = {"Content-Type": "application/json", **({"Authorization": header} if header else {}), **more}
        return guarded.named(door_name).ask("POST", path, json.dumps(ALLOWED).encode(), headers=headers).status

    assert {status(f"{scheme} {one}") for scheme in ("Bearer", "bearer", "BEARER", "Bearer  ")} == {200}
    # Servers join headers that come twice by a comma.
    for two in (f"Bearer {one}, Bearer {other}", f"Bearer {one},Bearer {one}", f"Bearer {one} {other}", f"Bearer {one}, "):
        assert status(two) == 401
    assert {status(f"Bearer {odd}") for odd in (one.upper(), one + "x", one[:-1], "a" * 100_000)} == {401}
    assert status("", f"{EVALUATION}?access_token={one}") == 401
    for name in ("Cookie", "X-Api-Key", "Proxy-Authorization", "X-Authorization"):
        assert status("", **{name: f"Bearer {one}"}) == 401


def test_an_expired_key_and_a_revoked_one_are_none(calling: Callable[..., Calling], keys: KeyStore) -> None:
    assert calling("check", expires=1).post(EVALUATION, ALLOWED).message == "this API key is expired"
    door = calling("check")
    assert door.allows(ALLOWED)
    key = next(key for key in keys.all() if key.expires is None)
    assert keys.revoke(key.id)
    assert not keys.revoke(key.id)
    assert door.post(EVALUATION, ALLOWED).message == "this API key is revoked"


def test_a_key_is_kept_as_its_hash(keys: KeyStore, guarded: Doors) -> None:
    _, key = keys.new(Caller("shop", frozenset({"check"})), None)
    with guarded.service.store.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM klausel_api_key").all()
    assert key.rpartition("_")[2] not in str(rows)


def test_a_limited_caller_learns_nothing_of_other_accounts(calling: Callable[..., Calling]) -> None:
    door = calling(*SCOPES, accounts=frozenset({"other"}))
    reason = {"decision": False, "context": {"reason": "this caller may not ask about this account"}}
    assert door.evaluate(ALLOWED) == reason
    assert door.evaluate_all({"evaluations": [ALLOWED, ELSEWHERE]}) == [reason, {"decision": False}]
    assert door.post(EXPLAIN, ALLOWED).status == 403
    assert door.post(EXPLAIN, ELSEWHERE).status == 200
    row = {"subject": "user:zoe", "role": "user", "domain": "acme"}
    assert door.post(ASSIGNMENTS, {"grant": [row]}).message == 'this caller may not ask about "acme"'
    assert door.post(ASSIGNMENTS, {"grant": [{**row, "role": "admin", "domain": "other"}]}).status == 200
    assert door.get(ASSIGNMENTS).message == "this caller may ask about other alone; name a domain"
    assert door.get(f"{ASSIGNMENTS}?domain=acme").status == 403
    assert door.get(f"{ASSIGNMENTS}?domain=other").status == 200
    assert door.get("/v1/assignment-log?domain=acme").status == 403
    assert door.ask("DELETE", f"{ASSIGNMENTS}?subject=user:leo&account=acme").status == 403
    question = {name: ALLOWED[name] for name in ("subject", "action")} | {"resource": {"type": "quiz"}}
    assert door.post(FILTER, question).status == 403
    assert door.post(FILTER, {**question, "domain": "acme/support"}).status == 403
    assert door.post(FILTER, {**question, "domain": "other"}).status == 200
    for search in (SEARCHES["subject"], SEARCHES["action"]):
        assert door.post(search, ALLOWED).status == 403
        assert door.post(search, ELSEWHERE).status == 200
    assert door.post(SEARCHES["resource"], asking("ada", "view_settings", "account")).status == 403
    places = asking("ada", "view_settings", "workspace", account="acme")
    assert door.post(SEARCHES["resource"], places).status == 403
    menus = {"subject": ALLOWED["subject"], "resources": [ALLOWED["resource"]]}
    assert door.post(PERMISSIONS, menus).json == {"permissions": [{"actions": []}]}


def test_both_logs_name_the_proved_caller(calling: Callable[..., Calling], tmp_path: Path, guarded: Doors) -> None:
    door = calling(*SCOPES)
    door.evaluate(ALLOWED)
    assert '"caller":"caller:shop"' in (tmp_path / "decisions.jsonl").read_text()
    row = {"subject": "user:zoe", "role": "user", "domain": "acme"}
    assert door.post(ASSIGNMENTS, {"grant": [row], "by": "user:mallory"}).status == 200
    (newest, *_) = door.get("/v1/assignment-log?limit=1").json["changes"]
    assert (newest["caller"], newest["by"]) == ("caller:shop", "user:mallory")


def test_a_caller_that_asks_too_fast_is_told_when_to_come_back(
    opened: Callable[..., Doors], door_name: str, keys: KeyStore
) -> None:
    doors = opened("fast.db", authentication="keys", max_requests_per_second=2.0)
    store = KeyStore(doors.service.store.engine)
    door = Calling(doors.named(door_name), store.new(Caller("fast", frozenset({"check"})), None)[1])
    answers = [door.post(EVALUATION, ALLOWED) for _ in range(4)]
    assert [answer.status for answer in answers][:2] == [200, 200]
    assert answers[3].status == 429
    assert int(answers[3].headers["Retry-After"]) == 1
    other = Calling(doors.named(door_name), store.new(Caller("slow", frozenset({"check"})), None)[1])
    assert other.post(EVALUATION, ALLOWED).status == 200


def test_without_its_database_nobody_can_tell_who_calls(
    calling: Callable[..., Calling], guarded: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = calling("check")
    guarded.service.store.engine.dispose()
    database = Path(str(guarded.service.store.engine.url.database))
    for file in database.parent.glob("own.db*"):
        file.unlink()
    database.mkdir()
    answer = door.post(EVALUATION, ALLOWED)
    assert answer.status == 503
    assert answer.message == "nobody can tell who calls: the database does not answer"


def last_used(keys: KeyStore) -> int | None:
    (key,) = keys.all()
    return key.last_used


def test_a_key_that_is_used_once_is_noted_as_used(calling: Callable[..., Calling], keys: KeyStore) -> None:
    door = calling("check")
    assert last_used(keys) is None
    door.allows(ALLOWED)
    deadline = time.monotonic() + 30
    while last_used(keys) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    (key,) = keys.all()
    assert key.last_used is not None
    assert key.last_used >= key.created


@pytest.mark.parametrize("seconds_gathered", [0.0, 60.0])
def test_what_waits_to_be_noted_is_written_when_the_service_ends(
    calling: Callable[..., Calling], keys: KeyStore, guarded: Doors, monkeypatch: pytest.MonkeyPatch, seconds_gathered: float
) -> None:
    monkeypatch.setattr(authentication, "SECONDS_GATHERED", seconds_gathered)
    door = calling("check")
    door.allows(ALLOWED)
    guarded.service.store.close()
    assert last_used(keys) is not None
    assert not [thread for thread in threading.enumerate() if thread.name == "klausel-key-use"]


def test_later_uses_are_noted_with_the_next_write(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "SECONDS_GATHERED", 0.0)
    ids = [keys.new(Caller("app", frozenset({"check"})), None)[0] for _ in range(3)]
    uses = authentication.KeyUses(keys)
    for when in (1, 2, 3):
        for id_ in ids:
            uses.note(id_, when)
    uses.close()
    assert [key.last_used for key in keys.all()] == [3, 3, 3]


def test_a_route_without_a_scope_does_not_start(demo: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(access.SCOPES_OF_ROUTES, ("GET", POLICY))
    with pytest.raises(RouteWithoutScope, match="GET /v1/policy has no entry in SCOPES_OF_ROUTES"):
        create_flask_app(demo.service)
    with pytest.raises(RouteWithoutScope, match=r"give it one in api/access\.py"):
        access.scopes_of_route("GET", POLICY)
    monkeypatch.undo()
    check_routes(create_flask_app(demo.service))


def test_a_scope_is_of_a_route_that_there_is(demo: Doors) -> None:
    there = {(method, rule.rule) for rule in create_flask_app(demo.service).url_map.iter_rules() for method in rule.methods}
    assert set(access.SCOPES_OF_ROUTES) - there == set(), "an address in api/routes.py is missing, or a scope is left over"
