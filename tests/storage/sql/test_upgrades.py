"""Databases of older versions: brought up to date with everything in them, once, and watched as a new one is."""

from __future__ import annotations

import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from command_line import ROOT, run
from ports import free_port
from sqlalchemy import inspect, text
from storage_people import ROLES, row

from klausel.core.policy.assignment import Assignment
from klausel.core.terms.moment import instant_text
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.change_log.reader import Filters, LogReader
from klausel.storage.change_log.verification import missing_guards, verify_log
from klausel.storage.provisioned import rows
from klausel.storage.schema import open_database, schema_version, upgrade_database
from klausel.storage.sql.access import Limits
from klausel.storage.sql.database import StorageError, writing
from klausel.storage.sql.indexes import index_names
from klausel.storage.sql.tables import SCHEMA_VERSION, Entity, EntityLogRow, EntityProperty

VERSION_3 = Path(__file__).parents[2] / "cases/databases/version_3.sql"
ADMIN, USER, LEAD = row("ann", "admin", "acme"), row("bo", "user", "acme"), row("bo", "lead", "acme/support")


def check_upgraded(url: str) -> None:
    with pytest.raises(StorageError, match=r"has schema version 3.*klausel db upgrade"):
        open_database(url)
    assert schema_version(url) == 3
    assert upgrade_database(url) == 3
    check_up_to_date(url)


def check_up_to_date(url: str) -> None:
    assert upgrade_database(url) == schema_version(url) == SCHEMA_VERSION
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
    with store.engine.connect() as connection:
        assert len(index_names(connection, "casbin_rule")) == 7
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
        assert set(pool.map(upgrade_database, [f"sqlite:///{file}"] * 6)) <= {3, SCHEMA_VERSION}
    check_up_to_date(f"sqlite:///{file}")


def test_many_may_upgrade_one_postgresql_database_at_once(postgresql_schema_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(upgrade_database, [postgresql_schema_url] * 6)) == {None, SCHEMA_VERSION}
    with closing(AssignmentStore(open_database(postgresql_schema_url))) as store, store.engine.begin() as connection:
        # As they were before plain SQL told those who listen, and without an index.
        for event in ("row", "truncate"):
            body = "BEGIN RETURN NULL; END"
            connection.execute(
                text(
                    f"CREATE OR REPLACE FUNCTION klausel_note_{event}_change() RETURNS trigger LANGUAGE plpgsql AS '{body}'"
                )
            )
        connection.execute(text("DROP INDEX casbin_rule_by_depth"))
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(upgrade_database, [postgresql_schema_url] * 6)) == {SCHEMA_VERSION}


def test_an_upgrade_says_what_may_keep_it_from_the_database(database_url: str) -> None:
    limits = Limits(lock_seconds=0.2)
    with closing(AssignmentStore(open_database(database_url))) as store:
        with store.engine.begin() as connection:
            connection.execute(text("DROP INDEX casbin_rule_by_depth"))
        with writing(store.engine, None), pytest.raises(StorageError) as caught:
            upgrade_database(database_url, limits)
    assert "another klausel db upgrade is at work, wait until it ends" in str(caught.value)
    assert "for over 0.2 s, so nothing was changed" in str(caught.value)
    assert upgrade_database(database_url, limits) == SCHEMA_VERSION


def test_no_command_but_the_upgrade_changes_the_tables_of_an_older_version(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(VERSION_3.read_text())
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    base = ["--policies", str(ROOT / "policies"), "--model", str(ROOT / "model.conf")]
    database = ["--database", f"sqlite:///{file}"]
    people = tmp_path / "people.csv"
    people.write_text("subject,role,domain\nuser:eve,user,acme\n")
    for command in (
        ["can", "user:ann", "edit", "quiz", "--in", "acme/support", *base],
        ["who-can", "edit", "quiz", "--in", "acme/support", *base],
        ["matrix", "--by", "person", "--in", "acme/support", *base],
        ["assignments", "export"],
        ["assignments", "import", str(people), *base],
        ["audit", "show"],
        ["audit", "verify"],
        ["serve", *base, "--port", str(free_port())],
        ["db", "check"],
    ):
        result = run(*command, *database)
        assert result.exit_code == 1, command
        assert "klausel db upgrade" in result.output, command
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    assert "had schema version 3" in run("db", "upgrade", *database).output
    assert run("db", "check", *database).exit_code == 0
    assert "already" in run("db", "upgrade", *database).output
    assert run("audit", "verify", *database).exit_code == 0


def test_a_reading_command_makes_no_tables_and_an_empty_database_is_told(database_url: str, tmp_path: Path) -> None:
    if database_url.startswith("sqlite"):
        (tmp_path / "klausel.db").touch()
    for command in (["audit", "show"], ["db", "check"]):
        result = run(*command, "--database", database_url)
        assert (result.exit_code, "no tables of Klausel yet" in result.output) == (1, True)
    assert schema_version(database_url) is None
    assert run("db", "upgrade", "--database", database_url).exit_code == 0
    assert schema_version(database_url) == SCHEMA_VERSION


def test_a_postgresql_database_of_version_3_keeps_its_rows_and_its_log(postgresql_schema_url: str) -> None:
    store = AssignmentStore(open_database(postgresql_schema_url))
    from klausel.core.records.change_record import Origin

    store.write(ROLES, [ADMIN, USER], [], Origin(by="cara"))
    store.write(ROLES, [LEAD, row("cy", "user", "acme")], [])
    store.write(ROLES, [], [row("cy", "user", "acme")])
    check = "casbin_rule_holds_role_assignments"
    with store.engine.begin() as connection:
        for statement in (
            *(f"DROP TABLE {model.__tablename__}" for model in (Entity, EntityLogRow, EntityProperty)),
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


def test_people_of_a_provider_are_found_by_an_index_that_their_tables_were_made_without(database_url: str) -> None:
    def indexes() -> set[str]:
        with closing(AssignmentStore(open_database(database_url))) as store:
            return {str(one["name"]) for one in inspect(store.engine).get_indexes("klausel_provisioned")}

    with closing(AssignmentStore(open_database(database_url))) as store:
        rows.prepare(store.engine)
        made = indexes()
        with store.engine.begin() as connection:
            connection.execute(text("DROP INDEX klausel_provisioned_by_subject"))
    assert indexes() < made
    for _ in range(2):
        assert "already" in run("db", "upgrade", "--database", database_url).output
        assert indexes() == made


def test_the_backup_from_before_an_upgrade_is_the_way_back(tmp_path: Path) -> None:
    file, backup = tmp_path / "klausel.db", tmp_path / "backup.db"
    url = f"sqlite:///{file}"
    with closing(sqlite3.connect(file)) as live, closing(sqlite3.connect(backup)) as copy:
        live.executescript(VERSION_3.read_text())
        live.backup(copy)
        before = list(live.iterdump())
    assert upgrade_database(url) == 3
    with closing(AssignmentStore(open_database(url))) as store:
        store.write(ROLES, [row("eve", "user", "acme")], [])
    with closing(sqlite3.connect(backup)) as copy, closing(sqlite3.connect(file)) as live:
        copy.backup(live)
        assert list(live.iterdump()) == before
    check_upgraded(url)
