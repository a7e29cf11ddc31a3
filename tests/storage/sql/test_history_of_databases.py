"""Whom a database tells as changed since a known state: nobody is left out where that was a state of another history."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from storage_people import ROLES, row

from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database
from klausel.storage.sql.history import History, KnownState


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    file = tmp_path / "klausel.db"
    with closing(AssignmentStore(open_database(f"sqlite:///{file}"))) as store:
        store.write(ROLES, [row("ann", "admin", "acme")], [])
        store.write(ROLES, [row("bo", "user", "acme")], [])
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def history(database: sqlite3.Connection) -> History:
    return History(lambda query, parameters: database.execute(query, parameters).fetchall(), "?")


def test_what_changed_since_a_state_of_this_history_is_told_alone(database: sqlite3.Connection, history: History) -> None:
    known = history.state()
    assert history.changes_since(known) == (known, frozenset())
    database.execute("DELETE FROM casbin_rule WHERE v0 = 'user:bo'")
    now, subjects = history.changes_since(known)
    assert (now.counter, subjects) == (known.counter + 1, frozenset({"user:bo"}))


def of_another_history(known: KnownState) -> dict[str, KnownState]:
    return {
        "another database": replace(known, lineage="0" * 8),
        "more than there was": replace(known, counter=known.counter + 1, subjects=frozenset()),
        "another record": replace(known, record_hash="0" * 64),
        "other people": replace(known, subjects=frozenset({"user:cy"})),
    }


@pytest.mark.parametrize("how", ["another database", "more than there was", "another record", "other people"])
def test_everybody_may_have_changed_since_a_state_of_another_history(history: History, how: str) -> None:
    known = of_another_history(history.state())[how]
    assert history.changes_since(known)[1] is None


def test_everybody_may_have_changed_since_what_the_list_of_changes_no_longer_has(
    database: sqlite3.Connection, history: History
) -> None:
    known = history.state()
    database.execute("DELETE FROM casbin_rule WHERE v0 = 'user:bo'")
    database.execute("UPDATE klausel_state SET log_starts_after = ?", (known.counter + 1,))
    assert history.changes_since(known)[1] is None
