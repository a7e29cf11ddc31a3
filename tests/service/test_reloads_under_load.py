"""A hundred reloads, good and bad, while questions are asked: no answer is wrong, mixed from two versions, or lost."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import pytest
from serving import Served
from versions import ANSWERS, BAD_KINDS, PEOPLE, batch, quizzes

RELOADS = 100
REST_SECONDS = 0.005
SECONDS_TO_START = 60
SECONDS_TO_FOLLOW = 30


Ask = Callable[[], list[bool]]
Way = AbstractContextManager[Ask]


class Readers:
    """Threads that ask the same batch again and again, each in its own way, until told to stop."""

    def __init__(self, ways: Sequence[Way]) -> None:
        self._stop = threading.Event()
        self.asked = 0
        self.answers: list[tuple[bool, ...]] = []
        self.faults: list[BaseException] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._read, args=(way,)) for way in ways]

    def _read(self, way: Way) -> None:
        with way as ask:
            self._read_on(ask)

    def _read_on(self, ask: Ask) -> None:
        while not self._stop.is_set():
            with self._lock:
                self.asked += 1
            try:
                answer = tuple(ask())
            except BaseException as fault:
                self.faults.append(fault)
                return
            self.answers.append(answer)
            # Without a rest the readers have the interpreter most of the time, and a hundred reloads wait for it.
            time.sleep(REST_SECONDS)

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """Every batch was answered, and wholly by one of the good versions; both were seen."""
        assert self.faults == []
        assert len(self.answers) == self.asked
        assert set(self.answers) == {tuple(answers) for answers in ANSWERS.values()}


def edits() -> Iterator[tuple[str, str]]:
    """A hundred texts, good (`A` or `B`) and bad (the version that stays in force, and the kind) in turn."""
    kinds = cycle(BAD_KINDS)
    for number in range(RELOADS // 2):
        version = "BA"[number % 2]
        yield version, ""
        yield version, next(kinds)


def test_threads_are_answered_by_one_version_at_a_time_while_a_hundred_reloads_go_by(
    served: Served, quizzes_file: Path
) -> None:
    ways: list[Way] = [nullcontext(partial(served.decisions, door)) for door in ("lane", "flask", "lane", "flask")]
    with Readers(ways) as readers:
        for version, bad in edits():
            # The bad one would turn the other version round, so that one sees it whichever was in force before.
            quizzes_file.write_text(quizzes("AB"[version == "A"] if bad else version, bad))
            assert served.live.refresh() == ("refused" if bad else "taken")
            assert served.decisions() == ANSWERS[version]
    readers.check()
    assert len(readers.answers) > RELOADS
    assert served.live.reloads == {"taken": RELOADS // 2, "unchanged": 0, "refused": RELOADS // 2}


# --- Worker processes -------------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """By process, the digest in force and when it was known to be that; and how often both read the files, by what came of it."""

    digests: dict[str, str]
    confirmed: dict[str, float]
    reloads: dict[str, float]


class Running:
    """`klausel serve` with two worker processes."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Over a connection of its own, which reaches any of the workers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def decisions(self) -> list[bool]:
        status, body = self.ask("POST", "/access/v1/evaluations", batch())
        assert status == 200, body
        return [told["decision"] for told in json.loads(body)["evaluations"]]

    def metrics(self) -> Told:
        """What one scrape tells, asked until both workers tell of this moment."""
        began = time.time()
        while True:
            assert time.time() < began + SECONDS_TO_FOLLOW, self.log
            text = self.ask("GET", "/metrics")[1].decode()
            told_at = [float(seconds) for seconds in re.findall(r"metrics_timestamp_seconds\{.*\} (\S+)", text)]
            if len(told_at) == 2 and min(told_at) >= began:
                infos = re.findall(r"policy_info\{(.*)\}", text)
                labels = [dict(re.findall(r'(\w+)="([^"]*)"', info)) for info in infos]
                counts = re.findall(r'reloads_total\{result="(\w+)"\} (\S+)', text)
                confirmed = re.findall(r'confirmed_timestamp_seconds\{process="(\d+)"\} (\S+)', text)
                return Told(
                    {one["process"]: one["files_digest"] for one in labels},
                    {process: float(seconds) for process, seconds in confirmed},
                    {result: float(count) for result, count in counts},
                )

    def wait_until(self, holds: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + SECONDS_TO_FOLLOW
        while not holds():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < give_up_at, self.log
            time.sleep(0.02)


@pytest.fixture
def running(policies: Path, tmp_path: Path) -> Iterator[Running]:
    (policies / "demo").mkdir()
    rows = "".join(f"{','.join(row)}\n" for row in PEOPLE)
    (policies / "demo" / "assignments.csv").write_text("subject,role,domain\n" + rows)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from klausel.cli.main import main; main()", "serve", "--demo", "--workers", "2"]
    log = tmp_path / "log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KLAUSEL_")}
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--port", str(port)], cwd=tmp_path, stdout=out, stderr=out, env=environment)
    running = Running(process, port, log)
    try:
        give_up_at = time.monotonic() + SECONDS_TO_START
        while True:
            assert process.poll() is None, running.log
            assert time.monotonic() < give_up_at, running.log
            try:
                running.metrics()
                break
            except OSError:
                time.sleep(0.05)
        yield running
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def kept_open(running: Running) -> Iterator[Ask]:
    """Asks over one connection, which stays with one worker."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    body = json.dumps(batch())

    def ask() -> list[bool]:
        connection.request("POST", "/access/v1/evaluations", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        told = answer.read()
        assert answer.status == 200, told
        return [one["decision"] for one in json.loads(told)["evaluations"]]

    with closing(connection):
        yield ask


def test_worker_processes_answer_by_one_version_at_a_time_while_a_hundred_reloads_go_by(
    running: Running, quizzes_file: Path
) -> None:
    ways: list[Way] = [
        kept_open(running),
        nullcontext(running.decisions),
        kept_open(running),
        nullcontext(running.decisions),
    ]
    with Readers(ways) as readers:
        for version, bad in edits():
            quizzes_file.write_text(quizzes("AB"[version == "A"] if bad else version, bad))
            status, body = running.ask("POST", "/v1/policy:reload")
            told = json.loads(body)
            assert status == (409 if bad else 200), told
            assert bad or told["result"] in ("taken", "unchanged")
        quizzes_file.write_text(quizzes("B") + "# the last\n")
        _, body = running.ask("POST", "/v1/policy:reload")
        digest = json.loads(body)["files_digest"]
        running.wait_until(lambda: set(running.metrics().digests.values()) == {digest})
        for _ in range(10):
            assert running.decisions() == ANSWERS["B"]
    readers.check()
    counts = running.metrics().reloads
    assert counts["taken"] > 2
    assert counts["refused"] > 2
    assert running.process.poll() is None


def test_a_saved_file_reaches_every_worker_without_a_word(running: Running, quizzes_file: Path) -> None:
    quizzes_file.write_text(quizzes("B"))
    running.wait_until(lambda: running.metrics().reloads["taken"] == 2)
    assert running.decisions() == ANSWERS["B"]
    for process in running.metrics().digests:
        assert len(re.findall(rf"INFO \[{process}\] policies taken: 3 grants, sha256:", running.log)) == 1


def test_sighup_refreshes_every_worker_and_starts_none_anew(running: Running, quizzes_file: Path) -> None:
    before = running.metrics()
    told_at = time.time()
    running.process.send_signal(signal.SIGHUP)
    running.wait_until(lambda: min(running.metrics().confirmed.values()) > told_at)
    quizzes_file.write_text(quizzes("B", "is no YAML"))
    running.process.send_signal(signal.SIGHUP)
    running.wait_until(lambda: running.metrics().reloads["refused"] == 2)
    assert running.decisions() == ANSWERS["A"]
    assert json.loads(running.ask("GET", "/readyz")[1])["status"] == "ready"
    assert json.loads(running.ask("GET", "/readyz")[1])["refused"]["count"] >= 1
    assert running.metrics().digests.keys() == before.digests.keys()
    assert "policies refused, the last good ones stay in force: policies/features/quizzes.yaml:7:" in running.log
    assert running.process.poll() is None


def test_a_storm_of_sighups_stops_no_worker_from_following_its_files(running: Running, quizzes_file: Path) -> None:
    """A handler of signals is itself interrupted by the next one."""
    processes = [running.process.pid, *map(int, running.metrics().digests)]

    def send_many(process: int) -> None:
        for _ in range(8000):
            os.kill(process, signal.SIGHUP)

    senders = [threading.Thread(target=send_many, args=(process,)) for process in processes]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    quizzes_file.write_text(quizzes("B"))
    running.wait_until(lambda: running.metrics().reloads["taken"] == 2)
    assert running.process.poll() is None
