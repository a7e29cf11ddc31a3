"""On PostgreSQL, what others change in the table of role assignments is counted, whatever they do and whoever they are."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from storage_people import ROLES, row

from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database

ADMIN, USER, LEAD = row("ann", "admin", "acme"), row("bo", "user", "acme"), row("bo", "lead", "acme/support")


@pytest.fixture
def people(postgresql_schema_url: str) -> Iterator[AssignmentStore]:
    store = AssignmentStore(open_database(postgresql_schema_url))
    store.write(ROLES, [ADMIN, USER, LEAD], [])
    yield store
    store.close()


def state(store: AssignmentStore) -> tuple[int, int, dict[int, set[str]]]:
    """The counter, where the list of changes starts, and the subjects in it by revision."""
    with store.engine.connect() as connection:
        counter, starts = connection.execute(text("SELECT revision, log_starts_after FROM klausel_state")).one()
        listed: dict[int, set[str]] = {}
        for revision, subject in connection.execute(text("SELECT revision, subject FROM klausel_change")):
            listed.setdefault(revision, set()).add(subject)
        return counter, starts, listed


@pytest.mark.parametrize(
    ("statement", "subjects"),
    [
        ("DELETE FROM casbin_rule WHERE v1 = 'lead'", {"user:bo"}),
        ("UPDATE casbin_rule SET v0 = 'user:cy' WHERE v1 = 'lead'", {"user:bo", "user:cy"}),
        ("UPDATE casbin_rule SET v1 = 'agent' WHERE v1 = 'lead'", {"user:bo"}),
        ("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:cy', 'user', 'acme')", {"user:cy"}),
        (
            "INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:bo', 'user', 'acme') "
            "ON CONFLICT (v0, v1, v2) DO UPDATE SET v0 = 'user:cy'",
            {"user:bo", "user:cy"},
        ),
        (
            "WITH gone AS (DELETE FROM casbin_rule WHERE v1 = 'lead' RETURNING v0) SELECT count(*) FROM gone",
            {"user:bo"},
        ),
    ],
)
def test_a_changed_row_is_counted_with_its_subjects(people: AssignmentStore, statement: str, subjects: set[str]) -> None:
    before, _, _ = state(people)
    with people.engine.begin() as connection:
        connection.execute(text(statement))
    counter, starts, listed = state(people)
    assert counter == before + 1
    assert starts <= before
    assert listed[counter] == subjects


def test_an_emptied_table_is_a_change_of_everybody(people: AssignmentStore) -> None:
    before, _, _ = state(people)
    with people.engine.begin() as connection:
        connection.execute(text("TRUNCATE casbin_rule"))
    counter, starts, listed = state(people)
    assert counter == starts == before + 1
    assert not listed


def test_what_is_rolled_back_is_not_counted(people: AssignmentStore) -> None:
    before = state(people)
    with people.engine.connect() as connection:
        connection.execute(text("DELETE FROM casbin_rule"))
        connection.rollback()
    assert state(people) == before


@pytest.fixture
def stranger(people: AssignmentStore) -> Iterator[str]:
    """A user who may change role assignments, and nothing else; skipped where none may be made."""
    name = f"klausel_test_{secrets.token_hex(4)}"
    with people.engine.begin() as connection:
        schema = connection.execute(text("SELECT current_schema()")).scalar_one()
        if not connection.execute(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")).scalar_one():
            pytest.skip("the user of the tests may not make other users")
        connection.execute(text(f"CREATE ROLE {name}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {name}"))
        connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON casbin_rule TO {name}"))
        connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {name}"))
    yield name
    with people.engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {name}"))
        connection.execute(text(f"DROP ROLE {name}"))


def test_who_may_only_change_role_assignments_is_counted_too(people: AssignmentStore, stranger: str) -> None:
    before, _, _ = state(people)
    with people.engine.begin() as connection:
        connection.execute(text(f"SET LOCAL ROLE {stranger}"))
        connection.execute(text("DELETE FROM casbin_rule WHERE v1 = 'lead'"))
    counter, _, listed = state(people)
    assert (counter, listed[counter]) == (before + 1, {"user:bo"})


def test_tables_of_the_same_name_elsewhere_hide_no_change(people: AssignmentStore, stranger: str) -> None:
    """A temporary table comes first on every path that does not say where it comes."""
    before, _, _ = state(people)
    with people.engine.begin() as connection:
        connection.execute(text(f"SET LOCAL ROLE {stranger}"))
        for table in ("klausel_state", "klausel_change"):
            columns = (
                "revision bigint, log_starts_after bigint" if table == "klausel_state" else "revision bigint, subject text"
            )
            connection.execute(text(f"CREATE TEMPORARY TABLE {table} ({columns}) ON COMMIT DROP"))
            connection.execute(text(f"GRANT ALL ON {table} TO PUBLIC"))
        connection.execute(text("DELETE FROM casbin_rule WHERE v1 = 'lead'"))
    counter, _, listed = state(people)
    assert (counter, listed[counter]) == (before + 1, {"user:bo"})
