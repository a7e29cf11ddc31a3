"""Ids that could never be anybody's or anything's: denied with a reason, before any question to the database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from doors import ALLOWED, EXPLAIN, Door, Doors, Json, asking, grant, new_account, with_resource, with_subject

NOT_A_DOMAIN: dict[str, object] = {
    "empty": "",
    "a slash": "acme/support",
    "a star": "*",
    "a leading slash": "/acme",
    "a newline": "ac\nme",
    "a NUL": "acme\x00",
    "a delete character": "acme\x7f",
    "a C1 control": "acme\x85",
    "a line separator": "acme\u2028",
    "256 characters": "a" * 256,
    "null": None,
    "a number": 12,
    "a fraction": 1.5,
    "true": True,
    "a list": ["acme"],
    "an object": {"id": "acme"},
}
NOT_A_SUBJECT = {
    "no id": {"id": ""},
    "no type": {"type": ""},
    "a newline in the id": {"id": "leo\n"},
    "a NUL in the id": {"id": "leo\x00"},
    "an escape in the type": {"type": "us\x1ber"},
    "a paragraph separator in the id": {"id": "le\u2029o"},
    "an id that is too long": {"id": "x" * 251},
    "a type that is too long": {"type": "x" * 252},
}


def malformed_requests() -> dict[str, Json]:
    requests = {f"subject with {name}": with_subject(ALLOWED, **members) for name, members in NOT_A_SUBJECT.items()}
    for name, value in NOT_A_DOMAIN.items():
        requests[f"account {name}"] = asking("leo", "edit", "quiz", account=value, workspace="support", status="published")
        requests[f"workspace {name}"] = asking("leo", "edit", "quiz", account="acme", workspace=value, status="published")
        if isinstance(value, str):
            requests[f"account id {name}"] = asking("max", "view_settings", "account", value)
            requests[f"workspace id {name}"] = asking("mia", "edit_settings", "workspace", value, account="acme")
    requests["workspace without its account"] = asking("leo", "edit", "quiz", workspace="support", status="published")
    requests["account id and another property"] = asking("max", "view_settings", "account", "acme", account="globex")
    requests["account id and a null property"] = asking("max", "view_settings", "account", "acme", account=None)
    requests["workspace id and another property"] = asking(
        "mia", "edit_settings", "workspace", "support", account="acme", workspace="sales"
    )
    requests["a domain that is too long as a whole"] = asking("leo", "edit", "quiz", account="a" * 128, workspace="b" * 127)
    return requests


MALFORMED = malformed_requests()


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_id_is_denied_with_a_reason(demo: Doors, kind: str) -> None:
    told = [door.evaluate(MALFORMED[kind]) for door in (demo.flask, demo.lane)]
    assert told[0] == told[1]
    assert told[0]["decision"] is False
    assert told[0]["context"].keys() == {"reason"}
    assert told[0]["context"]["reason"]
    explained = demo.lane.explain(MALFORMED[kind])
    assert explained["decision"] is False
    assert explained["reason"] == f"denied, because {told[0]['context']['reason']}"
    assert (explained["domain"], explained["roles_held"], explained["nearest"]) == (None, [], [])


def test_a_malformed_id_is_denied_without_a_query(
    statements: list[str], opened: Callable[..., Doors], door_name: str
) -> None:
    doors = opened()
    grant(doors.service, [("user:leo", "user", "acme"), ("user:ada", "admin", "acme")])
    door = doors.named(door_name)
    door.evaluate(ALLOWED)
    assert any("casbin_rule" in statement for statement in statements), "the statements are not seen"
    statements.clear()
    for request in MALFORMED.values():
        assert not door.allows(request)
        assert door.post(EXPLAIN, request).status == 200
    assert door.decisions({"evaluations": list(MALFORMED.values())}) == [False] * len(MALFORMED)
    assert statements == []


def test_a_request_that_is_no_request_asks_no_query(
    statements: list[str], opened: Callable[..., Doors], door_name: str
) -> None:
    door = opened().named(door_name)
    statements.clear()
    for request in ({}, {"subject": "leo"}, {**ALLOWED, "action": {"name": 1}}):
        assert door.ask("POST", "/access/v1/evaluation", str(request).replace("'", '"').encode()).status == 400
        assert door.decisions({"evaluations": [request]}) == [False]
    assert statements == []


def test_one_query_at_most_is_asked_for_a_subject_that_is_asked_about_again(
    statements: list[str], opened: Callable[..., Doors], door_name: str
) -> None:
    doors = opened()
    grant(doors.service, [("user:ada", "admin", "acme"), ("user:leo", "user", "acme"), ("user:leo", "lead", "acme/support")])
    statements.clear()
    assert doors.named(door_name).decisions({**ALLOWED, "evaluations": [{}] * 50}) == [True] * 50
    assert len([statement for statement in statements if "casbin_rule" in statement]) == 1


def test_the_longest_ids_that_are_stored_are_asked_about(demo: Doors, door_name: str) -> None:
    subject, account, workspace = "u" * 250, "a" * 127, "w" * 127
    rows = [(f"user:{subject}", role, domain) for role, domain in [("admin", account), ("lead", f"{account}/{workspace}")]]
    grant(demo.service, rows)
    request = asking(subject, "edit", "quiz", account=account, workspace=workspace, status="published")
    assert demo.named(door_name).allows(request)


@pytest.mark.parametrize(
    "text",
    [
        "a b",
        "a,b",
        '"a"',
        "'a'",
        "#a",
        "=1+1",
        "a;b",
        "a--b",
        "a%b_c",
        "a\\b",
        "a:b",
        "a|b",
        "*",
        "null",
        "None",
        "True",
        "g",
        "p, x",
        "ann ",
        " ann",
        "ANN",
        "ä",
        "a\u0308",
        "😀",
        "漢字",
        "\u202eabc",
        "r.sub",
        "any lead",
        "anyone",
        "\ufeff",
        "1",
        "-1",
        "a/b",
    ],
)
def test_an_odd_but_printable_id_is_itself_and_nobody_else(demo: Doors, text: str) -> None:
    account = new_account()
    domain = account if "/" in text else f"{account}{text}"
    with_role = [(f"user:{text}", "admin", domain), ("user:bystander", "user", domain)]
    grant(demo.service, with_role)
    for door in (demo.flask, demo.lane):
        assert door.allows(asking(text, "delete", "account", domain))
        for other in (text + " ", text.upper() + "x", "bystander", f"user:{text}"):
            assert not door.allows(asking(other, "delete", "account", domain))
        assert not door.allows(with_subject(asking(text, "delete", "account", domain), type="robot"))
        assert not door.allows(asking(text, "delete", "account", "acme"))


def test_the_id_of_a_thing_that_is_no_domain_may_be_anything(client: Door) -> None:
    for text in ("", "a/b", "a\nb", "\x00", "x" * 1024):
        assert client.allows(with_resource(ALLOWED, id=text))
