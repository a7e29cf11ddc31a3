"""Roles of PostgreSQL with least rights: what each can do, and what each is refused, tried under the role itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import ROOT, run
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from storage_people import ROLES, row

from klausel.core.terms.caller import Caller
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.callers.keys import KeyStore
from klausel.storage.callers.sessions import SessionStore, SignIn
from klausel.storage.decision_log.sinks import DatabaseSink
from klausel.storage.provisioned import rows
from klausel.storage.provisioned.rows import Provisioned
from klausel.storage.schema import open_database
from klausel.storage.sql.page_key import page_key

POLICIES = ("--policies", str(ROOT / "policies"))


@pytest.fixture
def role_urls(postgresql_schema_url: str) -> Iterator[Callable[[str], str]]:
    """The database at hand as each of `owner`, `service` and `auditor` reaches it, with rights given by the command."""
    owner = AssignmentStore(open_database(postgresql_schema_url))
    owner.write(ROLES, [row("ann", "admin", "acme")], [])
    KeyStore(owner.engine).new(Caller("shop", frozenset({"check"}), None), None)
    owner.close()
    url, suffix, password = make_url(postgresql_schema_url), secrets.token_hex(4), secrets.token_hex(8)
    names = {kind: f"klausel_{kind}_{suffix}" for kind in ("owner", "service", "auditor")}
    given = [part for kind, name in names.items() for part in (f"--{kind}", name)]
    command = ("db", "grants", "--database", postgresql_schema_url, *given)
    printed = run(*command)
    assert printed.exit_code == 0, printed.output
    engine = create_engine(url)
    # Whoever runs it by psql has no search path of ours, and may run it again.
    elsewhere = create_engine(url.set(query={}))
    for statements in (printed.stdout, printed.stdout):
        with elsewhere.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statements.replace("%", "%%"))
    assert run(*command, "--apply").exit_code == 0
    with engine.begin() as connection:
        for name in names.values():
            connection.exec_driver_sql(f"ALTER ROLE {name} PASSWORD '{password}'")
    # No options: the role itself knows its schema, as behind a pooler.
    yield lambda kind: as_text(url.set(username=names[kind], password=password, query={}))
    with engine.begin() as connection:
        for name in names.values():
            connection.exec_driver_sql(f"DROP OWNED BY {name} CASCADE")
            connection.exec_driver_sql(f"DROP ROLE {name}")
    engine.dispose()
    elsewhere.dispose()


def as_text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def refused(engine: Engine, *statements: str) -> list[str]:
    """The statements that were not refused for want of rights."""
    done = []
    for statement in statements:
        try:
            with engine.begin() as connection:
                connection.execute(text(statement))
        except DBAPIError as error:
            assert error.orig is not None
            if getattr(error.orig, "sqlstate", "") in ("42501", "25006"):
                continue
            raise
        done.append(statement)
    return done


def test_each_role_can_do_its_work_and_nothing_else(role_urls: Callable[[str], str], tmp_path: Path) -> None:
    _a_service_works_and_cannot_rewrite_what_happened(role_urls("service"))
    _auditors_read_what_they_need_and_change_nothing(role_urls("auditor"), tmp_path)
    _the_owner_brings_tables_up_to_date(role_urls)


def _a_service_works_and_cannot_rewrite_what_happened(url: str) -> None:
    store = AssignmentStore(open_database(url))
    before = store.revision()
    assert store.write(ROLES, [row("bob", "admin", "acme")], [row("ann", "admin", "acme")]) != before
    assert store.held_by("user:bob") == (("admin", "acme"),)
    assert len(page_key(store.engine)) == 32
    keys = KeyStore(store.engine)
    keys.prepare()
    (key,) = keys.all()
    keys.note_use([key.id], 5)
    sessions = SessionStore(store.engine)
    sessions.prepare()
    sessions.end(sessions.begin(SignIn(Caller("shop", frozenset(), None)), 2**40))
    rows.prepare(store.engine)
    with store.together() as (connection, _):
        person = Provisioned("p", "", "User", "bob", None, "user:bob", True, "{}", "user:userName", 1, 1, 1)
        group = replace(person, id="g", kind="Group", name="bosses", subject="group:bosses", given="[]")
        for one in (person, group, replace(group, version=2)):
            rows.put(connection, one)
        rows.change_members(connection, "g", {"p"}, {"p"})
        rows.remove(connection, group)
    sink = DatabaseSink(url)
    sink.write([b'{"time":"2026-11-28T00:00:00.000000Z"}\n'])
    sink.close()
    entity = (
        "INSERT INTO klausel_entity (kind, type, id, domain, properties) VALUES ('resource', 'todo', '1', '', '{\"a\": 1}')"
    )
    with store.engine.connect() as connection:
        # Not kept: a verification of the log finds what plain SQL wrote.
        connection.exec_driver_sql(entity)
        assert connection.exec_driver_sql("SELECT count(*) FROM klausel_entity_property").scalar_one() == 1
    logs = ("klausel_assignment_log", "klausel_assignment_log_row", "klausel_entity_log_row")
    assert not refused(
        store.engine,
        *(f"UPDATE {log} SET number = number + 1" for log in logs),
        *(f"DELETE FROM {log}" for log in logs),
        *(f"TRUNCATE {log}" for log in logs),
        *(f"ALTER TABLE {log} DISABLE TRIGGER ALL" for log in logs),
        *(f"DROP TABLE {log}" for log in logs),
        "CREATE OR REPLACE FUNCTION klausel_assignment_log_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "UPDATE klausel_state SET lineage = 'other'",
        "UPDATE klausel_state SET schema_version = 1",
        "DELETE FROM klausel_state",
        "INSERT INTO klausel_entity_property VALUES ('resource', 'todo', 'a', '2', '1')",
        "INSERT INTO klausel_api_key (id, name, hash, scopes, created) VALUES ('0', 'x', 'x', 'assign', 1)",
        "UPDATE klausel_api_key SET scopes = 'assign'",
        "UPDATE klausel_api_key SET revoked = NULL",
        "UPDATE klausel_page_key SET key = ''",
        "DELETE FROM klausel_decision",
        "UPDATE klausel_decision SET record = ''",
        "CREATE TABLE klausel_other (id int)",
        "SET session_replication_role = replica",
    )
    store.close()


def _auditors_read_what_they_need_and_change_nothing(url: str, folder: Path) -> None:
    for command in (
        ("db", "check"),
        ("audit", "show"),
        ("audit", "verify"),
        ("assignments", "export", str(folder / "people.csv")),
        ("entities", "list", "resource", "todo"),
        ("who-can", "create", "quiz", "--in", "account=acme", *POLICIES),
        ("what-can", "user:bob", "--in", "account=acme", *POLICIES),
        ("matrix", "--by", "person", "--in", "account=acme", *POLICIES),
        ("findings", *POLICIES),
        ("decisions", "find", "--from-database"),
    ):
        result = run(*command, "--database", url)
        assert result.exit_code in (0, 1 if command[0] == "findings" else 0), (command, result.output)
        assert "Error" not in result.output, (command, result.output)
    denied = run("assignments", "grant", "user:eve", "admin", "acme", *POLICIES, "--database", url)
    assert denied.exit_code == 1
    assert "is read-only" in denied.output
    engine = create_engine(make_url(url))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW default_transaction_read_only").scalar_one() == "on"
    writable = "SET TRANSACTION READ WRITE; "
    assert not refused(
        engine,
        "SELECT hash FROM klausel_api_key",
        "SELECT * FROM klausel_session",
        "SELECT key FROM klausel_page_key",
        f"{writable}INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:eve', 'admin', 'acme')",
        f"{writable}DELETE FROM casbin_rule",
        f"{writable}UPDATE klausel_state SET revision = 0",
        f"{writable}DELETE FROM klausel_assignment_log",
        f"{writable}CREATE TABLE klausel_other (id int)",
    )
    engine.dispose()


def _the_owner_brings_tables_up_to_date(role_urls: Callable[[str], str]) -> None:
    engine = create_engine(make_url(role_urls("owner")))
    with engine.begin() as connection:
        # As version 5 had them.
        connection.exec_driver_sql("DROP TABLE klausel_entity_property")
        for verb in ("insert", "update", "delete", "truncate"):
            connection.exec_driver_sql(f"DROP FUNCTION klausel_index_entities_{verb} CASCADE")
        connection.exec_driver_sql("UPDATE klausel_state SET schema_version = 5")
    engine.dispose()
    for kind, reason in (("service", "refuses the rights"), ("auditor", "is read-only")):
        assert reason in run("db", "upgrade", "--database", role_urls(kind)).output
    assert "had schema version 5" in run("db", "upgrade", "--database", role_urls("owner")).output


@pytest.mark.parametrize("given", [("--owner", "a; DROP"), ("--owner", "same", "--service", "same")])
def test_names_that_are_none_or_one_are_refused(given: tuple[str, ...], sqlite_url: str) -> None:
    assert run("db", "grants", "--database", sqlite_url, *given).exit_code != 0


def test_sqlite_knows_no_roles(sqlite_url: str) -> None:
    open_database(sqlite_url).dispose()
    result = run("db", "grants", "--database", sqlite_url)
    assert result.exit_code == 1
    assert "the rights of the file decide" in result.output
