"""`/v1/assignment-log`, and what a change over HTTP leaves there: claims as claims, and what the service sees."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from assignment_requests import row
from doors import ASSIGNMENTS, Answer, Door, HttpDoor, Json, new_account

LOG = "/v1/assignment-log"
CLAIMS = {"by": "cara", "reason": "she moved teams", "ticket": "HR-12"}


def log(door: Door, **parameters: object) -> Json:
    answer = door.get(f"{LOG}?{urlencode(parameters)}")
    assert answer.status == 200, answer.body
    told: Json = answer.json
    return told


def write(door: Door, body: Json, **headers: str) -> Answer:
    return door.ask("POST", ASSIGNMENTS, json.dumps(body).encode(), headers=headers)


def test_a_change_is_logged_with_what_the_caller_claims_and_the_service_sees(client: Door, account: str) -> None:
    written = write(client, {"grant": [row("ann", "user", account)], **CLAIMS}, **{"X-Request-ID": "request-9"})
    assert written.status == 200
    (change,) = log(client, domain=account, limit=1)["changes"]
    assert {name: change[name] for name in CLAIMS} == CLAIMS
    assert (change["change"], change["subject"], change["role"]) == ("granted", "user:ann", "user")
    assert (change["channel"], change["request_id"]) == ("http", "request-9")
    assert change["revision"] == written.json["revision"]


def test_claims_are_optional_and_unknown_then(client: Door, account: str) -> None:
    assert write(client, {"grant": [row("ann", "user", account)]}).status == 200
    (change,) = log(client, domain=account, limit=1)["changes"]
    assert [change[name] for name in (*CLAIMS, "request_id")] == [None] * 4


def test_a_leaver_is_logged_with_claims_in_the_query(client: Door, account: str) -> None:
    write(client, {"grant": [row("ann", "user", account), row("ann", "lead", f"{account}/w")]})
    gone = client.ask("DELETE", f"{ASSIGNMENTS}?{urlencode({'subject': 'user:ann', 'account': account, **CLAIMS})}")
    assert gone.status == 200
    newest = log(client, subject="user:ann", by="cara", limit=2)["changes"]
    assert [(change["change"], change["domain"]) for change in newest] == [
        ("revoked", account),
        ("revoked", f"{account}/w"),
    ]


@pytest.mark.parametrize("value", ["", "x" * 256, "a\nb", 5, None, ["cara"]])
@pytest.mark.parametrize("name", ["by", "ticket"])
def test_a_claim_that_is_no_line_of_text_is_refused(client: Door, account: str, name: str, value: object) -> None:
    refused = write(client, {"grant": [row("ann", "user", account)], name: value})
    if value is None:
        assert refused.status == 200
        return
    assert refused.status == 400
    assert name in refused.message
    assert log(client, subject="user:ann", domain=account)["changes"] == []


def test_a_very_long_request_id_is_logged_by_its_beginning(opened: object) -> None:
    doors = opened(max_request_id_characters=1000)  # type: ignore[operator]
    assert write(doors.lane, {"grant": [row("ann", "admin", "a")]}, **{"X-Request-ID": "r" * 900}).status == 200
    assert log(doors.lane)["changes"][0]["request_id"] == "r" * 255


def test_pages_show_every_change_once_newest_first(client: Door, account: str) -> None:
    for number in range(5):
        write(client, {"grant": [row(f"p{number}", "user", account), row(f"q{number}", "user", account)]})
    whole = log(client, domain=account)["changes"]
    assert [change["number"] for change in whole] == sorted((change["number"] for change in whole), reverse=True)
    assert len(whole) == 11
    for limit in (1, 3, 11):
        told = log(client, domain=account, limit=limit)
        shown = told["changes"]
        while "next_cursor" in told:
            told = log(client, domain=account, limit=limit, cursor=told["next_cursor"])
            assert told["changes"]
            shown += told["changes"]
        assert shown == whole


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "cursor=", "cursor=x", "cursor=1", "cursor=1.x", "since=yesterday", "until=2026-1-1",
     "subject=a&subject=b", "when=now", f"cursor={'9' * 30}.1"],
)  # fmt: skip
def test_a_faulty_query_is_refused(client: Door, query: str) -> None:
    assert client.get(f"{LOG}?{query}").status == 400


def test_times_select(client: Door, account: str) -> None:
    (change,) = log(client, domain=account)["changes"]
    assert log(client, domain=account, since=change["time"])["changes"] == [change]
    assert log(client, domain=account, until=change["time"])["changes"] == []
    assert log(client, domain=account, since="2999-01-01")["changes"] == []


def test_the_log_cannot_be_written_over_http(client: Door) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert client.ask(method, LOG, b"{}").status == 405


def test_the_address_of_the_caller_is_logged(server: HttpDoor) -> None:
    account = new_account()
    assert write(server, {"grant": [row("zoe", "admin", account)], "by": "10.0.0.1"}).status == 200
    (change,) = log(server, domain=account)["changes"]
    assert (change["caller"], change["by"]) == ("127.0.0.1", "10.0.0.1")


def test_the_demo_people_of_a_served_database_are_logged(server: HttpDoor) -> None:
    newest = log(server, limit=1, until="2999-01-01")["changes"][0]
    assert newest["channel"] in {"cli", "http"}
    oldest = log(server, limit=1000)["changes"][-1]
    assert (oldest["change"], oldest["channel"], oldest["reason"]) == ("granted", "cli", "demo people")
