"""A service under steady load for as long as you like: its memory, its descriptors and its 99th percentile stay as they are.

    scripts/python -m faults.soak --minutes 60

Clients ask, grant and revoke, and open new connections; every few seconds the policies change and are taken. Half of the people
hold a role from the start, as they do in the end whatever chance grants and revokes, and all were asked about: what is remembered
of people is full, and what grows is something else. What the second half needs is compared with the first, after a tenth for
warming up. Exit code 1 when something grew beyond its bound.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from faults.under_load import RESOURCE, ROOT, Replica, ended_by_sigterm
from klausel.client import CallFailed, Klausel, Question

CLIENTS = 4
PEOPLE = 2000
PEOPLE_AT_ONCE = 500
TIMES_ASKED = 6
"""Each time on another connection, so that every worker is asked."""
SECONDS_BETWEEN_RELOADS = 5.0
SAMPLES = 60
MOST_GROWTH_OF_MEMORY = 0.05
MOST_MORE_DESCRIPTORS = 8
MOST_GROWTH_OF_P99 = 1.0
"""The machine is not alone: twice as slow is no proof yet, more is."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the processes of a service need at a moment, and how long answers took since the last."""

    seconds: float
    kilobytes: int
    descriptors: int
    p99: float
    answers: int


def person_of(client: int, number: int) -> str:
    """One of the people that a client asks about."""
    return f"user:soak-{client}-{number}"


def fill(url: str) -> None:
    """Gives half of the people their role, and asks about all."""
    people = [person_of(client, number) for client in range(CLIENTS) for number in range(PEOPLE)]
    steps = [people[first : first + PEOPLE_AT_ONCE] for first in range(0, len(people), PEOPLE_AT_ONCE)]
    for some in steps:
        with Klausel(url, seconds=60.0) as client:
            client.assign([{"subject": one, "role": "account_manager", "domain": "acme"} for one in some[::2]])
    for some in TIMES_ASKED * steps:
        with Klausel(url, seconds=60.0) as client:
            client.evaluations([Question(one, "create", RESOURCE) for one in some])


class Load:
    """Clients that ask and write until `is_over`."""

    def __init__(self, url: str, per_second: float) -> None:
        self._url, self._pause = url, CLIENTS / per_second
        self.is_over = False
        self.failed = 0
        self._took: list[float] = []
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def taken(self) -> list[float]:
        """How long each answer since the last call took, in seconds."""
        took, self._took = self._took, []
        return took

    def end(self) -> None:
        """Ends the clients."""
        self.is_over = True
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        client = Klausel(self._url, seconds=10.0)
        while not self.is_over:
            person = person_of(number, chance.randrange(PEOPLE))
            row = {"subject": person, "role": "account_manager", "domain": "acme"}
            kind = chance.random()
            began = time.monotonic()
            try:
                if kind < 0.05:
                    client.assign([row])
                elif kind < 0.1:
                    client.assign([], [row])
                elif kind < 0.12:
                    # A caller without a pool: each question on a connection of its own.
                    client.close()
                    client = Klausel(self._url, seconds=10.0)
                elif kind < 0.13:
                    urllib.request.urlopen(f"{self._url}/metrics", timeout=10).close()
                else:
                    answer = client.evaluate(person, "create", RESOURCE)
                    self.failed += answer.failed
                    self._took.append(time.monotonic() - began)
            except (CallFailed, OSError):
                self.failed += 1
            time.sleep(max(0.0, self._pause - (time.monotonic() - began)))


def needs(service: Replica) -> tuple[int, int]:
    """Kilobytes of memory and descriptors of all processes of a service."""
    kilobytes = descriptors = 0
    for process in service.family():
        # Git is called now and then, and may end meanwhile.
        with suppress(OSError):
            status = Path(f"/proc/{process}/status").read_text()
            kilobytes += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
            descriptors += len(os.listdir(f"/proc/{process}/fd"))
    return kilobytes, descriptors


def slope(samples: list[Sample]) -> float:
    """Kilobytes an hour, by the straight line nearest to the samples."""
    return statistics.linear_regression([one.seconds / 3600 for one in samples], [one.kilobytes for one in samples]).slope


def judge(samples: list[Sample]) -> list[str]:
    """What grew from the first half to the second beyond its bound; a tenth at the beginning is for warming up."""
    warm = samples[len(samples) // 10 :]
    first, second = warm[: len(warm) // 2], warm[len(warm) // 2 :]

    def middle(some: list[Sample], what: str) -> float:
        return statistics.median(getattr(one, what) for one in some)

    found = []
    for what, bound in (("kilobytes", 1 + MOST_GROWTH_OF_MEMORY), ("p99", 1 + MOST_GROWTH_OF_P99)):
        if middle(second, what) > bound * middle(first, what):
            found.append(f"{what} grew from {middle(first, what):g} to {middle(second, what):g}")
    if middle(second, "descriptors") > middle(first, "descriptors") + MOST_MORE_DESCRIPTORS:
        found.append(f"descriptors grew from {middle(first, 'descriptors'):g} to {middle(second, 'descriptors'):g}")
    return found


def main() -> None:
    """Runs the load, prints a line for each sample, and what grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--per-second", type=float, default=200.0, help="requests a second, of all clients together")
    parser.add_argument("--database", help="URL of an empty database; without it, an SQLite file")
    given = parser.parse_args()
    with ended_by_sigterm(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        policies = folder / "policies"
        shutil.copytree(ROOT / "policies", policies)
        shutil.copy(ROOT / "model.conf", folder)
        database = given.database or f"sqlite:///{folder}/people.db"
        service = Replica(database, folder, policies, "--decision-log", str(folder / "decisions.jsonl"))
        try:
            service.wait()
            fill(service.url)
            load = Load(service.url, given.per_second)
            samples, reloads, began = list[Sample](), 0, time.monotonic()
            next_reload, step = began, given.minutes * 60 / SAMPLES
            while len(samples) < SAMPLES:
                time.sleep(max(0.0, min(began + step * (len(samples) + 1), next_reload) - time.monotonic()))
                now = time.monotonic()
                if now >= next_reload:
                    reloads, next_reload = reloads + 1, now + SECONDS_BETWEEN_RELOADS
                    (policies / "conditions.yaml").write_text(
                        f"{(ROOT / 'policies/conditions.yaml').read_text()}\n# edition {reloads}\n"
                    )
                    continue
                took = sorted(load.taken())
                if not took:
                    raise SystemExit("no decision was answered since the last sample")
                samples.append(Sample(now - began, *needs(service), took[int(len(took) * 0.99)], len(took)))
                one = samples[-1]
                print(
                    f"{one.seconds:7.0f} s {one.kilobytes / 1024:8.1f} MB {one.descriptors:5} descriptors"
                    f" {one.answers:7} decisions, p99 {1000 * one.p99:7.1f} ms",
                    flush=True,
                )
            load.end()
        finally:
            service.close()
    grown = judge(samples)
    print(
        f"{sum(one.answers for one in samples)} decisions, {load.failed} requests failed, {reloads} changes of policies; memory"
        f" {slope(samples[len(samples) // 2 :]) / 1024:+.1f} MB an hour in the second half; {'; '.join(grown) or 'nothing grew'}"
    )
    raise SystemExit(bool(grown or load.failed))


if __name__ == "__main__":
    main()
