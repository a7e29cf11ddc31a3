"""A backup is made and restored by the databases' own tools, as docs/deployment.md says, and nothing is lost on the way."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from command_line import LONGEST_SECONDS, run
from sqlalchemy import make_url
from storage_fixtures import HOW_TO_GET_POSTGRESQL, postgresql_url
from storage_people import ROLES

from klausel.core.policy.assignment import Assignment
from klausel.core.records.change_record import Origin
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database
from klausel.storage.sql.history import OtherSchema

BEFORE = Assignment("user:ann", "admin", "acme")
AFTERWARDS = Assignment("user:bob", "admin", "acme")


def write(url: str, *grants: Assignment) -> str:
    with closing(AssignmentStore(open_database(url))) as store:
        store.write(ROLES, grants, [], Origin(by="ops", channel="cli"))
        return store.revision()


def subjects(url: str) -> set[str]:
    found = run("assignments", "export", "--database", url)
    assert found.exit_code == 0, found.stderr
    return {line.partition(",")[0] for line in found.stdout.splitlines()[1:]}


def is_whole(url: str) -> None:
    """Holds that the tables are usable, of this version, and that their change log was not broken on the way."""
    for command in (("db", "check"), ("audit", "verify")):
        done = run(*command, "--database", url)
        assert done.exit_code == 0, done.output


def test_an_sqlite_backup_is_made_while_the_service_writes_and_its_caches_notice_the_restore(tmp_path: Path) -> None:
    live, copy = tmp_path / "klausel.db", tmp_path / "backup.db"
    url = f"sqlite:///{live}"
    write(url, BEFORE)
    with closing(sqlite3.connect(live)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    with closing(AssignmentStore(open_database(url))) as store:
        cache = EffectiveRolesCache(store, ROLES)
        store.write(ROLES, [AFTERWARDS], [])
        cache.refresh()
        assert "admin" in cache.roles_in("user:bob", "acme", 0.0)
        with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(live)) as target:
            source.backup(target)
        cache.refresh()
        assert "admin" not in cache.roles_in("user:bob", "acme", 0.0)
        assert "admin" in cache.roles_in("user:ann", "acme", 0.0)
    is_whole(url)
    assert subjects(url) == {BEFORE.subject}
    write(url, AFTERWARDS)
    is_whole(url)


def test_a_backup_of_another_version_restored_into_a_running_service_tells_and_takes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/klausel.db"
    write(url, BEFORE)
    with (
        closing(sqlite3.connect(tmp_path / "klausel.db", isolation_level=None)) as other,
        closing(AssignmentStore(open_database(url))) as store,
    ):
        cache = EffectiveRolesCache(store, ROLES)
        assert "admin" in cache.roles_in("user:ann", "acme", 0.0)
        other.execute("UPDATE klausel_state SET schema_version = schema_version - 1")
        for asks in (cache.refresh, cache.refresh, store.revision, lambda: store.write(ROLES, [AFTERWARDS], [])):
            with pytest.raises(OtherSchema, match="it was restored or upgraded meanwhile"):
                asks()
        other.execute("UPDATE klausel_state SET schema_version = schema_version + 1")
        cache.refresh()
        assert "admin" in cache.roles_in("user:ann", "acme", 0.0)


@pytest.fixture
def databases() -> Iterator[tuple[str, str]]:
    """Two empty databases of PostgreSQL."""
    server = postgresql_url()
    if server is None:
        pytest.skip(HOW_TO_GET_POSTGRESQL)
    if any(shutil.which(tool) is None for tool in ("pg_dump", "psql")):
        pytest.skip("the tools of PostgreSQL, pg_dump and psql, are not here")
    names = [f"klausel_test_{secrets.token_hex(6)}" for _ in range(2)]
    admin = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    for name in names:
        psql(admin, "-c", f"CREATE DATABASE {name}")
    first, second = (make_url(admin).set(database=name).render_as_string(hide_password=False) for name in names)
    yield first, second
    for name in names:
        psql(admin, "-c", f"DROP DATABASE {name} WITH (FORCE)")


def psql(url: str, *arguments: str) -> None:
    command = ["psql", "--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", *arguments, url]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST_SECONDS)


@pytest.fixture
def role_names(databases: tuple[str, str]) -> Iterator[tuple[str, ...]]:
    """Names of three roles; where they are still there afterwards, they go."""
    names = tuple(f"klausel_{kind}_{secrets.token_hex(4)}" for kind in ("owner", "service", "auditor"))
    yield names
    drop_roles(databases[1], names)


def give_rights(url: str, names: tuple[str, ...]) -> None:
    given = [part for kind, name in zip(("owner", "service", "auditor"), names, strict=True) for part in (f"--{kind}", name)]
    done = run("db", "grants", "--apply", "--database", url, *given)
    assert done.exit_code == 0, done.output


def drop_roles(url: str, names: tuple[str, ...]) -> None:
    for name in names:
        psql(
            url, "-c", f"REASSIGN OWNED BY {name} TO CURRENT_USER", "-c", f"DROP OWNED BY {name}", "-c", f"DROP ROLE {name}"
        )


def test_a_dump_of_postgresql_gives_a_database_that_goes_on_where_it_was(
    databases: tuple[str, str], role_names: tuple[str, ...], tmp_path: Path
) -> None:
    url, restored = databases
    revision = write(url, BEFORE)
    give_rights(url, role_names)
    dump = tmp_path / "klausel.sql"
    command = ["pg_dump", "--no-owner", "--no-privileges", "--file", str(dump), url]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST_SECONDS)
    write(url, AFTERWARDS)
    # As on another server, which has no such roles.
    drop_roles(url, role_names)
    psql(restored, "--single-transaction", "--file", str(dump))
    give_rights(restored, role_names)
    is_whole(restored)
    assert subjects(restored) == {BEFORE.subject}
    assert write(restored, AFTERWARDS) > revision
    is_whole(restored)


def test_after_db_restored_no_revision_of_a_lost_write_is_ever_seen(database_url: str) -> None:
    lost = write(database_url, BEFORE)
    lineage, _, counter = lost.rpartition("-")
    with closing(AssignmentStore(open_database(database_url))) as store:
        cache = EffectiveRolesCache(store, ROLES)
        assert "admin" in cache.roles_in("user:ann", "acme", 0.0)
        done = run("db", "restored", "--by", "kim", "--reason", "backup of Monday", "--database", database_url)
        assert (done.exit_code, "begins a new history" in done.stdout) == (0, True)
        is_whole(database_url)
        record = run("audit", "show", "--database", database_url).stdout
        assert "user:ann" in record
        for number in range(3):
            store.write(ROLES, [Assignment(f"user:{number}", "user", "acme")], [])
            assert not cache.has_seen(lineage, int(counter))
        now, _, reached = store.revision().rpartition("-")
        assert (now != lineage, cache.has_seen(now, int(reached))) == (True, True)
        assert "admin" in cache.roles_in("user:ann", "acme", 0.0)
    is_whole(database_url)


def test_db_restored_makes_no_database(tmp_path: Path) -> None:
    done = run("db", "restored", "--database", f"sqlite:///{tmp_path}/none.db")
    assert (done.exit_code, [*tmp_path.iterdir()]) == (1, [])
