"""A caller that is limited to an account is told the same, byte for byte, whatever is in other accounts.

Two services have the same things in one account, and one of them has those of another account too. All routes are asked of both,
in the same order, about things of either account and about things that are nowhere. Where a route forgets about accounts, on
purpose, this is found.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from doors import Answer, Doors, Json, grant, open_doors
from identity_provider import GROUP, PATCH, USER
from requests_by_shape import Asked, Requests, guarded_routes, parameters_of
from sqlalchemy import text

from klausel.api.access import SCOPES_OF_ROUTES
from klausel.api.console import playground_page
from klausel.api.freshness import AT_LEAST
from klausel.core.terms.caller import SCOPES, Caller
from klausel.core.terms.cursors import cursor_of
from klausel.storage.assignments.people_of_roles import subjects_beginning
from klausel.storage.callers.keys import KeyStore

ROLES = """
levels:
  company: {named_by: company, identified_by: company}
  team: {named_by: team, identified_by: team, requires_role_above: true}
roles:
  owner: {level: company, keep_one: true}
  member: {level: company}
  helper: {level: team}
"""
NOTES = """
resource_types:
  note: {actions: [read, edit], properties: {status: text, author: text}}
  company: {actions: [close]}
  role_assignment: {actions: [grant, revoke]}
grants:
  - {allow: [member, owner], to: read, resource: note}
  - {allow: [member, helper], to: edit, resource: note, when: resource.status == "draft"}
  - {allow: anyone, to: read, resource: note, when: resource.status == "public"}
  - {allow: anyone, to: edit, resource: note, when: resource.author == subject.id and subject.rank == "high"}
  - {allow: owner, to: close, resource: company}
  - {allow: owner, to: [grant, revoke], resource: role_assignment}
"""
FILES = {
    "roles.yaml": ROLES,
    "features/notes.yaml": NOTES,
    "properties.yaml": "stored: {subjects: [user], resources: [note]}\nsubject: {rank: text}\n",
    "provisioning.yaml": "subject_from: userName\nleavers_lose: everything\n"
    "groups:\n  Staff: {acme: member}\n  Others: {globex: member}\n",
}
NOW = 1_900_000_000.0
OWN = [
    ("user:ann", "owner", "acme"),
    ("user:bob", "member", "acme"),
    ("user:bob", "helper", "acme/east"),
    ("user:max", "member", "acme"),
    ("group:acme-staff", "member", "acme"),
    ("user:cat", "group:acme-staff", ""),
]
THEIRS = [
    ("user:max", "owner", "globex"),
    ("user:gina", "owner", "globex"),
    ("user:hugo", "member", "globex"),
    ("user:hugo", "helper", "globex/west"),
    ("group:globex-staff", "member", "globex"),
    ("user:ivy", "member", "globex"),
]

STORED_OWN: list[Json] = [
    {"kind": "resource", "type": "note", "id": "ours", "domain": "acme", "properties": {"status": "draft", "author": "ann"}},
    {"kind": "resource", "type": "note", "id": "n1", "domain": "acme", "properties": {"status": "public", "author": "max"}},
    *({"kind": "subject", "type": "user", "id": one, "properties": {"rank": "high"}} for one in ("ann", "max", "gina")),
]
"""What is stored of a subject belongs to no account, so both worlds have it."""
STORED_THEIRS: list[Json] = [
    {
        "kind": "resource",
        "type": "note",
        "id": "theirs",
        "domain": "globex",
        "properties": {"status": "public", "author": "max"},
    },
    {"kind": "resource", "type": "note", "id": "secret", "domain": "globex/west", "properties": {"status": "draft"}},
]
PEOPLE = ["ann", "bob", "cat", "max", "gina", "hugo", "ivy", "jo", "nobody"]
GROUPS = ["group:acme-staff", "group:acme/Staff", "group:globex-staff", "group:globex/Others", "group:nowhere"]
SUBJECTS = [*(f"user:{one}" for one in PEOPLE), *GROUPS, "group:", "user:"]
DOMAINS = ["acme", "acme/east", "globex", "globex/west", "nowhere", "nowhere/else"]
NOTE_IDS = ["ours", "n1", "theirs", "secret", "new", "nowhere"]
TIMES = ["2020-01-01T00:00:00Z", "2029-01-01T00:00:00Z", "2040-01-01T00:00:00Z"]
TEXTS = ["", "x", "their-tool", "app"]
PROPERTIES: list[Json] = [
    {},
    {"company": "acme"},
    {"company": "acme", "team": "east"},
    {"company": "globex"},
    {"company": "globex", "team": "west"},
    {"company": "nowhere"},
    {"status": "draft"},
    {"company": "acme", "status": "draft"},
    {"company": "acme", "author": "max"},
]
ANY_SUBJECT = [{"type": "user", "id": one} for one in PEOPLE]
ANY_ACTION = [{"name": one} for one in ("read", "edit", "close", "grant")]
ANY_RESOURCE = [
    *({"type": "note", "id": one, "properties": told} for one in NOTE_IDS for told in PROPERTIES),
    *({"type": "company", "id": one} for one in DOMAINS),
]
CURSORS = [
    cursor_of([None, None, None], ("user:gina", "owner", "globex")),
    cursor_of([None, None, "acme"], ("user:gina", "owner", "globex")),
    cursor_of([None, None, "globex"], ("user:gina", "owner", "globex")),
    *(cursor_of("resource", "note", domain, "secret") for domain in ("acme", "globex", None)),
]
"""As another caller may have been given them, or as this one writes them itself."""
SCIM_IDS = ["own-person", "own-group", "their-person", "their-group", "0" * 32]
WORDS: dict[str, list[Any]] = {
    "any subject": ANY_SUBJECT,
    "any action": ANY_ACTION,
    "any resource": ANY_RESOURCE,
    "any context": [{}],
    "any options": [{"reasons": True}, {}, "odd"],
    "any properties": PROPERTIES,
    "any evaluations": [
        [{"action": action, "resource": resource} for resource in ANY_RESOURCE[at : at + 3]]
        for at, action in enumerate(ANY_ACTION * 3)
    ],
    "scim": [
        *({"schemas": [USER], "userName": one, "externalId": "x1"} for one in PEOPLE),
        *({"schemas": [GROUP], "displayName": one} for one in ("Staff", "Others", "New", "globex/Others")),
        *({"schemas": [GROUP], "displayName": "Staff", "members": [{"value": one}]} for one in SCIM_IDS),
        *(
            {"schemas": [PATCH], "Operations": [{"op": "add", "path": "members", "value": [{"value": one}]}]}
            for one in SCIM_IDS
        ),
        {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": False}]},
        *(
            {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "userName", "value": one}]}
            for one in ("gina", "jo", "nobody")
        ),
    ],
    "resources": ["Users", "Groups"],
    "filter": [
        'userName eq "gina"',
        'displayName eq "Others"',
        'externalId eq "x9"',
        'userName sw "g"',
        'id eq "their-person"',
    ],
    "id": [*PEOPLE, *NOTE_IDS, *SCIM_IDS],
    "at": ["1", "0", "x"],
    "tenant": ["acme", "globex", "nowhere"],
    "subject": SUBJECTS,
    "person": SUBJECTS,
    "feature": ["", "note", "company"],
    "properties": ["status=draft", "company=globex"],
    "count": ["0", "1", "5"],
    "group": GROUPS,
    "role": ["owner", "member", "helper", "none"],
    "domain": DOMAINS,
    "view": DOMAINS,
    "place": DOMAINS,
    "account": ["acme", "globex", "nowhere"],
    "company": ["acme", "globex", "nowhere"],
    "team": ["east", "west", "nowhere"],
    "kind": ["subject", "resource"],
    "type": ["user", "note", "note", "note", "company", "none"],
    "action": ["read", "edit", "close", "grant"],
    "resource": ["note", "note:theirs", "note:ours", "theirs", "note:nowhere", "globex"],
    "name": ["read", "read", "read", "edit", "edit", "close", "user:", "user:g", "gina", "hugo", "group:g", "m", ""],
    "status": ["draft", "public"],
    "outcome": ["allow", "deny"],
    "from": TIMES,
    "until": TIMES,
    "since": TIMES,
    "ends_after": TIMES,
    "ends_before": TIMES,
    "time": ["2030-01-01T00:00"],
    "limit": ["1", "2", "50"],
    "page": ["1", "2"],
    "cursor": ["x", "4.0", "9.1", *CURSORS],
    "token": ["", "x"],
    "after": ["", "user:f", "user:h"],
    "before": ["", "3", "x"],
    "done": ["granted"],
    "change": ["grant", "revoke"],
    "format": ["json", "json", "html", "html", "csv"],
    "on_behalf_of": ["user:ann", "user:bob", "user:max", "user:gina", "user:nobody"],
    "evaluations_semantic": ["execute_all", "deny_on_first_deny"],
    **dict.fromkeys(("by", "reason", "ticket", "request_id"), TEXTS),
    **{name: [""] for name in playground_page.FIELDS if name != "token"},
}
MOST_TRIES = 500
NOT_ASKED = {
    ("GET", "/metrics"),
    *((method, f"/console/sign-{what}") for method, what in (("GET", "in"), ("POST", "in"), ("POST", "out"))),
    ("GET", "/console/sign-in/openid"),
    ("GET", "/console/sign-in/callback"),
}
"""Metrics are numbers of all accounts, as the manual says, and signing in tells nothing of accounts."""
ROUNDS = 3
"""How often each route is asked."""
FRESH = {"": 5, "now": 3, "to come": 1, "odd": 1}
"""Which state a request asks for at least, and how often."""
_NAMES_OF_A_WORLD = re.compile(
    rb"[0-9a-f]{8}-\d+|[0-9a-f]{32}|20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?|W/\\?\"[^\"]*\""
    rb"|(?<=\"number\":)\d+|(?<=\"duration_us\":)[\d.]+|(?<=name=\"token\" value=\")[^\"]+"
    rb"|(?<=\"next_token\":\")[^\"]+|\d+\.\d+\.\d+"
)
"""Revisions and numbers of changes, ids, times at which something was made, signatures, and places in the log of decisions."""
_HEADERS_OF_A_WORLD = ("Content-Length", "ETag", "Set-Cookie", "X-Klausel-Record")


_WHERE = {"klausel_entity": "domain", "klausel_provisioned": "account"}


class World:
    """A service with the things of one account, and those of another too where it is full; asked by a caller of the first."""

    def __init__(self, doors: Doors, is_full: bool) -> None:
        self.doors, self.is_full = doors, is_full
        store = KeyStore(doors.service.store.engine)
        self.everything = store.new(Caller("everything", frozenset(SCOPES), None), None)[1]
        self.key = store.new(Caller("app", frozenset(SCOPES), frozenset({"acme"})), None)[1]
        self._ids = dict.fromkeys(SCIM_IDS, "f" * 32)
        self._fill("own", "acme", OWN, STORED_OWN, "Staff", "ann")
        if is_full:
            self._fill("their", "globex", THEIRS, STORED_THEIRS, "Others", "gina")

    def _fill(
        self, whose: str, account: str, rows: list[tuple[str, str, str]], stored: list[Json], group: str, person: str
    ) -> None:
        service = self.doors.service
        grant(service, rows)
        self._must("POST", "/v1/entities", self.everything, {"put": stored, "by": f"{whose}-tool"})
        key = KeyStore(service.store.engine).new(
            Caller(f"{whose} provider", frozenset({"provision"}), frozenset({account})), None
        )[1]
        for resources, told in (
            ("Users", {"schemas": [USER], "userName": person, "externalId": "x9"}),
            ("Groups", {"schemas": [GROUP], "displayName": group}),
        ):
            name = f"{whose}-{'person' if resources == 'Users' else 'group'}"
            self._ids[name] = self._must("POST", f"/scim/v2/{resources}", key, told)["id"]
        for resource in ("nowhere", stored[0]["id"]):
            question = {"subject": ANY_SUBJECT[3], "action": ANY_ACTION[0], "resource": {"type": "note", "id": resource}}
            question["resource"]["properties"] = {"company": account}
            self._must("POST", "/access/v1/evaluation", self.everything, question)

    def _must(self, method: str, path: str, key: str, body: Json) -> Any:
        kind = "application/scim+json" if path.startswith("/scim") else "application/json"
        answer = self._send(Asked(method, path, json.dumps(body).encode(), kind), key)
        assert answer.status in (200, 201), answer.body
        return answer.json

    def _send(self, asked: Asked, key: str, at_least: str = "") -> Answer:
        path, body = asked.path, asked.body
        for name, id_ in self._ids.items():
            path, body = path.replace(name, id_), body.replace(name.encode(), id_.encode())
        headers = {"Host": "localhost", "Authorization": f"Bearer {key}"}
        if body:
            headers["Content-Type"] = asked.content_type
        if at_least:
            lineage, _, number = self.doors.service.store.revision().rpartition("-")
            headers[AT_LEAST] = {"now": f"{lineage}-{number}", "to come": f"{lineage}-{10**9}"}.get(at_least, "odd")
        return self.doors.lane._send(asked.method, path, body, headers)

    def told(self, asked: Asked, at_least: str = "") -> tuple[int, bytes]:
        """What the caller of the one account is told, without what is of this world alone."""
        answer = self._send(asked, self.key, at_least)
        headers = sorted(f"{name}: {value}" for name, value in answer.headers.items() if name not in _HEADERS_OF_A_WORLD)
        return answer.status, _NAMES_OF_A_WORLD.sub(b"_", "\n".join(headers).encode() + answer.body)

    def theirs(self) -> list[str]:
        """All that the database has of the other account."""
        with self.doors.service.store.engine.connect() as connection:
            rows = connection.execute(text("SELECT * FROM casbin_rule")).all()
            found = [str(row) for row in rows if row.v2.startswith("globex") or (not row.v2 and "globex" in str(row))]
            for table in ("klausel_entity", "klausel_provisioned"):
                found += map(str, connection.execute(text(f"SELECT * FROM {table} WHERE {_WHERE[table]} LIKE 'globex%'")))
        return sorted(found)


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[tuple[World, World]]:
    policies = tmp_path / "policies"
    for name, written in FILES.items():
        (policies / name).parent.mkdir(parents=True, exist_ok=True)
        (policies / name).write_text(written)
    with ExitStack() as stack:
        full, bare = (
            World(
                stack.enter_context(
                    open_doors(
                        tmp_path / f"{name}.db",
                        clock=lambda: NOW,
                        policies=str(policies),
                        authentication="keys",
                        decision_log=str(tmp_path / f"{name}.jsonl"),
                        decision_log_strict=True,
                    )
                ),
                name == "full",
            )
            for name in ("full", "bare")
        )
        yield full, bare


def names_what_is_theirs(asked: Asked) -> bool:
    """Whether a request has the id of a resource of the other account."""
    return any(f'"{one["id"]}"'.encode() in asked.body or one["id"] in asked.path for one in STORED_THEIRS)


def wants_what_is_taken(asked: Asked) -> bool:
    """Whether a request stores a resource under the id of one of the other account."""
    put = json.loads(asked.body).get("put") or [] if asked[:2] == ("POST", "/v1/entities") else []
    taken = {("resource", one["type"], one["id"]) for one in STORED_THEIRS}
    return any((one["kind"], one["type"], one["id"]) in taken for one in put)


def is_never_allowed(full: bytes, bare: bytes) -> bool:
    """Whether the full world denies what the bare one allows: of a resource that lies elsewhere nothing is allowed."""
    if b'"permissions":[' in full and b'"permissions":[' in bare:
        menus, menus_of_bare = (json.loads(one[one.index(b'{"') :])["permissions"] for one in (full, bare))
        return all(one in ({**other, "actions": []}, other) for one, other in zip(menus, menus_of_bare, strict=True))
    if b'"total":0' in full:
        return True
    return b"this caller may not ask about this account" in full and (b'"decision":true' in bare or b"ALLOW" in bare)


class Comparison:
    """Asks both worlds the same; `fault` tells what only the other account can have made different."""

    def __init__(self, worlds: tuple[World, World], routes: list[tuple[str, str]], seed: int) -> None:
        self._full, self._bare = worlds
        door, key = self._full.doors.lane, self._full.key
        # What everybody may read takes none.
        parameters = {route: parameters_of(door, key, route) if SCOPES_OF_ROUTES[route] else () for route in routes}
        self._chance = random.Random(seed)
        self._requests = Requests(self._chance, WORDS, parameters)
        self._theirs = self._full.theirs()
        self._differs_by_itself: set[str] = set()
        self.statuses = Counter[int]()

    def fault(self, route: tuple[str, str]) -> object:
        """Asks one request of a route; None where nothing of the other account is told or changed."""
        full, bare, asked = self._full, self._bare, self._requests.of(route)
        at_least = self._chance.choices(list(FRESH), list(FRESH.values()))[0]
        if wants_what_is_taken(asked):
            # An id belongs to one account alone, so who wants one that is taken cannot have it.
            return None if (status := full.told(asked)[0]) in (400, 403) else (asked, status)
        if any(asked.path.startswith(start) for start in self._differs_by_itself):
            return None
        told, told_barely = full.told(asked, at_least), bare.told(asked, at_least)
        if told != told_barely:
            if not (names_what_is_theirs(asked) and is_never_allowed(told[1], told_barely[1])):
                return asked, at_least, told, told_barely
            # From here on the logs of decisions differ in what this caller itself was told.
            self._differs_by_itself.add("/console/decision")
        self.statuses[told[0]] += 1
        return None if asked.method == "GET" or full.theirs() == self._theirs else (asked, "it changed what is theirs")


@pytest.mark.parametrize("seed", range(2))
def test_nothing_that_is_told_depends_on_other_accounts(worlds: tuple[World, World], seed: int) -> None:
    every = [route for route in SCOPES_OF_ROUTES if route not in NOT_ASKED]
    routes = ROUNDS * every
    random.Random(seed).shuffle(routes)
    compared = Comparison(worlds, every, seed)
    for route in routes:
        assert compared.fault(route) is None
    assert compared.statuses[200] > len(routes) / 4
    assert compared.statuses[500] == 0


def anything(*_: object, **__: object) -> None:
    """What a route does that forgot about accounts."""


def for_all_accounts(find: Any) -> Any:
    """What finds subjects, for a page that does not say in which accounts."""
    return lambda engine, name, after, most, _: find(engine, name, after, most, None)


@pytest.mark.parametrize(
    ("broken", "by", "start"),
    [
        ("klausel.api.assignment_log.check_reach", anything, "/v1/assignment-log"),
        ("klausel.api.assignment_log.check_reach", anything, "/v1/entity-log"),
        ("klausel.api.assignments.check_reach", anything, "/v1/assignments"),
        ("klausel.api.entities.check_reach", anything, "/v1/entities"),
        ("klausel.storage.entities.store._check_reach", anything, "/v1/entities"),
        ("klausel.service.decision_service.reach_of", anything, "/access/v1/evaluation"),
        ("klausel.service.permissions.reach_of", anything, "/v1/permissions"),
        ("klausel.api.scim.account_of", lambda _: "", "/scim"),
        ("klausel.api.console.person_page.subjects_beginning", for_all_accounts(subjects_beginning), "/console/people"),
        ("klausel.api.console.who_can_page.check_reach", anything, "/console/who-can"),
        ("klausel.api.console.what_can_page.check_reach", anything, "/console/what-can"),
        ("klausel.service.recorded_decisions.may_know", lambda *_: True, "/console/decisions"),
    ],
)
def test_a_route_that_forgets_about_accounts_is_found(
    worlds: tuple[World, World], monkeypatch: pytest.MonkeyPatch, broken: str, by: object, start: str
) -> None:
    routes = [route for route in guarded_routes() if route[1].startswith(start)]
    compared = Comparison(worlds, routes, 0)
    monkeypatch.setattr(broken, by)
    assert any(compared.fault(route) is not None for _ in range(MOST_TRIES) for route in routes)
