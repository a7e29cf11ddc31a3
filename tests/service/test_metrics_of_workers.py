"""One scrape tells of all workers, whichever of them answers."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from ports import free_port, wait_until
from prometheus_client.parser import text_string_to_metric_families
from test_processes_end import start, workers_of

from klausel.api.shared_metrics import SECONDS_BETWEEN_WRITINGS, SharedMetrics

__all__ = ["start"]


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    assert list(text_string_to_metric_families(text))
    return text


def processes_in(text: str) -> set[int]:
    return set(map(int, re.findall(r'process="(\d+)"', text)))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="child processes are looked up in /proc")
def test_one_scrape_tells_of_all_workers_and_forgets_those_that_died(
    start: Callable[[int], subprocess.Popen[bytes]],
) -> None:
    port = free_port()
    parent = start(port)
    scrapes: list[str] = []

    def tells_of_both() -> bool:
        # The one that answers may know the other before the other knows it: the scrape that is judged is the one kept.
        scrapes.append(scraped(port))
        return len(re.findall(r"^klausel_policy_refused\{", scrapes[-1], re.M)) == 2

    wait_until(tells_of_both, "one scrape does not tell of both workers")
    text = scrapes[-1]
    assert len(processes_in(text)) == 2
    assert len(re.findall(r"^# TYPE klausel_policy_refused gauge", text, re.M)) == 1
    killed = min(workers_of(parent.pid))
    os.kill(killed, signal.SIGKILL)

    def is_replaced() -> bool:
        try:
            now = processes_in(scraped(port))
        except OSError:
            return False
        return killed not in now and len(now) == 2

    wait_until(is_replaced, "the dead worker is still told, or the new one is not")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="child processes are looked up in /proc")
def test_what_killed_workers_counted_is_neither_lost_nor_told_lower(start: Callable[[int], subprocess.Popen[bytes]]) -> None:
    port, asked = free_port(), 0
    parent = start(port)
    for _ in range(3):
        wait_until(lambda: len(workers_of(parent.pid)) == 2, "there are not two workers")
        for _ in range(20):
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/policy", timeout=5).close()
                asked += 1
        time.sleep(1.5 * SECONDS_BETWEEN_WRITINGS)
        os.kill(min(workers_of(parent.pid)), signal.SIGKILL)
        told = 0.0
        give_up_at = time.monotonic() + 3 * SECONDS_BETWEEN_WRITINGS
        while time.monotonic() < give_up_at:
            with suppress(OSError):
                (found,) = re.findall(
                    r'^klausel_requests_total\{route="/v1/policy",status="200"\} (\S+)', scraped(port), re.M
                )
                assert float(found) >= told
                told = float(found)
            time.sleep(0.02)  # asking without a pause keeps the workers from what is waited for
        assert told == asked


def test_what_ended_is_added_once_though_who_adds_it_is_killed_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    counted = [
        ["klausel_x", "What.", "counter", [["klausel_x_total", {}, 3]]],
        ["klausel_y", "", "gauge", [["klausel_y", {}, 1]]],
    ]
    shared = SharedMetrics(tmp_path, list)
    (tmp_path / f"{gone.pid}.json").write_text(json.dumps(counted))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(shared.of_all())
    for _ in range(2):
        told = {family.name: [sample.value for sample in family.samples] for family in shared.of_all()}
        assert (told["klausel_x"], "klausel_y" in told) == ([3], False)
    # Another process may have had the same id.
    (tmp_path / f"{gone.pid}.json").write_text(json.dumps(counted))
    assert [family.samples[0].value for family in shared.of_all() if family.name == "klausel_x"] == [6]
    # Also this one, before it writes for the first time.
    (tmp_path / f"{os.getpid()}.json").write_text(json.dumps(counted))
    SharedMetrics(tmp_path, list).start()
    assert [family.samples[0].value for family in shared.of_all() if family.name == "klausel_x"] == [9]


def test_a_worker_that_was_paused_while_it_added_up_holds_nobody_up(tmp_path: Path) -> None:
    shared = SharedMetrics(tmp_path, list)
    (tmp_path / f"{os.getppid()}.json").write_text(json.dumps([["klausel_x", "", "counter", [["klausel_x_total", {}, 1]]]]))
    (tmp_path / "ended.json").write_text(
        json.dumps([["one", "", "", []], ["klausel_x", "", "counter", [["klausel_x_total", {}, 2]]]])
    )
    paused = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(paused, fcntl.LOCK_EX)
        began = time.monotonic()
        told = {family.name: [sample.value for sample in family.samples] for family in shared.of_all()}
        assert told["klausel_x"] == [3]
        assert time.monotonic() - began < 2
    finally:
        os.close(paused)


def test_what_others_left_half_or_broken_is_passed_over(tmp_path: Path) -> None:
    shared = SharedMetrics(tmp_path, list)
    shared.write()
    (tmp_path / f"{os.getppid()}.json").write_text('[["klausel_x", "half', encoding="utf-8")
    assert [family.name for family in shared.of_all()] == ["klausel_metrics_timestamp_seconds"]
    (tmp_path / f"{os.getppid()}.json").write_text(json.dumps([["klausel_x", "What.", "gauge", [["klausel_x", {}, 1]]]]))
    assert [family.name for family in shared.of_all()] == ["klausel_metrics_timestamp_seconds", "klausel_x"]


def test_a_folder_that_goes_with_the_service_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shared = SharedMetrics(tmp_path / "gone", list)
    shared._write_again_and_again()  # ends, for there is nobody to tell any more
    assert caplog.records == []
