"""Processes that die: one worker is replaced, and workers whose parent is gone give the port free."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from policy_sets import ROOT
from ports import free_port, wait_until

SECONDS = 30
TELLS_OF_ITS_END = "import atexit; atexit.register(print, 'the interpreter was taken down');"


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def workers_of(parent: int) -> set[int]:
    """The worker processes of a service."""
    return set(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[int], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAUSEL_")}
    options = ["--policies", str(ROOT / "policies"), "--model", str(ROOT / "model.conf"), "--workers", "2", "--port"]

    def start_one(port: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from klausel.cli.main import main; main()", "serve", *options, str(port)]
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
        started.append(process)
        wait_until(lambda: answers(port), "the service does not start")
        return process

    yield start_one
    for process in started:
        # Workers are still starting here, most often.
        process.terminate()
        process.wait(20)
    assert "so it is killed" not in (tmp_path / "log").read_text()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="child processes are looked up in /proc")
class TestProcesses:
    def test_workers_that_die_are_replaced_and_the_service_goes_on_though_six_die_in_three_seconds(
        self, start: Callable[[int], subprocess.Popen[bytes]]
    ) -> None:
        port = free_port()
        process = start(port)
        wait_until(lambda: len(workers_of(process.pid)) == 2, "there are not two workers")
        give_up_at = time.monotonic() + 3
        killed: set[int] = set()
        while len(killed) < 6 and time.monotonic() < give_up_at:
            for worker in workers_of(process.pid) - killed:
                os.kill(worker, signal.SIGKILL)
                killed.add(worker)
            time.sleep(0.02)
        assert len(killed) >= 6
        wait_until(lambda: len(workers_of(process.pid) - killed) == 2, "the dead workers are not replaced")
        wait_until(lambda: answers(port), "the service does not answer any more")
        assert process.poll() is None

    def test_workers_end_with_their_parent_and_a_restart_works(
        self, start: Callable[[int], subprocess.Popen[bytes]]
    ) -> None:
        port = free_port()
        process = start(port)
        process.kill()
        process.wait(20)
        wait_until(lambda: is_free(port), "workers without a parent keep the port")
        start(port)

    def test_a_stop_that_a_worker_missed_is_told_again(self, tmp_path: Path) -> None:
        deaf_at_first = (
            "import signal, granian._signals as signals\n"
            "made = signals.set_sync_signals\n"
            "def deaf():\n"
            "    event, heard = made(), []\n"
            "    hear = signal.getsignal(signal.SIGTERM)\n"
            "    signal.signal(signal.SIGTERM, lambda *a: hear(*a) if heard else heard.append(1))\n"
            "    return event\n"
            "signals.set_sync_signals = deaf\n"
        )
        port = free_port()
        command = [
            sys.executable,
            "-c",
            f"{deaf_at_first}from klausel.cli.main import main; main()",
            "serve",
            "--workers",
            "2",
        ]
        options = ["--policies", str(ROOT / "policies"), "--model", str(ROOT / "model.conf"), "--port", str(port)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAUSEL_")}
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen([*command, *options], cwd=tmp_path, env=environment, stdout=log, stderr=log)
        wait_until(lambda: answers(port), "the service does not start")
        wait_until(lambda: len(workers_of(process.pid)) == 2, "there are not two workers")
        time.sleep(1)  # both are past their start
        process.terminate()
        process.wait(20)
        assert "so it is killed" not in (tmp_path / "log").read_text()

    def test_a_stop_is_heard_by_workers_that_have_only_just_begun(self, tmp_path: Path) -> None:
        slow_start = "import time, granian.server.mp as mp; mp.load_env = lambda _: (open('begun', 'w'), time.sleep(2))"
        command = [
            sys.executable,
            "-c",
            f"{TELLS_OF_ITS_END} {slow_start}; from klausel.cli.main import main; main()",
            "serve",
            "--workers",
            "2",
        ]
        options = ["--policies", str(ROOT / "policies"), "--model", str(ROOT / "model.conf"), "--port", str(free_port())]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAUSEL_")}
        environment["TMPDIR"] = str(tmp_path)
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen([*command, *options], cwd=tmp_path, env=environment, stdout=log, stderr=log)
        wait_until((tmp_path / "begun").exists, "no worker begins")
        process.terminate()
        assert process.wait(20) == 0
        said = (tmp_path / "log").read_text()
        assert "so it is killed" not in said
        # Taking it down takes half a minute where a hundred other processes keep the processor busy.
        assert "the interpreter was taken down" not in said
        assert not list(tmp_path.glob("klausel-*"))

    def test_a_service_of_which_no_worker_can_start_ends_and_says_so(self, tmp_path: Path) -> None:
        without_a_scope = "from klausel.api.access import SCOPES_OF_ROUTES; del SCOPES_OF_ROUTES['GET', '/v1/policy']"
        code = f"{TELLS_OF_ITS_END} {without_a_scope}; from klausel.cli.main import main; main()"
        command = [sys.executable, "-c", code, "serve"]
        options = ["--policies", str(ROOT / "policies"), "--model", str(ROOT / "model.conf"), "--port", str(free_port())]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAUSEL_")}
        ended = subprocess.run(
            [*command, *options, "--workers", "2"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90
        )
        assert ended.returncode == 1
        *_, reason = [line for line in ended.stderr.splitlines() if line.startswith("klausel.")]
        assert "GET /v1/policy has no entry in SCOPES_OF_ROUTES" in reason
        assert ended.stderr.splitlines()[-1].endswith(
            "no worker can start, so the service ends; the lines before this one say why"
        )
        assert ended.stdout == ""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_stop_during_the_start_is_heard_wherever_python_is_just_then(
        self, number: signal.Signals, tmp_path: Path
    ) -> None:
        while_it_starts = (
            "import os, signal, sys, weakref, klausel.cli.serve as serve\n"
            "def stop(*_, **__):\n"
            "    os.kill(os.getpid(), signal.SIGHUP)\n"
            "    print('a reload passed by', flush=True)\n"
            "    here = type('Here', (), {})()\n"
            f"    told = weakref.ref(here, lambda _: os.kill(os.getpid(), {number:d}))\n"
            "    del here\n"
            "    sys.exit('the stop passed by')\n"
            "serve.load_or_exit = stop\n"
            "from klausel.cli.main import main; main()\n"
        )
        command = [sys.executable, "-c", while_it_starts, "serve", "--policies", str(ROOT / "policies")]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=90)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "a reload passed by\n", "")
