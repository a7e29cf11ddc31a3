"""A list filter for somebody with roles in 10,000 workspaces: how long it takes to get it, and to have a database run it.

`scripts/python -m benchmarks.sections.filters` for SQLite; with an address, in that empty database.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from sqlalchemy import Index, String, func, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from werkzeug.test import Client

from klausel.api.lane import EvaluationLane
from klausel.app import create_flask_app, create_service
from klausel.core.policy.assignment import Assignment
from klausel.settings import Settings
from klausel.sqlalchemy import where

ROOT = Path(__file__).parents[3]
WORKSPACES = 10_000
ROWS = 200_000
ROWS_A_WRITE = 20_000
ROUNDS = 15


class Base(DeclarativeBase):
    """The tables of the application that shows the list."""


class Dashboard(Base):
    """A row of the list."""

    __tablename__ = "benchmark_dashboards"
    id: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(String)
    workspace: Mapped[str] = mapped_column(String)
    owner: Mapped[str] = mapped_column(String)
    __table_args__ = (Index("benchmark_by_place", "account", "workspace"),)


def main() -> None:
    """Fills a database, and prints the times of each step in milliseconds by the clock."""
    with tempfile.TemporaryDirectory() as folder:
        _measure(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/filters.db")


def _measure(url: str) -> None:
    settings = Settings(policies=str(ROOT / "policies"), model=str(ROOT / "model.conf"), database=url)
    service = create_service(settings)
    roles = service.policy.compiled.policy.roles
    # Half of the workspaces show her everything, the others what is her own.
    held = [Assignment("user:root", "admin", "acme"), Assignment("user:ann", "user", "acme")]
    held += [Assignment("user:ann", ("reviewer", "agent")[n % 2], f"acme/w{n}") for n in range(WORKSPACES)]
    service.store.import_rows(roles, held)
    engine = service.store.engine
    Base.metadata.create_all(engine)
    random = Random(0)
    rows = []
    for number in range(ROWS):
        account = "acme" if number % 2 else "other"
        rows.append(
            {
                "id": number,
                "account": account,
                "workspace": f"w{random.randrange(2 * WORKSPACES)}",
                "owner": random.choice(("ann", "bob")),
            }
        )
    with engine.begin() as connection:
        for first in range(0, ROWS, ROWS_A_WRITE):
            connection.execute(insert(Dashboard), rows[first : first + ROWS_A_WRITE])
    expected = sum(
        row["account"] == "acme"
        and int(str(row["workspace"])[1:]) < WORKSPACES
        and (int(str(row["workspace"])[1:]) % 2 == 0 or row["owner"] == "ann")
        for row in rows
    )
    client = Client(EvaluationLane(service, create_flask_app(service)))
    body = json.dumps(
        {
            "subject": {"type": "user", "id": "ann"},
            "action": {"name": "view"},
            "resource": {"type": "dashboard"},
            "domain": "acme",
        }
    )
    times: dict[str, list[float]] = {"asked for": [], "made into SQL": [], "counted": [], "a page of 100": []}
    size = 0
    with Session(engine) as session:
        for _ in range(ROUNDS):
            at = time.perf_counter()
            answer = client.post("/v1/filter", data=body, headers={"Content-Type": "application/json", "Host": "localhost"})
            at = _took(times["asked for"], at)
            assert answer.status_code == 200, answer.get_data()
            size = len(answer.get_data())
            at = time.perf_counter()
            condition = where(answer.get_json(), Dashboard)
            at = _took(times["made into SQL"], at)
            found = session.scalar(select(func.count()).select_from(Dashboard).where(condition))
            at = _took(times["counted"], at)
            page = session.scalars(select(Dashboard).where(condition).order_by(Dashboard.id).limit(100)).all()
            _took(times["a page of 100"], at)
            assert (found, len(page)) == (expected, 100), f"{found} rows were found, and {expected} are hers"
    service.store.close()
    print(f"{WORKSPACES:,} workspaces, {ROWS:,} rows, of which {expected:,} are shown; the filter has {size:,} bytes")
    for step, taken in times.items():
        median, worst, first = (1000 * seconds for seconds in (statistics.median(taken), max(taken), taken[0]))
        print(f"{step}: median {median:.1f} ms, worst {worst:.1f}, first {first:.1f}")


def _took(times: list[float], since: float) -> float:
    now = time.perf_counter()
    times.append(now - since)
    return now


if __name__ == "__main__":
    main()
