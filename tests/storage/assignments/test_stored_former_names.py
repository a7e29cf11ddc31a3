"""Role assignments that are stored under a former name of their role: found, kept and revoked as those of the role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import pytest
from storage_people import row

from klausel.core.analysis.search import holders_of
from klausel.core.policy.roles import RoleModel
from klausel.storage.assignments.holders import people_who_hold
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState, InvalidAssignments

OLD_ADMIN = row("ann", "owner", "acme")


@pytest.fixture
def renamed(roles: RoleModel) -> RoleModel:
    admin = replace(roles.roles["admin"], was=("owner",))
    return replace(roles, roles=MappingProxyType({**roles.roles, "admin": admin}))


@pytest.fixture(autouse=True)
def stored_before(put_behind_the_back: Callable[..., None]) -> None:
    put_behind_the_back(OLD_ADMIN)


def test_holders_are_found_under_the_former_name(store: AssignmentStore, renamed: RoleModel) -> None:
    found = list(people_who_hold(store.engine, holders_of(renamed, "acme", {"admin"})))
    assert [(subject, held.pairs) for subject, held in found] == [("user:ann", (("owner", "acme"),))]


def test_the_holder_under_the_former_name_is_the_one_that_a_domain_must_keep(
    store: AssignmentStore, renamed: RoleModel
) -> None:
    store.write(renamed, [row("bob", "user", "acme")], [])
    store.import_rows(renamed, [row("cy", "user", "acme")])
    for name in ("owner", "admin"):
        with pytest.raises(ForbiddenState):
            store.write(renamed, [], [row("ann", name, "acme")])


def test_revoking_the_role_takes_it_under_its_former_name_too(store: AssignmentStore, renamed: RoleModel) -> None:
    store.write(renamed, [row("bob", "admin", "acme"), row("ann", "admin", "acme")], [])
    store.write(renamed, [], [row("ann", "admin", "acme")])
    assert store.held_by("user:ann") == ()


def test_the_former_name_is_not_granted_any_more(store: AssignmentStore, renamed: RoleModel) -> None:
    for write in (lambda: store.write(renamed, [OLD_ADMIN], []), lambda: store.import_rows(renamed, [OLD_ADMIN])):
        with pytest.raises(InvalidAssignments):
            write()


def test_renaming_in_the_database_makes_the_former_name_needless(store: AssignmentStore, renamed: RoleModel) -> None:
    assert store.rename_role(renamed, "owner", "admin")[1] == 1
    assert store.held_by("user:ann") == (("admin", "acme"),)
