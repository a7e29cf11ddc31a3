"""Every row of the table of permissions, in both editions, asked as everybody, everywhere, with and without attributes."""

import random

import pytest
from permission_table import PEOPLE, TABLE, Person, questions
from policy_sets import EDITIONS, Asked, read_policy

from klausel.core.terms.request import Request

TYPES = sorted({row["type"] for row in TABLE})
HELD = {person.key: person.held for person in PEOPLE}
STOCK_SAMPLE = 4


@pytest.fixture(scope="module")
def editions() -> dict[str, Asked]:
    return {name: Asked(read_policy(folder), HELD) for name, folder in EDITIONS.items()}


def listed_actions(edition: str, type_: str) -> set[str]:
    rows = [row for row in TABLE if row["type"] == type_ and (edition == "current" or row.get("earlier") != "nobody")]
    return {action for row in rows for action in row["actions"]}


def said(person: Person, request: Request, expected: bool) -> str:
    where = dict(request.resource.properties)
    return f"{person.key} {request.action.name} {request.resource.type} {where}: expected {expected}"


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("edition", EDITIONS)
def test_every_decision_is_as_the_table_says(edition: str, type_: str, editions: dict[str, Asked]) -> None:
    asked = editions[edition]
    wrong = []
    allowed_actions = set()
    for person, request, expected in questions(type_, edition):
        if asked.allows(request) is not expected:
            wrong.append(said(person, request, expected))
        if expected:
            allowed_actions.add(request.action.name)
    assert not wrong, f"{len(wrong)} differ, among them:\n" + "\n".join(wrong[:10])
    assert allowed_actions == listed_actions(edition, type_), "a table whose questions are all denied proves little"


@pytest.mark.parametrize("edition", EDITIONS)
def test_stock_casbin_decides_the_same_from_the_same_rows(edition: str, editions: dict[str, Asked]) -> None:
    asked = editions[edition]
    chosen = random.Random(1)
    wrong = []
    for type_ in TYPES:
        every = list(questions(type_, edition, chosen.sample(PEOPLE, 4)))
        allowed = [question for question in every if question[2]]
        sample = chosen.sample(allowed, min(STOCK_SAMPLE // 2, len(allowed)))
        sample += chosen.sample(every, min(STOCK_SAMPLE - len(sample), len(every)))
        wrong += [said(*question) for question in sample if asked.stock_allows(question[1]) is not question[2]]
    assert not wrong, "\n".join(wrong[:10])


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_policies_declare_what_the_table_lists_and_nothing_else(edition: str, editions: dict[str, Asked]) -> None:
    declared = {type_.name: set(type_.actions) for type_ in editions[edition].policy.resource_types.values()}
    listed = {type_: listed_actions(edition, type_) for type_ in TYPES}
    assert declared == {type_: actions for type_, actions in listed.items() if actions}


def test_the_earlier_edition_has_no_lead(editions: dict[str, Asked]) -> None:
    assert set(editions["current"].policy.roles.roles) - set(editions["earlier"].policy.roles.roles) == {"lead"}


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_policies_are_without_warnings(edition: str, editions: dict[str, Asked]) -> None:
    assert editions[edition].policy.warnings == ()
