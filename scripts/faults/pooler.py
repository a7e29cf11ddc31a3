"""Two replicas reach their PostgreSQL through PgBouncer in transaction mode, and hear of changes at the server itself.

    scripts/python -m faults.pooler --seconds 10

Clients check each answer as `faults.under_load` says, once with `--listen-url` and once without. As root, the programs run as the
user postgres. Skipped, with exit code 77, where PgBouncer is not installed. Prints figures; exit code 1 when one is wrong.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import time
from pathlib import Path

from faults.under_load import ROOT, Database, Load, Replica, free_port, running_database

NOT_INSTALLED = 77


def pgbouncer() -> str | None:
    """Where the program is."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


class PgBouncer:
    """A pooler in transaction mode before a database, with few connections to it."""

    def __init__(self, program: str, database: Database, folder: Path) -> None:
        port = free_port()
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\npostgres = user=postgres host=127.0.0.1 port={database.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir = \nauth_type = any\npool_mode = transaction\ndefault_pool_size = 10\n"
            "max_client_conn = 500\nignore_startup_parameters = options,extra_float_digits\n"
        )
        user = "postgres" if os.getuid() == 0 else None
        with (folder / "pgbouncer.log").open("wb") as log:
            self._process = subprocess.Popen([program, str(settings)], user=user, stdout=log, stderr=log, cwd="/")
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def close(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait(30)


def main() -> None:
    """Runs the load with and without a way around the pooler."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    program = pgbouncer()
    if program is None:
        print("SKIPPED: PgBouncer is not installed, so nothing tells how Klausel does behind it")
        raise SystemExit(NOT_INSTALLED)
    is_wrong = False
    with running_database() as (folder, database):
        pooler = PgBouncer(program, database, folder)
        try:
            for listening in (["--listen-url", database.url], []):
                url = f"{pooler.url}?prepare_threshold=none"
                replicas = [Replica(url, folder, ROOT / "policies", *listening) for _ in range(2)]
                try:
                    for replica in replicas:
                        replica.wait()
                    load = Load([replica.url for replica in replicas])
                    time.sleep(given.seconds)
                    load.end(database.url)
                finally:
                    for replica in replicas:
                        replica.close()
                print(f"behind PgBouncer, {'with' if listening else 'without'} --listen-url: {load.told()}", flush=True)
                is_wrong |= bool(load.faults) or any("failed" in what for what in load.counts)
        finally:
            pooler.close()
            database.stop()
    raise SystemExit(is_wrong)


if __name__ == "__main__":
    main()
