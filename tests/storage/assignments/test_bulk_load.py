"""Imports of very many role assignments: the same checks and rules, all or nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from storage_people import ROLES, row

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel
from klausel.storage.assignments import bulk_load
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState, InvalidAssignments
from klausel.storage.schema import open_database
from klausel.storage.sql.indexes import index_names

STRANGE = ["a, b", '"q"', "#x", "back\\slash", "\\N", "\\.", "tab\\t", " led ", "ä", "a\u0308", "🙂", "%", "'"]


def organisation(accounts: int, seed: int = 1) -> list[Assignment]:
    chance = random.Random(seed)
    rows = []
    for account in range(accounts):
        for person in range(20):
            name = f"{chance.choice(STRANGE)}{account}.{person}"
            rows.append(row(name, "admin" if person == 0 else "user", f"acme{account}"))
            for place in chance.sample(range(6), 3):
                rows.append(row(name, chance.choice(["agent", "reviewer", "lead"]), f"acme{account}/w{place}"))
    return rows


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_load, "ROWS_PER_STEP", 70)


def test_everything_is_added_once_and_comes_back_exactly(any_store: AssignmentStore, roles: RoleModel) -> None:
    rows = organisation(12)
    random.Random(2).shuffle(rows)
    progress: list[int] = []
    result = any_store.import_rows(roles, iter([*rows, *rows[:33]]), progress.append)
    assert (result.added, result.already_there) == (len(rows), 33)
    assert result.revision == any_store.revision()
    assert list(any_store.export_rows()) == sorted(rows)
    assert progress == sorted(progress)
    assert progress[-1] == len(rows) + 33


def test_an_import_of_an_export_changes_nothing(any_store: AssignmentStore, roles: RoleModel) -> None:
    first = any_store.import_rows(roles, organisation(5))
    again = any_store.import_rows(roles, list(any_store.export_rows()))
    assert (again.added, again.already_there) == (0, first.added)
    assert again.revision == first.revision


def test_an_import_beside_other_rows_keeps_them_and_the_indexes(store: AssignmentStore, roles: RoleModel) -> None:
    def indexes() -> frozenset[str]:
        with store.engine.connect() as connection:
            return index_names(connection, "casbin_rule")

    before = indexes()
    store.write(roles, [row("zed", "admin", "zeta")], [])
    for accounts in (2, 8):
        store.import_rows(roles, organisation(accounts))
    assert store.count() == len(set(organisation(2)) | set(organisation(8))) + 1
    assert indexes() == before
    assert len(before) == 7


def test_an_import_into_sqlite_sets_no_trigger_aside_for_good(tmp_path: Path, roles: RoleModel) -> None:
    store = AssignmentStore(open_database(f"sqlite:///{tmp_path}/people.db"))

    def triggers() -> dict[str, str]:
        with store.engine.connect() as connection:
            query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            return {str(name): str(sql) for name, sql in connection.execute(query)}

    before = triggers()
    assert {"casbin_rule_noted_insert", "klausel_assignment_log_row_no_replace"} < before.keys()
    store.import_rows(roles, organisation(3))
    assert triggers() == before
    revision = store.revision()
    with store.engine.begin() as connection:
        connection.execute(text("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:zed', 'user', 'acme0')"))
        connection.execute(text("DROP TRIGGER klausel_assignment_log_row_no_replace"))
    assert store.revision() != revision
    store.import_rows(roles, organisation(5))
    assert triggers().keys() == before.keys() - {"klausel_assignment_log_row_no_replace"}
    store.close()


def test_one_bad_row_refuses_all_and_is_named_by_its_index(any_store: AssignmentStore, roles: RoleModel) -> None:
    rows = organisation(12)
    rows[100] = row("ann", "leed", "acme1/w1")
    rows[200] = Assignment("ann", "admin", "acme1")
    rows[201] = row("a\x00", "admin", "acme1")
    rows[300] = row("ann", "lead", "acme1")
    rows[301] = row("ann", "admin", "acme1/")
    with pytest.raises(InvalidAssignments) as refused:
        any_store.import_rows(roles, rows)
    assert [fault.index for fault in refused.value.faults] == [100, 200, 201, 300, 301]
    assert {fault.list for fault in refused.value.faults} == {"grant"}
    assert all(fault.message for fault in refused.value.faults)
    assert any_store.is_empty()


def test_very_many_bad_rows_are_not_all_gathered(store: AssignmentStore, roles: RoleModel) -> None:
    def endless() -> Iterator[Assignment]:
        while True:
            yield row("ann", "nothing", "acme")

    with pytest.raises(InvalidAssignments) as refused:
        store.import_rows(roles, endless())
    assert len(refused.value.faults) == 100


def test_a_workspace_role_without_an_account_role_refuses_all(any_store: AssignmentStore, roles: RoleModel) -> None:
    lonely = row("lonely", "lead", "acme3/w1")
    with pytest.raises(ForbiddenState) as refused:
        any_store.import_rows(roles, [*organisation(5), lonely, row("lonely", "user", "acme4")])
    (violation,) = refused.value.violations
    assert (violation.subject, violation.role, violation.domain) == lonely.key
    assert any_store.is_empty()


def test_the_role_above_may_be_stored_already_or_come_much_later(store: AssignmentStore, roles: RoleModel) -> None:
    store.write(roles, [row("boss", "admin", "acme0"), row("old", "user", "acme0")], [])
    rows = [row("old", "lead", "acme0/w1"), row("late", "lead", "acme0/w1"), *organisation(8), row("late", "user", "acme0")]
    store.import_rows(roles, rows)
    assert ("lead", "acme0/w1") in store.held_by("user:late")


def test_an_account_without_an_admin_refuses_all(any_store: AssignmentStore, roles: RoleModel) -> None:
    with pytest.raises(ForbiddenState) as refused:
        any_store.import_rows(roles, [*organisation(5), row("ann", "user", "headless"), row("ann", "lead", "headless/w")])
    assert [(found.role, found.domain, found.rule) for found in refused.value.violations] == [
        ("admin", "headless", "keep-one")
    ]
    assert any_store.is_empty()


def test_an_import_judges_as_a_write_does(
    store: AssignmentStore, roles: RoleModel, put_behind_the_back: Callable[..., None]
) -> None:
    chance = random.Random(5)
    pool = [row(name, role, "a") for name in "xyz" for role in ("admin", "user")]
    pool += [row(name, "lead", f"a/{place}") for name in "xyz" for place in "mn"]
    for _ in range(25):
        found, imported = chance.sample(pool, 2), chance.sample(pool, 4)
        outcomes = []
        for is_import in (False, True):
            put_behind_the_back(*found)
            try:
                if is_import:
                    store.import_rows(roles, imported)
                else:
                    store.write(roles, imported, [])
                outcomes.append(("written", list(store.export_rows())))
            except ForbiddenState as refused:
                outcomes.append((sorted(map(str, refused.violations)), list(store.export_rows())))
            with store.engine.begin() as connection:
                connection.exec_driver_sql("DELETE FROM casbin_rule")
        assert outcomes[0] == outcomes[1], (found, imported)


def test_rows_that_cannot_be_read_to_the_end_leave_nothing(any_store: AssignmentStore, roles: RoleModel) -> None:
    def broken() -> Iterator[Assignment]:
        yield from organisation(5)
        raise OSError("the file ended early")

    with pytest.raises(OSError, match="ended early"):
        any_store.import_rows(roles, broken())
    assert any_store.is_empty()
    any_store.import_rows(roles, organisation(5))


def test_others_write_while_the_rows_are_read(store: AssignmentStore, database_url: str) -> None:
    other = AssignmentStore(open_database(database_url))

    def slow() -> Iterator[Assignment]:
        for number, one in enumerate(organisation(5)):
            if number == 150:
                other.write(ROLES, [row("zed", "admin", "zeta")], [])
            yield one

    store.import_rows(ROLES, slow())
    assert store.count() == len(organisation(5)) + 1
    other.close()


def test_an_empty_import_is_none(any_store: AssignmentStore, roles: RoleModel) -> None:
    result = any_store.import_rows(roles, [])
    assert (result.added, result.already_there) == (0, 0)
