"""Role assignments that begin and end by themselves: written, judged, listed, kept in the log, and read as of then."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from storage_people import ROLES, held_by_at, row

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel
from klausel.core.records.change_record import Origin
from klausel.core.terms.moment import instant_text
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState, InvalidAssignments
from klausel.storage.change_log.reader import Filters, LogReader
from klausel.storage.change_log.verification import verify_log

ADMIN = row("ann", "admin", "acme")
USER = row("bo", "user", "acme")
LEAD = row("bo", "lead", "acme/support")
NOW = 1_000_000.0


def until(assignment: Assignment, seconds: float | None, starts: float | None = None) -> Assignment:
    """The same for a time: `seconds` after now it ends, `starts` seconds after now it begins."""
    ends = None if seconds is None else instant_text(NOW + seconds)
    return assignment._replace(starts=None if starts is None else instant_text(NOW + starts), ends=ends)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(any_store: AssignmentStore) -> Iterator[Clock]:
    clock = Clock()
    any_store.clock = clock
    yield clock
    assert verify_log(any_store.engine, {}).findings == ()


def written(store: AssignmentStore, *rows: Assignment, by_import: bool = False) -> None:
    if by_import:
        store.import_rows(ROLES, rows)
    else:
        store.write(ROLES, rows, [])


@pytest.fixture(params=["write", "import"])
def put(request: pytest.FixtureRequest, any_store: AssignmentStore) -> Callable[..., None]:
    """Grants rows, by a write and by an import."""
    return lambda *rows: written(any_store, *rows, by_import=request.param == "import")


def test_a_role_begins_and_ends_by_itself(any_store: AssignmentStore, clock: Clock, put: Callable[..., None]) -> None:
    put(ADMIN, USER, until(LEAD, 20, starts=10))
    held = []
    for second in (9, 10, 19, 20):
        clock.now = NOW + second
        held.append(("lead", "acme/support") in any_store.held_by("user:bo"))
    assert held == [False, True, True, False]
    clock.now = NOW + 15
    assert any_store.held_by("user:bo") == (("lead", "acme/support"), ("user", "acme"))


def test_a_grant_with_other_times_takes_the_place_of_the_one_before(
    any_store: AssignmentStore, clock: Clock, put: Callable[..., None]
) -> None:
    put(ADMIN, USER, LEAD)
    put(until(LEAD, 50))
    put(until(LEAD, 50))
    assert list(any_store.export_rows()) == [ADMIN, until(LEAD, 50), USER]
    put(until(LEAD, 90))
    put(LEAD)
    assert list(any_store.export_rows()) == [ADMIN, LEAD, USER]
    changes = list(LogReader(any_store.engine).changes(Filters(role="lead")))
    assert [(change.word, change.row) for change in reversed(changes)] == [
        ("granted", LEAD),
        ("revoked", LEAD),
        ("granted", until(LEAD, 50)),
        ("revoked", until(LEAD, 50)),
        ("granted", until(LEAD, 90)),
        ("revoked", until(LEAD, 90)),
        ("granted", LEAD),
    ]


def test_an_import_says_how_many_got_other_times(any_store: AssignmentStore, clock: Clock) -> None:
    written(any_store, ADMIN, USER, LEAD)
    result = any_store.import_rows(ROLES, [until(LEAD, 5), USER, row("cy", "user", "acme")])
    assert (result.added, result.already_there) == (2, 1)
    if any_store.engine.dialect.name in {"sqlite", "postgresql"}:
        assert result.changed == 1


def test_revoking_needs_no_times(any_store: AssignmentStore, roles: RoleModel, clock: Clock) -> None:
    written(any_store, ADMIN, USER, until(LEAD, 20, starts=10))
    any_store.write(roles, [], [LEAD])
    assert list(any_store.export_rows()) == [ADMIN, USER]


def test_what_would_have_ended_is_refused_unless_it_is_there_already(
    any_store: AssignmentStore, roles: RoleModel, clock: Clock
) -> None:
    written(any_store, ADMIN, USER)
    with pytest.raises(InvalidAssignments, match="would have ended"):
        any_store.write(roles, [until(LEAD, 0)], [])
    written(any_store, until(LEAD, 10))
    revision = any_store.revision()
    clock.now = NOW + 11
    assert any_store.write(roles, [until(LEAD, 10)], []) == revision


def test_an_import_reads_an_export_with_ended_rows_back(any_store: AssignmentStore, clock: Clock) -> None:
    written(any_store, ADMIN, USER, until(LEAD, 10))
    clock.now = NOW + 11
    rows = list(any_store.export_rows())
    any_store.write(ROLES, [], [LEAD])
    result = any_store.import_rows(ROLES, rows)
    assert (result.added, list(any_store.export_rows())) == (1, rows)


@pytest.mark.parametrize(
    ("starts", "ends", "words"),
    [
        ("2026-03-01", None, "no instant"),
        (None, "2026-03-01T12:00:00+01:00", "no instant"),
        (None, 5, "no instant"),
        ("2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z", "not after it begins"),
        ("2026-03-03T00:00:00Z", "2026-03-02T00:00:00Z", "not after it begins"),
    ],
)
def test_times_that_say_nothing_are_refused(
    any_store: AssignmentStore, clock: Clock, put: Callable[..., None], starts: str, ends: str, words: str
) -> None:
    written(any_store, ADMIN)
    with pytest.raises(InvalidAssignments, match=words):
        put(USER._replace(starts=starts, ends=ends))
    assert list(any_store.export_rows()) == [ADMIN]


def test_one_row_with_two_times_is_refused(any_store: AssignmentStore, clock: Clock, put: Callable[..., None]) -> None:
    with pytest.raises((InvalidAssignments, ForbiddenState), match="other times"):
        put(ADMIN, USER, until(USER, 50))
    assert any_store.is_empty()


class TestRules:
    def test_the_last_holder_is_one_without_an_end(
        self, any_store: AssignmentStore, clock: Clock, put: Callable[..., None]
    ) -> None:
        with pytest.raises(ForbiddenState, match="no admin"):
            put(until(ADMIN, 50), USER)
        put(ADMIN, until(row("cy", "admin", "acme"), 50), USER)
        with pytest.raises(ForbiddenState, match="no admin"):
            put(until(ADMIN, 90))
        with pytest.raises(ForbiddenState, match="no admin"):
            any_store.write(ROLES, [], [ADMIN])
        put(row("cy", "admin", "acme"))
        put(until(ADMIN, 90))

    def test_who_began_and_does_not_end_is_a_last_holder(self, any_store: AssignmentStore, clock: Clock) -> None:
        with pytest.raises(ForbiddenState, match="no admin"):
            written(any_store, until(ADMIN, None, starts=10), USER)
        written(any_store, until(ADMIN, None, starts=-10), USER)

    def test_who_has_ended_needs_no_admin_any_more(
        self, any_store: AssignmentStore, roles: RoleModel, clock: Clock, put: Callable[..., None]
    ) -> None:
        put(ADMIN, until(USER, 10))
        with pytest.raises(ForbiddenState, match="no admin"):
            any_store.write(roles, [], [ADMIN])
        clock.now = NOW + 10
        any_store.write(roles, [], [ADMIN])
        assert any_store.count() == 1

    @pytest.mark.parametrize(
        ("above", "refused_from"),
        [((None, None), None), ((-5, 20), None), ((-5, 19), 19), ((11, 20), 10), ((-5, 5), 10), ((20, 30), 10)],
    )
    def test_a_role_needs_one_above_for_as_long_as_it_lasts(
        self,
        any_store: AssignmentStore,
        clock: Clock,
        put: Callable[..., None],
        above: tuple[float | None, float | None],
        refused_from: float | None,
    ) -> None:
        rows = (ADMIN, until(USER, above[1], starts=above[0]), until(LEAD, 20, starts=10))
        if refused_from is None:
            put(*rows)
            return
        with pytest.raises(ForbiddenState) as refused:
            put(*rows)
        (violation,) = refused.value.violations
        assert violation.rule == "requires-role-above"
        assert violation.message.endswith(f"; from {instant_text(NOW + refused_from)} on")

    def test_two_roles_above_one_after_the_other_are_enough(
        self, any_store: AssignmentStore, clock: Clock, put: Callable[..., None]
    ) -> None:
        manager = row("bo", "account_manager", "acme")
        put(ADMIN, until(USER, 15), until(manager, 30, starts=15), until(LEAD, 20, starts=10))
        with pytest.raises(ForbiddenState, match="without a role of level account"):
            put(until(manager, 30, starts=16))
        with pytest.raises(ForbiddenState, match="without a role of level account"):
            any_store.write(ROLES, [], [USER])

    @pytest.mark.parametrize(("first", "second", "overlap"), [((0, 10), (10, 20), False), ((0, 11), (10, 20), True)])
    def test_separate_roles_may_follow_each_other_and_not_overlap(
        self,
        any_store: AssignmentStore,
        clock: Clock,
        first: tuple[float, float],
        second: tuple[float, float],
        overlap: bool,
    ) -> None:
        two = _two_separate_roles()
        rows = [
            row("ann", "boss", "acme"),
            until(row("bo", "buyer", "acme"), first[1], starts=first[0]),
            until(row("bo", "payer", "acme"), second[1], starts=second[0]),
        ]
        for put in (lambda: any_store.write(two, rows, []), lambda: any_store.import_rows(two, rows)):
            if overlap:
                with pytest.raises(ForbiddenState, match=f"nobody may hold both; from {instant_text(NOW + 10)} on"):
                    put()
            else:
                put()


def _two_separate_roles() -> RoleModel:
    from storage_people import HERE, model

    from klausel.core.policy.roles import Level, Role

    roles = model(
        Level("account", 1, "account", "account", None, False, HERE),
        roles=(
            Role("boss", "account", (), True, HERE),
            Role("buyer", "account", (), False, HERE),
            Role("payer", "account", (), False, HERE),
        ),
    )
    return dataclasses.replace(roles, separate=(("buyer", "payer"),))


class TestLists:
    def test_what_has_ended_and_what_soon_will_is_listed(self, any_store: AssignmentStore, clock: Clock) -> None:
        cy, dan = row("cy", "user", "acme"), row("dan", "user", "acme")
        written(any_store, ADMIN, until(USER, 10), until(cy, 20), until(dan, None, starts=5))
        now, soon = instant_text(NOW + 10), instant_text(NOW + 20)
        assert list(any_store.export_rows(ends_before=now)) == [until(USER, 10)]
        assert list(any_store.export_rows(ends_after=now, ends_before=soon)) == [until(cy, 20)]
        page = any_store.page(ends_after=instant_text(NOW), limit=1)
        assert page.assignments == (until(USER, 10),)
        page = any_store.page(ends_after=instant_text(NOW), limit=1, cursor=page.next_cursor)
        assert (page.assignments, page.next_cursor) == ((until(cy, 20),), None)
        assert any_store.page(subject="user:cy", ends_before=now).assignments == ()

    def test_renaming_a_role_keeps_the_times_and_of_two_the_later_end(
        self, any_store: AssignmentStore, roles: RoleModel, clock: Clock
    ) -> None:
        agent = row("bo", "agent", "acme/support")
        written(any_store, ADMIN, USER, until(LEAD, 10, starts=5), until(row("bo", "reviewer", "acme/support"), 20))
        any_store.rename_role(roles, "lead", "agent")
        assert until(agent, 10, starts=5) in list(any_store.export_rows())
        any_store.rename_role(roles, "reviewer", "agent")
        assert list(any_store.export_rows()) == [ADMIN, until(agent, 20), USER]


def test_as_of_a_moment_what_had_ended_by_then_is_not_held(any_store: AssignmentStore, clock: Clock) -> None:
    written(any_store, ADMIN, USER)
    reader = LogReader(any_store.engine)
    moment = reader.at(next(reader.changes(Filters(), limit=1)).microseconds)
    # The change log has a clock of its own, so the end is chosen by it.
    end = instant_text(moment.seconds + 10)
    any_store.clock = lambda: moment.seconds
    any_store.write(ROLES, [LEAD._replace(ends=end)], [])
    latest = next(reader.changes(Filters(), limit=1)).microseconds
    assert ("lead", "acme/support") in held_by_at(reader, "user:bo", reader.at(latest))
    later = reader.at(latest + 11_000_000)
    assert held_by_at(reader, "user:bo", later) == (("user", "acme"),)
    assert LEAD._replace(ends=end) in list(reader.held_at(later))


@pytest.mark.parametrize(
    "values",
    [
        "'g', 'user:x', 'user', 'acme', NULL, '2026-03-01T12:00:00Z'",
        "'gt', 'user:x', 'user', 'acme', NULL, NULL",
        "'p', 'user:x', 'user', 'acme', NULL, NULL",
    ],
)
def test_the_database_refuses_times_that_casbin_would_not_see(store: AssignmentStore, values: str) -> None:
    with pytest.raises(IntegrityError), store.engine.begin() as connection:
        connection.execute(text(f"INSERT INTO casbin_rule (ptype, v0, v1, v2, v3, v4) VALUES ({values})"))


def test_an_end_that_is_moved_behind_the_log_is_found(store: AssignmentStore) -> None:
    store.clock = Clock()
    written(store, ADMIN, USER, until(LEAD, 10))
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE casbin_rule SET v4 = '2999-01-01T00:00:00Z' WHERE v1 = 'lead'"))
    findings = verify_log(store.engine, {}).findings
    assert [finding.kind for finding in findings] == ["tail", "table"]
    assert "other times" in findings[1].message


def test_what_ended_by_a_moment_is_taken_away_in_one_change_and_the_past_stays_what_it_was(
    any_store: AssignmentStore, clock: Clock
) -> None:
    member = Assignment("user:bo", "group:night", "", ends=instant_text(NOW + 5))
    any_store.write(ROLES, [ADMIN, USER, until(LEAD, 10), member], [])
    any_store.write(ROLES, [row("cy", "user", "acme"), until(row("cy", "lead", "acme/support"), 30)], [])
    reader = LogReader(any_store.engine)
    then = reader.at(next(reader.changes(Filters(), limit=1)).microseconds)
    before = sorted(reader.held_at(then), key=str)
    told: list[object] = []
    any_store.add_listener(told.append)
    clock.now = NOW + 20
    with pytest.raises(ValueError, match="to come"):
        any_store.purge_ended(NOW + 21)
    assert any_store.purge_ended(NOW + 4) == (any_store.revision(), 0)
    assert told == []
    revision, count = any_store.purge_ended(NOW + 10, Origin("cara", "kept long enough", None, "cli", None))
    assert (count, revision) == (2, any_store.revision())
    assert len(told) == 1
    left = {assignment.key for assignment in any_store.export_rows()}
    assert left == {ADMIN.key, USER.key, ("user:cy", "user", "acme"), ("user:cy", "lead", "acme/support")}
    changes = list(reader.changes(Filters(by="cara")))
    assert {(change.word, change.row) for change in changes} == {("revoked", member), ("revoked", until(LEAD, 10))}
    assert len({change.number for change in changes}) == 1
    assert sorted(reader.held_at(then), key=str) == before


def test_ended_roles_are_taken_away_also_where_the_roles_left_break_a_rule(
    store: AssignmentStore, put_behind_the_back: Callable[..., None]
) -> None:
    store.clock = lambda: NOW
    put_behind_the_back(USER)  # an account with people, and without an admin
    store.import_rows(ROLES, [])
    with store.engine.begin() as connection:
        statement = "INSERT INTO casbin_rule (ptype, v0, v1, v2, v4) VALUES ('gt', 'user:ann', 'admin', 'acme', :ends)"
        connection.execute(text(statement), {"ends": instant_text(NOW - 5)})
    assert store.purge_ended(NOW)[1] == 1
