"""The header of the write-ahead log's index is other after every commit, and stays readable without harm to SQLite's locks."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from klausel.storage.sql.wal_header import HEADER_BYTES, wal_header

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SQLite's index is not read there")


def opened(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE IF NOT EXISTS one (number INTEGER)")
    return connection


def elsewhere(file: Path, statements: str) -> str:
    """Runs statements in another process, which prints what the last one gives."""
    code = (
        "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
        "try:\n    for one in sys.argv[2].split(';'): found = connection.execute(one).fetchall()\n    print(found)\n"
        "except sqlite3.Error as error: print(error)"
    )
    return subprocess.run([sys.executable, "-c", code, file, statements], capture_output=True, text=True, check=True).stdout


COMMITS: dict[str, Callable[[Path], object]] = {
    "a row of another process": lambda file: elsewhere(file, "INSERT INTO one VALUES (1)"),
    "the same row again": lambda file: elsewhere(file, "INSERT INTO one VALUES (1);DELETE FROM one WHERE number = 1"),
    "a row after a checkpoint": lambda file: elsewhere(file, "PRAGMA wal_checkpoint(TRUNCATE);INSERT INTO one VALUES (2)"),
    "a vacuum": lambda file: elsewhere(file, "VACUUM"),
    "a table": lambda file: elsewhere(file, f"CREATE TABLE t{time.monotonic_ns()} (number INTEGER)"),
}


@pytest.mark.parametrize("commit", COMMITS)
def test_it_changes_with_every_commit_of_another_process(commit: str, tmp_path: Path) -> None:
    file = tmp_path / "klausel.db"
    with closing(opened(file)) as connection:
        header = wal_header(connection)
        assert header is not None
        seen = {header[:HEADER_BYTES]}
        for times in range(1, 5):
            COMMITS[commit](file)
            seen.add(header[:HEADER_BYTES])
            assert len(seen) == times + 1


def test_it_changes_with_each_of_thousands_of_commits_and_with_no_reading(tmp_path: Path) -> None:
    file = tmp_path / "klausel.db"
    with closing(opened(file)) as connection, closing(opened(file)) as writer:
        header = wal_header(connection)
        assert header is not None
        seen = {header[:HEADER_BYTES]}
        for number in range(3_000):
            writer.execute("INSERT INTO one VALUES (?)", (number,))
            assert header[:HEADER_BYTES] not in seen
            seen.add(header[:HEADER_BYTES])
            connection.execute("SELECT max(number) FROM one").fetchall()
            assert header[:HEADER_BYTES] in seen
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO one VALUES (0)")
        writer.execute("ROLLBACK")
        assert header[:HEADER_BYTES] in seen


def test_a_backup_that_is_restored_into_the_file_changes_it(tmp_path: Path) -> None:
    file, backup = tmp_path / "klausel.db", tmp_path / "backup.db"
    with closing(opened(file)) as connection:
        with closing(sqlite3.connect(backup)) as copy:
            connection.backup(copy)
        header = wal_header(connection)
        assert header is not None
        before = header[:HEADER_BYTES]
        with closing(sqlite3.connect(backup)) as copy, closing(sqlite3.connect(file)) as live:
            copy.backup(live)
        assert header[:HEADER_BYTES] != before


def test_sqlite_keeps_its_locks_however_often_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "klausel.db"
    with closing(opened(file)) as connection:
        for _ in range(20):
            with closing(opened(file)) as another:
                assert wal_header(another) is not None
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO one VALUES (7)")
        with closing(opened(file)) as another:
            assert wal_header(another) is not None
        assert "locked" in elsewhere(file, "BEGIN IMMEDIATE")
        # The other process does not take itself for the first one, and so does not empty the log.
        assert elsewhere(file, "SELECT count(*) FROM one").strip() == "[(0,)]"
        connection.execute("COMMIT")
        assert elsewhere(file, "SELECT number FROM one").strip() == "[(7,)]"


def test_no_descriptor_is_left_of_databases_that_are_closed(tmp_path: Path) -> None:
    for number in range(30):
        with closing(opened(tmp_path / f"{number}.db")) as connection:
            assert wal_header(connection) is not None
        if number == 5:
            before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("change", ["memory", "delete", "exclusive", "no index"])
def test_there_is_none_where_processes_share_no_log(change: str, tmp_path: Path) -> None:
    file = tmp_path / "klausel.db"
    if change == "memory":
        connection = sqlite3.connect(":memory:")
    elif change == "exclusive":
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("PRAGMA locking_mode = exclusive")
        connection.execute("PRAGMA journal_mode = wal")
    else:
        connection = opened(file)
        if change == "delete":
            connection.execute("PRAGMA journal_mode = delete")
        else:
            shutil.rmtree(tmp_path)
    with closing(connection):
        assert wal_header(connection) is None
