"""A page token that was given to somebody else, or edited, tells nobody what is not theirs; nor does an odd account."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from doors import ASSIGNMENTS, EVALUATION, EXPLAIN, FILTER, PERMISSIONS, SEARCHES, Answer, Doors, Json, grant, open_doors

from klausel.core.terms.caller import SCOPES, Caller
from klausel.storage.callers.keys import KeyStore

ROLES = """
levels: {library: {named_by: library, identified_by: library}}
roles: {keeper: {level: library}, reader: {level: library}}
"""
BOOKS = """
resource_types:
  book: {actions: [lend, read], properties: {shelf: text}}
  library: {actions: [open]}
grants:
  - {allow: [keeper, reader], to: [lend, read], resource: book}
  - {allow: keeper, to: open, resource: library}
  - {allow: anyone, to: read, resource: book, when: resource.shelf == "public"}
"""
WITHOUT_READERS = BOOKS.replace("[keeper, reader], to", "keeper, to")
PEOPLE = [
    (f"user:{name}", role, library)
    for library, names in (("ours", "adgj"), ("theirs", "behkz"))
    for name, role in zip(names, ("keeper", "reader", "reader", "keeper", "reader"), strict=False)
]
STORED = [
    {"kind": "resource", "type": "book", "id": id_, "domain": library, "properties": {"shelf": "x"}}
    for library, ids in (("ours", "135"), ("theirs", "246"))
    for id_ in ids
]


class Asked:
    """One service, asked by a caller of one library and by one of all."""

    def __init__(self, doors: Doors, policies: Path) -> None:
        self.doors, self.policies = doors, policies
        keys = KeyStore(doors.service.store.engine)
        self.keys = {
            name: keys.new(Caller(name, frozenset(SCOPES), None if accounts is None else frozenset(accounts)), None)[1]
            for name, accounts in (("all", None), ("ours", ["ours"]), ("theirs", ["theirs"]))
        }

    def ask(self, who: str, method: str, path: str, body: object = None, **headers: str) -> Answer:
        sent = {"Authorization": f"Bearer {self.keys[who]}", "Content-Type": "application/json", **headers}
        return self.doors.lane.ask(method, path, b"" if body is None else json.dumps(body).encode(), headers=sent)

    def search(self, who: str, part: str, question: Json, **page: object) -> Answer:
        return self.ask(who, "POST", SEARCHES[part], {**question, "page": page})


def opened(folder: Path, name: str) -> Iterator[Asked]:
    policies = folder / name
    (policies / "features").mkdir(parents=True)
    (policies / "roles.yaml").write_text(ROLES)
    (policies / "features/books.yaml").write_text(BOOKS)
    (policies / "properties.yaml").write_text("stored: {resources: [book]}\n")
    with open_doors(folder / f"{name}.db", policies=str(policies), authentication="keys") as doors:
        grant(doors.service, PEOPLE)
        asked = Asked(doors, policies)
        assert asked.ask("all", "POST", "/v1/entities", {"put": STORED}).status == 200
        yield asked


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    yield from opened(tmp_path, "one")


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Asked]:
    yield from opened(tmp_path, "another")


def lenders(library: str | None = "ours") -> Json:
    properties = {} if library is None else {"library": library}
    return {
        "subject": {"type": "user"},
        "action": {"name": "lend"},
        "resource": {"type": "book", "id": "new", "properties": properties},
    }


BOOKS_OF_A: Json = {"subject": {"type": "user", "id": "a"}, "action": {"name": "lend"}, "resource": {"type": "book"}}


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [one["id"] for one in answer.json["results"]]


def test_the_token_of_another_key_leads_to_nothing_that_is_not_ones_own(asked: Asked) -> None:
    assert ids(asked.search("ours", "subject", lenders())) == list("adgj")
    for who in ("all", "ours"):
        token = asked.search(who, "subject", lenders(), limit=2).json["page"]["next_token"]
        assert [ids(asked.search(one, "subject", lenders(), token=token)) for one in ("all", "ours")] == [["g", "j"]] * 2
        assert asked.search("theirs", "subject", lenders(), token=token).status == 403
    in_theirs = asked.search("theirs", "subject", lenders("theirs"), limit=1).json["page"]["next_token"]
    assert asked.search("ours", "subject", lenders("theirs"), token=in_theirs).status == 403
    assert asked.search("ours", "subject", lenders(), token=in_theirs).status == 409
    # What is stored in all libraries is gone through, and told to nobody but those of each.
    token = asked.search("all", "resource", BOOKS_OF_A, limit=1).json["page"]["next_token"]
    mine, theirs = (asked.search(who, "resource", BOOKS_OF_A, token=token) for who in ("ours", "theirs"))
    assert ids(mine) == ["3", "5"] and ids(theirs) == []


def test_a_search_that_names_no_account_is_refused_to_who_is_limited(asked: Asked) -> None:
    question: Json = {
        "subject": {"type": "user", "id": "a"},
        "action": {"name": "lend"},
        "resource": {"type": "book", "id": "2", "properties": {}},
    }
    answer = asked.search("ours", "subject", question)
    assert (answer.status, answer.message) == (403, "this caller may ask about ours alone; name a domain")
    assert asked.search("ours", "action", question).json["results"] == []
    nowhere = {**question, "resource": {**question["resource"], "id": "nowhere", "properties": {"library": "theirs"}}}
    assert {asked.search("ours", part, nowhere).status for part in ("subject", "action")} == {403}


def test_of_what_anyone_may_do_only_ones_own_people_are_found(asked: Asked) -> None:
    properties = {"library": "ours", "shelf": "public"}
    question = {**lenders(), "action": {"name": "read"}, "resource": {"type": "book", "id": "new", "properties": properties}}
    assert ids(asked.search("all", "subject", question)) == sorted("adgjbehkz")
    assert ids(asked.search("ours", "subject", question)) == list("adgj")


def test_a_token_of_another_database_or_an_edited_one_is_none(asked: Asked, another: Asked) -> None:
    token = asked.search("ours", "subject", lenders(), limit=1).json["page"]["next_token"]
    assert another.search("ours", "subject", lenders(), token=token).status == 409
    raw = base64.urlsafe_b64decode(token)
    for at in range(len(raw)):
        changed = base64.urlsafe_b64encode(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]).decode()
        assert asked.search("ours", "subject", lenders(), token=changed).status == 409
    for odd in (token + "=", token + token, token.rstrip("="), " " + token, raw.hex(), token[:16], "A" * 24):
        assert odd == token or asked.search("ours", "subject", lenders(), token=odd).status in (400, 409)


def test_a_token_from_before_leads_on_by_what_holds_now(asked: Asked) -> None:
    token = asked.search("ours", "subject", lenders(), limit=1).json["page"]["next_token"]
    gone = {"revoke": [{"subject": "user:j", "role": "keeper", "domain": "ours"}]}
    assert ids(asked.search("ours", "subject", lenders(), token=token)) == ["d", "g", "j"]
    told = asked.ask("ours", "POST", ASSIGNMENTS, gone)
    fresh = {"X-Klausel-At-Least": told.json["revision"]}
    body = {**lenders(), "page": {"token": token}}
    assert ids(asked.ask("ours", "POST", SEARCHES["subject"], body, **fresh)) == ["d", "g"]
    (asked.policies / "features/books.yaml").write_text(WITHOUT_READERS)
    assert asked.ask("all", "POST", "/v1/policy:reload").status == 200
    assert ids(asked.search("ours", "subject", lenders(), token=token)) == []
    lineage, _, number = told.json["revision"].rpartition("-")
    for odd, status in ((f"{lineage}-{int(number) + 1}", 503), (f"{'0' * len(lineage)}-1", 503), ("x", 400), ("", 400)):
        assert asked.ask("ours", "POST", SEARCHES["subject"], body, **{"X-Klausel-At-Least": odd}).status == status


def test_a_leaver_of_a_group_that_reaches_further_is_not_taken_out_by_who_is_limited(asked: Asked) -> None:
    both = [("group:both", "reader", "ours"), ("group:both", "reader", "theirs"), ("user:m", "group:both", "")]
    grant(asked.doors.service, both)
    leaver = "/v1/assignments?subject=user:m&account=ours"
    refused = asked.ask("ours", "DELETE", leaver)
    assert (refused.status, refused.json["violations"][0]["rule"]) == (409, "group-reaches-further")
    assert "theirs" not in refused.body.decode()
    assert asked.ask("all", "DELETE", leaver).json["removed"] == 1


LISTS = {
    "/v1/assignments?domain=ours": "assignments",
    "/v1/entities?kind=resource&type=book&domain=ours": "entities",
    "/v1/assignment-log?domain=ours": "changes",
    "/v1/entity-log?domain=ours": "changes",
}


@pytest.mark.parametrize("path", LISTS)
def test_the_cursor_of_another_key_leads_to_ones_own_alone(asked: Asked, path: str) -> None:
    every = path.replace("?domain=ours", "?").replace("&domain=ours", "")
    cursors = [
        asked.ask(who, "GET", f"{place}&limit=1".replace("?&", "?")).json["next_cursor"]
        for who, place in (("all", path), ("all", every), ("theirs", path.replace("ours", "theirs")))
    ]
    whole = asked.ask("ours", "GET", path).json[LISTS[path]]
    assert len(whole) > 1
    for cursor in cursors:
        answer = asked.ask("ours", "GET", f"{path}&cursor={quote(cursor)}")
        assert answer.status in (200, 409)
        if answer.status == 200:
            assert all(one in whole for one in answer.json[LISTS[path]])
            assert "theirs" not in answer.body.decode()
        refused = asked.ask("ours", "GET", f"{path.replace('ours', 'theirs')}&cursor={quote(cursor)}")
        assert refused.status == 403


ODD_NAMES = [
    "theirs",
    "theirs/x",
    "THEIRS",
    "theirs/",
    "/theirs",
    "ours/../theirs",
    "./theirs",
    "theirs%2f",
    "%74heirs",
    "theirs\0",
    " theirs",
    "theirs ",
    "thеirs",
    "ｔｈｅｉｒｓ",
    "theirs\u200b",
    "ours,theirs",
    "ours theirs",
    "*",
    "ours/*",
    "our_",
    "%",
    "",
    "ours\n",
]


@pytest.mark.parametrize("odd", ODD_NAMES)
def test_an_odd_name_of_an_account_is_no_way_to_another(asked: Asked, odd: str) -> None:
    e = {"subject": {"type": "user", "id": "e"}, "action": {"name": "lend"}}
    book: Json = {"type": "book", "id": "new", "properties": {"library": odd}}
    library: Json = {"type": "library", "id": odd}
    answers = [
        asked.ask("ours", "POST", EVALUATION, {**e, "resource": book}),
        asked.ask("ours", "POST", EVALUATION, {**e, "action": {"name": "open"}, "resource": library}),
        asked.ask("ours", "POST", PERMISSIONS, {"subject": {"type": "user", "id": "b"}, "resources": [book, library]}),
        asked.ask("ours", "POST", EXPLAIN, {**e, "resource": book}),
        asked.search("ours", "subject", lenders(odd)),
        asked.ask("ours", "POST", FILTER, {**e, "resource": {"type": "book"}, "domain": odd}),
        asked.ask("ours", "GET", f"/v1/assignments?domain={quote(odd)}"),
        asked.ask("ours", "GET", f"/v1/entities?kind=resource&type=book&domain={quote(odd)}"),
        asked.ask("ours", "GET", f"/v1/assignment-log?domain={quote(odd)}"),
        asked.ask("ours", "GET", f"/v1/entity-log?domain={quote(odd)}"),
        asked.ask("ours", "GET", f"/v1/casbin-js/{quote(odd)}?subject=user:b"),
        asked.ask("ours", "GET", f"/console/who-can?format=json&action=lend&resource=book&domain={quote(odd)}"),
    ]
    for answer in answers:
        assert answer.status in (200, 400, 403, 404), answer.body
        text = answer.body.decode()
        assert '"decision":true' not in text
        assert '"actions":["' not in text
        assert not any(one in text for one in ('"user:z"', '"id":"z"', '"id":"2"')), text
    for body in (
        {"grant": [{"subject": "user:x", "role": "reader", "domain": odd}]},
        {"revoke": [{"subject": "user:e", "role": "reader", "domain": odd}]},
    ):
        assert asked.ask("ours", "POST", ASSIGNMENTS, body).status in (400, 403)
    assert asked.ask("ours", "DELETE", f"/v1/assignments?subject=user:e&account={quote(odd)}").status in (400, 403)
    put = {"put": [{"kind": "resource", "type": "book", "id": "7", "domain": odd, "properties": {}}]}
    assert asked.ask("ours", "POST", "/v1/entities", put).status in (400, 403)
