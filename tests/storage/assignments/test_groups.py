"""Groups of people: members, groups in groups, and the rules through them; by writes and by imports."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from storage_people import HERE, ROLES, held_by_at, model, row

from klausel.core.analysis.search import Holders
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.holding import LONGEST_GROUP_CHAIN
from klausel.core.policy.roles import Level, Role
from klausel.core.terms.moment import instant_text
from klausel.storage.assignments.holders import people_who_hold
from klausel.storage.assignments.people_of_roles import people_holding
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState, InvalidAssignments
from klausel.storage.assignments.stored_roles import stored_roles
from klausel.storage.change_log.reader import Filters, LogReader
from klausel.storage.change_log.verification import verify_log

ADMIN = row("ann", "admin", "acme")
USER = row("bo", "user", "acme")
NOW = 1_000_000.0
LEADS = Assignment("group:leads", "lead", "acme/support")
USERS = Assignment("group:users", "user", "acme")


def member(name: str, group: str, ends: float | None = None) -> Assignment:
    subject = name if ":" in name else f"user:{name}"
    return Assignment(subject, f"group:{group}", "", None, None if ends is None else instant_text(NOW + ends))


@pytest.fixture(autouse=True)
def at_now(any_store: AssignmentStore) -> None:
    any_store.clock = lambda: NOW


@pytest.fixture(params=["write", "import"])
def put(request: pytest.FixtureRequest, any_store: AssignmentStore) -> Callable[..., None]:
    """Grants rows, by a write and by an import."""

    def grant(*rows: Assignment) -> None:
        if request.param == "import":
            any_store.import_rows(ROLES, rows)
        else:
            any_store.write(ROLES, rows, [])

    return grant


def test_members_hold_what_their_groups_hold(any_store: AssignmentStore, put: Callable[..., None]) -> None:
    put(ADMIN, USERS, LEADS, member("bo", "leads"), member("group:leads", "users"))
    assert any_store.held_by("user:bo") == (("lead", "acme/support"), ("user", "acme"))
    assert any_store.held_by("group:leads") == (("lead", "acme/support"), ("user", "acme"))
    assert any_store.held_by("user:cy") == ()
    any_store.write(ROLES, [], [member("group:leads", "users"), LEADS])
    assert any_store.held_by("user:bo") == ()
    assert verify_log(any_store.engine, {}).findings == ()


def test_rows_of_groups_come_back_exactly_and_are_no_orphans(any_store: AssignmentStore, put: Callable[..., None]) -> None:
    rows = [ADMIN, USERS, LEADS, member("bo", "leads", 50), member("group:leads", "users")]
    put(*rows)
    assert list(any_store.export_rows()) == sorted(rows, key=lambda one: one.key)
    assert any_store.page(role="group:leads", domain="").assignments == (member("bo", "leads", 50),)
    assert {one.role for one in stored_roles(any_store.engine)} == {"admin", "user", "lead"}
    put(*rows)
    changes = list(LogReader(any_store.engine).changes(Filters()))
    assert len(changes) == len(rows)
    (of_bo,) = [change.row for change in changes if change.subject == "user:bo"]
    assert str(of_bo) == "user:bo in group:leads until 1970-01-12T13:47:30Z"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (Assignment("user:bo", "group:leads", "acme"), "have no domain"),
        (Assignment("user:bo", "group:", ""), "group is empty"),
        (Assignment("group:leads", "group:leads", ""), "cannot be in itself"),
        (Assignment("bo", "group:leads", ""), "has no type"),
        (Assignment("user:bo", "lead", ""), "empty part"),
        (Assignment("user:bo", "group:leads", "", "soon"), "no instant"),
    ],
)
def test_what_can_be_no_membership_is_refused(
    any_store: AssignmentStore, put: Callable[..., None], bad: Assignment, words: str
) -> None:
    with pytest.raises(InvalidAssignments, match=words):
        put(ADMIN, bad)
    assert any_store.is_empty()


class TestChains:
    def test_a_circle_is_refused_with_the_chain(self, any_store: AssignmentStore, put: Callable[..., None]) -> None:
        put(ADMIN, member("group:a", "b"), member("group:b", "c"))
        with pytest.raises(ForbiddenState) as refused:
            put(member("group:c", "a"))
        (violation,) = refused.value.violations
        assert violation.rule == "group-circle"
        assert violation.message.startswith("group:a would be in itself: group:a → group:b → group:c → group:a")
        assert any_store.count() == 3

    def test_ten_groups_deep_is_the_most(self, any_store: AssignmentStore, put: Callable[..., None]) -> None:
        chain = [member(f"group:{one:02}", f"{one + 1:02}") for one in range(LONGEST_GROUP_CHAIN - 1)]
        put(ADMIN, USERS, *chain, member("bo", "00"))
        for one in (member("group:09", "users"), member("group:new", "00")):
            with pytest.raises(ForbiddenState, match="more than 10 deep: group:") as refused:
                put(one)
            assert refused.value.violations[0].rule == "group-chain"
        put(Assignment("group:09", "user", "acme"))
        assert any_store.held_by("user:bo") == (("user", "acme"),)

    def test_a_long_chain_in_the_middle_is_found(self, any_store: AssignmentStore, put: Callable[..., None]) -> None:
        put(ADMIN, *(member(f"group:a{one}", f"a{one + 1}") for one in range(5)))
        put(*(member(f"group:b{one}", f"b{one + 1}") for one in range(4)))
        with pytest.raises(ForbiddenState, match="more than 10 deep"):
            put(member("group:a5", "b0"))
        put(member("group:a4", "b0"))


class TestRules:
    def test_members_need_a_role_above_for_the_roles_of_their_group(
        self, any_store: AssignmentStore, put: Callable[..., None]
    ) -> None:
        put(ADMIN, LEADS, USER)
        put(member("bo", "leads"))
        with pytest.raises(ForbiddenState) as refused:
            put(member("cy", "leads"))
        (violation,) = refused.value.violations
        assert (violation.subject, violation.rule) == ("user:cy", "requires-role-above")
        assert "comes through group:leads" in violation.message
        with pytest.raises(ForbiddenState, match="user:bo would be lead"):
            any_store.write(ROLES, [], [USER])
        put(member("group:leads", "users"), USERS)
        put(member("cy", "leads"))
        with pytest.raises(ForbiddenState, match="user:cy would be lead"):
            any_store.write(ROLES, [], [USERS])

    def test_a_role_given_to_a_group_is_judged_for_all_who_are_in_it(
        self, any_store: AssignmentStore, put: Callable[..., None]
    ) -> None:
        put(ADMIN, USER, member("bo", "a"), member("group:a", "b"), member("cy", "b"))
        with pytest.raises(ForbiddenState, match="user:cy would be lead") as refused:
            put(Assignment("group:b", "lead", "acme/support"))
        assert [violation.subject for violation in refused.value.violations] == ["user:cy"]
        put(Assignment("group:a", "lead", "acme/support"))

    def test_separate_roles_are_kept_apart_across_groups(self, any_store: AssignmentStore) -> None:
        roles = model(
            Level("account", 1, "account", "account", None, False, HERE),
            roles=(
                Role("boss", "account", (), False, HERE),
                Role("buyer", "account", (), False, HERE),
                Role("payer", "account", (), False, HERE),
            ),
        )
        roles = dataclasses.replace(roles, separate=(("buyer", "payer"),))
        buyers, payers = Assignment("group:buyers", "buyer", "acme"), Assignment("group:payers", "payer", "acme")
        any_store.write(roles, [buyers, payers, member("bo", "buyers", 50), member("group:payers", "money")], [])
        for bad in (
            [member("bo", "payers")],
            [row("bo", "payer", "acme")],
            [Assignment("group:buyers", "payer", "acme")],
            [member("group:buyers", "money"), Assignment("group:money", "payer", "acme")],
        ):
            for write in (
                lambda rows=bad: any_store.write(roles, rows, []),
                lambda rows=bad: any_store.import_rows(roles, rows),
            ):
                with pytest.raises(ForbiddenState, match="user:bo would be buyer in acme and payer in acme; nobody may"):
                    write()
        later = member("bo", "payers")._replace(starts=instant_text(NOW + 50))
        any_store.write(roles, [later], [])
        assert verify_log(any_store.engine, {}).findings == ()

    def test_the_last_holder_may_be_in_a_group_that_has_members(
        self, any_store: AssignmentStore, put: Callable[..., None]
    ) -> None:
        admins = Assignment("group:admins", "admin", "acme")
        with pytest.raises(ForbiddenState, match="no admin"):
            put(admins, USER)
        with pytest.raises(ForbiddenState, match="no admin"):
            put(admins, USER, member("ann", "admins", 50))
        put(admins, USER, member("ann", "owners"), member("group:owners", "admins"))
        for gone in (member("ann", "owners"), member("group:owners", "admins"), admins):
            with pytest.raises(ForbiddenState, match="no admin"):
                any_store.write(ROLES, [], [gone])
        with pytest.raises(ForbiddenState, match="no admin"):
            put(member("ann", "owners", 50))
        put(row("cy", "admin", "acme"))
        any_store.write(ROLES, [], [member("ann", "owners")])

    def test_a_leaver_leaves_the_groups_that_lead_to_a_role_there(self, any_store: AssignmentStore) -> None:
        other = Assignment("group:other", "user", "beta")
        rows = [ADMIN, USERS, LEADS, member("group:leads", "users"), member("bo", "leads"), member("bo", "other"), other]
        any_store.write(ROLES, [*rows, row("zed", "admin", "beta")], [])
        any_store.write(ROLES, [Assignment("group:leads", "user", "beta")], [])
        with pytest.raises(ForbiddenState, match="is in group:leads, which has roles beyond acme too"):
            any_store.remove_subject(ROLES, "user:bo", "acme", stays_inside=True)
        any_store.write(ROLES, [], [Assignment("group:leads", "user", "beta")])
        _, removed = any_store.remove_subject(ROLES, "user:bo", "acme", stays_inside=True)
        assert (removed, any_store.held_by("user:bo")) == (1, (("user", "beta"),))


class TestPeople:
    @pytest.fixture(autouse=True)
    def people(self, any_store: AssignmentStore) -> None:
        rows = [ADMIN, USERS, LEADS, member("group:leads", "users"), member("group:empty", "users")]
        rows += [member(f"p{number:03}", "leads") for number in range(60)]
        rows += [member("cy", "users"), member("late", "users", 50), row("p003", "user", "acme")]
        any_store.write(ROLES, rows, [])
        any_store.clock = lambda: NOW + 51

    def test_holders_are_found_behind_their_groups(self, any_store: AssignmentStore) -> None:
        wanted = Holders((("user", "acme"),), ("lead",), "acme")
        people = [f"user:p{number:03}" for number in range(60)]
        found = dict(people_who_hold(any_store.engine, wanted, now=NOW + 51))
        assert list(found) == ["group:empty", "group:leads", "group:users", "user:cy", *people]
        assert found["user:p004"].ways[("user", "acme")].groups == ("group:leads", "group:users")
        assert ("user", "acme") not in found["user:p003"].ways
        before = dict(people_who_hold(any_store.engine, wanted, "user:d", now=NOW))
        assert list(before) == ["user:late", *people]

    def test_people_of_a_difference_are_found_behind_their_groups(
        self, any_store: AssignmentStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("time.time", lambda: NOW)
        found = dict(people_holding(any_store.engine, {"lead"}))
        assert set(found) == {"group:leads", *(f"user:p{number:03}" for number in range(60))}
        assert found["user:p001"] == (("lead", "acme/support"), ("user", "acme"))
        monkeypatch.setattr("time.time", lambda: NOW + 51)
        assert "user:late" not in dict(people_holding(any_store.engine, None))

    def test_as_of_a_moment_memberships_are_those_of_then(self, any_store: AssignmentStore) -> None:
        reader = LogReader(any_store.engine)
        before = reader.at(next(reader.changes(Filters(), limit=1)).microseconds)
        any_store.write(ROLES, [], [member("p001", "leads"), member("group:leads", "users"), *[LEADS]])
        now = reader.at(next(reader.changes(Filters(), limit=1)).microseconds)
        wanted = Holders((), ("lead",), "acme")
        assert held_by_at(reader, "user:p001", before) == (("lead", "acme/support"), ("user", "acme"))
        assert held_by_at(reader, "user:p001", now) == ()
        assert held_by_at(reader, "user:p003", now) == (("user", "acme"),)
        assert len(dict(reader.people_who_held(before, wanted))) == 61
        assert dict(reader.people_who_held(now, wanted)) == {}
        assert list(dict(reader.people_who_held(before, wanted, "user:p057"))) == ["user:p058", "user:p059"]


def test_a_circle_that_others_wrote_by_plain_sql_is_read_and_ends(store: AssignmentStore) -> None:
    store.write(ROLES, [ADMIN, USERS, member("bo", "a"), member("group:a", "users")], [])
    with store.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('gm', 'group:users', 'group:a', '')")
    assert store.held_by("user:bo") == (("user", "acme"),)
    assert store.held_by("group:users") == (("user", "acme"),)
    assert store.write(ROLES, [], [member("group:users", "a")])
