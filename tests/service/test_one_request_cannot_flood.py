"""Batches as large as they may be, one after the other: the decision log and memory stay bounded, and others are recorded."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest
from command_line import INSTALLED, LONGEST_SECONDS
from running_service import QUESTION, running

from klausel.core.records.recorded import Recorded
from klausel.settings import Settings
from klausel.storage.decision_log.files import Block, records_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a process needs is read in /proc")
ITEMS, BATCHES, FLOODERS, SINGLES = 1_000, 10, 4, 200
MOST_MEGABYTES_MORE = 250
MOST_BYTES_OF_A_DECISION = 1_000
"""What a line of the log needs for an item that says nothing of its own."""


def batch(size: int) -> bytes:
    """A batch of items without anything of their own; the properties of their subject come to so many bytes."""
    subject = {**QUESTION["subject"], "properties": {"notes": ["x" * 50_000] * (size // 50_000) + ["x" * (size % 50_000)]}}
    return json.dumps({**QUESTION, "subject": subject, "evaluations": [{}] * ITEMS}).encode()


def megabytes(process: int, what: str = "VmHWM") -> int:
    """The most memory that the workers of a service have needed so far."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    statuses = [Path(f"/proc/{one}/status").read_text() for one in children]
    return sum(int(text.split(f"{what}:")[1].split()[0]) for text in statuses) // 1024


def key_of(name: str, folder: Path) -> dict[str, str]:
    """The header with a new key for an application."""
    command = [INSTALLED, "keys", "new", name, "--scope", "check"]
    key = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("size", [1, 16_000, 900_000], ids=["small items", "as large as they may be", "larger"])
def test_one_caller_floods_neither_the_log_nor_memory_nor_the_records_of_others(size: int, tmp_path: Path) -> None:
    log = tmp_path / "decisions.jsonl"
    statuses: Counter[int] = Counter()
    body = batch(size)
    assert len(body) <= Settings().max_body_bytes
    flooder, other = (key_of(name, tmp_path) for name in ("flooder", "other"))
    options = ("--demo", "--authentication", "keys", "--decision-log", str(log))
    with running(tmp_path, *options) as (process, port):
        address = f"http://127.0.0.1:{port}/access/v1"
        head = {"Content-Type": "application/json", **flooder}
        before = megabytes(process.pid)

        def flood() -> None:
            with httpx.Client(verify=False, timeout=LONGEST_SECONDS) as client:
                for _ in range(BATCHES):
                    statuses[client.post(f"{address}/evaluations", content=body, headers=head).status_code] += 1

        threads = [threading.Thread(target=flood) for _ in range(FLOODERS)]
        for thread in threads:
            thread.start()
        with httpx.Client(verify=False, timeout=LONGEST_SECONDS, headers=other) as client:
            for number in range(SINGLES):
                asked = {**QUESTION, "resource": {**QUESTION["resource"], "id": f"mine-{number}"}}
                assert client.post(f"{address}/evaluation", json=asked).json() == {"decision": True}
        for thread in threads:
            thread.join()
        more = megabytes(process.pid) - before
    found = [record for _, record in records_in(Block("log", 1, log.read_bytes()))]
    mine = {one.request.resource.id for one in found if isinstance(one, Recorded) and one.request is not None}
    assert {f"mine-{number}" for number in range(SINGLES)} <= mine
    expected = 200 if size * ITEMS <= Settings().max_batch_bytes else 413
    assert statuses == {expected: FLOODERS * BATCHES}
    assert log.stat().st_size <= statuses[200] * (len(body) + ITEMS * MOST_BYTES_OF_A_DECISION) + 1_000_000
    assert more <= MOST_MEGABYTES_MORE
