"""Opening databases, and errors that say how to fix them."""

from __future__ import annotations

import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from storage_people import ROLES, row

from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database
from klausel.storage.sql import database
from klausel.storage.sql.access import Limits
from klausel.storage.sql.database import StorageError
from klausel.storage.sql.tables import SCHEMA_VERSION


def error_of(url: str) -> str:
    with pytest.raises(StorageError) as refused:
        open_database(url).dispose()
    return str(refused.value)


def test_the_schema_is_made_once_and_found_again(database_url: str) -> None:
    engine = open_database(database_url)
    AssignmentStore(engine).write(ROLES, [row("ann", "admin", "acme")], [])
    engine.dispose()
    again = AssignmentStore(open_database(database_url))
    assert again.count() == 1
    again.close()


def test_many_threads_may_open_a_new_database_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        engines = list(pool.map(open_database, [database_url] * 6))
    for engine in engines:
        assert AssignmentStore(engine).is_empty()
        engine.dispose()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_plain_postgresql_urls_mean_psycopg_3(postgresql_schema_url: str, scheme: str) -> None:
    engine = open_database(postgresql_schema_url.replace("postgresql+psycopg", scheme, 1))
    assert engine.dialect.driver == "psycopg"
    engine.dispose()


def test_an_sqlite_file_has_a_write_ahead_log_and_waits_for_others(sqlite_url: str) -> None:
    engine = open_database(sqlite_url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:people?mode=memory&uri=true"])
def test_a_database_in_memory_is_one_for_all_threads(url: str) -> None:
    store = AssignmentStore(open_database(url))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.write(ROLES, [row(f"p{number}", "admin", "acme")], []), range(40)))
        assert set(pool.map(lambda number: store.held_by(f"user:p{number}"), range(40))) == {(("admin", "acme"),)}
    assert store.count() == 40
    store.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    message = error_of(f"sqlite:///{tmp_path}/nowhere/klausel.db")
    assert f"{tmp_path}/nowhere" in message
    assert "create it" in message


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    assert "is a folder" in error_of(f"sqlite:///{tmp_path}")


def test_another_file_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database at all, but long enough to be looked at\n" * 20)
    assert "is not an SQLite database" in error_of(f"sqlite:///{tmp_path}/notes.txt")


def test_a_damaged_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "klausel.db"
    open_database(f"sqlite:///{file}").dispose()
    content = file.read_bytes()
    file.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    assert "is damaged; stop what uses it, keep it aside, and restore the last backup" in error_of(f"sqlite:///{file}")


def test_a_schema_that_is_missing_is_told_with_what_to_do(postgresql_schema_url: str) -> None:
    url = make_url(postgresql_schema_url).update_query_dict({"options": "-csearch_path=not_there"})
    message = error_of(url.render_as_string(hide_password=False))
    assert "has no schema that is named in search_path; create it with CREATE SCHEMA" in message


def test_a_file_that_cannot_be_written_is_read_and_every_write_refused(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/klausel.db").dispose()
    store = AssignmentStore(open_database(f"sqlite:///file:{tmp_path}/klausel.db?mode=ro&uri=true"))
    assert store.held_by("user:ann") == ()
    with pytest.raises(StorageError, match="make the file and its folder writable"):
        store.write(ROLES, [row("ann", "admin", "acme")], [])
    store.close()


def test_a_database_locked_for_long_says_so(sqlite_url: str) -> None:
    store = AssignmentStore(open_database(sqlite_url, Limits(lock_seconds=0)))
    other = sqlite3.connect(make_url(sqlite_url).database or "", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked by another process"):
        store.write(ROLES, [row("ann", "admin", "acme")], [])
    assert store.held_by("user:ann") == ()
    other.close()
    store.close()


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, 99])
def test_another_version_of_the_schema_is_refused(database_url: str, version: int) -> None:
    engine = open_database(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE klausel_state SET schema_version = :version"), {"version": version})
    engine.dispose()
    message = error_of(database_url)
    assert f"schema version {version}" in message
    assert "restore the backup from before its `klausel db upgrade`" in message
    assert "export" in message


def test_a_table_of_somebody_else_is_left_alone(database_url: str) -> None:
    engine = database.make_engine(make_url(database_url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE casbin_rule (id INTEGER PRIMARY KEY, ptype VARCHAR(255))"))
    assert "did not make" in error_of(database_url)
    assert [column["name"] for column in inspect(engine).get_columns("casbin_rule")] == ["id", "ptype"]
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3cret@127.0.0.1:1/klausel",
        "postgresql://ann@127.0.0.1:1/klausel?password=s3cret",
        "postgresql://ann:s3cret@127.0.0.1:1/klausel?no_such_option=1",
        "oracle+nodriver://ann:s3cret@127.0.0.1/klausel",
        "s3cret",
        "nosuchkind://ann:s3cret@host/klausel",
        "postgresql://ann:s3cret@host:port/klausel",
    ],
)
def test_no_error_prints_a_password(url: str) -> None:
    message = error_of(url)
    assert "s3cret" not in message
    assert "\n" not in message


def test_a_wrong_password_is_an_error_that_says_what_to_check(postgresql_schema_url: str) -> None:
    url = make_url(postgresql_schema_url).set(database="no_such_database")
    message = error_of(url.render_as_string(hide_password=False))
    assert "no_such_database" in message
    assert "check that" in message


def test_a_value_that_is_too_long_for_an_index_is_told_as_that(postgresql_schema_url: str) -> None:
    engine = open_database(postgresql_schema_url)
    long = "".join(map(chr, random.Random(1).sample(range(0x4E00, 0x9FFF), 2_000)))  # nothing that could be compressed
    with pytest.raises(StorageError) as refused, database.writing(engine, None) as connection:
        connection.execute(text("CREATE TABLE named (name text PRIMARY KEY)"))
        connection.execute(text("INSERT INTO named VALUES (:name)"), {"name": long})
    engine.dispose()
    assert "cannot take what was written: it is longer than the database allows" in str(refused.value)
    assert "check that the server runs" not in str(refused.value)


def test_a_statement_that_the_driver_cannot_send_says_nothing_of_a_server_that_does_not_run(
    postgresql_schema_url: str,
) -> None:
    engine = open_database(postgresql_schema_url)
    many = {f"p{number}": number for number in range(70_000)}
    with pytest.raises(StorageError) as refused, database.reading(engine) as connection:
        connection.execute(text(f"SELECT 1 WHERE 1 IN ({', '.join(f':{name}' for name in many)})"), many)
    assert "failed: " in str(refused.value)
    assert "number of parameters" in str(refused.value)
    with database.reading(engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("53100", "has no room left on its disk; make room and try again"),
        ("53200", "has no memory left for what was asked; give its server more, or ask for less at once"),
        ("53300", "takes no more connections"),
        ("54001", "cannot take what was written"),
        ("3F000", "create it with CREATE SCHEMA, or correct search_path"),
        ("57P01", "is being stopped or started"),
        ("57P03", "is being stopped or started"),
        ("58030", "failed:"),
        ("55000", "failed:"),
        ("08006", "check that the server runs"),
        ("28P01", "check that the server runs"),
    ],
)
def test_each_error_of_postgresql_is_told_by_its_own_cause(postgresql_schema_url: str, state: str, says: str) -> None:
    engine = open_database(postgresql_schema_url)
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'something is wrong' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(StorageError) as refused, database.reading(engine) as connection:
        connection.execute(text(raising))
    engine.dispose()
    assert says in str(refused.value)
    assert "something is wrong" in str(refused.value)
    assert ("check that the server runs" in str(refused.value)) == (state in ("08006", "28P01"))


def test_a_lost_connection_is_made_anew(postgresql_schema_url: str) -> None:
    store = AssignmentStore(open_database(postgresql_schema_url))
    store.write(ROLES, [row("ann", "admin", "acme")], [])
    assert store.held_by("user:ann") == (("admin", "acme"),)
    held = store.reader._idle[-1]._connection.info.backend_pid
    with store.engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:held)"), {"held": held})
    assert store.held_by("user:ann") == (("admin", "acme"),)
    store.close()


def test_a_thread_that_ends_closes_its_connection(postgresql_schema_url: str) -> None:
    # Other processes ask the same server the same: only what bears this name is counted.
    named = make_url(postgresql_schema_url).update_query_dict({"application_name": "threads_that_end"})
    store = AssignmentStore(open_database(named.render_as_string(hide_password=False)))
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(store.held_by, [f"user:{number}" for number in range(40)]))
    with store.engine.connect() as connection:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'threads_that_end' AND pid <> pg_backend_pid()"
        )
        assert 0 < connection.execute(text(query)).scalar_one() <= 4
    store.close()


@pytest.mark.parametrize(
    "kind",
    ["mysql", "mysql+pymysql", "mariadb+mariadbconnector", "mssql", "oracle", "postgresql+asyncpg", "sqlite+aiosqlite"],
)
def test_other_databases_and_drivers_are_refused_in_one_sentence(kind: str) -> None:
    message = error_of(f"{kind}://ann:s3cret@host/klausel")
    assert message == (
        f'Klausel keeps its data in SQLite or PostgreSQL, not in "{kind}"; write the database URL as '
        "sqlite:///klausel.db or postgresql://user@host/name"
    )
