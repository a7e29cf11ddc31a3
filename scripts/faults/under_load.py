"""Two replicas under load meet faults: a database that is stopped and started, workers killed, a replica paused.

    PYTHONPATH=server:scripts python -m faults.under_load --seconds 5 --pause 30

As root, PostgreSQL's programs run as the user postgres. Each client grants and revokes a role of a person of its own, and asks
either replica what holds, with the token of its write. After a write that was acknowledged every answer is known: another
allow is a wrong one, a deny that is no failure is a write lost. Prints figures for each fault; exit code 1 when one is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from klausel.client import CallFailed, Klausel, Resource

ROOT = Path(__file__).parents[2]
CLIENTS = 6
SECONDS_BETWEEN_KILLS = 0.5
RESOURCE = Resource("quiz", "q1", {"account": "acme"})


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call_postgresql(folder: Path, name: str, *arguments: str) -> None:
    """Runs a program of PostgreSQL; as root, as the user postgres."""
    program = next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), name)
    user = "postgres" if os.getuid() == 0 else None
    subprocess.run([program, *arguments], user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)


class Database:
    """A PostgreSQL in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.user = "postgres" if os.getuid() == 0 else None
        self._folder, self.port = folder, free_port()
        if self.user:
            subprocess.run(["chown", self.user, str(folder)], check=True)
        self._call("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust")
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self._folder}"
        self._call("pg_ctl", "-w", "-D", str(self._folder / "data"), "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Ends it and every connection to it at once; with the mode `immediate`, as a crash would."""
        self._call("pg_ctl", "-w", "-m", mode, "-D", str(self._folder / "data"), "stop")

    def _call(self, name: str, *arguments: str) -> None:
        call_postgresql(self._folder, name, *arguments)


@contextlib.contextmanager
def running_database(under: str | None = None) -> Iterator[tuple[Path, Database]]:
    """A folder for a while, and a database that was started in it; whoever stops the database does so inside."""
    with tempfile.TemporaryDirectory(dir=under) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "database").mkdir()
        database = Database(folder / "database")
        database.start()
        yield folder, database


class Replica:
    """A service with two workers, over the shipped policies where no others are named."""

    def __init__(self, database: str, folder: Path, policies: Path = ROOT / "policies", *options: str) -> None:
        self.port = free_port()
        command = [str(Path(sys.executable).with_name("klausel")), "serve", "--port", str(self.port), "--workers", "2"]
        command += ["--database", database, "--policies", str(policies), "--demo", *options]
        self._log = folder / f"service-{self.port}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        self.url = f"http://127.0.0.1:{self.port}"

    def family(self) -> list[int]:
        """The processes of it, the first one and its descendants."""
        found, left = [], [self._process.pid]
        while left:
            found.append(left.pop())
            for thread in Path(f"/proc/{found[-1]}/task").glob("*/children"):
                left += map(int, thread.read_text().split())
        return found

    def kill_a_worker(self) -> None:
        """Kills the newest of its workers, at once."""
        os.kill(max(self.family()[1:]), signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to all processes of it."""
        for process in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def wait(self) -> None:
        """Returns when it answers."""
        with Klausel(self.url) as client:
            for _ in range(200):
                if not client.evaluate("user:ada", "create", RESOURCE).failed:
                    return
                time.sleep(0.2)
        raise SystemExit(f"the service at {self.url} does not answer:\n{self._log.read_text()[-3000:]}")

    def close(self) -> None:
        """Stops it."""
        self._process.terminate()
        self._process.wait(30)


class Load:
    """Clients that write and ask until `is_over`, and count what came of it."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self.is_over = False
        self.counts: Counter[str] = Counter()
        self.last_success = 0.0
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Ends the clients."""
        self.is_over = True
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        chance, person = random.Random(number), f"user:under-load-{number}"
        row = {"subject": person, "role": "account_manager", "domain": "acme"}
        clients = [Klausel(url, seconds=5.0, retries=0) for url in self._urls]
        known: bool | None = None
        token: str | None = None
        while not self.is_over:
            wanted = chance.random() < 0.5
            try:
                rows = [row]
                token = chance.choice(clients).assign(rows if wanted else [], [] if wanted else rows)
                known = wanted
                self.counts["writes acknowledged"] += 1
                self.last_success = time.monotonic()
            except CallFailed:
                # Done or not: nobody knows.
                known = None
                self.counts["writes failed"] += 1
            for _ in range(4):
                client = chance.choice(clients)
                client.at_least = token
                answer = client.evaluate(person, "create", RESOURCE)
                kind = "answers failed" if answer.failed else "answers"
                self.counts[kind] += 1
                if known is not None and not answer.failed and answer.allowed != known:
                    self.counts["WRONG ALLOWS" if answer.allowed else "WRITES LOST"] += 1


def main() -> None:
    """Lets each fault happen under load, and prints what the clients saw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the database is away")
    parser.add_argument("--pause", type=float, default=30.0, help="how long a replica is paused")
    given = parser.parse_args()
    is_wrong = False
    with running_database() as (folder, database):
        replicas = []
        try:
            for _ in range(2):
                replicas.append(Replica(database.url, folder))
                replicas[-1].wait()

            def stopped() -> None:
                database.stop()
                time.sleep(given.seconds)
                database.start()

            def killed() -> None:
                for replica in (*replicas, *replicas):
                    replica.kill_a_worker()
                    time.sleep(SECONDS_BETWEEN_KILLS)

            def paused() -> None:
                replicas[1].send(signal.SIGSTOP)
                time.sleep(given.pause)
                replicas[1].send(signal.SIGCONT)

            faults: dict[str, Callable[[], None]] = {
                "database stopped and started": stopped,
                "workers killed": killed,
                "replica paused and woken": paused,
            }
            for fault, happen in faults.items():
                load = Load([replica.url for replica in replicas])
                time.sleep(2)
                happen()
                healed = time.monotonic()
                time.sleep(5)
                load.end()
                recovers = load.last_success > healed
                counts = ", ".join(f"{count} {what}" for what, count in sorted(load.counts.items()))
                print(f"{fault}: {counts}; {'recovered' if recovers else 'DID NOT RECOVER'}", flush=True)
                is_wrong |= not recovers or any(what.isupper() for what in load.counts)
        finally:
            for replica in replicas:
                replica.close()
            database.stop()
    raise SystemExit(is_wrong)


if __name__ == "__main__":
    main()
