"""`/v1/assignments`: atomic writes, pages, leavers; and that a decision right afterwards knows of the change."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from doors import ASSIGNMENTS, EVALUATION, Answer, Door, Doors, Json, asking, grant, new_account
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text


def row(subject: str, role: str, domain: str) -> Json:
    return {"subject": f"user:{subject}", "role": role, "domain": domain}


def show(service: Door, **parameters: object) -> Json:
    answer = service.get(f"{ASSIGNMENTS}?{urlencode(parameters)}")
    assert answer.status == 200, answer.body
    told: Json = answer.json
    return told


def rows_of(service: Door, **parameters: object) -> list[Json]:
    """All rows that fit, over all pages."""
    told = show(service, **parameters)
    rows: list[Json] = told["assignments"]
    while "next_cursor" in told:
        told = show(service, **parameters, cursor=told["next_cursor"])
        rows += told["assignments"]
    return rows


def remove(service: Door, subject: str, account: str) -> Answer:
    return service.ask("DELETE", f"{ASSIGNMENTS}?{urlencode({'subject': subject, 'account': account})}")


@pytest.fixture
def account(demo: Doors) -> str:
    """An account with the admin `boss` and nobody else."""
    name = new_account()
    grant(demo.service, [("user:boss", "admin", name)])
    return name


# --- Writing ------------------------------------------------------------------------------------------------------


def test_a_write_grants_and_revokes_in_one_and_gives_the_new_revision(service: Door, account: str) -> None:
    first = service.post(ASSIGNMENTS, {"grant": [row("ann", "user", account), row("ann", "agent", f"{account}/w")]})
    assert first.status == 200
    assert first.json.keys() == {"revision"}
    second = service.post(
        ASSIGNMENTS, {"grant": [row("ann", "lead", f"{account}/w")], "revoke": [row("ann", "agent", f"{account}/w")]}
    )
    assert second.status == 200
    assert second.json["revision"] != first.json["revision"]
    assert [one for one in rows_of(service, subject="user:ann") if one["domain"].startswith(account)] == [
        row("ann", "lead", f"{account}/w"),
        row("ann", "user", account),
    ]


def test_the_same_write_again_changes_nothing(service: Door, account: str) -> None:
    for body in (
        {"grant": [row("ann", "user", account)]},
        {"grant": [row("ann", "user", account), row("ann", "user", account)]},
        {"revoke": [row("ann", "user", account)]},
        {"revoke": [row("ann", "user", account)] * 2, "grant": []},
    ):
        answers = [service.post(ASSIGNMENTS, body) for _ in range(3)]
        assert [answer.status for answer in answers] == [200] * 3
        assert len({answer.body for answer in answers}) == 1


GOOD = {"subject": "user:ann", "role": "user", "domain": "ACCOUNT"}
BAD_ROWS = {
    "an unknown role": ({"role": "usr"}, "unknown role"),
    "an empty role": ({"role": ""}, "unknown role"),
    "a role in other letters": ({"role": "User"}, "unknown role"),
    "an any role": ({"role": "any lead"}, "unknown role"),
    "anyone": ({"role": "anyone"}, "unknown role"),
    "a role of a lower level": ({"role": "agent"}, "of level workspace"),
    "a role of a higher level": ({"domain": "ACCOUNT/w"}, "of level account"),
    "a domain of a level that is not there": ({"role": "agent", "domain": "ACCOUNT/w/x"}, "of level workspace"),
    "an empty domain": ({"domain": ""}, "empty"),
    "an empty part": ({"role": "agent", "domain": "ACCOUNT/"}, "empty part"),
    "a star for every workspace": ({"role": "agent", "domain": "ACCOUNT/*"}, 'is "*"'),
    "an empty account": ({"role": "agent", "domain": "/w"}, "empty part"),
    "a control character in the domain": ({"domain": "ACCOUNT\n"}, "control character"),
    "a domain that is too long": ({"domain": "a" * 256}, "255"),
    "no type": ({"subject": "ann"}, "type:id"),
    "an empty subject": ({"subject": ""}, "type:id"),
    "an empty type": ({"subject": ":ann"}, "empty"),
    "an empty id": ({"subject": "user:"}, "empty"),
    "a slash in the type": ({"subject": "us/er:ann"}, '"/"'),
    "a control character in the id": ({"subject": "user:a\tnn"}, "control character"),
    "a NUL in the id": ({"subject": "user:ann\x00"}, "control character"),
    "a subject that is too long": ({"subject": "user:" + "a" * 251}, "255"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_a_row_that_can_never_be_is_a_400_that_names_it_and_nothing_is_written(
    demo: Doors, service: Door, account: str, kind: str
) -> None:
    members, words = BAD_ROWS[kind]
    bad = {**GOOD, **members}
    bad["domain"] = bad["domain"].replace("ACCOUNT", account)
    before = demo.service.store.revision()
    answer = service.post(ASSIGNMENTS, {"grant": [row("new", "user", account), bad]})
    assert answer.status == 400
    (fault,) = answer.json["faults"]
    assert fault == {"list": "grant", "index": 1, **bad, "message": fault["message"]}
    assert words in fault["message"]
    assert answer.message == f"grant[1]: {fault['message']}"
    assert demo.service.store.revision() == before
    assert rows_of(service, domain=account) == [row("boss", "admin", account)]


def test_every_fault_is_told_at_once_in_the_order_of_the_request(service: Door, account: str) -> None:
    body = {
        "grant": [row("a", "usr", account), row("a", "user", account), row("b", "agent", account)],
        "revoke": [row("a", "user", account), row("c", "nothing", account)],
    }
    answer = service.post(ASSIGNMENTS, body)
    assert answer.status == 400
    told = {(fault["list"], fault["index"]) for fault in answer.json["faults"]}
    assert told == {("grant", 0), ("grant", 2), ("revoke", 0), ("revoke", 1)}


def test_the_same_row_in_both_lists_is_a_400(service: Door, account: str) -> None:
    both = row("ann", "user", account)
    answer = service.post(ASSIGNMENTS, {"grant": [both], "revoke": [both]})
    assert answer.status == 400
    assert answer.json["faults"] == [
        {"list": "revoke", "index": 0, **both, "message": "the same row is in both lists; leave it in one of them"}
    ]


def test_a_workspace_role_without_an_account_role_is_a_409_that_names_the_rule(service: Door, account: str) -> None:
    answer = service.post(ASSIGNMENTS, {"grant": [row("new", "agent", f"{account}/w"), row("ann", "user", account)]})
    assert answer.status == 409
    (violation,) = answer.json["violations"]
    assert violation == {**row("new", "agent", f"{account}/w"), "rule": "requires-role-above", "message": answer.message}
    assert rows_of(service, domain=account) == [row("boss", "admin", account)]


def test_people_without_an_admin_are_a_409_that_names_the_rule(service: Door, account: str) -> None:
    assert service.post(ASSIGNMENTS, {"grant": [row("ann", "user", account)]}).status == 200
    for body in (
        {"revoke": [row("boss", "admin", account)]},
        {"grant": [row("boss", "user", account)], "revoke": [row("boss", "admin", account)]},
    ):
        answer = service.post(ASSIGNMENTS, body)
        assert answer.status == 409
        assert answer.json["violations"] == [
            {"role": "admin", "domain": account, "rule": "keep-one", "message": answer.message}
        ]
    fresh = service.post(ASSIGNMENTS, {"grant": [row("ann", "user", f"{account}x")]})
    assert (fresh.status, fresh.json["violations"][0]["rule"]) == (409, "keep-one")


def test_the_rules_are_judged_on_the_state_after_the_write(service: Door, account: str) -> None:
    handing_over = {
        "grant": [row("eve", "agent", f"{account}/w"), row("eve", "admin", account)],
        "revoke": [row("boss", "admin", account)],
    }
    assert service.post(ASSIGNMENTS, handing_over).status == 200
    everything = {"revoke": [row("eve", "admin", account), row("eve", "agent", f"{account}/w")]}
    assert service.post(ASSIGNMENTS, everything).status == 200
    assert rows_of(service, domain=account) == []


JSON_VALUES: list[object] = [None, True, 0, 1.5, "text", [], {}, [[]], ["user:ann"], {"subject": "user:ann"}]


@pytest.mark.parametrize("value", JSON_VALUES, ids=repr)
def test_lists_rows_and_members_of_the_wrong_json_type_are_a_400(demo: Doors, service: Door, value: object) -> None:
    before = demo.service.store.revision()
    bodies: list[Json] = [{"grant": [value]}, {"revoke": [value]}, {"grant": [row("ann", "user", "acme"), value]}]
    bodies += [{"grant": value}, {"revoke": value}] if value != [] else []
    for member in ("subject", "role", "domain"):
        if not isinstance(value, str):
            bodies.append({"grant": [{**row("ann", "user", "acme"), member: value}]})
            bodies.append({"revoke": [{**row("ann", "user", "acme"), member: value}]})
    for body in bodies:
        answer = service.post(ASSIGNMENTS, body)
        assert answer.status == 400
        assert answer.message.startswith(("grant", "revoke"))
    assert demo.service.store.revision() == before


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "nothing to change"),
        ({"grant": [], "revoke": []}, "nothing to change"),
        ({"grants": [GOOD]}, 'unknown field "grants"'),
        ({"grant": [GOOD], "dry_run": True}, 'unknown field "dry_run"'),
        ({"grant": [{**GOOD, "account": "acme"}]}, 'grant[0] has an unknown field "account"'),
        ({"grant": [{"subject": "user:ann", "role": "user"}]}, "grant[0].domain is missing; send a string"),
    ],
)
def test_a_write_that_would_be_misread_is_a_400(service: Door, body: Json, words: str) -> None:
    answer = service.post(ASSIGNMENTS, body)
    assert answer.status == 400
    assert words in answer.message


def test_a_write_has_at_most_as_many_rows_as_a_batch(opened: Callable[..., Doors]) -> None:
    service = opened(max_batch=3).lane
    three = [row("boss", "admin", "a"), row("ann", "user", "a"), row("bob", "user", "a")]
    assert service.post(ASSIGNMENTS, {"grant": three, "revoke": [row("eve", "user", "a")]}).status == 400
    assert rows_of(service) == []
    assert service.post(ASSIGNMENTS, {"grant": three}).status == 200


def test_a_thousand_faulty_rows_are_answered_soon(service: Door) -> None:
    bad = [row("x" * 900, "r" * 1000 + str(number), "d" * 900) for number in range(300)]
    answer = service.post(ASSIGNMENTS, {"grant": bad})
    assert answer.status == 400
    assert len(answer.json["faults"]) == 300


# --- Decisions right afterwards -----------------------------------------------------------------------------------


def test_a_decision_knows_at_once_of_every_write(demo: Doors, client: Door, account: str) -> None:
    request = asking("ann", "edit", "quiz", account=account, workspace="w", status="published")
    assert not client.allows(request)
    assert (
        client.post(ASSIGNMENTS, {"grant": [row("ann", "user", account), row("ann", "lead", f"{account}/w")]}).status == 200
    )
    assert client.allows(request)
    assert demo.flask.allows(request) and demo.lane.allows(request)
    assert client.post(ASSIGNMENTS, {"revoke": [row("ann", "lead", f"{account}/w")]}).status == 200
    assert not client.allows(request)
    assert client.post(ASSIGNMENTS, {"grant": [row("ann", "manager", f"{account}/w")]}).status == 200
    assert client.allows(request)
    assert remove(client, "user:ann", account).json["removed"] == 2
    assert not client.allows(request)
    assert not [held for held in client.explain(request)["roles_held"] if held["domain"].startswith(account)]


def test_a_refused_write_changes_no_decision(client: Door, account: str) -> None:
    request = asking("boss", "delete", "account", account)
    assert client.allows(request)
    both = {"revoke": [row("boss", "admin", account)], "grant": [row("new", "agent", f"{account}/w")]}
    assert client.post(ASSIGNMENTS, both).status == 409
    assert client.allows(request)
    assert not client.allows(asking("new", "take", "quiz", account=account, workspace="w", status="published"))


def test_a_decision_knows_at_once_of_the_writes_of_another_process(opened: Callable[..., Doors], door_name: str) -> None:
    one, other = opened(), opened()
    grant(one.service, [("user:boss", "admin", "a"), ("user:ann", "user", "a"), ("user:ann", "lead", "a/w")])
    door = one.named(door_name)
    request = asking("ann", "edit", "quiz", account="a", workspace="w", status="published")
    assert door.allows(request)
    assert other.lane.post(ASSIGNMENTS, {"revoke": [row("ann", "lead", "a/w")]}).status == 200
    assert not door.allows(request)
    assert other.lane.post(ASSIGNMENTS, {"grant": [row("ann", "lead", "a/w")]}).status == 200
    assert door.decisions({**request, "evaluations": [{}, {}]}) == [True, True]
    assert remove(other.lane, "user:ann", "a").status == 200
    assert door.decisions({**request, "evaluations": [{}, {}]}) == [False, False]


ODD = [
    "a,b",
    '"',
    '"a","b"',
    "#a",
    "a#b",
    "a b",
    " a ",
    "a&b=c",
    "a+b",
    "a%20b",
    "%",
    "a?b",
    "a;b",
    "'a'",
    "a:b",
    "ä",
    "a\u0308",
    "😀",
]


@pytest.mark.parametrize("text", ODD)
def test_odd_ids_round_trip_and_are_enforced(service: Door, text: str) -> None:
    account = new_account() + text
    rows = [row(text, "admin", account), row(text, "lead", f"{account}/{text}")]
    assert service.post(ASSIGNMENTS, {"grant": rows}).status == 200
    assert rows_of(service, subject=f"user:{text}", domain=account) == rows[:1]
    assert rows_of(service, domain=f"{account}/{text}", role="lead") == rows[1:]
    assert service.allows(asking(text, "delete", "account", account))
    assert service.allows(asking(text, "view", "scorecard", account=account, workspace=text))
    assert not service.allows(asking(text + "x", "delete", "account", account))
    assert remove(service, f"user:{text}", account).json["removed"] == 2
    assert not service.allows(asking(text, "delete", "account", account))
    assert rows_of(service, domain=account) == []


# --- Reading ------------------------------------------------------------------------------------------------------


def test_a_listing_is_in_order_and_complete_over_its_pages(opened: Callable[..., Doors]) -> None:
    doors = opened()
    people = ["a", "B", "b", "a,b", "é", "z😀", "~", "10", "9"]
    rows = [row("boss", "admin", "acme")]
    rows += [row(name, "user", "acme") for name in people]
    rows += [row(name, role, f"acme/{place}") for name in people for role in ("agent", "lead") for place in ("w", "v")]
    assert doors.lane.post(ASSIGNMENTS, {"grant": rows}).status == 200
    expected = sorted(rows, key=lambda one: (one["subject"], one["role"], one["domain"]))
    for limit in (1, 7, len(rows) - 1, len(rows), 1000):
        assert rows_of(doors.lane, limit=limit) == expected
    for filters in (
        {"subject": "user:a,b"},
        {"role": "agent"},
        {"domain": "acme/w"},
        {"subject": "user:é", "role": "lead"},
        {"role": "lead", "domain": "acme/v"},
        {"subject": "user:b", "domain": "acme/w"},
        {"subject": "user:b", "domain": "acme/w", "role": "lead"},
    ):
        fitting = [one for one in expected if filters.items() <= one.items()]
        assert fitting
        for limit in (1, 2, 1000):
            assert rows_of(doors.lane, limit=limit, **filters) == fitting


def test_the_last_page_has_no_cursor_and_a_full_one_before_it_has(service: Door) -> None:
    for subject in ("user:leo", "user:ann"):
        total = len(show(service, subject=subject, limit=1000)["assignments"])
        assert "next_cursor" not in show(service, subject=subject, limit=total)
        assert "next_cursor" in show(service, subject=subject, limit=total - 1)


def test_who_is_not_there_gives_an_empty_list(service: Door) -> None:
    for filters in (
        {"subject": "user:nobody"},
        {"role": "no_role"},
        {"domain": "no/where"},
        {"subject": ""},
        {"role": "\x00"},
    ):
        assert show(service, **filters) == {"assignments": []}
    assert service.get(f"{ASSIGNMENTS}?subject=%ff%fe").json == {"assignments": []}


def test_a_page_has_100_rows_unless_more_are_asked_for(opened: Callable[..., Doors]) -> None:
    doors = opened()
    grant(doors.service, [("user:boss", "admin", "a"), *((f"user:{number}", "user", "a") for number in range(1100))])
    assert len(show(doors.lane)["assignments"]) == 100
    assert len(show(doors.lane, limit=1000)["assignments"]) == 1000


LIMITS = [
    "",
    "0",
    "-1",
    "1001",
    "1.0",
    "1e2",
    "ten",
    " 5",
    "+5",
    "٣",
    "5 ",
    "00000000100000",
    "000000001" + "0" * 5000,
    "9" * 5000,
]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: ascii(limit[:20]))
def test_a_limit_out_of_range_is_a_400(service: Door, limit: str) -> None:
    answer = service.get(f"{ASSIGNMENTS}?limit={quote(limit)}")
    assert (answer.status, answer.message) == (400, "limit is not a number from 1 to 1000")


@pytest.mark.parametrize("query", ["subjct=user:ann", "subject=a&x=", "account=acme", "%ff=1", "Subject=a", "subject[]=a"])
def test_an_unknown_parameter_is_a_400(service: Door, query: str) -> None:
    for method in ("GET", "DELETE"):
        answer = service.ask(method, f"{ASSIGNMENTS}?{query}")
        assert answer.status == 400
        assert "parameter" in answer.message


def test_a_repeated_parameter_is_a_400(service: Door) -> None:
    for query in ("subject=a&subject=b", "limit=1&limit=1", "cursor=&cursor="):
        answer = service.get(f"{ASSIGNMENTS}?{query}")
        assert (answer.status, "repeated" in answer.message) == (400, True)
    assert service.ask("DELETE", f"{ASSIGNMENTS}?subject=user:ann&account=acme&account=globex").status == 400


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


CURSORS = {
    "empty": "",
    "no base64": "!!!",
    "not ASCII": "é",
    "no JSON": base64.b64encode(b"hello").decode(),
    "no UTF-8": base64.b64encode(b"\xff\xfe").decode(),
    "a number": encoded(1),
    "null": encoded(None),
    "a short list": encoded([[None, None, None]]),
    "no filters": encoded([None, ["a", "b", "c"]]),
    "two parts": encoded([[None, None, None], ["a", "b"]]),
    "a number as a part": encoded([[None, None, None], ["a", "b", 1]]),
    "a text in place of parts": encoded([[None, None, None], "abcd"]),
    "half of a surrogate pair": encoded([[None, None, None], ["\ud800", "b", "c"]]),
    "a NUL": encoded([[None, None, None], ["a\x00", "b", "c"]]),
    "deep": base64.b64encode(b"[" * 20000).decode(),
    "a long number": base64.b64encode(b"9" * 6000).decode(),
    "very long": "A" * 20000,
}


@pytest.mark.parametrize("kind", CURSORS)
def test_a_cursor_that_was_never_given_is_a_400(service: Door, kind: str) -> None:
    answer = service.get(f"{ASSIGNMENTS}?cursor={quote(CURSORS[kind])}")
    assert answer.status == 400
    assert "cursor" in answer.message


def test_a_cursor_of_another_query_is_a_400_and_another_limit_is_fine(service: Door) -> None:
    first = show(service, subject="user:leo", limit=1)
    assert service.get(f"{ASSIGNMENTS}?cursor={quote(first['next_cursor'])}").status == 400
    assert service.get(f"{ASSIGNMENTS}?subject=user:ann&cursor={quote(first['next_cursor'])}").status == 400
    rest = show(service, subject="user:leo", cursor=first["next_cursor"])
    assert first["assignments"] + rest["assignments"] == rows_of(service, subject="user:leo")


@settings(max_examples=60, deadline=None)
@given(
    query=st.text(st.characters(codec="utf-8"), max_size=30),
    name=st.sampled_from(["subject", "role", "domain", "limit", "cursor"]),
)
def test_no_parameter_makes_a_listing_fail(demo: Doors, query: str, name: str) -> None:
    assert demo.lane.get(f"{ASSIGNMENTS}?{name}={quote(query)}").status in (200, 400)


# --- Leavers ------------------------------------------------------------------------------------------------------


def test_a_leaver_is_removed_from_the_account_and_its_workspaces_alone(service: Door, account: str) -> None:
    elsewhere = new_account()
    rows = [row("ann", "user", account), row("ann", "agent", f"{account}/w"), row("ann", "lead", f"{account}/v")]
    others = [row("ann", "admin", elsewhere), row("ann", "admin", f"{account}2"), row("ann.x", "user", account)]
    assert service.post(ASSIGNMENTS, {"grant": rows + others}).status == 200
    answer = remove(service, "user:ann", account)
    assert answer.status == 200
    assert answer.json.keys() == {"revision", "removed"}
    assert answer.json["removed"] == 3
    left = rows_of(service, subject="user:ann")
    assert others[0] in left and others[1] in left
    assert not any(one in left for one in rows)
    assert rows_of(service, subject="user:ann.x") == [others[2]]


def test_removing_a_leaver_again_changes_nothing(service: Door, account: str) -> None:
    assert service.post(ASSIGNMENTS, {"grant": [row("ann", "user", account)]}).status == 200
    first, second = remove(service, "user:ann", account), remove(service, "user:ann", account)
    assert (first.json["removed"], second.json["removed"]) == (1, 0)
    assert first.json["revision"] == second.json["revision"]


def test_the_last_admin_of_others_is_not_removed(service: Door, account: str) -> None:
    assert (
        service.post(ASSIGNMENTS, {"grant": [row("ann", "user", account), row("boss", "lead", f"{account}/w")]}).status
        == 200
    )
    answer = remove(service, "user:boss", account)
    assert answer.status == 409
    assert answer.json["violations"][0].keys() == {"role", "domain", "rule", "message"}
    assert len(rows_of(service, subject="user:boss", domain=account)) == 1
    assert len(rows_of(service, subject="user:boss", domain=f"{account}/w")) == 1
    assert remove(service, "user:ann", account).status == 200
    assert remove(service, "user:boss", account).json["removed"] == 2


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"subject": "user:ann"},
        {"account": "acme"},
        {"subject": "", "account": "acme"},
        {"subject": "user:ann", "account": ""},
        {"subject": "user:ann", "account": "acme/support"},
        {"subject": "user:ann", "account": "ac\nme"},
        {"subject": "user:ann", "account": "a" * 256},
    ],
    ids=repr,
)
def test_a_removal_that_does_not_name_one_subject_and_account_is_a_400(
    demo: Doors, service: Door, parameters: dict[str, str]
) -> None:
    before = demo.service.store.revision()
    assert service.ask("DELETE", f"{ASSIGNMENTS}?{urlencode(parameters)}").status == 400
    assert demo.service.store.revision() == before


def test_an_odd_subject_is_removed_from_nowhere(service: Door) -> None:
    without_type = remove(service, "ann", "acme")
    assert without_type.status == 400
    for subject in ("user:", ":", "user:a\x00b", "user:" + "x" * 500, "robot:ann", "USER:ann", "user:ann "):
        assert remove(service, subject, "acme").json["removed"] == 0


def test_a_row_found_with_a_role_no_longer_declared_can_be_taken_away(demo: Doors, service: Door, account: str) -> None:
    with demo.service.store.engine.begin() as connection:
        connection.execution_options(klausel_writes=True).execute(
            text("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:old', 'retired', :domain)"),
            {"domain": account},
        )
    stray: dict[str, Any] = {"subject": "user:old", "role": "retired", "domain": account}
    assert rows_of(service, subject="user:old") == [stray]
    assert service.post(ASSIGNMENTS, {"revoke": [stray]}).status == 200
    assert rows_of(service, subject="user:old") == []
    assert service.post(ASSIGNMENTS, {"revoke": [stray]}).status == 400
    assert service.post(EVALUATION, asking("old", "edit", "quiz", account=account)).status == 200
