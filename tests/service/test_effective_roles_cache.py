"""The cache of effective roles: right at every moment, bounded, and never full of strangers."""

from __future__ import annotations

import dataclasses
import gc
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from storage_people import ROLES, row

from klausel.core.decisions.effective_roles import ROLES_OF_NOBODY
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel
from klausel.service import effective_roles_cache
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database
from klausel.storage.sql.database import StorageError
from klausel.storage.sql.history import KnownState
from klausel.storage.sql.revisions import REVISIONS_IN_LOG, StoreChange

ADMIN = row("ann", "admin", "acme")
USER = row("bo", "user", "acme")
LEAD = row("bo", "lead", "acme/support")


class Queries:
    """Counts the questions that a cache asks the database."""

    def __init__(self, cache: EffectiveRolesCache) -> None:
        self.asked: list[str] = []
        reader = cache._reader
        ask = reader.held_by

        def held_by(subject: str) -> tuple[tuple[str, str], ...]:
            self.asked.append(subject)
            return ask(subject)

        reader.held_by = held_by  # type: ignore[method-assign]


@pytest.fixture
def other_store(database_url: str) -> Iterator[AssignmentStore]:
    """The same database, as another process has it."""
    opened = AssignmentStore(open_database(database_url))
    yield opened
    opened.close()


def is_lead(cache: EffectiveRolesCache) -> bool:
    return "lead" in cache.roles_in("user:bo", "acme/support")


def test_a_effective_roles_is_what_the_core_makes_of_the_rows(any_store: AssignmentStore, roles: RoleModel) -> None:
    any_store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(any_store, roles)
    for _ in range(2):
        assert cache.roles_in("user:bo", "acme/support") >= {"lead", "reviewer", "agent", "user", "any lead", "anyone"}
        assert "lead" not in cache.roles_in("user:bo", "acme/sales")
        assert "any lead" in cache.roles_in("user:bo", "acme")
        assert cache.roles_in("user:bo", None) == ROLES_OF_NOBODY
        assert cache.roles_in("user:bo", "beta") == ROLES_OF_NOBODY
        assert "admin" in cache.effective_roles_of("user:ann").roles_in("acme/support")


@pytest.mark.parametrize("single_process", [False, True])
def test_a_subject_is_read_once_where_it_may_be_kept(store: AssignmentStore, roles: RoleModel, single_process: bool) -> None:
    store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(store, roles, single_process=single_process)
    queries = Queries(cache)
    for _ in range(5):
        cache.roles_in("user:bo", "acme")
        cache.refresh()
    kept = single_process or store.engine.dialect.name == "sqlite"
    assert len(queries.asked) == (1 if kept else 5)


def test_few_strangers_are_kept_and_push_nobody_else_out(
    store: AssignmentStore, roles: RoleModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effective_roles_cache, "MOST_UNKNOWN", 5)
    store.write(roles, [ADMIN], [])
    cache = EffectiveRolesCache(store, roles, max_entries=10, single_process=True)
    queries = Queries(cache)
    sizes = []
    for number in range(20):
        assert cache.roles_in(f"user:stranger{number:02}", "acme") == ROLES_OF_NOBODY
        cache.roles_in("user:ann", f"unknown{number}/place")
        sizes.append(cache.approximate_bytes)
    assert len(queries.asked) == 21
    assert len(cache) == 6
    assert sizes[5:] == [sizes[5]] * 15
    assert cache.roles_in("user:stranger19", "acme/support") == ROLES_OF_NOBODY
    assert len(queries.asked) == 21
    cache.roles_in("user:stranger00", "acme")
    assert len(queries.asked) == 22
    cache.forget_subjects(None)
    assert (len(cache), cache.approximate_bytes) == (0, 0)


@pytest.mark.parametrize("rows", [[row("bo", "admin", "acme")], [Assignment("user:bo", "group:team", "")]], ids=str)
def test_a_stranger_who_gets_a_role_or_joins_a_group_has_it_at_once(
    any_store: AssignmentStore, roles: RoleModel, rows: list[Assignment]
) -> None:
    any_store.write(roles, [ADMIN, Assignment("group:team", "admin", "acme")], [])
    cache = EffectiveRolesCache(any_store, roles, single_process=True)
    for _ in range(3):
        assert cache.roles_in("user:bo", "acme") == ROLES_OF_NOBODY
        any_store.write(roles, rows, [])
        assert "admin" in cache.roles_in("user:bo", "acme")
        any_store.write(roles, [], rows)


def test_a_write_of_this_process_drops_the_subjects_it_changes_and_no_others(
    any_store: AssignmentStore, roles: RoleModel
) -> None:
    any_store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(any_store, roles, single_process=True)
    assert is_lead(cache)
    cache.roles_in("user:ann", "acme")
    queries = Queries(cache)
    any_store.write(roles, [], [LEAD])
    assert not is_lead(cache)
    cache.roles_in("user:ann", "acme")
    assert queries.asked == ["user:bo"]
    any_store.remove_subject(roles, "user:bo", "acme")
    assert cache.roles_in("user:bo", "acme") == ROLES_OF_NOBODY
    any_store.import_rows(roles, [USER, LEAD])
    assert is_lead(cache)


def test_a_write_of_another_process_is_seen_after_a_refresh(
    store: AssignmentStore, other_store: AssignmentStore, roles: RoleModel
) -> None:
    store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(store, roles)
    cache.refresh()
    assert is_lead(cache)
    cache.roles_in("user:ann", "acme")
    queries = Queries(cache)
    other_store.write(roles, [], [LEAD])
    cache.refresh()
    assert not is_lead(cache)
    cache.roles_in("user:ann", "acme")
    if store.engine.dialect.name == "sqlite":
        assert queries.asked == ["user:bo"]


def test_every_thread_sees_the_writes_of_other_processes(sqlite_url: str, roles: RoleModel) -> None:
    store, other = AssignmentStore(open_database(sqlite_url)), AssignmentStore(open_database(sqlite_url))
    store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(store, roles)

    def look(_: int) -> bool:
        cache.refresh()
        return is_lead(cache)

    with ThreadPoolExecutor(4) as pool:
        for turn in range(20):
            held = turn % 2 == 0
            other.write(roles, [LEAD] if held else [], [] if held else [LEAD])
            assert set(pool.map(look, range(8))) == {held}
    store.close()
    other.close()


def test_a_log_that_does_not_reach_back_drops_everything(sqlite_url: str, roles: RoleModel) -> None:
    store, other = AssignmentStore(open_database(sqlite_url)), AssignmentStore(open_database(sqlite_url))
    store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(store, roles)
    cache.refresh()
    assert is_lead(cache)
    other.write(roles, [], [LEAD])
    with other.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE klausel_state SET revision = revision + ?", (REVISIONS_IN_LOG,))
    other.write(roles, [row("cy", "user", "acme")], [])
    with other.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM klausel_change")).scalar() == 1
    cache.refresh()
    assert not is_lead(cache)
    store.close()
    other.close()


def test_a_write_of_very_many_subjects_drops_everything(
    store: AssignmentStore, other_store: AssignmentStore, roles: RoleModel
) -> None:
    cache = EffectiveRolesCache(store, roles)
    store.write(roles, [ADMIN, USER], [])
    cache.refresh()
    assert not is_lead(cache)
    people = [row(f"p{number}", "user", "acme") for number in range(500)]
    other_store.write(roles, [LEAD, *people], [])
    cache.refresh()
    assert is_lead(cache)


def test_what_was_read_before_a_write_is_not_kept_after_it(store: AssignmentStore, roles: RoleModel) -> None:
    store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(store, roles, single_process=True)
    read = cache._reader.held_by

    def read_and_be_overtaken(subject: str) -> tuple[tuple[str, str], ...]:
        held = read(subject)
        cache._reader.held_by = read  # type: ignore[method-assign]
        store.write(roles, [], [LEAD])
        return held

    cache._reader.held_by = read_and_be_overtaken  # type: ignore[method-assign]
    is_lead(cache)
    assert not is_lead(cache)


def test_a_write_of_another_process_while_changes_are_read_is_seen_by_the_next_refresh(
    sqlite_url: str, roles: RoleModel
) -> None:
    store, other = AssignmentStore(open_database(sqlite_url)), AssignmentStore(open_database(sqlite_url))
    store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(store, roles)
    cache.refresh()
    assert is_lead(cache)
    other.write(roles, [row("cy", "user", "acme")], [])
    history = cache._history
    assert history is not None
    read = history.changes_since

    def read_and_be_overtaken(known: KnownState) -> tuple[KnownState, frozenset[str] | None]:
        found = read(known)
        history.changes_since = read  # type: ignore[method-assign]
        other.write(roles, [], [LEAD])
        return found

    history.changes_since = read_and_be_overtaken  # type: ignore[method-assign]
    cache.refresh()
    cache.refresh()
    assert not is_lead(cache)
    store.close()
    other.close()


def test_what_was_read_before_another_process_wrote_is_not_kept_after_the_refresh(sqlite_url: str, roles: RoleModel) -> None:
    store, other = AssignmentStore(open_database(sqlite_url)), AssignmentStore(open_database(sqlite_url))
    store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(store, roles)
    cache.refresh()
    read = cache._reader.held_by

    def read_and_be_overtaken(subject: str) -> tuple[tuple[str, str], ...]:
        held = read(subject)
        cache._reader.held_by = read  # type: ignore[method-assign]
        other.write(roles, [], [LEAD])
        cache.refresh()
        return held

    cache._reader.held_by = read_and_be_overtaken  # type: ignore[method-assign]
    is_lead(cache)
    assert not is_lead(cache)
    store.close()
    other.close()


def test_readers_never_see_an_answer_older_than_the_last_finished_write(
    any_store: AssignmentStore, roles: RoleModel
) -> None:
    any_store.write(roles, [ADMIN, USER], [])
    cache = EffectiveRolesCache(any_store, roles, single_process=True)
    # Even: LEAD is not held; odd: it is. A write is announced before it begins and after it has ended.
    begun = ended = 0
    wrong: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            ended_before = ended
            answer = is_lead(cache)
            if begun == ended_before and answer != (ended_before % 2 == 1):
                wrong.append(f"{answer} after write {ended_before}")
            # Readers that never rest would keep the writer from the interpreter.
            time.sleep(0.0002)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(60):
        begun += 1
        any_store.write(roles, *([LEAD], []) if begun % 2 else ([], [LEAD]))
        ended = begun
        time.sleep(random.random() * 0.004)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []


def test_the_cache_is_bounded_by_entries_and_forgets_who_was_not_asked_about(
    store: AssignmentStore, roles: RoleModel
) -> None:
    people = [row(f"p{number}", "admin", "acme") for number in range(50)]
    store.write(roles, people, [])
    cache = EffectiveRolesCache(store, roles, max_entries=10, single_process=True)
    queries = Queries(cache)
    for one in people:
        cache.roles_in("user:p0", "acme")
        cache.roles_in(one.subject, "acme")
        assert len(cache) <= 10
    assert queries.asked.count("user:p0") == 1
    assert len(cache) == 10


def test_the_cache_is_bounded_by_bytes(store: AssignmentStore, roles: RoleModel) -> None:
    people = [row(f"p{number}", "admin", "acme") for number in range(50)]
    many = [row("p1", "user", "acme"), *(row("p1", "agent", f"acme/w{number}") for number in range(300))]
    store.write(roles, [*people, *many], [])
    cache = EffectiveRolesCache(store, roles, max_bytes=20_000, single_process=True)
    for one in people:
        cache.roles_in(one.subject, "acme")
        assert 0 <= cache.approximate_bytes <= 20_000
    assert 5 < len(cache) < 50
    store.write(roles, [row("new", "user", "acme")], people[:-1])
    assert len(cache) == 1
    store.write(roles, [row(f"q{number}", "user", "acme") for number in range(300)], [])
    assert (len(cache), cache.approximate_bytes) == (0, 0)


def test_a_cache_that_nobody_holds_is_let_go(store: AssignmentStore, roles: RoleModel) -> None:
    caches: list[EffectiveRolesCache] = [EffectiveRolesCache(store, roles) for _ in range(3)]
    del caches[:]
    gc.collect()
    store.write(roles, [ADMIN], [])
    assert store._listeners == []


def test_an_unreadable_database_is_an_error_and_not_an_answer(sqlite_url: str) -> None:
    store = AssignmentStore(open_database(sqlite_url))
    store.write(ROLES, [ADMIN], [])
    cache = EffectiveRolesCache(store, ROLES)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE casbin_rule")
    with pytest.raises(StorageError):
        cache.roles_in("user:ann", "acme")
    store.close()


# --- Other policies -----------------------------------------------------------------------------------------------------

LEADS = dataclasses.replace(ROLES, roles={**ROLES.roles, "lead": dataclasses.replace(ROLES.roles["lead"], contains=())})
"""The same roles, where a lead is nothing else."""


def test_nobody_is_read_again_under_other_policies(store: AssignmentStore, roles: RoleModel) -> None:
    store.write(roles, [ADMIN, USER, LEAD], [])
    first = EffectiveRolesCache(store, roles, single_process=True)
    assert "reviewer" in first.roles_in("user:bo", "acme/support")
    assert first.roles_in("user:nobody", "acme") == ROLES_OF_NOBODY
    queries = Queries(first)
    second = first.under(LEADS)
    for _ in range(2):
        assert "lead" in second.roles_in("user:bo", "acme/support")
        assert "reviewer" not in second.roles_in("user:bo", "acme/support")
        assert second.roles_in("user:nobody", "acme") == ROLES_OF_NOBODY
        # Who asked before the policies changed is answered by those before.
        assert "reviewer" in first.roles_in("user:bo", "acme/support")
        second.refresh()
    assert not queries.asked
    assert (len(second), second.approximate_bytes) == (len(first), first.approximate_bytes)


def test_what_changes_is_dropped_under_other_policies(any_store: AssignmentStore, roles: RoleModel) -> None:
    member = Assignment("user:bo", "group:leads", "")
    any_store.write(roles, [ADMIN, USER, member, LEAD._replace(subject="group:leads")], [])
    first = EffectiveRolesCache(any_store, roles, single_process=True)
    assert is_lead(first)
    second = first.under(LEADS)
    # Not asked since: what was taken over is dropped as what was read.
    any_store.write(roles, [], [LEAD._replace(subject="group:leads")])
    assert not is_lead(second)
    any_store.write(roles, [LEAD], [])
    assert is_lead(second)
    second.forget_subjects(None)
    assert (len(second), second.approximate_bytes) == (0, 0)


def test_what_another_process_changed_before_is_seen_under_other_policies(
    store: AssignmentStore, other_store: AssignmentStore, roles: RoleModel
) -> None:
    store.write(roles, [ADMIN, USER, LEAD], [])
    first = EffectiveRolesCache(store, roles)
    first.refresh()
    assert is_lead(first)
    other_store.write(roles, [], [LEAD])
    second = first.under(LEADS)
    second.refresh()
    assert not is_lead(second)


def test_a_change_that_is_told_from_an_older_list_of_listeners_is_heard_under_other_policies(
    any_store: AssignmentStore, roles: RoleModel
) -> None:
    any_store.write(roles, [ADMIN, USER, LEAD], [])
    first = EffectiveRolesCache(any_store, roles, single_process=True)
    assert is_lead(first)
    listeners = any_store._listeners
    second = first.under(LEADS)
    for listener in any_store._listeners:
        any_store.remove_listener(listener)
    any_store.write(roles, [], [LEAD])
    # The older cache may be gone by then, too.
    del first
    gc.collect()
    assert is_lead(second)
    for listener in listeners:
        listener(StoreChange(frozenset({"user:bo"})))
    assert not is_lead(second)
