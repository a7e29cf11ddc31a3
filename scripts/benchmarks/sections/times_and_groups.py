"""What times and groups cost: a million role assignments, a tenth of them with an end, and 100,000 groups with members.

`scripts/python -m benchmarks.sections.times_and_groups`; an argument is the number of people. The same is imported
without times and groups beside it, into SQLite and PostgreSQL; each kind of subject is asked about in the same process, in
turns, so the ratios hold on a busy machine, too.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from benchmarks.organisation import people
from benchmarks.peers.packages import Missing
from benchmarks.sections.people import postgresql_schema
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel, top_domain
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.service.pipeline import open_policy
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database

ROOT = Path(__file__).parents[3]
PEOPLE = 470_000
PEOPLE_PER_GROUP = 5
SUBJECTS = 3_000
ROUNDS = 7
ENDS = "2999-01-01T00:00:00Z"


def role_assignments(roles: RoleModel, count: int) -> Iterator[Assignment]:
    """The people of the organisation; every fifth role in a workspace has an end, and every fifth person is in a group."""
    for number, row in enumerate(people(roles, count)):
        yield row._replace(ends=ENDS) if "/" in row.domain and number % 4 == 1 else row
    for number in range(count // PEOPLE_PER_GROUP):
        account = f"account{number * PEOPLE_PER_GROUP // 500}"
        yield Assignment(f"group:g{number}", "agent", f"{account}/workspace1")
        yield Assignment(f"user:person{number * PEOPLE_PER_GROUP}", f"group:g{number}", "")


def main(count: int = PEOPLE) -> None:
    """Prints the import of role assignments with and without times and groups, and the look-up of subjects of each kind."""
    roles = open_policy(ROOT / "policies", ROOT / "model.conf").compiled.policy.roles
    for kind in ("SQLite", "PostgreSQL"):
        for name, rows in (("plain", people(roles, count)), ("with times and groups", role_assignments(roles, count))):
            with ExitStack() as stack:
                try:
                    url = f"sqlite:///{stack.enter_context(TemporaryDirectory())}/times.db"
                    url = stack.enter_context(postgresql_schema()) if kind == "PostgreSQL" else url
                except Missing as missing:
                    print(f"{kind} is missing: {missing}")
                    break
                store = AssignmentStore(open_database(url))
                _import(f"{kind}, {name}", store, roles, rows)
                if name != "plain":
                    _look_up(kind, store, roles, count)
                store.close()


def _import(what: str, store: AssignmentStore, roles: RoleModel, some: Iterable[Assignment]) -> None:
    rows = list(some)
    started, used = time.perf_counter(), time.process_time()
    store.import_rows(roles, rows)
    took, used = time.perf_counter() - started, time.process_time() - used
    rate = f"{len(rows) / took:,.0f} a second, {used / len(rows) * 1e6:.1f} µs of processor time each"
    print(f"{what}: {len(rows):,} rows imported, {rate}")


def _look_up(kind: str, store: AssignmentStore, roles: RoleModel, count: int) -> None:
    """Processor time of a process whose database is a file in it; with PostgreSQL, that of the client alone."""
    subjects = _subjects_by_kind(store, count)
    first: dict[str, list[float]] = {name: [] for name in subjects}
    warm: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(ROUNDS):
        for name, keys in subjects.items():
            cache = EffectiveRolesCache(store, roles, single_process=True)
            for found in (first[name], warm[name]):
                now = time.time()
                started = time.process_time()
                for key, domain in keys:
                    cache.roles_in(key, domain, now)
                found.append((time.process_time() - started) / len(keys) * 1e6)
    for name in subjects:
        print(f"{kind}, {name}: first {statistics.median(first[name]):.1f} µs, warm {statistics.median(warm[name]):.2f} µs")


def _subjects_by_kind(store: AssignmentStore, count: int) -> dict[str, list[tuple[str, str]]]:
    """Some subjects without times, with one, and in a group; each with a domain to be asked about."""
    random = Random(7)
    found: dict[str, list[tuple[str, str]]] = {"without times": [], "with an end": [], "in a group": []}
    while any(len(keys) < min(SUBJECTS, count // 50) for keys in found.values()):
        key = f"user:person{random.randrange(count)}"
        rows = store.reader.held_by(key)
        kind = (
            "in a group"
            if any(row.is_membership for row in rows.others)
            else "with an end"
            if rows.others
            else "without times"
        )
        if rows.pairs and len(found[kind]) < SUBJECTS:
            found[kind].append((key, f"{top_domain(rows.pairs[0][1])}/workspace1"))
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
