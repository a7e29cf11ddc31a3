"""`GET /v1/assignments`: rows in order and complete over their pages, and queries that are refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from assignment_requests import row, rows_of, show
from doors import ASSIGNMENTS, Door, Doors, grant
from hypothesis import given, settings
from hypothesis import strategies as st


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
WRITTEN_AS_NONE_IS = {"empty", "no base64", "not ASCII", "no UTF-8"}
"""The description of the API tells of these; of the others only whoever gives cursors knows."""


@pytest.mark.parametrize("kind", CURSORS)
def test_a_cursor_that_was_never_given_is_refused(service: Door, kind: str) -> None:
    answer = service.get(f"{ASSIGNMENTS}?cursor={quote(CURSORS[kind])}")
    assert answer.status == (400 if kind in WRITTEN_AS_NONE_IS else 409)
    assert "cursor" in answer.message


def test_a_cursor_of_another_query_is_a_409_and_another_limit_is_fine(service: Door) -> None:
    first = show(service, subject="user:leo", limit=1)
    assert service.get(f"{ASSIGNMENTS}?cursor={quote(first['next_cursor'])}").status == 409
    assert service.get(f"{ASSIGNMENTS}?subject=user:ann&cursor={quote(first['next_cursor'])}").status == 409
    rest = show(service, subject="user:leo", cursor=first["next_cursor"])
    assert first["assignments"] + rest["assignments"] == rows_of(service, subject="user:leo")


@settings(max_examples=60, deadline=None)
@given(
    query=st.text(st.characters(codec="utf-8"), max_size=30),
    name=st.sampled_from(["subject", "role", "domain", "limit", "cursor"]),
)
def test_no_parameter_makes_a_listing_fail(demo: Doors, query: str, name: str) -> None:
    assert demo.lane.get(f"{ASSIGNMENTS}?{name}={quote(query)}").status in (200, 400, 409)
