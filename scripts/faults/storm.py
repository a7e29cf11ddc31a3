"""A storm of writes by plain SQL, each with its notification, at three replicas: how long until each of them sees a change.

    scripts/python -m faults.storm --writes-per-second 1000 --seconds 20

Makes a PostgreSQL of its own; `--no-fsync` lets it not wait for the disk, so that the figure is one of the replicas and not of
the disk. As root, PostgreSQL's programs run as the user postgres. Exit code 1 when a replica does not see a change at all.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import repeat
from types import TracebackType

import psycopg

from faults.under_load import ROOT, Replica, running_database
from klausel.client import Klausel, Resource

WRITERS = 4
REPLICAS = 3
PEOPLE = 1000
MOST_SECONDS = 30.0
SECONDS_BETWEEN_QUESTIONS = 0.002
QUIZ = Resource("quiz", "q", {"account": "a2"})


class Storm:
    """Writers of plain SQL, so many a second together, from the beginning of a block until its end; no row stays."""

    def __init__(self, database: str, per_second: float) -> None:
        self._database, self._per_second = database, per_second
        self._is_over = threading.Event()
        self._written = [0] * WRITERS
        self._began = self._lasted = 0.0
        self._threads = [threading.Thread(target=self._write, args=(number,), daemon=True) for number in range(WRITERS)]

    def __enter__(self) -> Storm:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self._lasted = time.monotonic() - self._began
        with psycopg.connect(self._database, autocommit=True) as connection:
            connection.execute("DELETE FROM casbin_rule WHERE v0 LIKE 'user:storm-%'")

    @property
    def written(self) -> int:
        """How many writes there were."""
        return sum(self._written)

    @property
    def per_second(self) -> float:
        """How many writes a second there really were."""
        return self.written / self._lasted

    def _write(self, number: int) -> None:
        with psycopg.connect(self._database, autocommit=True) as connection:
            began = time.monotonic()
            while not self._is_over.is_set():
                done = self._written[number]
                adds = done // PEOPLE % 2 == 0
                connection.execute(
                    "INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', %s, 'user', 'a1')"
                    if adds
                    else "DELETE FROM casbin_rule WHERE v0 = %s AND v1 = 'user' AND v2 = 'a1'",
                    [f"user:storm-{number}-{done % PEOPLE}"],
                )
                self._written[number] = done + 1
                self._is_over.wait(max(0.0, began + (done + 1) * WRITERS / self._per_second - time.monotonic()))


def watch(database: str, urls: list[str], seconds: float) -> list[list[float]]:
    """Gives and takes a role by plain SQL for so long; for each replica, after how many seconds it saw each change."""
    lags: list[list[float]] = [[] for _ in urls]
    ends = time.monotonic() + seconds
    with ExitStack() as stack:
        clients = [stack.enter_context(Klausel(url)) for url in urls]
        connection = stack.enter_context(psycopg.connect(database, autocommit=True))
        pool = stack.enter_context(ThreadPoolExecutor(len(urls)))
        adds = False
        while time.monotonic() < ends:
            adds = not adds
            connection.execute(_GIVE if adds else _TAKE)
            seen = pool.map(_seconds_until_seen, clients, repeat(adds), repeat(time.monotonic()))
            for found, lag in zip(lags, seen, strict=True):
                found.append(lag)
        connection.execute(_TAKE)
    return lags


_GIVE = "INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:seen', 'account_manager', 'a2')"
_TAKE = "DELETE FROM casbin_rule WHERE v0 = 'user:seen'"


def _seconds_until_seen(client: Klausel, is_given: bool, since: float) -> float:
    while True:
        answer = client.evaluate("user:seen", "create", QUIZ)
        lag = time.monotonic() - since
        if not answer.failed and answer.allowed == is_given:
            return lag
        if lag > MOST_SECONDS:
            raise TimeoutError(f"a change is not seen within {MOST_SECONDS:.0f} s")
        time.sleep(SECONDS_BETWEEN_QUESTIONS)


def in_words(lags: list[float]) -> str:
    """How long it took until changes were seen."""
    lags = sorted(lags)
    p99 = lags[int(len(lags) * 0.99)]
    return (
        f"{len(lags)} changes seen after {1000 * statistics.median(lags):.0f} ms in the middle, p99 {1000 * p99:.0f} ms,"
        f" {1000 * lags[-1]:.0f} ms at most"
    )


def main() -> None:
    """Prints a line for each replica, without a storm and with one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writes-per-second", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=1, help="of each replica")
    parser.add_argument("--no-fsync", action="store_true", help="let the database not wait for the disk")
    given = parser.parse_args()
    options = "-c fsync=off -c synchronous_commit=off" if given.no_fsync else ""
    with running_database(options=options) as (folder, database):
        replicas: list[Replica] = []
        try:
            for _ in range(REPLICAS):
                replicas.append(Replica(database.url, folder, ROOT / "policies", "--workers", str(given.workers)))
                replicas[-1].wait()
            urls = [replica.url for replica in replicas]
            for replica, lags in enumerate(watch(database.url, urls, given.seconds / 4), 1):
                print(f"without a storm, replica {replica}: {in_words(lags)}", flush=True)
            with Storm(database.url, given.writes_per_second) as storm:
                all_lags = watch(database.url, urls, given.seconds)
            for replica, lags in enumerate(all_lags, 1):
                print(f"{storm.per_second:.0f} writes a second, replica {replica}: {in_words(lags)}", flush=True)
        finally:
            for replica in replicas:
                replica.close()
            database.stop()


if __name__ == "__main__":
    main()
