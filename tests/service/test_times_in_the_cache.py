"""Remembered roles with times and groups: they begin and end to the second, in every process, and follow their groups."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text
from storage_people import ROLES, row

from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.holding import held_at
from klausel.core.policy.roles import RoleModel
from klausel.core.terms.moment import instant_text
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database

NOW = 1_000_000.0
ADMIN = row("ann", "admin", "acme")
USER = row("bo", "user", "acme")
LEAD = row("bo", "lead", "acme/support")._replace(starts=instant_text(NOW + 10), ends=instant_text(NOW + 20))
USERS = Assignment("group:users", "user", "acme")
LEADS = Assignment("group:leads", "lead", "acme/support")


class Queries:
    """Counts what a cache asks the database."""

    def __init__(self, cache: EffectiveRolesCache) -> None:
        self.asked: list[str] = []
        ask = cache._reader.held_by

        def held_by(subject: str) -> object:
            self.asked.append(subject)
            return ask(subject)

        cache._reader.held_by = held_by  # type: ignore[method-assign,assignment]


def is_lead(cache: EffectiveRolesCache, now: float = NOW, subject: str = "user:bo") -> bool:
    return "lead" in cache.roles_in(subject, "acme/support", now)


@pytest.fixture
def any_store(any_store: AssignmentStore) -> AssignmentStore:
    any_store.clock = lambda: NOW
    return any_store


def test_a_role_begins_and_ends_to_the_second_and_is_read_once_for_each_part(
    any_store: AssignmentStore, roles: RoleModel
) -> None:
    any_store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(any_store, roles, single_process=True)
    queries = Queries(cache)
    moments = [0, 5, 9.999, 10, 15, 19.999, 20, 1_000]
    assert [is_lead(cache, NOW + moment) for moment in moments] == [False, False, False, True, True, True, False, False]
    assert len(queries.asked) == 3
    assert len(cache) == 1


def test_a_clock_that_is_set_back_is_answered_as_if_nothing_were_remembered(
    any_store: AssignmentStore, roles: RoleModel
) -> None:
    any_store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(any_store, roles, single_process=True)
    chance = random.Random(3)
    for _ in range(200):
        now = NOW + chance.choice([0, 9, 10, 19, 20, 30])
        assert is_lead(cache, now) == (NOW + 10 <= now < NOW + 20)
    assert len(cache) == 1


def test_without_a_moment_it_is_now_by_the_clock_of_the_store(any_store: AssignmentStore, roles: RoleModel) -> None:
    any_store.write(roles, [ADMIN, USER, LEAD], [])
    cache = EffectiveRolesCache(any_store, roles, single_process=True)
    assert "lead" not in cache.roles_in("user:bo", "acme/support")
    any_store.clock = lambda: NOW + 11
    assert "lead" in cache.roles_in("user:bo", "acme/support")


def test_another_process_ends_it_by_itself(sqlite_url: str, roles: RoleModel) -> None:
    store, other = AssignmentStore(open_database(sqlite_url)), AssignmentStore(open_database(sqlite_url))
    store.clock = other.clock = lambda: NOW
    store.write(roles, [ADMIN, USER, LEAD], [])
    caches = [EffectiveRolesCache(one, roles) for one in (store, other)]
    for now, expected in ((NOW + 10, True), (NOW + 20, False)):
        for cache in caches:
            cache.refresh()
            assert is_lead(cache, now) is expected
    store.close()
    other.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.write(ROLES, [], [LEADS]),
        lambda store: store.write(ROLES, [], [Assignment("group:inner", "group:leads", "")]),
        lambda store: store.write(ROLES, [], [Assignment("user:bo", "group:inner", "")]),
        lambda store: store.import_rows(ROLES, [LEADS._replace(ends=instant_text(NOW - 5))]),
        lambda store: store.remove_subject(ROLES, "user:bo", "acme"),
    ],
)
def test_what_changes_about_a_group_is_seen_at_once_by_all_who_are_in_it(
    any_store: AssignmentStore, roles: RoleModel, change: Callable[[AssignmentStore], object]
) -> None:
    inner = Assignment("group:inner", "group:leads", "")
    rows = [ADMIN, USER, row("cy", "user", "acme"), LEADS, inner, Assignment("user:bo", "group:inner", "")]
    any_store.write(roles, rows, [])
    cache = EffectiveRolesCache(any_store, roles, single_process=True)
    assert is_lead(cache)
    cache.roles_in("user:cy", "acme", NOW)
    queries = Queries(cache)
    change(any_store)
    assert not is_lead(cache)
    cache.roles_in("user:cy", "acme", NOW)
    assert queries.asked == ["user:bo"]
    assert cache.approximate_bytes > 0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM casbin_rule WHERE v0 = 'group:leads'",
        "UPDATE casbin_rule SET v0 = 'group:others' WHERE v0 = 'group:leads'",
        "UPDATE casbin_rule SET v1 = 'agent' WHERE v0 = 'group:leads'",
        "UPDATE casbin_rule SET v1 = 'group:others' WHERE v0 = 'group:inner'",
        "DELETE FROM casbin_rule WHERE v1 = 'group:inner'",
        "UPDATE casbin_rule SET ptype = 'gm', v4 = '1970-01-01T00:00:00Z' WHERE v0 = 'group:inner'",
        "DELETE FROM casbin_rule",
        "INSERT OR REPLACE INTO casbin_rule (id, ptype, v0, v1, v2) "
        "SELECT id, 'g', 'user:cy', 'user', 'beta' FROM casbin_rule WHERE v0 = 'group:leads'",
    ],
)
def test_what_others_change_about_a_group_by_plain_sql_is_seen_at_the_next_request(
    sqlite_url: str, roles: RoleModel, statement: str
) -> None:
    store = AssignmentStore(open_database(sqlite_url))
    inner = Assignment("group:inner", "group:leads", "")
    store.write(roles, [ADMIN, USER, LEADS, inner, Assignment("user:bo", "group:inner", "")], [])
    cache = EffectiveRolesCache(store, roles)
    cache.refresh()
    assert is_lead(cache)
    other = open_database(sqlite_url)
    with other.begin() as connection:
        connection.execute(text(statement))
    cache.refresh()
    assert not is_lead(cache)
    other.dispose()
    store.close()


def test_who_leaves_is_forgotten_with_the_groups(any_store: AssignmentStore, roles: RoleModel) -> None:
    people = [Assignment(f"user:p{number}", "group:users", "") for number in range(30)]
    any_store.write(roles, [ADMIN, USERS, *people], [])
    cache = EffectiveRolesCache(any_store, roles, single_process=True, max_entries=10)
    for person in people * 2:
        assert "user" in cache.roles_in(person.subject, "acme", NOW)
        assert len(cache) <= 10
        assert sum(map(len, cache._behind.values())) == len(cache)
    any_store.write(roles, [], [USERS])
    assert (len(cache), cache.approximate_bytes, cache._behind) == (0, 0, {})


def test_readers_see_no_answer_older_than_the_last_finished_write_about_their_group(
    any_store: AssignmentStore, roles: RoleModel
) -> None:
    any_store.write(roles, [ADMIN, USER, LEADS, Assignment("user:bo", "group:leads", "")], [])
    cache = EffectiveRolesCache(any_store, roles, single_process=True)
    wrong: list[bool] = []
    ended = threading.Event()

    def read() -> None:
        # With a rest: readers that never wait keep the interpreter from the writer, and then few writes are met.
        while not ended.wait(0.0005):
            is_lead(cache)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(40):
        any_store.write(roles, [], [LEADS])
        wrong.append(is_lead(cache))
        any_store.write(roles, [LEADS], [])
        wrong.append(not is_lead(cache))
    ended.set()
    for reader in readers:
        reader.join()
    assert not any(wrong)


def test_a_kept_entry_is_what_the_core_makes_of_the_rows(any_store: AssignmentStore, roles: RoleModel) -> None:
    rows = [ADMIN, USER, LEAD, USERS, Assignment("user:bo", "group:users", "", None, instant_text(NOW + 12))]
    any_store.write(roles, rows, [])
    cache = EffectiveRolesCache(any_store, roles, single_process=True)
    for second in (0, 11, 13, 25):
        for _ in range(2):
            kept = cache.effective_roles_of("user:bo", NOW + second)
            plain = EffectiveRoles.of_held(roles, held_at("user:bo", any_store.reader.held_by("user:bo"), NOW + second))
            assert kept.held == plain.held
            assert kept.roles_in("acme/support") == plain.roles_in("acme/support")
            assert kept.untimely == plain.untimely
