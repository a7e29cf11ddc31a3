"""Who holds some roles: read along the indices, in order, complete, on every database."""

from collections.abc import Callable
from random import Random

import pytest
from sqlalchemy import text
from storage_people import HERE, model, row

from klausel.core.analysis.search import Holders
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import Level, Role
from klausel.core.records.change_record import Origin
from klausel.storage.assignments import holders as module
from klausel.storage.assignments.holders import people_who_hold, subjects_who_hold
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.change_log.reader import Filters, LogReader, MomentInLog
from klausel.storage.schema import open_database

NAMES = ("ann", "bob", "Zoe", "änne", "zoë", "a", "a b", "\U0001f600", "carl", "dora")
DOMAINS = ("acme", "acme/support", "acme/sales", "acme/b", "acme2", "acme2/support", "acme-x/support", "acme.b/c")
ROLES = ("lead", "agent", "user")
ALONE = model(
    Level("account", 1, "account", "account", None, False, HERE),
    Level("workspace", 2, "workspace", "workspace", None, False, HERE),
    roles=(
        Role("user", "account", (), False, HERE),
        Role("lead", "workspace", (), False, HERE),
        Role("agent", "workspace", (), False, HERE),
    ),
)
CAN_BE_HELD = [(role, domain) for role in ROLES for domain in DOMAINS if (role == "user") != ("/" in domain)]


@pytest.fixture
def people(put_behind_the_back: Callable[..., None]) -> list[Assignment]:
    random = Random(7)
    rows = {row(random.choice(NAMES), random.choice(ROLES), random.choice(DOMAINS)) for _ in range(120)}
    put_behind_the_back(*rows)
    return sorted(rows)


WANTED = [
    Holders((), (), "acme"),
    Holders((("lead", "acme/support"),), (), "acme"),
    Holders((("user", "acme"), ("lead", "acme/support"), ("agent", "acme/support")), (), "acme"),
    Holders((), ("lead",), "acme"),
    Holders((("user", "acme"),), ("lead", "agent"), "acme"),
    Holders((), ("lead",), "nowhere"),
]


@pytest.mark.parametrize("wanted", WANTED, ids=str)
@pytest.mark.parametrize(("step", "few"), [(1, 0), (3, 0), (32, 16)])
def test_every_holder_comes_once_in_order_with_all_that_they_hold(
    store: AssignmentStore,
    people: list[Assignment],
    wanted: Holders,
    step: int,
    few: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_ROWS", step)
    monkeypatch.setattr(module, "NEAR_PLACES", step)
    monkeypatch.setattr(module, "FEW_PLACES", few)
    matching = {
        one.subject
        for one in people
        if (one.role, one.domain) in wanted.exactly
        or (one.role in wanted.anywhere and one.domain.startswith(wanted.top + "/"))
    }
    for after in ("", "user:a", "user:carl", "user:\U0001f600"):
        found = list(people_who_hold(store.engine, wanted, after))
        assert [subject for subject, _ in found] == sorted(subject for subject in matching if subject > after)
        for subject, held in found:
            assert held.pairs == tuple((one.role, one.domain) for one in people if one.subject == subject)


def test_in_one_memory_people_can_be_read_between_the_steps() -> None:
    store = AssignmentStore(open_database("sqlite://"))
    with store.engine.begin() as connection:
        statement = text("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', :subject, 'user', 'acme')")
        connection.execute(statement, [{"subject": f"user:{number:03}"} for number in range(200)])
    found = []
    for subject in subjects_who_hold(store.engine, Holders((("user", "acme"),), (), "acme")):
        assert store.held_by(subject) == (("user", "acme"),)
        found.append(subject)
    assert len(found) == 200
    store.close()


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_holders_of_a_moment_are_those_whom_the_log_says_held_something_then(
    store: AssignmentStore, wanted: Holders
) -> None:
    random = Random(11)
    reader = LogReader(store.engine)
    held: set[Assignment] = set()
    past: list[tuple[MomentInLog, set[Assignment]]] = []
    for _ in range(25):
        rows = {row(random.choice(NAMES), *random.choice(CAN_BE_HELD)) for _ in range(6)}
        added, removed = sorted(rows - held), sorted(random.sample(sorted(held), min(4, len(held))))
        store.write(ALONE, added, removed, Origin())
        held = (held | set(added)) - set(removed)
        last = next(reader.changes(Filters(), limit=1))
        past.append((reader.at(last.microseconds), held))
    for moment, then in past:
        for after in ("", "user:a b", "user:zoë"):
            expected = {
                one.subject
                for one in then
                if ((one.role, one.domain) in wanted.exactly or (one.role in wanted.anywhere and below(one, wanted.top)))
                and one.subject > after
            }
            found = list(reader.people_who_held(moment, wanted, after))
            assert [subject for subject, _ in found] == sorted(expected)
            for subject, account in found:
                in_account = {one for one in then if one.domain == wanted.top or below(one, wanted.top)}
                assert account.pairs == tuple(sorted((one.role, one.domain) for one in in_account if one.subject == subject))


def below(one: Assignment, top: str) -> bool:
    return one.domain.startswith(top + "/")
