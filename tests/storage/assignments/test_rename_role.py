"""Renaming a role in the stored role assignments: everybody or nobody, and one change in the log."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from storage_people import row

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel
from klausel.core.records.change_record import Origin
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState, InvalidAssignments
from klausel.storage.change_log.reader import Filters, LogReader

CARA = Origin("cara", "a new name", None, "cli", None)
USERS = [row("ann", "user", "acme"), row("bob", "user", "acme"), row("ann", "admin", "acme"), row("bob", "admin", "acme")]
OLD = [row("ann", "checker", "acme/a"), row("ann", "checker", "acme/b"), row("bob", "checker", "acme/a")]


def test_everybody_gets_the_new_role_in_the_same_domains_and_one_change_says_so(
    store: AssignmentStore, roles: RoleModel, put_behind_the_back: Callable[..., None]
) -> None:
    store.write(roles, USERS, [])
    put_behind_the_back(*OLD)
    told = []
    store.add_listener(told.append)
    revision, count = store.rename_role(roles, "checker", "agent", CARA)
    assert count == 3 and revision == store.revision()
    assert store.page(role="checker").assignments == ()
    assert list(store.page(role="agent").assignments) == [each._replace(role="agent") for each in OLD]
    changes = list(LogReader(store.engine).changes(Filters(by="cara")))
    assert len({change.number for change in changes}) == 1
    assert sorted((change.word, Assignment(change.subject, change.role, change.domain)) for change in changes) == sorted(
        [("granted", each._replace(role="agent")) for each in OLD] + [("revoked", each) for each in OLD]
    )
    (change,) = told
    assert change.subjects == {"user:ann", "user:bob"}


def test_who_has_the_new_role_already_has_it_once(
    store: AssignmentStore, roles: RoleModel, put_behind_the_back: Callable[..., None]
) -> None:
    store.write(roles, [*USERS, row("ann", "agent", "acme/a")], [])
    put_behind_the_back(*OLD)
    assert store.rename_role(roles, "checker", "agent", CARA)[1] == 3
    assert len(store.page(role="agent").assignments) == 3


def test_a_role_that_nobody_has_is_renamed_without_a_change(store: AssignmentStore, roles: RoleModel) -> None:
    before = store.revision()
    assert store.rename_role(roles, "gone", "agent", CARA) == (before, 0)
    assert store.rename_role(roles, "agent", "agent", CARA) == (before, 0)


@pytest.mark.parametrize("new", ["nothing", "user"])
def test_a_role_that_cannot_be_held_there_is_refused_and_nothing_changes(
    store: AssignmentStore, roles: RoleModel, put_behind_the_back: Callable[..., None], new: str
) -> None:
    store.write(roles, USERS, [])
    put_behind_the_back(*OLD)
    before = store.revision()
    with pytest.raises(InvalidAssignments):
        store.rename_role(roles, "checker", new, CARA)
    assert store.revision() == before
    assert len(store.page(role="checker").assignments) == 3


def test_a_state_that_the_rules_forbid_is_refused_for_everybody(
    store: AssignmentStore, roles: RoleModel, put_behind_the_back: Callable[..., None]
) -> None:
    store.write(roles, USERS[:1] + USERS[2:3], [])
    put_behind_the_back(*OLD)
    with pytest.raises(ForbiddenState):
        store.rename_role(roles, "checker", "agent", CARA)
    assert len(store.page(role="checker").assignments) == 3
