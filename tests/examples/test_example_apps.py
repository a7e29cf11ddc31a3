"""The example applications for Flask and FastAPI, asked over both kinds of engines: the service over HTTP, and in process."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from doors import ROOT, demo_people, grant, open_doors
from served_apps import served

from klausel.client import AsyncKlausel, Klausel
from klausel.in_process import InProcess, open_policies

Ask = Callable[..., httpx.Response]


def example(framework: str) -> ModuleType:
    """The module of an example."""
    name = f"example_{framework}"
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / framework / "app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


FLASK, FASTAPI = example("flask"), example("fastapi")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with open_doors(tmp_path_factory.mktemp("service") / "klausel.db") as doors:
        grant(doors.service, demo_people())
        with served(doors.flask._client.application) as url:  # type: ignore[attr-defined]
            yield url


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    database = f"sqlite:///{tmp_path_factory.mktemp('own')}/own.db"
    with open_policies(ROOT / "policies", database=database, follows=False) as opened:
        opened.assign([{"subject": subject, "role": role, "domain": domain} for subject, role, domain in demo_people()])
        yield opened


def flask_asked(klausel: Klausel) -> Ask:
    """Requests to the example of Flask, each as somebody."""
    app = FLASK.create_app(klausel)

    def ask(method: str, path: str, name: str | None = "leo", body: Any = None) -> httpx.Response:
        transport = httpx.WSGITransport(app)
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            if name:
                assert client.post("/login", json={"name": name}).status_code == 204
            return client.request(method, path, json=body)

    return ask


def fastapi_asked(make_klausel: Callable[[], Klausel | AsyncKlausel]) -> Ask:
    """Requests to the example of FastAPI, each as somebody."""

    def ask(method: str, path: str, name: str | None = "leo", body: Any = None) -> httpx.Response:
        async def asking() -> httpx.Response:
            klausel = make_klausel()
            transport = httpx.ASGITransport(FASTAPI.create_app(klausel))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                answer = await client.request(method, path, json=body, headers={"X-User": name} if name else {})
            if isinstance(klausel, AsyncKlausel):
                await klausel.close()
            return answer

        return asyncio.run(asking())

    return ask


@pytest.fixture(
    params=["flask over HTTP", "flask in process", "fastapi over HTTP", "fastapi awaiting", "fastapi in process"]
)
def ask(request: pytest.FixtureRequest, address: str, in_process: InProcess) -> Iterator[Ask]:
    framework, _, way = request.param.partition(" ")
    if way == "in process":
        yield flask_asked(in_process) if framework == "flask" else fastapi_asked(lambda: in_process)
    elif way == "awaiting":
        yield fastapi_asked(lambda: AsyncKlausel(address))
    else:
        with Klausel(address) as klausel:
            yield flask_asked(klausel) if framework == "flask" else fastapi_asked(lambda: klausel)


def test_a_list_shows_what_may_be_viewed_one_by_one(ask: Ask) -> None:
    # leo is a lead in support and an agent in sales, ann an agent in support; greg's dashboard is in another account.
    for name, expected in {"leo": [1, 2, 3], "ann": [2], "max": [1, 2, 3, 4], "greg": [5], "stranger": []}.items():
        listed = ask("GET", "/dashboards", name)
        assert (listed.status_code, listed.json()) == (200, expected), name
        one_by_one = {number: ask("GET", f"/dashboards/{number}", name).status_code for number in range(1, 6)}
        assert one_by_one == {number: 200 if number in expected else 403 for number in range(1, 6)}, name


def test_nobody_is_asked_to_log_in_and_learns_nothing(ask: Ask) -> None:
    for path in ("/dashboards", "/dashboards/1", "/dashboards/999"):
        assert ask("GET", path, None).status_code == 401
    assert ask("GET", "/dashboards/999").status_code == 404


def test_what_is_new_is_asked_about_as_it_would_be(ask: Ask) -> None:
    new = {"title": "Safety", "account": "acme", "workspace": "support"}
    assert ask("POST", "/quizzes", "leo", new).status_code == 201
    assert ask("POST", "/quizzes", "ann", new).status_code == 403
    assert ask("POST", "/quizzes", "leo", {**new, "account": "globex"}).status_code == 403


def test_a_people_picker_shows_who_may(ask: Ask) -> None:
    assert ask("GET", "/quizzes/1/people", "leo").json() == ["ada", "leo", "max", "mia", "sam"]
    assert ask("GET", "/quizzes/1/people", "ann").status_code == 403


def test_a_view_that_forgot_to_ask_is_refused(ask: Ask) -> None:
    answer = ask("GET", "/forgotten")
    assert answer.status_code == 403
    assert "no decision was asked for here" in answer.text


def test_a_menu_shows_what_is_allowed(address: str) -> None:
    with Klausel(address) as klausel:
        flask, fastapi = flask_asked(klausel), fastapi_asked(lambda: klausel)
        assert (
            flask("GET", "/quizzes/1/menu", "leo").json()
            == fastapi("GET", "/menus", "leo").json()["1"]
            == ["create", "take", "edit"]
        )
        assert flask("GET", "/quizzes/1/menu", "ann").json() == fastapi("GET", "/menus", "ann").json()["1"] == ["take"]
        assert flask("GET", "/quizzes/1/menu", None).status_code == fastapi("GET", "/menus", None).status_code == 401


def test_what_is_moved_is_asked_about_where_it_goes(in_process: InProcess) -> None:
    ask = flask_asked(in_process)
    assert ask("PATCH", "/quizzes/1", "leo", {"title": "Better"}).status_code == 204
    assert ask("PATCH", "/quizzes/1", "leo", {"workspace": "sales"}).status_code == 403
    assert ask("PATCH", "/quizzes/1", "leo", {"title": "Best"}).status_code == 204


@pytest.fixture
def closed_port() -> Iterator[str]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize("way", ["flask", "fastapi", "fastapi awaiting"])
def test_without_the_service_everything_is_refused_with_503(way: str, closed_port: str) -> None:
    with Klausel(closed_port) as klausel:
        ask = {
            "flask": flask_asked(klausel),
            "fastapi": fastapi_asked(lambda: klausel),
            "fastapi awaiting": fastapi_asked(lambda: AsyncKlausel(closed_port)),
        }[way]
        menu = "/quizzes/1/menu" if way == "flask" else "/menus"
        for path in ("/dashboards", "/dashboards/1", menu, "/quizzes/1/people"):
            answer = ask("GET", path)
            assert answer.status_code == 503, path
            assert "no decision could be made: the service was not reached" in answer.text


def test_where_the_caller_is_not_known_to_the_service_everything_is_refused(tmp_path: Path) -> None:
    def unknown(environ: Any, start_response: Any) -> list[bytes]:
        start_response("401 Unauthorized", [("Content-Type", "application/json")])
        return [b'{"error": {"status": 401, "message": "unknown key"}}']

    with served(unknown) as url, Klausel(url) as klausel:
        ask = flask_asked(klausel)
        assert [ask("GET", path).status_code for path in ("/dashboards", "/dashboards/1")] == [503, 503]
