"""Child processes that never outlive a run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

START_SECONDS = 20
STOP_SECONDS = 5
SCRIPTS = Path(__file__).resolve().parents[1]


class RunFailed(Exception):
    """A child process failed, so that the run cannot go on; the text says what it said last."""


@contextlib.contextmanager
def child(command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, whose output goes to a file; the whole group is ended when the block is left."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=log.parent,
            env={**os.environ, "PYTHONPATH": f"{SCRIPTS}{os.pathsep}{SCRIPTS.parent / 'server'}", **(environment or {})},
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process started with `start_new_session`, and its children; waits for it."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
            if sign == signal.SIGTERM:
                time.sleep(0.05)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)


def asked(command: list[str], task: object, seconds: float, log: Path | None = None) -> Any:
    """What a module of the benchmarks answers, as JSON, to a task; raises `RunFailed` with its last words, and those of a log."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
    )
    try:
        output, errors = process.communicate(json.dumps(task).encode(), timeout=seconds)
    finally:
        end(process)
    if process.returncode:
        told = "" if log is None else f"\nThe server's log ends:\n{end_of(log)}"
        raise RunFailed(f"{command[-1]} failed: {errors.decode(errors='replace').strip()[-1500:]}{told}")
    return json.loads(output)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of the benchmarks with this Python."""
    return [sys.executable, "-m", f"benchmarks.{module}", *arguments]


def python_code(code: str, *arguments: str) -> list[str]:
    """The command that runs some code with this Python."""
    return [sys.executable, "-c", code, *arguments]


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until a server answers at all; raises `RunFailed` with the end of its log."""
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RunFailed(f"the server did not start within {START_SECONDS} s; its log ends:\n{end_of(log)}")


def end_of(log: Path) -> str:
    """The last lines of a log."""
    return log.read_text(encoding="utf-8", errors="replace")[-1500:].strip()
