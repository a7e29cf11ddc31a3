"""What others write to the table of role assignments, by plain SQL, is seen by a running service."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import Engine, text
from storage_people import row

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database

ADMIN = row("ann", "admin", "acme")
USER = row("bo", "user", "acme")
LEAD = row("bo", "lead", "acme/support")


def is_lead(cache: EffectiveRolesCache) -> bool:
    return "lead" in cache.roles_in("user:bo", "acme/support")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM casbin_rule WHERE v0 = 'user:bo' AND v1 = 'lead'",
        "DELETE FROM casbin_rule",
        "UPDATE casbin_rule SET v0 = 'user:cy' WHERE v1 = 'lead'",
        "UPDATE casbin_rule SET v1 = 'agent' WHERE v1 = 'lead'",
        "INSERT OR REPLACE INTO casbin_rule (id, ptype, v0, v1, v2) "
        "SELECT id, 'g', 'user:cy', v1, v2 FROM casbin_rule WHERE v1 = 'lead'",
        "UPDATE OR REPLACE casbin_rule SET id = (SELECT id FROM casbin_rule WHERE v1 = 'lead') WHERE v1 = 'admin'",
    ],
)
def test_what_others_take_away_by_plain_sql_is_seen_at_the_next_request(
    sqlite_url: str, roles: RoleModel, statement: str
) -> None:
    store = AssignmentStore(open_database(sqlite_url))
    store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(store, roles)
    cache.refresh()
    before = cache.revision()
    assert is_lead(cache)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other, other:
        other.execute(statement)
    cache.refresh()
    assert not is_lead(cache)
    assert cache.revision() != before
    store.close()


def test_what_others_take_away_between_two_of_our_writes_is_seen(sqlite_url: str, roles: RoleModel) -> None:
    store = AssignmentStore(open_database(sqlite_url))
    store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(store, roles)
    cache.refresh()
    assert is_lead(cache)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other, other:
        other.execute("DELETE FROM casbin_rule WHERE v1 = 'lead'")
    store.write(roles, [row("cy", "user", "acme")], [])
    cache.refresh()
    assert not is_lead(cache)
    store.close()


def test_our_own_write_counts_once(store: AssignmentStore, roles: RoleModel) -> None:
    revisions = [store.write(roles, [ADMIN, USER], []), store.write(roles, [LEAD], [])]
    revisions.append(store.import_rows(roles, [row("cy", "user", "acme"), row("dan", "user", "acme")]).revision)
    first = int(revisions[0].rpartition("-")[2])
    assert [int(revision.rpartition("-")[2]) for revision in revisions] == [first, first + 1, first + 2]
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM casbin_rule WHERE v0 = 'user:cy'"))
    assert int(store.revision().rpartition("-")[2]) == first + 3


@pytest.mark.parametrize(
    ("statement", "noted"),
    [
        ("UPDATE casbin_rule SET v0 = 'group:b' WHERE v0 = 'group:a'", {"group:a", "group:b"}),
        ("UPDATE casbin_rule SET v4 = '2026-03-01T12:00:00Z' WHERE ptype = 'gm'", {"user:bo"}),
        ("UPDATE casbin_rule SET ptype = 'gt', v4 = '2026-03-01T12:00:00Z' WHERE v1 = 'admin'", {"user:ann"}),
        ("DELETE FROM casbin_rule WHERE v0 = 'user:bo'", {"user:bo"}),
        ("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('gm', 'group:a', 'group:c', '')", {"group:a"}),
        ("INSERT INTO casbin_rule (ptype, v0, v1, v2, v4) VALUES ('gt', 'user:x', 'user', 'acme', 'x')", {"user:x"}),
        ("TRUNCATE casbin_rule", None),
    ],
)
def test_whom_others_change_is_noted_with_times_and_groups_too(
    store: AssignmentStore, roles: RoleModel, statement: str, noted: set[str] | None
) -> None:
    if noted is None and store.engine.dialect.name == "sqlite":
        statement = "DELETE FROM casbin_rule"
        noted = {"user:ann", "user:bo", "group:a"}
    rows = [ADMIN, Assignment("group:a", "user", "acme"), Assignment("user:bo", "group:a", "")]
    store.write(roles, rows, [])
    before = int(store.revision().rpartition("-")[2])
    with store.engine.begin() as connection:
        connection.execute(text(statement))
        revision, log_starts_after = connection.execute(text("SELECT revision, log_starts_after FROM klausel_state")).one()
        query = text("SELECT subject FROM klausel_change WHERE revision > :before")
        found = set(connection.execute(query, {"before": before}).scalars())
    assert revision > before
    if noted is None:
        assert log_starts_after == revision
    else:
        assert found == noted


def test_on_postgresql_a_transaction_of_others_counts_once_however_many_rows_it_changes(postgresql_schema_url: str) -> None:
    """Counting each row was quadratic: 400,000 stored properties had not come in after a quarter of an hour."""
    engine = open_database(postgresql_schema_url)
    insert = (
        "INSERT INTO casbin_rule (ptype, v0, v1, v2) "
        "SELECT 'g', 'user:{0}' || i, 'user', 'acme' FROM generate_series(1, {1}) AS i"
    )
    first = noted_after(engine)[0]
    assert noted_after(engine, insert.format("a", 2), insert.format("b", 1)) == (
        first + 1,
        0,
        {"user:a1", "user:a2", "user:b1"},
    )
    assert noted_after(engine, insert.format("c", 200)) == (first + 2, 0, {f"user:c{i}" for i in range(1, 201)})
    assert noted_after(engine, insert.format("d", 201)) == (first + 3, first + 3, set())
    assert noted_after(engine, insert.format("e", 150), insert.format("f", 51)) == (first + 4, first + 4, set())
    # Each table for itself, and nothing that was taken back.
    entity = "INSERT INTO klausel_entity VALUES ('subject', 'user', 'ann', '', '{}')"
    rows = ("SAVEPOINT here", insert.format("g", 300), "ROLLBACK TO here", insert.format("h", 1), entity)
    assert noted_after(engine, *rows) == (first + 6, first + 4, {"user:h1", "user:ann"})
    assert noted_after(engine, entity.replace("ann", "bo"), "TRUNCATE casbin_rule")[:2] == (first + 8, first + 8)
    engine.dispose()


def noted_after(engine: Engine, *statements: str) -> tuple[int, int, set[str]]:
    """The revision after one transaction of others, what is known since when, and whom this transaction noted."""
    state = text("SELECT revision, log_starts_after FROM klausel_state")
    with engine.begin() as connection:
        before = connection.execute(state).one().revision
        for statement in statements:
            connection.execute(text(statement))
    with engine.begin() as connection:
        revision, log_starts_after = connection.execute(state).one()
        subjects = connection.execute(
            text("SELECT subject FROM klausel_change WHERE revision > :r"), {"r": before}
        ).scalars()
        return revision, log_starts_after, set(subjects)
