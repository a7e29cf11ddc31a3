"""After very many rows, PostgreSQL knows what is there, so that indexes alone answer."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import Engine, text
from stored_entities import todo, todo_policy

from klausel.core.policy.assignment import Assignment
from klausel.storage.assignments import store as assignment_store
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.entities.store import EntityStore
from klausel.storage.schema import open_database
from klausel.storage.sql.access import Limits
from klausel.storage.sql.many_rows import ROWS_PER_STEP, mark_visible
from klausel.storage.sql.tables import CasbinRule

POLICY = todo_policy()
TABLES = {"klausel_entity", "klausel_entity_property"}
IN_A_SERVICE = Limits(connect_seconds=2, read_seconds=5, write_seconds=5, lock_seconds=2)


def marked(engine: Engine) -> set[str]:
    """The tables of which was noted, by now or within seconds, which pages everybody may see."""
    query = text(
        "SELECT relname FROM pg_stat_user_tables WHERE vacuum_count > 0 AND schemaname = current_schema() ORDER BY relname"
    )
    found: set[str] = set()
    for _ in range(50):
        with engine.connect() as connection:
            found = set(connection.execute(query).scalars())
        if found:
            break
        time.sleep(0.1)
    return found


@pytest.mark.parametrize("limits", [Limits(), IN_A_SERVICE], ids=["command", "service"])
def test_many_entities_are_found_by_indexes_alone(postgresql_schema_url: str, limits: Limits) -> None:
    engine = open_database(postgresql_schema_url, limits)
    EntityStore(engine).write(POLICY, [todo(str(number), "acme") for number in range(ROWS_PER_STEP)])
    until = time.monotonic() + 20
    while marked(engine) != TABLES and time.monotonic() < until:
        time.sleep(0.05)
    assert marked(engine) == TABLES
    engine.dispose()


def test_many_role_assignments_are_found_by_indexes_alone(
    postgresql_schema_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignment_store, "ROWS_PER_STEP", 100)
    store = AssignmentStore(open_database(postgresql_schema_url))
    rows = [Assignment(f"user:{number}", "owner", "acme") for number in range(100)]
    assert store.import_rows(POLICY.roles, rows).added == 100
    assert marked(store.engine) == {"casbin_rule"}
    store.close()


def test_nobody_waits_for_it(postgresql_schema_url: str) -> None:
    engine = open_database(postgresql_schema_url, IN_A_SERVICE)
    with engine.connect() as other, other.begin():
        other.execute(text("LOCK TABLE casbin_rule IN SHARE UPDATE EXCLUSIVE MODE"))
        began = time.monotonic()
        mark_visible(engine, (CasbinRule,))
        assert time.monotonic() - began < 1
    engine.dispose()
