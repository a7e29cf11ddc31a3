"""What times and groups cost: a million role assignments, a tenth of them with an end, and 100,000 groups with members.

Fills an empty database first: `python -m scripts.benchmarks.sections.times_and_groups sqlite:////tmp/times.db`. Each kind of
subject is asked about in the same process, in turns, so the ratios hold; a second argument is the number of people.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.organisation import people
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


def main(url: str, count: int = PEOPLE) -> None:
    """Fills the database if it is empty, and prints the first and the warm look-up of subjects of each kind."""
    policy = open_policy(ROOT / "policies", ROOT / "model.conf").compiled.policy
    store = AssignmentStore(open_database(url))
    if store.is_empty():
        rows = list(role_assignments(policy.roles, count))
        started = time.perf_counter()
        store.import_rows(policy.roles, rows)
        took = time.perf_counter() - started
        print(f"{len(rows):,} rows imported, {len(rows) / took:,.0f} a second")
    subjects = _subjects_by_kind(store, count)
    first: dict[str, list[float]] = {kind: [] for kind in subjects}
    warm: dict[str, list[float]] = {kind: [] for kind in subjects}
    for _ in range(ROUNDS):
        for kind, keys in subjects.items():
            cache = EffectiveRolesCache(store, policy.roles, single_process=True)
            for found in (first[kind], warm[kind]):
                now = time.time()
                started = time.perf_counter()
                for key, domain in keys:
                    cache.roles_in(key, domain, now)
                found.append((time.perf_counter() - started) / len(keys) * 1e6)
    for kind in subjects:
        print(f"{kind}: first {statistics.median(first[kind]):.1f} µs, warm {statistics.median(warm[kind]):.2f} µs")
    store.close()


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
    main(sys.argv[1], *map(int, sys.argv[2:]))
