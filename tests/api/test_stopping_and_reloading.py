"""A stop and a reload lose no request: what was taken is answered, and what was not taken another replica answers."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from command_line import LONGEST_SECONDS, ROOT
from running_service import QUESTION, running

CLIENTS = 6
MORE_ANSWERS = 200
"""Waited for before and after each event, so that it falls under load."""


class Load:
    """Clients that keep their connections, ask on and on, and turn to the next replica where one takes no request."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._stop = threading.Event()
        self.answers = 0
        self.turned = 0
        self.wrong: list[str] = []
        self._threads = [threading.Thread(target=self._ask_on, args=(number,)) for number in range(CLIENTS)]

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def wait_for_more(self) -> None:
        wanted, give_up_at = self.answers + MORE_ANSWERS, time.monotonic() + LONGEST_SECONDS
        while self.answers < wanted and not self.wrong:
            assert time.monotonic() < give_up_at, "no more answers come"
            time.sleep(0.01)

    def _ask_on(self, number: int) -> None:
        place = number
        while not self._stop.is_set():
            port = self._ports[place % len(self._ports)]
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_SECONDS)
            try:
                while not self._stop.is_set():
                    connection.request(
                        "POST", "/access/v1/evaluation", json.dumps(QUESTION), {"Content-Type": "application/json"}
                    )
                    answer = connection.getresponse()
                    body = answer.read()
                    if (answer.status, body) != (200, b'{"decision":true}'):
                        self.wrong.append(f"{answer.status} {body!r}")
                    self.answers += 1
            except (ConnectionError, http.client.BadStatusLine):
                # Closed before a byte of an answer: the request was not taken.
                self.turned += 1
                place += 1
            except Exception as error:
                self.wrong.append(repr(error))
            finally:
                connection.close()


def test_a_replica_that_is_stopped_under_load_loses_no_request(tmp_path: Path) -> None:
    with (
        running(tmp_path, "--demo", "--workers", "2") as (first, first_port),
        running(tmp_path, "--workers", "2") as (_, second_port),
    ):
        load = Load([first_port, second_port])
        with load.running():
            load.wait_for_more()
            first.send_signal(signal.SIGTERM)
            assert first.wait(LONGEST_SECONDS) == 0
            load.wait_for_more()
    assert load.wrong == []
    assert load.turned > 0


def test_a_reload_under_load_loses_no_request_and_cuts_no_connection(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    changed = tmp_path / "policies" / "features" / "quizzes.yaml"
    text = changed.read_text()
    with running(tmp_path, "--policies", "policies", "--demo", "--workers", "2") as (process, port):
        load = Load([port])
        with load.running():
            for number in range(3):
                load.wait_for_more()
                changed.write_text(f"{text}# {number}\n")
                process.send_signal(signal.SIGHUP)
            load.wait_for_more()
    assert (load.wrong, load.turned) == ([], 0)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="child processes are looked up in /proc")
def test_a_worker_that_is_told_to_stop_again_and_again_answers_what_it_has_begun(tmp_path: Path) -> None:
    body = json.dumps(QUESTION).encode()
    with running(tmp_path, "--demo", "--body-seconds", "60") as (process, port):
        (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_SECONDS)
        with closing(connection):
            connection.putrequest("POST", "/access/v1/evaluation")
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body[:1])
            # As Ctrl-C, which the terminal sends to all processes, and the first of them as SIGTERM: more than once in a hurry.
            for _ in range(5):
                time.sleep(0.2)
                os.kill(int(worker), signal.SIGTERM)
            connection.send(body[1:])
            assert connection.getresponse().read() == b'{"decision":true}'
