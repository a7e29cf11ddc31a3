"""Services for the tests of the HTTP door: one for questions, some for breaking, and one that really listens."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from doors import DEMO, ROOT, Door, Doors, HttpDoor, demo_people, grant, new_account, open_doors
from ports import can_connect, free_port
from sqlalchemy import Engine, event

SECONDS_TO_START = 30


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """The policies of the repository and the demo people. Tests may add accounts of their own, and change no other."""
    with open_doors(tmp_path_factory.mktemp("demo") / "klausel.db") as doors:
        grant(doors.service, demo_people())
        yield doors


@pytest.fixture
def account(demo: Doors) -> str:
    """An account with the admin `boss` and nobody else."""
    name = new_account()
    grant(demo.service, [("user:boss", "admin", name)])
    return name


@pytest.fixture(params=["flask", "lane"])
def client(request: pytest.FixtureRequest, demo: Doors) -> Door:
    """Each door of the `demo` service, one after the other."""
    return demo.named(request.param)


@pytest.fixture
def service(demo: Doors) -> Door:
    """The `demo` service as it is served, for routes that have one door only."""
    return demo.lane


@pytest.fixture(params=["flask", "lane"])
def door_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Doors]]:
    """Opens a service of the test's own with these settings; `database` names its file."""
    with ExitStack() as stack:

        def open_one(database: str = "own.db", **settings: Any) -> Doors:
            return stack.enter_context(open_doors(tmp_path / database, **settings))

        yield open_one


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """Every SQL statement that SQLite runs on connections made from here on, whichever way it is sent."""
    seen: list[str] = []

    def watch(connection: Any, record: object) -> None:
        connection.set_trace_callback(seen.append)

    event.listen(Engine, "connect", watch)
    yield seen
    event.remove(Engine, "connect", watch)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpDoor]:
    """`klausel serve --demo` on a free port, with bodies of at most 20,000 bytes."""
    folder = tmp_path_factory.mktemp("served")
    port = free_port()
    options = {
        "--policies": str(ROOT / "policies"),
        "--model": str(ROOT / "model.conf"),
        "--database": f"sqlite:///{folder}/klausel.db",
        "--port": str(port),
        "--max-body-bytes": "20000",
        "--public-url": "https://pdp.example.com/tenant1",
    }
    assert DEMO.is_file()
    command = [sys.executable, "-c", "from klausel.cli.main import main; main()", "serve", "--demo"]
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            [*command, *(word for option in options.items() for word in option)],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )
        try:
            give_up_at = time.monotonic() + SECONDS_TO_START
            while not can_connect(port):
                if process.poll() is not None or time.monotonic() > give_up_at:
                    log.seek(0)
                    pytest.fail(f"the server did not start:\n{log.read()}")
                time.sleep(0.02)
            yield HttpDoor(port)
        finally:
            process.terminate()
            process.wait(10)
