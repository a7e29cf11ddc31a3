"""An SQLite file that something else writes over, while it is open, is not told from; a good copy in its place is."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ports import wait_until
from storage_people import row
from test_replaced_file import PEOPLE, REVOKE, ROLES, Opened, backup, elsewhere

from klausel.app import forget_all
from klausel.storage.sql import database, file_check
from klausel.storage.sql.database import StorageError
from klausel.storage.sql.file_check import DamagedFile, FileCheck

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="open files are not written over there")

OVER = {
    "other bytes": "head -c 200000 /dev/urandom > klausel.db",
    "emptied": ": > klausel.db",
    "cut": "truncate -s 20000 klausel.db",
    "other bytes in the middle": "dd if=/dev/urandom of=klausel.db bs=4096 seek=3 count=12 conv=notrunc status=none",
    "zeros in the middle": "dd if=/dev/zero of=klausel.db bs=4096 seek=3 count=12 conv=notrunc status=none",
    "another database": "cp other.db klausel.db",
}


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    monkeypatch.setattr(file_check, "TIMES_BETWEEN_CHECKS", 0)
    made = Opened(tmp_path / "klausel.db")
    made.store.add_listener(lambda change: made.cache.forget_subjects(change.subjects))
    with closing(made.store):
        made.store.write(ROLES, PEOPLE, [])
        # As after an hour without writes: everything stands in the file itself.
        elsewhere(made.file, "PRAGMA wal_checkpoint(TRUNCATE)")
        assert made.is_lead()
        yield made


@pytest.fixture
def check(opened: Opened) -> FileCheck:
    check = FileCheck(opened.store.engine, lambda: forget_all(opened.store))
    check.look()
    return check


def run(opened: Opened, command: str) -> None:
    """By a process of its own, as an operator does: one that closes a file of SQLite loses the locks that it has on it."""
    subprocess.run(["sh", "-c", command], cwd=opened.file.parent, check=True)


@pytest.mark.parametrize("what", OVER)
def test_what_was_written_over_is_not_told_from_until_a_good_copy_is_there(
    what: str, opened: Opened, check: FileCheck, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    backup(opened.file, opened.file.with_name("good.db"))
    elsewhere(opened.file.with_name("other.db"), "CREATE TABLE other (one)")
    run(opened, OVER[what])
    for _ in range(2):
        with pytest.raises(DamagedFile, match="put a good copy in its place, or stop Klausel and restore a backup"):
            check.look()
    for ask in (opened.is_lead, opened.in_a_new_thread, opened.store.revision):
        try:
            told = ask()
        except StorageError as error:
            told = error
        assert isinstance(told, StorageError)
        assert "cannot be read any more" in str(told)
    with pytest.raises(StorageError, match="cannot be read any more"):
        opened.store.write(ROLES, [row("cy", "user", "acme")], [])
    run(opened, "cat good.db > klausel.db")
    check.look()
    assert opened.is_lead()
    assert opened.in_a_new_thread() is True
    opened.store.write(ROLES, [], [PEOPLE[2]])
    check.look()
    assert not opened.is_lead()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_who_meets_damage_takes_no_write_until_a_good_copy_is_there_though_nobody_probes(
    opened: Opened, check: FileCheck
) -> None:
    backup(opened.file, opened.file.with_name("good.db"))
    run(opened, OVER["other bytes"])
    with pytest.raises(StorageError):
        opened.in_a_new_thread()
        opened.store.revision()
    with pytest.raises(StorageError, match="cannot be read any more"):
        opened.store.write(ROLES, [row("cy", "user", "acme")], [])
    run(opened, "cat good.db > klausel.db")
    wait_until(lambda: check._file is not None and check._file.damage is None, "the good copy is not found")
    opened.store.write(ROLES, [row("cy", "user", "acme")], [])


def test_an_older_copy_that_is_written_over_it_is_read_anew(opened: Opened, check: FileCheck) -> None:
    opened.store.write(ROLES, [], [PEOPLE[2]])
    assert not opened.is_lead()
    elsewhere(opened.file, "PRAGMA wal_checkpoint(TRUNCATE)")
    backup(opened.file, opened.file.with_name("older.db"))
    opened.store.write(ROLES, [PEOPLE[2]], [])
    elsewhere(opened.file, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert opened.is_lead()
    check.look()
    run(opened, "cat older.db > klausel.db")
    check.look()
    assert not opened.is_lead()
    assert opened.in_a_new_thread() is False


def test_what_sqlite_itself_writes_harms_nothing(opened: Opened, check: FileCheck) -> None:
    for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "REINDEX", "ANALYZE", "UPDATE casbin_rule SET v1 = v1"):
        elsewhere(opened.file, statement)
        check.look()
        assert opened.is_lead()
    elsewhere(opened.file, REVOKE)
    check.look()
    assert not opened.is_lead()


def test_a_writer_that_keeps_it_locked_is_no_damage_and_nobody_waits(opened: Opened, check: FileCheck) -> None:
    run(opened, "touch klausel.db")
    assert check._lock.acquire()
    try:
        thread = threading.Thread(target=check.look)
        thread.start()
        thread.join(timeout=10)
        assert not thread.is_alive()
    finally:
        check._lock.release()
    check.look()
    assert opened.is_lead()


def test_a_large_file_is_read_at_its_beginning(opened: Opened, check: FileCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_check, "MOST_BYTES_CHECKED", 1000)
    run(opened, "touch klausel.db")
    check.look()
    run(opened, OVER["other bytes"])
    with pytest.raises(DamagedFile):
        check.look()


def test_a_connection_that_meets_no_database_at_once_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    file.write_bytes(b"no database " * 1000)
    connection = sqlite3.connect(file)
    with pytest.raises(sqlite3.DatabaseError):
        database.set_up_sqlite_connection(connection, None)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
