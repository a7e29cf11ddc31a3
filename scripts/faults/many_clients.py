"""A thousand callers at once, each with a connection that it keeps: all are answered, probes too, and the slowest in what time.

    scripts/python -m faults.many_clients --clients 1000 --seconds 10

Fewer `--max-connections` than callers are tried too: the service closes those that idle. Prints figures; exit code 1 when
an answer is wrong or missing, or a probe fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

from faults.under_load import ROOT, Replica, ended_by_sigterm

QUESTION = {
    "subject": {"type": "user", "id": "max"},
    "action": {"name": "create"},
    "resource": {"type": "quiz", "id": "q1", "properties": {"account": "acme"}},
}
SECONDS_BETWEEN_QUESTIONS = 0.5
MOST_SECONDS = 30.0


class Callers:
    """Counts what callers on connections of their own are told until `is_over`."""

    def __init__(self, port: int) -> None:
        self._port = port
        body = json.dumps(QUESTION).encode()
        self._request = (
            b"POST /access/v1/evaluation HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
            + body
        )
        self.is_over = False
        self.counts: Counter[str] = Counter()
        self.took: list[float] = []

    async def call(self, number: int) -> None:
        """Asks on one connection, and on another one when that is closed."""
        await asyncio.sleep(number % 100 / 100)
        while not self.is_over:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            self.counts["connections"] += 1
            try:
                while not self.is_over:
                    began = time.monotonic()
                    writer.write(self._request)
                    await writer.drain()
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), MOST_SECONDS)
                    (length,) = re.findall(rb"(?i)content-length: (\d+)", head)
                    body = await asyncio.wait_for(reader.readexactly(int(length)), MOST_SECONDS)
                    self.took.append(time.monotonic() - began)
                    self.counts[_kind(body)] += 1
                    await asyncio.sleep(SECONDS_BETWEEN_QUESTIONS)
            except (asyncio.IncompleteReadError, ConnectionError):
                self.counts["connections closed by the service"] += 1
            except TimeoutError:
                self.counts["QUESTIONS WITHOUT AN ANSWER"] += 1
            finally:
                writer.close()

    async def probe(self, took: list[float]) -> None:
        """Asks as a probe does, on a new connection each time."""
        while not self.is_over:
            began = time.monotonic()
            for path in ("/healthz", "/readyz", "/metrics"):
                try:
                    call = urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5)
                    await asyncio.to_thread(call.read)
                except OSError:
                    self.counts["PROBES FAILED"] += 1
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.5)


def _kind(body: bytes) -> str:
    """What an answer is; one that failed says so, and is a deny."""
    if body == b'{"decision":true}':
        return "answers"
    told = json.loads(body)
    failed = told.get("decision") is False and told.get("context", {}).get("error", {}).get("status") == 503
    return "denies for want of the database" if failed else "WRONG ANSWERS"


async def run(port: int, clients: int, seconds: float) -> bool:
    """Runs so many callers, prints what they saw, and tells whether something is wrong."""
    callers, probes = Callers(port), list[float]()
    tasks = [asyncio.create_task(callers.call(number)) for number in range(clients)]
    tasks.append(asyncio.create_task(callers.probe(probes)))
    await asyncio.sleep(seconds)
    callers.is_over = True
    await asyncio.gather(*tasks, return_exceptions=True)
    took = sorted(callers.took)
    counts = ", ".join(f"{count} {what}" for what, count in sorted(callers.counts.items()))
    print(
        f"{clients} callers for {seconds:.0f} s: {counts}; {1000 * statistics.median(took):.1f} ms in the middle, p99"
        f" {1000 * took[int(len(took) * 0.99)]:.0f} ms; three probes together {1000 * max(probes):.0f} ms at most",
        flush=True,
    )
    return any(what.isupper() for what in callers.counts)


def main() -> None:
    """Starts a service with two workers, and the callers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--max-connections", type=int, default=4096, help="of the service, for each of its two workers")
    given = parser.parse_args()
    with ended_by_sigterm(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        most = ["--max-connections", str(given.max_connections)]
        service = Replica(f"sqlite:///{folder}/people.db", folder, ROOT / "policies", *most)
        try:
            service.wait()
            is_wrong = asyncio.run(run(service.port, given.clients, given.seconds))
        finally:
            service.close()
    raise SystemExit(is_wrong)


if __name__ == "__main__":
    main()
