"""A backup that is restored into the live file is another history: what is remembered of the lost one counts for nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from serving import Served
from versions import batch

from klausel.core.policy.assignment import Assignment
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database

QUESTION = {name: value for name, value in batch("bo").items() if name != "evaluations"} | {"action": {"name": "view"}}
LOST = [Assignment("user:bo", "user", "acme"), Assignment("user:bo", "agent", "acme/support")]
OTHER = Assignment("user:cy", "user", "acme")
PLAIN = "INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', ?, ?, ?)"


def is_allowed(served: Served) -> bool:
    allowed: bool = served.ask("POST", "/access/v1/evaluation", QUESTION).get_json()["decision"]
    return allowed


def copy(source: Path, target: Path) -> None:
    """As SQLite's own online backup does, also into a file that is in use."""
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)


def write(path: Path, rows: list[Assignment], by_plain_sql: bool, served: Served) -> None:
    if by_plain_sql:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executemany(PLAIN, [row.key for row in rows])
        return
    with closing(AssignmentStore(open_database(f"sqlite:///{path}"))) as store:
        store.write(served.service.policy.compiled.policy.roles, rows, [])


@pytest.mark.parametrize("asks_between", [False, True])
@pytest.mark.parametrize("by_plain_sql", [False, True])
@pytest.mark.parametrize("by_the_service", [False, True])
def test_a_grant_that_the_backup_lacks_is_denied(
    opened: Callable[..., Served], tmp_path: Path, by_the_service: bool, by_plain_sql: bool, asks_between: bool
) -> None:
    served = opened()
    live, backup = tmp_path / "people.db", tmp_path / "backup.db"
    copy(live, backup)
    if by_the_service:
        served.service.store.write(served.service.policy.compiled.policy.roles, LOST, [])
    else:
        write(live, LOST, by_plain_sql, served)
    assert is_allowed(served)
    copy(backup, live)
    if asks_between:
        assert not is_allowed(served)
    # As many revisions as were lost, so that the counter is where it was.
    write(
        live, [OTHER] if by_the_service or not by_plain_sql else [OTHER, OTHER._replace(role="admin")], by_plain_sql, served
    )
    assert not is_allowed(served)


def test_a_backup_of_another_database_is_another_history(opened: Callable[..., Served], tmp_path: Path) -> None:
    served = opened()
    other = tmp_path / "other.db"
    with closing(AssignmentStore(open_database(f"sqlite:///{other}"))) as store:
        store.write(served.service.policy.compiled.policy.roles, [OTHER], [])
    served.service.store.write(served.service.policy.compiled.policy.roles, LOST, [])
    assert is_allowed(served)
    copy(other, tmp_path / "people.db")
    assert not is_allowed(served)
    text = served.ask("GET", "/v1/assignments").get_data(as_text=True)
    assert "user:cy" in text
