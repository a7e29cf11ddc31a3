"""`POST /v1/assignments`: atomic writes, and that a decision right afterwards knows of the change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from assignment_requests import remove, row, rows_of
from doors import ASSIGNMENTS, Door, Doors, Json, asking, grant, new_account

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


def test_the_same_row_in_both_lists_is_a_409(service: Door, account: str) -> None:
    both = row("ann", "user", account)
    answer = service.post(ASSIGNMENTS, {"grant": [both], "revoke": [both]})
    assert answer.status == 409
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
