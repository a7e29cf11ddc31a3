"""The example application for Django, as a project of its own that answers on a port: pages, functions and REST."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from doors import ROOT, demo_people, grant, open_doors
from served_apps import served

PROJECT = ROOT / "examples" / "django"
SECONDS_TO_START = 60
# Each call would read the certificates of all authorities, which takes longer than the answer, and nothing here is HTTPS.
get = partial(httpx.get, verify=False)
# The three commands of examples/README.md, in one process, as starting Python thrice is slow.
START = """
import sys, django
from django.core.management import call_command
django.setup()
call_command("migrate", run_syncdb=True, verbosity=0)
call_command("seed")
call_command("runserver", sys.argv[1], use_reloader=False)
"""
NAMES = {"leo": [1, 2, 3], "ann": [2], "max": [1, 2, 3, 4], "greg": [5], "stranger": []}
"""The dashboards that each may view."""


@contextmanager
def project(folder: Path, **settings: str) -> Iterator[str]:
    """The address of the project, with a database of its own in a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KLAUSEL_")}
    database = {"DATABASE": str(folder / "school.db"), "KLAUSEL_DATABASE": f"sqlite:///{folder}/klausel.db"}
    environment = {**kept, **database, "PYTHONPATH": str(ROOT / "server"), "PYTHONUNBUFFERED": "1", **settings}
    environment["DJANGO_SETTINGS_MODULE"] = "school.settings"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log.txt"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", START, str(port)], cwd=PROJECT, env=environment, stdout=out, stderr=out
        ) as process,
    ):
        try:
            give_up_at = time.monotonic() + SECONDS_TO_START
            while True:
                try:
                    get(f"http://127.0.0.1:{port}/login")
                    break
                except httpx.TransportError:
                    assert process.poll() is None and time.monotonic() < give_up_at, log.read_text()
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture(scope="module", params=["in process", "over HTTP"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("django")
    if request.param == "in process":
        with project(folder) as url:
            yield url
        return
    with open_doors(folder / "service.db") as doors:
        grant(doors.service, demo_people())
        application = doors.flask._client.application  # type: ignore[attr-defined]
        with served(application) as service, project(folder, KLAUSEL_URL=service) as url:
            yield url


@contextmanager
def logged_in(address: str, name: str) -> Iterator[httpx.Client]:
    with httpx.Client(verify=False, base_url=address, auth=None) as client:
        client.get("/login")
        entered = {"username": name, "password": "demo", "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        assert client.post("/login", data=entered).status_code == 302
        yield client


def rest(address: str, name: str | None) -> httpx.Client:
    return httpx.Client(verify=False, base_url=f"{address}/api", auth=(name, "demo") if name else None)


def test_a_page_lists_what_may_be_viewed_one_by_one(address: str) -> None:
    for name, expected in NAMES.items():
        with logged_in(address, name) as client:
            listed = client.get("/dashboards")
            assert listed.status_code == 200
            assert [int(found) for found in re.findall(r'<li id="(\d+)"', listed.text)] == expected
            one_by_one = {number: client.get(f"/dashboards/{number}").status_code for number in range(1, 6)}
            assert one_by_one == {number: 200 if number in expected else 403 for number in range(1, 6)}, name


def test_rest_lists_what_may_be_viewed_one_by_one(address: str) -> None:
    for name, expected in NAMES.items():
        with rest(address, name) as client:
            assert [row["id"] for row in client.get("/dashboards").json()] == expected
            one_by_one = {number: client.get(f"/dashboards/{number}").status_code for number in range(1, 6)}
            assert one_by_one == {number: 200 if number in expected else 403 for number in range(1, 6)}, name


def test_nobody_is_sent_to_log_in(address: str) -> None:
    pages = ["/dashboards", "/dashboards/1", "/quizzes/new", "/quizzes/1/edit", "/menu", "/quizzes/1/people"]
    # What is not there is no other to somebody who is not logged in.
    pages += ["/dashboards/999", "/quizzes/999/edit", "/quizzes/999/people"]
    for path in pages:
        answer = get(address + path)
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/login?next={path}")
        # A program is told, and not led to a page.
        assert get(address + path, headers={"Accept": "application/json"}).status_code == 401, path
    for path in ("/api/dashboards", "/api/dashboards/1"):
        assert get(address + path).status_code == 401, path
        assert httpx.options(address + path, verify=False).status_code == 401, path
        with rest(address, "leo") as client:
            assert client.options(path.removeprefix("/api")).status_code == 200, path


def test_a_form_is_asked_about_as_it_would_be_saved(address: str) -> None:
    with logged_in(address, "leo") as client:

        def post(path: str, **fields: str) -> int:
            assert client.get(path).status_code == 200
            return client.post(path, data={**fields, "csrfmiddlewaretoken": client.cookies["csrftoken"]}).status_code

        assert post("/quizzes/new", title="Safety", account="acme", workspace="support") == 302
        assert post("/quizzes/new", title="Safety", account="globex", workspace="support") == 403
        assert post("/quizzes/new", title="", account="acme", workspace="support") == 200  # the form again, with its fault
        assert post("/quizzes/1/edit", title="Better", workspace="support") == 302
        assert post("/quizzes/1/edit", title="Moved", workspace="sales") == 403
        assert client.get("/quizzes/2/edit").status_code == 403
    with logged_in(address, "ann") as client:
        assert client.get("/quizzes/1/edit").status_code == 403


def test_rest_takes_back_what_was_saved_without_right(address: str) -> None:
    new = {"title": "Rest", "account": "acme", "workspace": "support"}
    with rest(address, "leo") as client:
        made = client.post("/quizzes", json=new)
        assert made.status_code == 201
        assert client.post("/quizzes", json={**new, "account": "globex"}).status_code == 403
        assert client.patch("/quizzes/1", json={"title": "Best"}).json()["title"] == "Best"
        assert client.patch("/quizzes/1", json={"workspace": "sales"}).status_code == 403
        assert client.get("/quizzes/1").json()["workspace"] == "support"
        assert client.delete("/quizzes/1").status_code == 403
        assert client.delete(f"/quizzes/{made.json()['id']}").status_code == 204
    with rest(address, "greg") as client:
        assert client.get("/quizzes").json() == []


def test_a_menu_and_a_people_picker(address: str) -> None:
    with logged_in(address, "leo") as client:
        assert client.get("/menu").json()["1"] == ["create", "take", "edit"]
        assert client.get("/quizzes/1/people").json() == ["ada", "leo", "max", "mia", "sam"]
        assert client.get("/quizzes/999/people").status_code == 404
    with logged_in(address, "ann") as client:
        assert client.get("/menu").json()["1"] == ["take"]
        assert client.get("/quizzes/1/people").status_code == 403


@pytest.mark.parametrize("path", ["/forgotten", "/asks-nobody"])
def test_a_view_that_does_not_ask_is_refused(address: str, path: str) -> None:
    with logged_in(address, "max") as client:
        assert client.get(path).status_code == 403


def test_a_route_of_rest_that_does_not_ask_is_refused(address: str) -> None:
    with rest(address, "max") as client:
        answer = client.get("/dashboards/latest")
        assert (answer.status_code, answer.json()) == (403, {"detail": "no decision was asked for here"})
        assert client.post("/dashboards", json={"owner": "max"}).status_code == 403


def test_without_the_service_everything_is_refused_with_503(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        with project(tmp_path, KLAUSEL_URL=f"http://127.0.0.1:{held.getsockname()[1]}") as address:
            with logged_in(address, "max") as client:
                for path in ("/dashboards", "/dashboards/1", "/quizzes/1/edit", "/menu", "/quizzes/1/people"):
                    answer = client.get(path)
                    assert answer.status_code == 503, path
                    assert "no decision could be made: the service was not reached" in answer.text
            with rest(address, "max") as client:
                for path in ("/dashboards", "/dashboards/1"):
                    assert client.get(path).status_code == 503, path
                created = client.post("/quizzes", json={"title": "x", "account": "acme", "workspace": "support"})
                assert created.status_code == 503
