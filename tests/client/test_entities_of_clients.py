"""Stored properties by the client that waits, the one to await, and in process: one scenario, the same answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from doors import open_doors
from served_apps import served
from stored_entities import write_policies

from klausel.api.searches import _Tokens
from klausel.client import AsyncKlausel, CallFailed, EntitiesWritten, Entity, Klausel, Refused, Resource, Subject, entities
from klausel.client.clients import _Base
from klausel.in_process import open_policies

TODO = Entity("resource", "todo", "1", {"owner": "ann@x"}, "acme/red")
ANN = Entity("subject", "user", "ann", {"email": "ann@x"})
EDITOR = {"subject": "user:ann", "role": "editor", "domain": "acme"}


class Awaited:
    """An `AsyncKlausel` whose methods are waited for, so that one scenario serves both."""

    def __init__(self, client: AsyncKlausel, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*given: Any, **named: Any) -> Any:
            found = method(*given, **named)
            return self._loop.run_until_complete(_all(found) if hasattr(found, "__aiter__") else found)

        return call


async def _all(found: Any) -> list[Any]:
    return [one async for one in found]


@contextmanager
def _over_http(folder: Path, awaits: bool) -> Iterator[Any]:
    with (
        open_doors(folder / "some.db", **write_policies(folder)) as doors,
        served(doors.flask._client.application) as url,  # type: ignore[attr-defined]
    ):
        if not awaits:
            with Klausel(url, remembers=60) as client:
                yield client
            return
        loop = asyncio.new_event_loop()
        other = AsyncKlausel(url, remembers=60)
        try:
            yield Awaited(other, loop)
        finally:
            loop.run_until_complete(other.close())
            loop.close()


@pytest.fixture(scope="module", params=["client", "async", "in process"])
def klausel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    tmp_path = tmp_path_factory.mktemp("entities")
    if request.param == "in process":
        paths = write_policies(tmp_path)
        with open_policies(paths["policies"], model=paths["model"], database=f"sqlite:///{tmp_path}/own.db") as opened:
            yield opened
        return
    with _over_http(tmp_path, request.param == "async") as client:
        yield client


def test_what_is_written_is_read_and_decided_by(klausel: Any) -> None:
    klausel.assign([EDITOR])
    assert not klausel.allows("user:ann", "update", "todo:1")
    written = klausel.write_entities([TODO, ANN], by="cara", reason="import", ticket="T-1")
    assert (written.stored, written.removed) == (2, 0)
    assert klausel.write_entities([TODO, ANN]) == EntitiesWritten(written.revision, 0, 0)
    # Also where decisions are remembered: a change of this client ends that.
    assert klausel.allows("user:ann", "update", "todo:1")
    assert klausel.entity(*TODO.key) == TODO
    assert klausel.entity("subject", "user", "nobody") is None

    assert klausel.delete_entity(*TODO.key, by="cara") is True
    assert klausel.delete_entity(*TODO.key) is False
    assert klausel.entity(*TODO.key) is None
    assert not klausel.allows("user:ann", "update", "todo:1")
    assert klausel.write_entities(delete=[ANN.key]).removed == 1


def test_entities_are_listed_page_after_page_and_by_domain(klausel: Any) -> None:
    todos = [
        Entity("resource", "todo", f"{number}", {"size": number}, f"globex/{'red' if number % 2 else 'blue'}")
        for number in range(1, 8)
    ]
    klausel.write_entities([*todos, ANN])
    assert list(klausel.entities("resource", "todo", domain="globex", limit=2)) == todos
    assert list(klausel.entities("resource", "todo", domain="globex/red", limit=1)) == todos[::2]
    assert list(klausel.entities("subject", "user")) == [ANN]
    assert list(klausel.entities("resource", "note")) == []


def test_what_cannot_be_stored_is_refused_with_each_fault(klausel: Any) -> None:
    other = Entity("resource", "todo", "0")
    with pytest.raises(Refused) as refused:
        klausel.write_entities([other, Entity("resource", "todo", "2", {"size": "large"}), Entity("resource", "note", "3")])
    assert refused.value.status == 400
    assert [(fault["index"], fault["member"]) for fault in refused.value.body["faults"]] == [
        (1, "properties.size"),
        (2, "type"),
    ]
    assert klausel.entity(*other.key) is None
    with pytest.raises(Refused, match="nothing to change"):
        klausel.write_entities()
    with pytest.raises(Refused, match="kind"):
        klausel.entity("thing", "todo", "1")


def test_a_page_that_is_none_is_a_failure() -> None:
    call = entities.entities(_Base("http://localhost", seconds=1, retries=0, denies=True, remembers=0), "resource", "todo")
    with pytest.raises(CallFailed, match="without its kind"):
        call.page(None).read({"entities": [{"kind": "resource"}]})


def test_a_search_goes_on_over_pages_that_are_short_or_empty(klausel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    todos = [Entity("resource", "todo", f"few{number}", {"done": number % 13 == 0}, "acme/red") for number in range(40)]
    klausel.write_entities([*todos, *(Entity("subject", "user", f"p{number}", {"grade": number}) for number in range(9))])
    klausel.assign([{"subject": f"user:p{number}", "role": "worker", "domain": "acme/red"} for number in range(9)])
    found = [Resource("todo", one.id) for one in sorted(todos, key=lambda one: one.id) if one.properties["done"]]
    who = [Subject("user", f"p{number}") for number in range(9)]
    pages: list[int] = []
    write = _Tokens.write

    def noting(self: _Tokens, *given: Any) -> str:
        pages.append(1)
        return write(self, *given)

    monkeypatch.setattr("klausel.api.searches.SECONDS_A_PAGE", 0.0)
    # As in a database without an index of values.
    monkeypatch.setattr("klausel.storage.entities.narrowing.TRIGGERS", {})
    monkeypatch.setattr("klausel.storage.entities.finding.FIRST_LOOKED_AT", 3)
    monkeypatch.setattr("klausel.storage.entities.finding.MOST_LOOKED_AT", 3)
    monkeypatch.setattr(_Tokens, "write", noting)
    assert list(klausel.search_resources("user:p7", "archive", Resource("todo"))) == found
    assert list(klausel.search_resources("user:p7", "archive", Resource("todo"), limit=2)) == found
    assert list(klausel.search_subjects("user", "archive", found[0])) == who
    assert len(pages) > 20
