"""Replicas on one database, asked at once for grants, revokes and decisions with tokens: is the history linearizable?

    scripts/python -m faults.linearizability postgresql://user@host/empty_database --operations 100000
    scripts/python -m faults.linearizability sqlite:////tmp/empty.db --operations 100000

Each replica is a process with a store and a cache of its own, on PostgreSQL with a feed; on an SQLite file half of the writes are
plain SQL of a connection that knows nothing of Klausel, and no question has a token. A token is the newest revision that anybody
got from a write or after a decision; each decision asks for it. Then each person is a register of one bit, written by grants and
revokes and read by decisions, and the history of each must be linearizable. The check is exact (linearization just in time, as by
Lowe).
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.service.pipeline import open_policy
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database
from klausel.storage.sql.access import Limits
from klausel.storage.sql.change_feed import ChangeFeed
from klausel.storage.sql.database import read_url

ROOT = Path(__file__).parents[2]
LIMITS = Limits(connect_seconds=10.0, read_seconds=30.0, write_seconds=30.0, lock_seconds=30.0)
SHARE_OF_WRITES = 0.2
SHARE_OF_PLAIN_SQL = 0.5


@dataclass(frozen=True, slots=True)
class Operation:
    """A write of a value to a register, or a reading that told it, between two moments of one clock."""

    register: int
    is_write: bool
    value: bool
    began: float
    ended: float


def violation(operations: Iterable[Operation]) -> Operation | None:
    """The first operation on one register, False at first, at whose end no order explains what was read; None: linearizable."""
    history = list(operations)
    ends = sorted(
        [(one.began, 0, index) for index, one in enumerate(history)]
        + [(one.ended, 1, index) for index, one in enumerate(history)]
    )
    under_way: set[int] = set()
    # Values that the register may have, each with the operations under way that have taken place for it.
    possible: set[tuple[bool, frozenset[int]]] = {(False, frozenset())}
    for _, is_end, index in ends:
        if not is_end:
            under_way.add(index)
            continue
        seen, left = set(possible), list(possible)
        possible = set()
        while left:
            value, done = left.pop()
            if index in done:
                possible.add((value, done - {index}))
                continue
            for other in under_way - done:
                one = history[other]
                if one.is_write or one.value == value:
                    further = (one.value, done | {other})
                    if further not in seen:
                        seen.add(further)
                        left.append(further)
        under_way.remove(index)
        if not possible:
            return history[index]
    return None


def role_model() -> RoleModel:
    """One level and one role, which nothing forbids to give and take."""
    with tempfile.TemporaryDirectory() as folder:
        policies = Path(folder) / "policies"
        (policies / "features").mkdir(parents=True)
        (policies / "roles.yaml").write_text(
            "levels:\n  account: {named_by: account, identified_by: account}\nroles:\n  user: {level: account}\n"
        )
        (policies / "features" / "one.yaml").write_text(
            "resource_types:\n  quiz: {actions: [view]}\ngrants:\n  - {allow: user, to: view, resource: quiz}\n"
        )
        return open_policy(policies, ROOT / "model.conf").compiled.policy.roles


class DeafFeed(ChangeFeed):
    """Broken on purpose: it follows the state of the database, and tells nobody whom the steps changed."""

    def add_listener(self, listener: Any) -> None:
        """Forgets the listener."""


class DeafCache(EffectiveRolesCache):
    """Broken on purpose: it sees that a file changed, and forgets nobody."""

    def _drop(self, subjects: frozenset[str] | None) -> None:
        """Forgets nothing."""


def _by_plain_sql(file: str, subject: str, is_grant: bool) -> None:
    connection = sqlite3.connect(file, timeout=LIMITS.lock_seconds, isolation_level=None)
    try:
        if is_grant:
            connection.execute(
                "INSERT INTO casbin_rule (ptype, v0, v1, v2) SELECT 'g', ?1, 'user', 'acme' "
                "WHERE NOT EXISTS (SELECT 1 FROM casbin_rule WHERE v0 = ?1)",
                (subject,),
            )
        else:
            connection.execute("DELETE FROM casbin_rule WHERE v0 = ?", (subject,))
    finally:
        connection.close()


def _replica(
    url: str, clients: int, operations: int, registers: int, seed: int, is_deaf: bool, newest: Any, told: Any
) -> None:
    roles = role_model()
    file = read_url(url).database or "" if url.startswith("sqlite:") else None
    feed = None if file else (DeafFeed if is_deaf else ChangeFeed)(read_url(url), LIMITS, 5.0)
    store = AssignmentStore(open_database(url, LIMITS), feed=feed)
    cache = (DeafCache if file and is_deaf else EffectiveRolesCache)(store, roles)
    lineage = store.revision().rpartition("-")[0]
    found: list[Operation] = []

    def raise_token(revision: str) -> None:
        counter = int(revision.rpartition("-")[2])
        with newest.get_lock():
            newest.value = max(newest.value, counter)

    def client(number: int) -> None:
        chance = random.Random(seed * 1000 + number)
        for _ in range(operations // clients):
            register = chance.randrange(registers)
            is_write, value = chance.random() < SHARE_OF_WRITES, chance.random() < 0.5
            began = time.monotonic()
            if is_write and file and chance.random() < SHARE_OF_PLAIN_SQL:
                try:
                    _by_plain_sql(file, f"user:p{register}", value)
                except sqlite3.OperationalError:
                    continue  # locked for too long, so nothing was written
                raise_token(store.revision())
            elif is_write:
                rows = [Assignment(f"user:p{register}", "user", "acme")]
                raise_token(store.write(roles, rows if value else [], [] if value else rows))
            else:
                # What others wrote to a file is seen by the next question, which needs no token for that.
                if file:
                    cache.refresh()
                elif not cache.has_seen(lineage, newest.value):
                    continue
                value = "user" in cache.roles_in(f"user:p{register}", "acme")
                raise_token(store.revision())
            found.append(Operation(register, is_write, value, began, time.monotonic()))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    told.put(found)


def record(
    url: str,
    operations: int,
    replicas: int = 3,
    clients: int = 3,
    registers: int = 20,
    seed: int = 1,
    is_deaf: bool = False,
    in_processes: bool = True,
) -> list[Operation]:
    """The history of so many operations at an empty database, in no order; replicas may share this process, to begin sooner."""
    AssignmentStore(open_database(url)).close()
    spawning = multiprocessing.get_context("spawn")
    newest, told = spawning.Value("q", 0), spawning.Queue()
    make: Any = spawning.Process if in_processes else threading.Thread
    share = operations // replicas
    runs = [
        make(target=_replica, args=(url, clients, share, registers, seed + number, is_deaf, newest, told))
        for number in range(replicas)
    ]
    for run in runs:
        run.start()
    found = [one for _ in runs for one in told.get(timeout=3600)]
    for run in runs:
        run.join()
    told.close()
    told.join_thread()
    return found


def violations(history: Iterable[Operation]) -> list[Operation]:
    """For each register that is not linearizable, the operation that shows it."""
    by_register: dict[int, list[Operation]] = {}
    for one in history:
        by_register.setdefault(one.register, []).append(one)
    checked = (violation(operations) for operations in by_register.values())
    return [one for one in checked if one is not None]


def main() -> None:
    """Records and checks a history, and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--deaf", action="store_true", help="break the feeds, or the caches, on purpose")
    given = parser.parse_args()
    began = time.monotonic()
    history = record(given.url, given.operations, is_deaf=given.deaf)
    recorded = time.monotonic()
    found = violations(history)
    writes = sum(one.is_write for one in history)
    print(f"{len(history)} operations of 3 replicas, {writes} of them writes, in {recorded - began:.0f} s")
    print(f"checked in {time.monotonic() - recorded:.1f} s: {len(found)} registers of 20 are not linearizable")
    for one in found:
        print(f"  {one}")
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
