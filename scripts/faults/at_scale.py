"""Role assignments by the million on PostgreSQL: how long loading, first decisions and searches take, and a storm of writes.

    scripts/python -m faults.at_scale --assignments 10000000

Makes a PostgreSQL of its own with usual settings, and takes it away at the end; it needs about a kilobyte of disk an assignment.
As root, PostgreSQL's programs run as the user postgres. Last, what a decision asks is asked of copies of the table, plain and
partitioned by hash.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg

from faults.storm import Storm, in_words, watch
from faults.under_load import ROOT, Database, Replica, running_database
from klausel.client import Klausel, Resource

ROWS_OF_ACCOUNT = 100
QUESTIONS = 2000
PARTITIONS = 32
_LOOKUP = "SELECT v1, v2 FROM {} WHERE v0 = %s"


def rows(number: int) -> Iterator[str]:
    """Lines of CSV: accounts with an admin, a manager, and 49 people who have a role there and one in a workspace."""
    yield "subject,role,domain"
    for account in range(number // ROWS_OF_ACCOUNT):
        yield f"user:a{account}-p0,admin,a{account}"
        yield f"user:a{account}-p1,account_manager,a{account}"
        for person in range(2, ROWS_OF_ACCOUNT // 2 + 1):
            yield f"user:a{account}-p{person},user,a{account}"
            yield f"user:a{account}-p{person},{'manager' if person % 10 == 2 else 'agent'},a{account}/w{person % 3}"


def timed(calls: list[Callable[[], object]]) -> str:
    """How long each call took, in words."""
    took = []
    for call in calls:
        began = time.perf_counter()
        call()
        took.append(1000 * (time.perf_counter() - began))
    took.sort()
    return f"{statistics.median(took):.2f} ms in the middle, p99 {took[int(len(took) * 0.99)]:.2f} ms"


def say(what: str, told: str) -> None:
    """Prints a figure."""
    print(f"{what}: {told}", flush=True)


def load(database: Database, folder: Path, number: int) -> None:
    """Imports so many rows by the command, as an operator would."""
    file = folder / "people.csv"
    with file.open("w") as out:
        out.writelines(f"{line}\n" for line in rows(number))
    command = [str(Path(sys.executable).with_name("klausel")), "assignments", "import", str(file)]
    began = time.monotonic()
    where = ["--database", database.url, "--policies", str(ROOT / "policies")]
    subprocess.run([*command, *where], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    took = time.monotonic() - began
    file.unlink()
    with psycopg.connect(database.url, autocommit=True) as connection:
        size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert size is not None
    say(f"load of {number} role assignments", f"{took:.0f} s, {number / took:.0f} a second, {size[0] / 1e9:.1f} GB on disk")


def copy(database: Database, folder: Path, number: int) -> None:
    """Brings so many rows by COPY, without the change log: quicker, and the same for all but the load."""
    command = [str(Path(sys.executable).with_name("klausel")), "db", "upgrade", "--database", database.url]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    began = time.monotonic()
    with psycopg.connect(database.url, autocommit=True) as connection:
        # As a write of Klausel itself: nobody has remembered anything of these people.
        connection.execute("SET klausel.own_write = 'yes'")
        with connection.cursor().copy("COPY casbin_rule (ptype, v0, v1, v2) FROM STDIN") as rows_in:
            lines = rows(number)
            next(lines)
            for line in lines:
                rows_in.write_row(("g", *line.split(",")))
        connection.execute("VACUUM ANALYZE casbin_rule")
    say(f"copy of {number} role assignments", f"{time.monotonic() - began:.0f} s")


def decisions(url: str, accounts: int) -> None:
    """Measures first and later decisions, and first pages of searches."""
    chance = random.Random(7)
    with Klausel(url) as client:

        def question(account: int, person: int) -> Callable[[], object]:
            return lambda: client.evaluate(
                f"user:a{account}-p{person}", "create", Resource("quiz", "q", {"account": f"a{account}"})
            )

        people = [question(chance.randrange(accounts), chance.randrange(50)) for _ in range(QUESTIONS)]
        say("first decision about a person, over HTTP", timed(people))
        say("the same people again", timed(people))
    with httpx.Client(base_url=url, timeout=30) as http:

        def page(account: int) -> Callable[[], object]:
            body = {
                "subject": {"type": "user"},
                "action": {"name": "create"},
                "resource": {"type": "quiz", "id": "q", "properties": {"account": f"a{account}"}},
                "page": {"limit": 100},
            }
            return lambda: http.post("/access/v1/search/subject", json=body).raise_for_status()

        say("first page of who may, 100 people", timed([page(chance.randrange(accounts)) for _ in range(200)]))


def storm(database: str, url: str, per_second: int, seconds: float, accounts: int) -> None:
    """Measures decisions while others write by plain SQL, each write with its notification, and how long until each is seen."""
    chance = random.Random(8)
    with Storm(database, per_second) as writers, Klausel(url) as client, ThreadPoolExecutor(1) as pool:
        watched = pool.submit(watch, database, [url], seconds)

        def question(account: int) -> Callable[[], object]:
            quiz = Resource("quiz", "q", {"account": f"a{account}"})
            return lambda: client.evaluate(f"user:a{account}-p1", "create", quiz)

        asked = timed([question(chance.randrange(min(accounts, 20))) for _ in range(QUESTIONS)])
        (lags,) = watched.result()
    say(f"{writers.per_second:.0f} writes a second by plain SQL, decisions about known people", asked)
    say("a change by plain SQL meanwhile", in_words(lags))


def partitions(database: str, accounts: int) -> None:
    """Measures what a decision asks of the table as it is, and of copies that are partitioned by hash."""
    chance = random.Random(9)
    people = [f"user:a{chance.randrange(accounts)}-p{chance.randrange(50)}" for _ in range(QUESTIONS)]
    with psycopg.connect(database, autocommit=True) as connection:
        for key, words in ((None, "one table"), ("v2", "partitioned by account"), ("v0", "partitioned by subject")):
            name = f"copy_by_{key}"
            by = "" if key is None else f"PARTITION BY HASH ({key})"
            connection.execute(
                f'CREATE UNLOGGED TABLE {name} (v0 text COLLATE "C", v1 text COLLATE "C", v2 text COLLATE "C") {by}'
            )
            for number in range(PARTITIONS if key else 0):
                connection.execute(
                    f"CREATE UNLOGGED TABLE {name}_{number} PARTITION OF {name}"
                    f" FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
                )
            connection.execute(f"INSERT INTO {name} SELECT v0, v1, v2 FROM casbin_rule")
            connection.execute(f"CREATE UNIQUE INDEX ON {name} (v0, v1, v2)")
            connection.execute(f"VACUUM ANALYZE {name}")
            asks: list[Callable[[], object]] = [
                lambda person=person, name=name: connection.execute(_LOOKUP.format(name), [person], prepare=True).fetchall()
                for person in people
            ]
            timed(asks)
            say(f"roles of a person, {words}", timed(asks))
            connection.execute(f"DROP TABLE {name}")


def main() -> None:
    """Prints a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assignments", type=int, default=10_000_000)
    parser.add_argument("--copy", action="store_true", help="bring them by COPY: does not measure the load")
    parser.add_argument("--writes-per-second", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the storm of writes lasts")
    parser.add_argument("--folder", help="where the database lies meanwhile; without it, where temporary files do")
    given = parser.parse_args()
    accounts = given.assignments // ROWS_OF_ACCOUNT
    with running_database(given.folder) as (folder, database):
        try:
            (copy if given.copy else load)(database, folder, given.assignments)
            began = time.monotonic()
            service = Replica(database.url, folder)
            try:
                service.wait()
                say("start of a service with two workers", f"{time.monotonic() - began:.1f} s")
                decisions(service.url, accounts)
                storm(database.url, service.url, given.writes_per_second, given.seconds, accounts)
            finally:
                service.close()
            partitions(database.url, accounts)
        finally:
            database.stop()


if __name__ == "__main__":
    main()
