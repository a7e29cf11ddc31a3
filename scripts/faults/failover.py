"""A PostgreSQL is failed over to its hot standby under load, and a service that names both goes on without a restart.

    scripts/python -m faults.failover

As root, PostgreSQL's programs run as the user postgres. Writes wait for the standby (`synchronous_standby_names`), so what was
acknowledged is there. Before, the commands of auditors are run against the standby, which only reads. Clients check each answer
as `faults.under_load` says. Prints figures; exit code 1 when one is wrong.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psycopg

from faults.under_load import ROOT, Database, Load, Replica, call_postgresql, free_port, running_database

AUDITS = (
    ("audit", "show", "--limit", "5"),
    ("audit", "verify"),
    ("who-can", "create", "quiz", "--set", "resource.account=acme"),
    ("assignments", "export"),
    ("db", "check"),
)
SECONDS_BEFORE, SECONDS_AFTER = 4.0, 10.0


class Standby:
    """A hot standby of a database, until it is promoted."""

    def __init__(self, primary: Database, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        folder.mkdir()
        if primary.user:
            subprocess.run(["chown", primary.user, str(folder)], check=True)
        self._call("pg_basebackup", "--checkpoint=fast", "--no-sync", "-D", str(folder / "data"), "-R", "-d", primary.url)
        options = f"-p {self.port} -h 127.0.0.1 -k {folder}"
        self._call("pg_ctl", "-w", "-D", str(folder / "data"), "-l", str(folder / "log"), "-o", options, "start")
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def promote(self) -> None:
        """Makes it a primary; returns when it takes writes."""
        # Nobody stands by for it, so nothing would ever be acknowledged.
        settings = self._folder / "data" / "postgresql.auto.conf"
        subprocess.run(["sed", "-i", "/synchronous_standby_names/d", str(settings)], check=True)
        self._call("pg_ctl", "-w", "-D", str(self._folder / "data"), "promote")
        self._call("pg_ctl", "-D", str(self._folder / "data"), "reload")

    def stop(self) -> None:
        """Ends it."""
        self._call("pg_ctl", "-w", "-m", "fast", "-D", str(self._folder / "data"), "stop")

    def _call(self, name: str, *arguments: str) -> None:
        call_postgresql(self._folder, name, *arguments)


def wait_for_standby(primary: Database) -> None:
    """Lets every write from now on wait until the standby has it."""
    with psycopg.connect(primary.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        connection.execute("SELECT pg_reload_conf()")


def url_of_both(primary: Database, standby: Standby) -> str:
    """Where whichever of both takes writes is found."""
    both = f"host=127.0.0.1:{primary.port}&host=127.0.0.1:{standby.port}"
    return f"postgresql://postgres@/postgres?{both}&target_session_attrs=read-write"


def main() -> None:
    """Fails over under load, and prints what the clients saw."""
    with running_database() as (folder, primary):
        standby = Standby(primary, folder / "standby")
        service = Replica(url_of_both(primary, standby), folder)
        is_wrong = False
        try:
            service.wait()
            wait_for_standby(primary)
            for audit in AUDITS:
                where = ["--database", standby.url]
                if audit[0] in ("who-can",):
                    where += ["--policies", str(ROOT / "policies")]
                command = [str(Path(sys.executable).with_name("klausel")), *audit, *where]
                done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
                print(
                    f"on the standby: klausel {' '.join(audit)}: exit code {done.returncode} {done.stderr.strip()}",
                    flush=True,
                )
                is_wrong |= done.returncode != 0
            load = Load([service.url])
            time.sleep(SECONDS_BEFORE)
            began = time.monotonic()
            primary.stop("immediate")
            standby.promote()
            promoted = time.monotonic()
            while load.last_success < promoted and time.monotonic() < promoted + 60:
                time.sleep(0.01)
            recovered = load.last_success - promoted
            time.sleep(SECONDS_AFTER)
            load.end(standby.url)
            print(
                f"failed over: {load.told()}; promoted after {promoted - began:.1f} s, the next write {recovered:.2f} s later"
            )
            is_wrong |= recovered < 0 or bool(load.faults)
        finally:
            service.close()
            standby.stop()
    raise SystemExit(is_wrong)


if __name__ == "__main__":
    main()
