"""A real server with two workers: what it answers stands in its log, also when it is stopped at once."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from decision_logs import records_in_file
from doors import ALLOWED, DENIED, EVALUATION, EVALUATIONS, ROOT
from ports import free_port

SECONDS_TO_START = 60


@contextmanager
def served(folder: Path, *options: str) -> Iterator[int]:
    """A server on a port; stopped at the end by SIGTERM, and waited for."""
    port = free_port()
    command = [sys.executable, "-c", "from klausel.cli.main import main; main()", "serve", "--demo", "--port", str(port)]
    command += ["--policies", str(ROOT / "policies"), "--database", f"sqlite:///{folder}/klausel.db", *options]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=folder)
        try:
            give_up_at = time.monotonic() + SECONDS_TO_START
            while not answers(port):
                assert process.poll() is None and time.monotonic() < give_up_at, (folder / "err").read_text()
                time.sleep(0.05)
            time.sleep(0.5)
            yield port
        finally:
            process.terminate()
            process.wait(20)
    assert "Traceback" not in (folder / "err").read_text()


def answers(port: int) -> bool:
    try:
        return post(port, "/v1/policy:reload", b"")[0] == 200
    except OSError:
        return False


def post(port: int, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def ask_until_it_ends(port: int, answered: list[int]) -> None:
    """Asks singly and in batches, and counts the decisions of every answer that came whole."""
    single, batch = json.dumps(ALLOWED).encode(), json.dumps({"evaluations": [ALLOWED, DENIED, ALLOWED]}).encode()
    while True:
        try:
            assert post(port, EVALUATION, single)[0] == 200
            answered.append(1)
            assert post(port, EVALUATIONS, batch)[0] == 200
            answered.append(3)
        except (OSError, http.client.HTTPException):
            return


@pytest.mark.parametrize("strictness", [(), ("--log-strict",)], ids=["queued", "strict"])
def test_every_answer_of_two_workers_has_its_records_even_when_they_are_stopped_under_load(
    tmp_path: Path, strictness: tuple[str, ...]
) -> None:
    log = tmp_path / "decisions.jsonl"
    options = ("--workers", "2", "--decision-log", str(log), "--decision-log-max-bytes", "100000", *strictness)
    counts: list[list[int]] = [[], [], []]
    askers = []
    with served(tmp_path, *options) as port:
        for count in counts:
            askers.append(threading.Thread(target=ask_until_it_ends, args=(port, count)))
            askers[-1].start()
        time.sleep(2)
    for asker in askers:
        asker.join(20)
    files = sorted(tmp_path.glob("decisions.jsonl*"))
    records = records_in_file(*files)
    decisions = sum(map(sum, counts))
    assert len(files) > 1
    assert not any("dropped" in record for record in records)
    # Each asker may have lost the answer to what was decided last.
    assert decisions <= len(records) <= decisions + 3 * len(counts)
    assert len({record["request_id"].split("-")[0] for record in records}) == 2


def test_standard_output_holds_records_and_nothing_else(tmp_path: Path) -> None:
    with served(tmp_path, "--decision-log", "stdout") as port:
        for _ in range(5):
            post(port, EVALUATION, json.dumps(ALLOWED).encode())
    assert [json.loads(line)["decision"] for line in (tmp_path / "out").read_text().splitlines()] == [True] * 5


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/dev/full"), reason="needs a place that cannot be written")
def test_a_place_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from klausel.cli.main import main; main()", "serve", "--port", str(free_port())]
    command += ["--policies", str(ROOT / "policies"), "--database", f"sqlite:///{tmp_path}/klausel.db"]
    done = subprocess.run(
        [*command, "--decision-log", str(tmp_path / "missing" / "log")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "the decision log cannot be written" in done.stderr
    assert "no such file or directory; create its folder, or name another file" in done.stderr
