"""One scrape tells of all workers, whichever of them answers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from ports import free_port, wait_until
from prometheus_client.parser import text_string_to_metric_families
from test_processes_end import start, workers_of

from klausel.api.shared_metrics import SharedMetrics

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
