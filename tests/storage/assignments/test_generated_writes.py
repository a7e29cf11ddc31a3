"""Writes and imports of rows with times and groups, against the plain meaning of the rules, looked at second by second."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Iterator

import pytest
from storage_people import HERE, model

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import Level, Role
from klausel.core.terms.moment import instant_text
from klausel.storage.assignments.rules import violations_of_all
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState
from klausel.storage.change_log.verification import verify_log
from klausel.storage.schema import open_database

ROLES = dataclasses.replace(
    model(
        Level("account", 1, "account", "account", None, False, HERE),
        Level("workspace", 2, "workspace", "workspace", None, True, HERE),
        roles=(
            Role("admin", "account", ("user",), True, HERE),
            Role("user", "account", (), False, HERE),
            Role("maker", "workspace", (), False, HERE),
            Role("checker", "workspace", (), False, HERE),
        ),
    ),
    separate=(("maker", "checker"),),
)
LAST = 8
GROUPS = [f"group:{letter}" for letter in "xyz"]
PEOPLE = [f"user:{letter}" for letter in "abc"]

State = dict[tuple[str, str, str], Assignment]


def some_rows(chance: random.Random, count: int) -> list[Assignment]:
    found: State = {}
    for _ in range(count):
        subject = chance.choice(PEOPLE + GROUPS)
        what = chance.choice(
            [("admin", "acme"), ("user", "acme"), ("maker", "acme/w"), ("checker", "acme/v")] + [(one, "") for one in GROUPS]
        )
        starts, ends = sorted(chance.sample(range(-2, LAST), 2))
        times = (
            instant_text(starts) if chance.random() < 0.2 else None,
            instant_text(max(ends, 1)) if chance.random() < 0.3 else None,
        )
        if subject != what[0] and (times[0] is None or times[1] is None or times[0] < times[1]):
            found[(subject, *what)] = Assignment(subject, *what, *times)
    return list(found.values())


def counts(row: Assignment, second: int) -> bool:
    return (row.starts is None or row.starts <= instant_text(second)) and (
        row.ends is None or instant_text(second) < row.ends
    )


def held(state: Iterable[Assignment], subject: str, second: int) -> set[tuple[str, str]]:
    rows = [row for row in state if counts(row, second)]
    holders = {subject}
    while True:
        more = {row.role for row in rows if row.subject in holders and not row.domain} - holders
        if not more:
            break
        holders |= more
    return {(row.role, row.domain) for row in rows if row.subject in holders and row.domain}


def is_circular(state: Iterable[Assignment]) -> bool:
    links = {(row.subject, row.role) for row in state if not row.domain}
    while True:
        more = {(one, other) for one, middle in links for begin, other in links if middle == begin} - links
        if not more:
            return any(one == other for one, other in links)
        links |= more


def faults_of_people(state: list[Assignment], keeps_apart: bool) -> Iterator[tuple[str, str]]:
    for person in PEOPLE:
        for second in range(LAST + 1):
            names = {role for role, _ in held(state, person, second)}
            if keeps_apart and {"maker", "checker"} <= names and names & {"admin", "user"}:
                yield person, "separate-roles"
            if {"maker", "checker"} & names and not names & {"admin", "user"}:
                yield person, "requires-role-above"


def lacks_an_admin(state: list[Assignment]) -> bool:
    """Whether there are people whose roles do not end now, and none of them is an admin for ever."""
    people = any(row.domain and (row.ends is None or row.ends > instant_text(0)) for row in state)
    lasting = [row for row in state if row.ends is None and (row.starts is None or row.starts <= instant_text(0))]
    return people and not any(("admin", "acme") in held(lasting, person, 0) for person in PEOPLE)


@pytest.mark.parametrize("by_import", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_from_a_good_state_exactly_the_writes_that_lead_to_a_bad_one_are_refused(seed: int, by_import: bool) -> None:
    chance = random.Random(seed)
    keeps_apart = seed < 4
    roles = ROLES if keeps_apart else dataclasses.replace(ROLES, separate=())
    store = AssignmentStore(open_database("sqlite://"), clock=lambda: 0.0)
    state: State = {}
    taken = refused = 0
    for _ in range(80):
        grant = some_rows(chance, chance.randint(1, 4))
        revoke = chance.sample(sorted(state), min(len(state), chance.randint(0, 2))) if not by_import else []
        revoke = [key for key in revoke if key not in {row.key for row in grant}]
        after = {key: row for key, row in state.items() if key not in revoke} | {row.key: row for row in grant}
        rows = list(after.values())
        bad = is_circular(rows) or lacks_an_admin(rows) or any(faults_of_people(rows, keeps_apart))
        try:
            if by_import:
                store.import_rows(roles, grant)
            else:
                store.write(roles, grant, [Assignment(*key) for key in revoke])
        except ForbiddenState as error:
            assert bad, (error, rows)
            refused += 1
        else:
            assert not bad, rows
            state = after
            taken += 1
        assert {row.key: row for row in store.export_rows()} == state
        for person in PEOPLE:
            assert set(store.held_by(person)) == held(state.values(), person, 0)
        if len(state) > 9:
            store.write(roles, [], list(state.values()))
            state = {}
    assert taken > 5 and refused > 5
    assert verify_log(store.engine, {}).findings == ()
    store.close()


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_are_all_there_is_break_the_rules_where_their_import_is_refused(seed: int) -> None:
    chance = random.Random(seed)
    told = 0
    store = AssignmentStore(open_database("sqlite://"), clock=lambda: 0.0)
    for _ in range(150):
        rows = some_rows(chance, chance.randint(1, 9))
        rows += [row._replace(ends=instant_text(LAST)) for row in rows if row.starts is None and chance.random() < 0.02]
        expected: set[tuple[str | None, str, str, str]] = set()
        try:
            store.import_rows(ROLES, rows)
            store.write(ROLES, [], list(store.export_rows()))
        except ForbiddenState as error:
            expected = {(one.subject, one.role, one.domain, one.rule) for one in error.violations}
        found = violations_of_all(ROLES, rows, 0)
        assert {(one.subject, one.role, one.domain, one.rule) for one in found} == expected, rows
        told += bool(expected)
    store.close()
    assert 30 < told < 140
