"""Two replicas under load meet faults: a database that is stopped and started, workers killed, a replica paused.

    scripts/python -m faults.under_load --seconds 5 --pause 30

As root, PostgreSQL's programs run as the user postgres. Each client grants and revokes a role of two people of its own in one
write, and asks either replica what holds, with the token of its write. After a write that was acknowledged every answer is
known: another allow is a wrong one, a deny that is no failure is a write lost. Each fault happens a second time with questions
without a token. Prints figures; exit code 1 when one is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import shutil
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
from types import TracebackType

import psycopg

from klausel.client import CallFailed, Klausel, Resource

ROOT = Path(__file__).parents[2]
CLIENTS = 6
SECONDS_BETWEEN_KILLS = 0.5
MAX_STALENESS = 1.0
"""As `klausel serve` has it by itself."""
STALENESSES_AT_REST = 3.0
"""How long people who are asked about without a token stay as they are."""
MOST_SECONDS = 5.0
SECONDS_TO_START = 300.0
"""Long enough for a machine that others keep busy; one that cannot start ends, which is seen at once."""
SECONDS_TO_STOP = 60.0
RESOURCE = Resource("quiz", "q1", {"account": "acme"})


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call_postgresql(folder: Path, name: str, *arguments: str) -> None:
    """Runs a program of PostgreSQL; as root, as the user postgres."""
    program = next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), shutil.which(name))
    if program is None:
        sys.exit(f"{name} is not there: install the PostgreSQL server (on Debian and Ubuntu: apt-get install postgresql)")
    user = "postgres" if os.getuid() == 0 else None
    subprocess.run([program, *arguments], user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)


class Database:
    """A PostgreSQL in a folder of its own."""

    def __init__(self, folder: Path, options: str = "") -> None:
        self.user = "postgres" if os.getuid() == 0 else None
        self._folder, self._options, self.port = folder, options, free_port()
        if self.user:
            subprocess.run(["chown", self.user, str(folder)], check=True)
        self._call("initdb", "--no-sync", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust")
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self._folder} {self._options}"
        self._call("pg_ctl", "-w", "-D", str(self._folder / "data"), "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Ends it and every connection to it at once; with the mode `immediate`, as a crash would."""
        self._call("pg_ctl", "-w", "-m", mode, "-D", str(self._folder / "data"), "stop")

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to all processes of it."""
        first = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        for process in family_of(first):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def _call(self, name: str, *arguments: str) -> None:
        call_postgresql(self._folder, name, *arguments)


def family_of(process: int) -> list[int]:
    """A process and its descendants."""
    found, left = [], [process]
    while left:
        found.append(left.pop())
        for thread in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                left += map(int, thread.read_text().split())
    return found


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Lets SIGTERM end a block as Ctrl-C does, so that what was started in it is stopped."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def running_database(under: str | None = None, options: str = "") -> Iterator[tuple[Path, Database]]:
    """A folder for a while, and a database that was started in it; whoever stops the database does so inside."""
    with ended_by_sigterm(), tempfile.TemporaryDirectory(dir=under) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "database").mkdir()
        database = Database(folder / "database", options)
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
        return family_of(self._process.pid)

    def kill_a_worker(self) -> None:
        """Kills the newest of its workers, at once."""
        os.kill(max(self.family()[1:]), signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to all processes of it."""
        for process in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def wait(self) -> None:
        """Returns when it answers; ends the script when it ended, or has not begun to in `SECONDS_TO_START`."""
        give_up_at = time.monotonic() + SECONDS_TO_START
        with Klausel(self.url) as client:
            while client.evaluate("user:ada", "create", RESOURCE).failed:
                ended = self._process.poll()
                if ended is not None or time.monotonic() > give_up_at:
                    what = "does not answer" if ended is None else f"ended with {ended}"
                    raise SystemExit(f"the service at {self.url} {what}:\n{self._log.read_text()[-3000:]}")
                time.sleep(0.2)

    def close(self) -> None:
        """Stops it, at once where it takes longer than `SECONDS_TO_STOP`."""
        self._process.terminate()
        try:
            self._process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self._process.wait()


class Load:
    """Clients that write and ask until `is_over`, and count what came of it; what is in capitals must not be.

    With tokens every question asks for the state after the write before it. Without them, writes go to the first replica, and
    answers of all are known once `max_staleness` has passed: nothing but that bound keeps what is old from being told.
    Each client rests for `pause` seconds between its rounds of a write and four questions. All end with the block.
    """

    def __init__(
        self, urls: list[str], max_staleness: float = MAX_STALENESS, with_tokens: bool = True, pause: float = 0.0
    ) -> None:
        self._urls, self._max_staleness, self._with_tokens, self._pause = urls, max_staleness, with_tokens, pause
        self.is_over = False
        self.counts: Counter[str] = Counter()
        self.last_success = 0.0
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    @property
    def faults(self) -> dict[str, int]:
        """What must not be, and how often it was."""
        return {what: count for what, count in self.counts.items() if what.isupper()}

    def told(self) -> str:
        """The counts, in words."""
        return ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))

    def end(self, database: str) -> None:
        """Ends the clients, and looks in the database for writes that are half done."""
        self.is_over = True
        for thread in self._threads:
            thread.join()
        with psycopg.connect(database) as connection:
            for _ in connection.execute(_HALVES):
                self.counts["WRITES HALF DONE"] += 1

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Left on their own, clients would go on writing about the people of the next load."""
        self.is_over = True
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        # A replica that is paused must not keep those without tokens from asking another one.
        seconds = MOST_SECONDS if self._with_tokens else self._max_staleness
        pair, chance = _Pair(f"user:under-load-{number}"), random.Random(number)
        with contextlib.ExitStack() as stack:
            writing, asking = (
                [stack.enter_context(Klausel(url, seconds=most, retries=0)) for url in self._urls]
                for most in (MOST_SECONDS, seconds)
            )
            while not self.is_over:
                if self._with_tokens:
                    self._write(chance.random() < 0.5, chance.choice(writing), pair)
                elif time.monotonic() > pair.written_at + STALENESSES_AT_REST * self._max_staleness:
                    self._write(not pair.known, writing[0], pair)
                for _ in range(4):
                    self._ask(chance, chance.choice(asking), pair)
                time.sleep(self._pause)

    def _ask(self, chance: random.Random, client: Klausel, pair: _Pair) -> None:
        client.at_least = pair.token if self._with_tokens else None
        asked_at = time.monotonic()
        answer = client.evaluate(chance.choice(pair.people), "create", RESOURCE)
        self.counts["answers failed" if answer.failed else "answers"] += 1
        is_known = self._with_tokens or asked_at > pair.written_at + self._max_staleness
        if is_known and pair.known is not None and not answer.failed and answer.allowed != pair.known:
            self.counts["WRONG ALLOWS" if answer.allowed else "WRITES LOST"] += 1

    def _write(self, wanted: bool, client: Klausel, pair: _Pair) -> None:
        rows = [{"subject": person, "role": "account_manager", "domain": "acme"} for person in pair.people]
        try:
            pair.token = client.assign(rows if wanted else [], [] if wanted else rows)
            pair.known = wanted
            self.counts["writes acknowledged"] += 1
            self.last_success = time.monotonic()
        except CallFailed:
            # Done or not: nobody knows.
            pair.known = None
            self.counts["writes failed"] += 1
        pair.written_at = time.monotonic()


class _Pair:
    """Two people who get and lose a role together; `known` says whether they have it, None where nobody knows."""

    def __init__(self, name: str) -> None:
        self.people = (f"{name}-a", f"{name}-b")
        self.known: bool | None = None
        self.token: str | None = None
        self.written_at = float("-inf")


_HALVES = "SELECT left(v0, -2) FROM casbin_rule WHERE v0 LIKE 'user:under-load-%' GROUP BY 1 HAVING count(*) <> 2"


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
            for (fault, happen), with_tokens in itertools.product(faults.items(), (True, False)):
                load = Load([replica.url for replica in replicas], with_tokens=with_tokens)
                time.sleep(2)
                happen()
                healed = time.monotonic()
                time.sleep(5)
                load.end(database.url)
                recovers = load.last_success > healed
                how = f"{fault}, {'with' if with_tokens else 'without'} tokens"
                print(f"{how}: {load.told()}; {'recovered' if recovers else 'DID NOT RECOVER'}", flush=True)
                is_wrong |= not recovers or bool(load.faults)
        finally:
            for replica in replicas:
                replica.close()
            database.stop()
    raise SystemExit(is_wrong)


if __name__ == "__main__":
    main()
