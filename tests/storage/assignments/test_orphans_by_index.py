"""Which stored roles count for nothing is found by steps along an index, not by reading all role assignments."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from command_line import run
from sqlalchemy import Engine, text
from storage_people import ROLES, row

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.orphans import StoredRole, orphaned_roles
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.assignments.stored_roles import each_once, orphaned_in, stored_roles
from klausel.storage.schema import open_database
from klausel.storage.sql.indexes import index_names
from klausel.storage.sql.tables import DEPTH_INDEX

Put = Callable[..., None]


def drop_index(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"DROP INDEX {DEPTH_INDEX}"))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("has_index", [True, False])
def test_those_are_found_that_counting_all_finds(
    store: AssignmentStore, put_behind_the_back: Put, seed: int, has_index: bool
) -> None:
    chance = random.Random(seed)
    names = ["admin", "lead", "user", "gone", "Ünknown", "zz", "a b"]
    domains = ["acme", "acme/x", "a/b/c", "b", "acme/y", "a//b"]
    rows = {(chance.choice(names), chance.choice(domains)) for _ in range(chance.randrange(1, 25))}
    if not has_index:
        drop_index(store.engine)
    put_behind_the_back(*(row(f"p{number}", *pair) for number, pair in enumerate(sorted(rows) * chance.randrange(1, 4))))
    put_behind_the_back(Assignment("user:eve", "group:all", ""), Assignment("user:eve", "zgroup", ""))
    assert orphaned_in(store.engine, ROLES) == orphaned_roles(ROLES, stored_roles(store.engine))


def test_nothing_is_stored_and_nothing_is_orphaned(store: AssignmentStore) -> None:
    assert orphaned_in(store.engine, ROLES) == ()


def test_one_in_very_many_is_found_with_few_steps(sqlite_url: str) -> None:
    with closing(AssignmentStore(open_database(sqlite_url))) as store:
        many = [row(f"p{number}", "lead", f"acme/w{number % 97}") for number in range(20_000)]
        store.import_rows(
            ROLES, [*(row(f"p{number}", "user", "acme") for number in range(20_000)), *many, row("a", "admin", "acme")]
        )
        with store.engine.begin() as connection:
            statement = "INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:a', 'lead', 'acme')"
            connection.execute(text(statement))
        assert _thousands_of_steps(store.engine, lambda: stored_roles(store.engine)) > 100
        found: list[tuple[StoredRole, ...]] = []
        assert _thousands_of_steps(store.engine, lambda: found.append(orphaned_in(store.engine, ROLES))) < 5
        assert found == [(StoredRole("lead", 1, 1),)]


def _thousands_of_steps(engine: Engine, does: Callable[[], Any]) -> int:
    """How many thousand instructions of SQLite's machine it takes."""
    steps: list[None] = []
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: steps.append(None), 1000)
    does()
    driver.set_progress_handler(None, 0)
    return len(steps)


def test_postgresql_reads_the_index_alone(postgresql_schema_url: str) -> None:
    with closing(AssignmentStore(open_database(postgresql_schema_url))) as store:
        store.import_rows(
            ROLES, [row(f"p{number}", "user", "acme") for number in range(30_000)] + [row("a", "admin", "acme")]
        )
        with store.engine.connect() as connection:
            plan = connection.execute(text("EXPLAIN ANALYZE " + each_once("postgresql"))).scalars().all()
    lines = "\n".join(plan)
    assert lines.count(DEPTH_INDEX) == 4
    assert "Sort" not in lines
    assert "Seq Scan" not in lines


def test_tables_that_were_made_without_the_index_do_without_until_they_get_it(database_url: str) -> None:
    with closing(AssignmentStore(open_database(database_url))) as store:
        drop_index(store.engine)
        rows = [row(f"p{number}", "user", "acme") for number in range(26_000)]
        assert store.import_rows(ROLES, [*rows, row("a", "admin", "acme")]).added == 26_001
    told = run("db", "check", "--database", database_url)
    assert told.exit_code == 0
    assert f"without {DEPTH_INDEX} starts" in told.output
    for _ in range(2):
        assert "already" in run("db", "upgrade", "--database", database_url).output
        assert "without" not in run("db", "check", "--database", database_url).output
    with closing(AssignmentStore(open_database(database_url))) as store, store.engine.connect() as connection:
        assert DEPTH_INDEX in index_names(connection, "casbin_rule")
