"""A role that was renamed is found under every name that it had, in pages and in the change log."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import Level, Role, RoleModel
from klausel.core.terms.problem import Place
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.change_log.reader import Filters, LogReader

PLACE = Place("roles.yaml", 1, 1)
LEVEL = Level("account", 1, "account", None, None, False, PLACE)


def roles_called(name: str, *was: str) -> RoleModel:
    role = Role(name, "account", (), False, PLACE, was)
    return RoleModel((LEVEL,), MappingProxyType({name: role, "other": replace(role, name="other", was=())}))


NOW = roles_called("evaluator", "reviewer", "checker")


@pytest.fixture
def store(any_store: AssignmentStore) -> AssignmentStore:
    rows = {"reviewer": ("ann", "cy"), "checker": ("bo",), "evaluator": ("ann", "dan"), "other": ("eve",)}
    for name, people in rows.items():
        any_store.write(roles_called(name), [Assignment(f"user:{who}", name, "acme") for who in people], ())
    return any_store


@pytest.mark.parametrize("asked", ["evaluator", "reviewer", "checker"])
def test_pages_have_it_under_all_its_names_in_order(store: AssignmentStore, asked: str) -> None:
    found, cursor = [], None
    while True:
        page = store.page(role=asked, role_names=NOW.names_of_one(asked), limit=2, cursor=cursor)
        found += page.assignments
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [(row.subject, row.role) for row in found] == [
        ("user:ann", "evaluator"),
        ("user:ann", "reviewer"),
        ("user:bo", "checker"),
        ("user:cy", "reviewer"),
        ("user:dan", "evaluator"),
    ]


def test_the_change_log_has_it_under_all_its_names(store: AssignmentStore) -> None:
    wanted = Filters(role="evaluator", role_names=NOW.names_of_one("evaluator"))
    assert {change.role for change in LogReader(store.engine).changes(wanted)} == {"evaluator", "reviewer", "checker"}


def test_another_role_and_one_that_nobody_declares_have_one_name() -> None:
    assert NOW.names_of_one("other") == ("other",)
    assert NOW.names_of_one("gone") == ("gone",)
