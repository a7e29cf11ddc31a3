"""Pages of searches that are cut by time: however little there is, following them leads to every answer once, in order."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from doors import SEARCHES, Door, Doors, Json, open_doors
from opened_services import PATIENT
from stored_entities import todo, user, write_policies

from klausel.core.policy.assignment import Assignment
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.service import search_pages
from klausel.service.search_pages import Look, merged, page_of
from klausel.service.searches import Part, Search
from klausel.storage.entities import finding

MANY = 60
FEW = ("t07", "t31", "t32", "t59")
READ = {"subject": {"type": "user", "id": "ann"}, "action": {"name": "read"}, "resource": {"type": "todo"}}
WHO = {**READ, "subject": {"type": "user"}, "resource": {"type": "todo", "id": "t07"}}


@pytest.fixture
def doors(tmp_path: Path, database_url: str) -> Iterator[Doors]:
    known = write_policies(tmp_path)
    # What no index leads to.
    file = tmp_path / "policies/features/todos.yaml"
    text = file.read_text().replace("resource.size < subject.grade", "resource.size != 9 and subject.grade != 1")
    file.write_text(text)
    with open_doors(database_url, **known, **PATIENT) as doors:
        service, policy = doors.service, doors.service.policy.compiled.policy
        todos = [todo(f"t{n:02}", place={"city": "Bonn"}, size=1 if f"t{n:02}" in FEW else 9) for n in range(MANY)]
        people = [user(f"u{n:02}", grade=5 if n % 20 == 3 else 1) for n in range(MANY)]
        service.entities.write(policy, [*todos, *people, user("ann", grade=5)])
        rows = [Assignment(f"user:{one.id}", "worker", "acme/red") for one in (*people, user("ann"))]
        service.store.write(policy.roles, rows, [])
        yield doors


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "FIRST_LOOKED_AT", 4)
    monkeypatch.setattr(finding, "MOST_LOOKED_AT", 5)


def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klausel.api.searches.SECONDS_A_PAGE", 0.0)


def followed(door: Door, part: Part, asked: Json, page: Json) -> list[Json]:
    """Every page, up to the last one."""
    pages = [door.post(SEARCHES[part], {**asked, "page": page}).json]
    while token := pages[-1]["page"]["next_token"]:
        assert "total" not in pages[-1]["page"]
        pages.append(door.post(SEARCHES[part], {**asked, "page": {**page, "token": token}}).json)
    return pages


def ids(pages: list[Json]) -> list[str]:
    return [one["id"] for page in pages for one in page["results"]]


PEOPLE = ["ann", *(f"u{n:02}" for n in range(MANY) if n % 20 == 3)]
QUESTIONS: list[tuple[Part, Json, list[str]]] = [("resource", READ, list(FEW)), ("subject", WHO, PEOPLE)]


@pytest.mark.parametrize(("part", "asked", "wanted"), QUESTIONS, ids=["resource", "subject"])
def test_pages_that_are_cut_lead_to_every_answer_once(
    doors: Doors, few_at_once: None, monkeypatch: pytest.MonkeyPatch, part: Part, asked: Json, wanted: list[str]
) -> None:
    whole = followed(doors.lane, part, asked, {})
    assert (len(whole), ids(whole), whole[0]["page"]["total"]) == (1, wanted, len(wanted))
    no_time(monkeypatch)
    pages = followed(doors.lane, part, asked, {"limit": 3})
    assert ids(pages) == wanted
    assert [] in [page["results"] for page in pages]
    assert len(pages) > MANY / 5
    assert all(page["page"]["count"] == len(page["results"]) <= 1 for page in pages)


@pytest.mark.parametrize(("part", "asked", "wanted"), QUESTIONS, ids=["resource", "subject"])
def test_who_asks_for_no_page_is_told_all_or_an_error(
    doors: Doors, few_at_once: None, monkeypatch: pytest.MonkeyPatch, part: Part, asked: Json, wanted: list[str]
) -> None:
    no_time(monkeypatch)
    for none in ({}, {"page": None}):
        told = doors.lane.post(SEARCHES[part], {**asked, **none}).json
        assert (ids([told]), told["page"]["next_token"]) == (wanted, "")
    monkeypatch.setattr("klausel.api.searches.SECONDS_AT_ONCE", 0.0)
    answer = doors.lane.post(SEARCHES[part], asked)
    assert (answer.status, "send page" in answer.message) == (503, True)
    # A page that is full needs no more looking to be what was asked for.
    monkeypatch.setattr("klausel.api.searches.LARGEST_PAGE", 0)
    assert doors.lane.post(SEARCHES[part], asked).json["page"]["next_token"]


def test_a_token_does_not_tell_the_id_of_what_is_no_answer(
    doors: Doors, few_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_time(monkeypatch)
    tokens = [page["page"]["next_token"] for page in followed(doors.lane, "resource", READ, {})[:-1]]
    assert len(set(tokens)) == len(tokens) > 3
    assert not any(b"t" + b"%02d" % n in base64.urlsafe_b64decode(token) for token in tokens for n in range(MANY))
    again = [page["page"]["next_token"] for page in followed(doors.lane, "resource", READ, {})[:-1]]
    assert again == tokens


def test_no_query_looks_at_more_than_a_few_of_what_is_stored(doors: Doors, few_at_once: None) -> None:
    search = Search(doors.service, Request(Subject("user", "ann"), Action("read"), Resource("todo", "")))
    after: str | None = ""
    passed = []
    while after is not None:
        _, after, _ = search.page("resource", 10, after, seconds=0.0)
        passed.append(after)
    assert passed[:3] == ["t03", "t07", "t11"]
    assert len(passed) >= MANY / 5


def test_what_one_run_passed_stands_behind_what_another_has_there() -> None:
    looks = merged([Look("a", True), Look("c"), Look("e", True)], [Look("b", True), Look("c"), Look("d")])
    assert list(looks) == [Look("a", True), Look("b", True), Look("c"), Look("d"), Look("e", True)]
    assert list(merged([Look("p", True), Look("q")], [Look("p")])) == [Look("p"), Look("p", True), Look("q")]


def test_a_page_takes_one_step_at_least_and_looks_for_one_answer_more(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [Look("a"), Look("b", True), Look("c")]
    assert page_of(looks, 1, "") == (["a"], "b", False)
    assert page_of(looks, 2, "") == (["a", "c"], None, False)
    assert page_of(looks, 0, "x") == ([], "x", False)
    clock = count()
    monkeypatch.setattr(search_pages, "monotonic", lambda: next(clock))
    assert page_of(looks, 5, "", ends=-1.0) == (["a"], "a", True)
    assert page_of(looks, 1, "", ends=2.0) == (["a"], "b", False)
    assert page_of([], 5, "x", ends=-1.0) == ([], None, False)


def test_what_lies_in_one_place_is_found_where_few_of_many_match(
    doors: Doors, few_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = doors.service.policy.compiled.policy
    doors.service.entities.write(policy, [todo(f"x{n:02}", "acme/blue", size=1) for n in range(MANY)])
    no_time(monkeypatch)
    assert ids(followed(doors.lane, "resource", READ, {})) == list(FEW)


def test_what_is_written_between_two_pages_is_found_once(
    doors: Doors, few_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_time(monkeypatch)
    policy = doors.service.policy.compiled.policy
    first = doors.lane.post(SEARCHES["resource"], {**READ, "page": {}}).json
    assert first["results"] == []
    gone = [("resource", "todo", "t03"), ("resource", "todo", "t31")]
    doors.service.entities.write(policy, [todo("t04a", size=1)], gone)  # type: ignore[arg-type]
    found = ids([first])
    token = first["page"]["next_token"]
    while token:
        told = doors.lane.post(SEARCHES["resource"], {**READ, "page": {"token": token}}).json
        found += ids([told])
        token = told["page"]["next_token"]
    assert found == ["t04a", "t07", "t32", "t59"]
