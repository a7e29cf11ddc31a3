"""Databases of older versions: brought up to date with everything in them, once, and watched as a new one is."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from sqlalchemy import inspect, text
from storage_people import ROLES, row

from klausel.core.policy.assignment import Assignment
from klausel.core.terms.moment import instant_text
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.change_log.guards import missing_guards
from klausel.storage.change_log.reader import Filters, LogReader
from klausel.storage.change_log.verification import verify_log
from klausel.storage.schema import open_database

VERSION_3 = Path(__file__).parents[2] / "cases/databases/version_3.sql"
ADMIN, USER, LEAD = row("ann", "admin", "acme"), row("bo", "user", "acme"), row("bo", "lead", "acme/support")


def check_upgraded(url: str) -> None:
    store = AssignmentStore(open_database(url))
    assert list(store.export_rows()) == [ADMIN, LEAD, USER]
    verdict = verify_log(store.engine, {})
    assert (verdict.findings, verdict.records) == ((), 4)
    assert missing_guards(store.engine) == []
    assert [change.by for change in LogReader(store.engine).changes(Filters(subject="user:ann"))] == ["cara"]
    store.clock = lambda: 0.0
    timed = LEAD._replace(ends=instant_text(50.0))
    store.write(ROLES, [timed, Assignment("user:cy", "group:users", "")], [])
    assert verify_log(store.engine, {}).findings == ()
    before = store.revision()
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM casbin_rule WHERE v0 = 'user:cy'"))
    assert store.revision() != before
    new = inspect(store.engine).get_indexes("casbin_rule")
    assert len(new) == 6
    store.close()


def test_an_sqlite_file_of_version_3_keeps_its_rows_and_its_log(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(VERSION_3.read_text())
        # Such columns meant nothing then.
        connection.execute("INSERT INTO klausel_change VALUES (-1, '')")
        connection.execute("UPDATE casbin_rule SET v3 = 'a remark' WHERE v1 = 'lead'")
        connection.execute("DELETE FROM klausel_change WHERE revision = -1")
    check_upgraded(f"sqlite:///{file}")


def test_many_may_open_it_at_once(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(VERSION_3.read_text())
    with ThreadPoolExecutor(6) as pool:
        for engine in pool.map(open_database, [f"sqlite:///{file}"] * 6):
            engine.dispose()
    check_upgraded(f"sqlite:///{file}")


def test_a_postgresql_database_of_version_3_keeps_its_rows_and_its_log(postgresql_schema_url: str) -> None:
    store = AssignmentStore(open_database(postgresql_schema_url))
    from klausel.core.records.change_record import Origin

    store.write(ROLES, [ADMIN, USER], [], Origin(by="cara"))
    store.write(ROLES, [LEAD, row("cy", "user", "acme")], [])
    store.write(ROLES, [], [row("cy", "user", "acme")])
    check = "casbin_rule_holds_role_assignments"
    with store.engine.begin() as connection:
        for statement in (
            "DROP INDEX casbin_rule_by_end",
            "DROP INDEX casbin_rule_with_times",
            "DROP INDEX casbin_rule_of_groups",
            f"ALTER TABLE casbin_rule DROP CONSTRAINT {check}",
            f"ALTER TABLE casbin_rule ADD CONSTRAINT {check} CHECK (ptype = 'g')",
            "ALTER TABLE klausel_assignment_log_row DROP COLUMN starts, DROP COLUMN ends",
            "CREATE INDEX klausel_assignment_log_row_by_subject ON klausel_assignment_log_row "
            "(subject, role, domain, number, sign)",
            "UPDATE klausel_state SET schema_version = 3",
        ):
            connection.execute(text(statement))
        connection.execute(text("SELECT set_config('klausel.own_write', 'yes', true)"))
        connection.execute(text("UPDATE casbin_rule SET v3 = 'a remark' WHERE v1 = 'lead'"))
    store.close()
    check_upgraded(postgresql_schema_url)
