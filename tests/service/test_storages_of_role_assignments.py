"""The one suite of every storage of role assignments: those over SQL, and one in memory with no SQL behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import pytest
from storage_people import ROLES, row

from klausel.core.decisions.effective_roles import ROLES_OF_NOBODY
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import Entity, EntityKey
from klausel.core.policy.holding import Rows, gather_rows, held_at, rows_by_subject
from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.service.role_assignments import RoleAssignments
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database
from klausel.storage.sql.revisions import StoreChange

Write = Callable[[Iterable[Assignment], Iterable[Assignment]], object]
ADMIN = row("ann", "admin", "acme")
USER = row("bo", "user", "acme")
LEAD = row("bo", "lead", "acme/support")
MEMBER = Assignment("user:cy", "group:team", "")
OF_TEAM = Assignment("group:team", "reviewer", "acme/support")
LATER = Assignment("user:cy", "lead", "acme/support", "2099-01-01T00:00:00Z")
CY = row("cy", "user", "acme")


class InMemory:
    """Role assignments in a set, and its own reader. Only this process can write it."""

    shares_one_connection = True
    tells_changes = False
    history = None
    feed = None

    def __init__(self) -> None:
        self.clock: Callable[[], float] = time.time
        self.reader = self
        self._rows: frozenset[Assignment] = frozenset()
        self._listeners: list[Callable[[StoreChange], None]] = []
        self._counter = 0

    def write(self, grant: Iterable[Assignment], revoke: Iterable[Assignment]) -> None:
        before, self._rows = self._rows, (self._rows | set(grant)) - set(revoke)
        if before == self._rows:
            return
        self._counter += 1
        changed = frozenset(one.subject for one in before ^ self._rows)
        for listener in tuple(self._listeners):
            listener(StoreChange(changed))

    def held_by(self, subject: str) -> Rows:
        by_subject = rows_by_subject(self._rows)
        return gather_rows(subject, by_subject.get(subject, ()), by_subject)

    def entities(self, keys: Sequence[EntityKey]) -> list[tuple[Entity, int]]:
        return []

    def data_version(self) -> Hashable:
        raise AssertionError("asked though it tells no changes")

    def revision(self) -> str:
        return f"memory-{self._counter}"

    def add_listener(self, listener: Callable[[StoreChange], None]) -> None:
        self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[StoreChange], None]) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)


class Stored(NamedTuple):
    """A storage, and how this suite writes to it: what is granted, and what is revoked."""

    store: RoleAssignments
    write: Write


@pytest.fixture(params=["set", "sqlite_url", "postgresql_schema_url", "sqlite://"])
def stored(request: pytest.FixtureRequest) -> Iterator[Stored]:
    if request.param == "set":
        memory = InMemory()
        yield Stored(memory, memory.write)
        return
    url = request.param if ":" in request.param else request.getfixturevalue(request.param)
    sql = AssignmentStore(open_database(url))
    yield Stored(sql, lambda grant, revoke: sql.write(ROLES, list(grant), list(revoke)))
    sql.close()


def test_held_by_gives_pairs_sorted_and_the_rows_of_groups_and_nothing_of_strangers(stored: Stored) -> None:
    stored.write([ADMIN, USER, LEAD, CY, MEMBER, OF_TEAM, LATER], [])
    read = stored.store.reader.held_by
    assert read("user:bo") == Rows((("lead", "acme/support"), ("user", "acme")))
    assert sorted(read("user:cy").others, key=str) == sorted([MEMBER, OF_TEAM, LATER], key=str)
    assert read("user:stranger") == Rows(())
    held = held_at("user:cy", read("user:cy"), stored.store.clock())
    assert (held.pairs, held.groups) == ((("reviewer", "acme/support"), ("user", "acme")), {"group:team"})


def test_the_revision_is_another_after_every_write_that_changes_something(stored: Stored) -> None:
    seen = [stored.store.revision()]
    for grant, revoke in (([ADMIN, USER], []), ([USER], []), ([], [USER]), ([], [USER])):
        stored.write(grant, revoke)
        seen.append(stored.store.revision())
    assert [one == other for one, other in pairwise(seen)] == [False, True, False, True]


def test_listeners_are_told_whom_a_write_changed_before_it_returns_and_no_longer_once_removed(stored: Stored) -> None:
    told: list[StoreChange] = []
    stored.store.remove_listener(told.append)
    stored.store.add_listener(told.append)
    stored.write([ADMIN, USER], [])
    assert [change.subjects for change in told] == [{"user:ann", "user:bo"}]
    stored.write([], [USER])
    assert [change.subjects for change in told[1:]] == [{"user:bo"}]
    stored.store.remove_listener(told.append)
    stored.write([USER], [])
    assert len(told) == 2


def test_what_tells_changes_has_a_history_and_a_version(stored: Stored) -> None:
    reader = stored.store.reader
    if reader.tells_changes:
        assert reader.history is not None
        assert reader.data_version() == reader.data_version()


def test_no_entity_is_stored_that_nobody_put(stored: Stored) -> None:
    assert list(stored.store.reader.entities([("subject", "user", "ann"), ("resource", "todo", "1")])) == []


def test_the_cache_of_effective_roles_is_right_after_every_write(stored: Stored) -> None:
    stored.write([ADMIN, USER, LEAD, CY, MEMBER, OF_TEAM], [])
    cache = EffectiveRolesCache(stored.store, ROLES, single_process=True)
    for _ in range(2):
        assert cache.roles_in("user:bo", "acme/support") >= {"lead", "reviewer", "agent", "user", "any lead", "anyone"}
        assert "reviewer" in cache.roles_in("user:cy", "acme/support")
        assert cache.roles_in("user:stranger", "acme") == ROLES_OF_NOBODY
    stored.write([], [LEAD, OF_TEAM])
    assert "lead" not in cache.roles_in("user:bo", "acme/support")
    assert "reviewer" not in cache.roles_in("user:cy", "acme/support")
    stored.write([LEAD, OF_TEAM], [])
    assert "lead" in cache.roles_in("user:bo", "acme/support")
    assert "reviewer" in cache.roles_in("user:cy", "acme/support")
