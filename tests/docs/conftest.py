"""A folder as after a first start with demo people, and the service that answers there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import INSTALLED
from doc_blocks import ROOT
from forked_command import forked_command

SECONDS_TO_START = 60


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Of a shell that finds the command `klausel` and nothing of the developer's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KLAUSEL_")}
    with forked_command(tmp_path_factory.mktemp("command")) as folder:
        path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), kept["PATH"]])
        yield {**kept, "PATH": path, "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[tuple[Path, int]]:
    """The folder and the port of a service with demo people."""
    folder = tmp_path_factory.mktemp("klausel")
    shutil.copytree(ROOT / "policies", folder / "policies")
    shutil.copy(ROOT / "model.conf", folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    log = folder / "log.txt"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [INSTALLED, "serve", "--demo", "--port", str(port), "--decision-log", "decisions.jsonl"],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=out,
        ) as process,
    ):
        try:
            _wait_for(port, process, log)
            yield folder, port
        finally:
            process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + SECONDS_TO_START
    while process.poll() is None and time.monotonic() < give_up_at:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())
