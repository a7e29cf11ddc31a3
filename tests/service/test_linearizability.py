"""Decisions with tokens over three replicas are linearizable, and the check finds a cache that is not."""

from __future__ import annotations

import pytest
from faults.linearizability import Operation, record, violation, violations


def write(value: bool, began: float, ended: float) -> Operation:
    return Operation(0, True, value, began, ended)


def read(value: bool, began: float, ended: float) -> Operation:
    return Operation(0, False, value, began, ended)


@pytest.mark.parametrize(
    "history",
    [
        [write(True, 0, 2), read(True, 1, 3), read(True, 4, 5)],
        # Both orders of a write and what goes on beside it are allowed.
        [write(True, 0, 9), read(False, 1, 2), read(True, 3, 4)],
        [write(True, 0, 3), write(False, 1, 3), read(True, 4, 5)],
        [write(True, 0, 1), write(False, 2, 9), read(True, 3, 5), read(False, 4, 6)],
    ],
)
def test_a_history_that_some_order_explains_is_linearizable(history: list[Operation]) -> None:
    assert violation(history) is None


@pytest.mark.parametrize(
    "history",
    [
        [write(True, 0, 1), read(False, 2, 3)],
        [write(True, 0, 9), read(True, 1, 2), read(False, 3, 4)],
        [write(True, 0, 1), write(False, 2, 9), read(False, 3, 4), read(True, 5, 6)],
    ],
)
def test_a_history_that_no_order_explains_is_told(history: list[Operation]) -> None:
    assert violation(history) == history[-1]


def test_decisions_with_tokens_of_three_replicas_are_linearizable(postgresql_schema_url: str) -> None:
    history = record(postgresql_schema_url, 450, clients=2, registers=3, in_processes=False)
    assert len(history) > 400
    assert any(one.value for one in history if not one.is_write)
    assert violations(history) == []


def test_decisions_of_three_replicas_on_a_file_that_others_write_too_are_linearizable(sqlite_url: str) -> None:
    history = record(sqlite_url, 300, clients=2, registers=3)
    assert len(history) == 300
    assert any(one.value for one in history if not one.is_write)
    assert violations(history) == []


def test_caches_that_forget_nobody_are_found(sqlite_url: str) -> None:
    assert violations(record(sqlite_url, 300, clients=2, registers=3, is_deaf=True, in_processes=False))


def test_caches_that_are_not_told_of_changes_are_found(postgresql_schema_url: str) -> None:
    assert violations(record(postgresql_schema_url, 450, clients=2, registers=3, is_deaf=True, in_processes=False))
