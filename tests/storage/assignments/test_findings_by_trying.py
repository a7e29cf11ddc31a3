"""Findings about generated people, written before the rules were, are what asking each person and place one by one finds."""

from __future__ import annotations

import random
from dataclasses import replace
from types import MappingProxyType

import pytest
from storage_people import ROLES

from klausel.core.analysis.findings import Finding, FindingsSearch
from klausel.core.policy.assignment import Assignment
from klausel.core.terms.moment import instant_text
from klausel.storage.assignments.people_of_roles import everybody
from klausel.storage.assignments.store import AssignmentStore

NOW = 1_772_366_400
SEPARATED = ("account_manager", "lead"), ("user", "reviewer")
RULES = replace(ROLES, separate=SEPARATED)
NO_RULES = replace(
    ROLES,
    levels=tuple(replace(level, requires_role_above=False) for level in ROLES.levels),
    roles=MappingProxyType({name: replace(role, keep_one=False) for name, role in ROLES.roles.items()}),
)
OF_ACCOUNTS, OF_WORKSPACES = ("admin", "account_manager", "user"), ("manager", "lead", "reviewer", "agent")
STANDS_FOR = {
    "admin": {*OF_ACCOUNTS, *OF_WORKSPACES},
    "account_manager": {"account_manager", "user", *OF_WORKSPACES},
    "user": {"user"},
    **{role: set(OF_WORKSPACES[place:]) for place, role in enumerate(OF_WORKSPACES)},
}
TIMES = ((None, None), (None, None), (None, -5), (None, 5), (None, 50), (5, None), (-5, 20))


def generated_rows(random_: random.Random) -> list[Assignment]:
    """Of people and of groups, each in those of a higher number alone, so that there is no circle."""
    rows: dict[tuple[str, str, str], Assignment] = {}
    for number in range(60):
        subject = random_.choice([f"user:u{number % 9}", f"group:g{number % 4}"])
        times = (None if days is None else instant_text(NOW + days * 86_400) for days in random_.choice(TIMES))
        account = random_.choice(("acme", "globex", "hooli"))
        kind = random_.random()
        if kind < 0.3:
            lowest = int(subject[-1]) + 1 if subject.startswith("group:") else 0
            if lowest > 3:
                continue
            row = Assignment(subject, f"group:g{random_.randint(lowest, 3)}", "", *times)
        elif kind < 0.6:
            row = Assignment(subject, random_.choice(OF_ACCOUNTS), account, *times)
        else:
            row = Assignment(subject, random_.choice(OF_WORKSPACES), f"{account}/{random_.choice('xy')}", *times)
        rows[row.key] = row
    return list(rows.values())


def counts(row: Assignment) -> bool:
    now = instant_text(NOW)
    return (row.starts is None or row.starts <= now) and (row.ends is None or now < row.ends)


def held_by(subject: str, rows: list[Assignment]) -> set[tuple[str, str]]:
    mine = [row for row in rows if row.subject == subject]
    pairs = {(row.role, row.domain) for row in mine if row.domain}
    return pairs.union(*(held_by(row.role, rows) for row in mine if not row.domain))


def by_trying(rows: list[Assignment]) -> set[tuple[str, str | None, str]]:
    """Kind, subject and account of each thing that is wrong with people and places."""
    people = sorted({row.subject for row in rows if row.subject.startswith("user:")})
    found: set[tuple[str, str | None, str]] = set()
    for subject in people:
        held = held_by(subject, [row for row in rows if counts(row)])
        for account in ("acme", "globex", "hooli"):
            here = {pair for pair in held if pair[1].split("/")[0] == account}
            is_in_account = any("/" not in domain for _, domain in here)
            if here and not is_in_account:
                found.add(("requires-role-above", subject, account))
            names = set().union(*(STANDS_FOR[role] for role, _ in here)) if is_in_account else set()
            if any(names.issuperset(pair) for pair in SEPARATED):
                found.add(("separate-roles", subject, account))
    lasting = [row for row in rows if counts(row) and row.ends is None]
    for account in ("acme", "globex", "hooli"):
        if any(row.domain.split("/")[0] == account and (row.ends or "9") > instant_text(NOW) for row in rows):
            holders = [subject for subject in people if ("admin", account) in held_by(subject, lasting)]
            if not holders:
                found.add(("keep-one", None, account))
            elif len(holders) == 1:
                found.add(("only-one-holder", holders[0], account))
    return found


def searched(store: AssignmentStore, inside: str | None = None) -> list[Finding]:
    search = FindingsSearch(RULES, NOW, 30 * 86_400, inside)
    return [
        *(one for own, rows in everybody(store.engine, inside) for one in search.of_subject(own, rows)),
        *search.of_places(),
    ]


@pytest.mark.parametrize("seed", range(12))
def test_findings_are_what_trying_everybody_finds(store: AssignmentStore, seed: int) -> None:
    rows = generated_rows(random.Random(seed))
    store.clock = lambda: NOW - 6 * 86_400
    store.write(NO_RULES, rows, [])
    findings = searched(store)
    timely = [(one.kind, one.subject, one.role, one.domain) for one in findings if one.kind in ("ended", "ending")]
    now, soon = instant_text(NOW), instant_text(NOW + 30 * 86_400)
    assert sorted(timely, key=repr) == sorted(
        (
            ("ended" if row.ends <= now else "ending", row.subject, row.role, row.domain or None)
            for row in rows
            if row.ends is not None and row.ends <= soon
        ),
        key=repr,
    )
    others = {
        (one.kind, one.subject, (one.domain or "").split("/")[0]) for one in findings if one.kind not in ("ended", "ending")
    }
    assert others == by_trying(rows)


@pytest.mark.parametrize("seed", range(6))
def test_findings_inside_an_account_are_all_of_that_account(store: AssignmentStore, seed: int) -> None:
    rows = generated_rows(random.Random(seed))
    store.clock = lambda: NOW - 6 * 86_400
    store.write(NO_RULES, rows, [])
    inside = {one for one in searched(store, "acme") if one.domain is not None}
    assert inside == {one for one in searched(store) if one.domain is not None and one.domain.split("/")[0] == "acme"}
