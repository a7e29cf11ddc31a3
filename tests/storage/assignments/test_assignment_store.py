"""Writing, reading and judging role assignments, on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context

import pytest
from sqlalchemy import text
from storage_people import HERE, ROLES, model, row, try_to_write

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import Level, Role, RoleModel
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState, InvalidAssignments, InvalidCursor
from klausel.storage.sql.revisions import SUBJECTS_IN_LOG_ENTRY

ADMIN = row("ann", "admin", "acme")
USER = row("bo", "user", "acme")
LEAD = row("bo", "lead", "acme/support")


def all_rows(store: AssignmentStore) -> list[Assignment]:
    return list(store.export_rows())


class TestWriting:
    def test_a_new_store_is_empty(self, any_store: AssignmentStore) -> None:
        assert any_store.is_empty()
        assert any_store.count() == 0
        assert any_store.held_by("user:ann") == ()
        assert any_store.page().assignments == ()

    def test_what_is_granted_is_held_and_what_is_revoked_is_not(self, any_store: AssignmentStore, roles: RoleModel) -> None:
        any_store.write(roles, [ADMIN, USER, LEAD], [])
        assert any_store.held_by("user:bo") == (("lead", "acme/support"), ("user", "acme"))
        any_store.write(roles, [], [LEAD])
        assert any_store.held_by("user:bo") == (("user", "acme"),)
        assert any_store.count() == 2

    def test_a_write_that_changes_nothing_leaves_the_revision(self, store: AssignmentStore, roles: RoleModel) -> None:
        first = store.write(roles, [ADMIN, ADMIN, USER], [])
        assert store.revision() == first
        assert store.write(roles, [USER, ADMIN], [LEAD]) == first
        assert store.write(roles, [], []) == first
        second = store.write(roles, [LEAD], [USER._replace(role="account_manager")])
        assert second != first
        assert store.revision() == second

    def test_two_databases_never_share_a_revision(self, store: AssignmentStore, roles: RoleModel) -> None:
        from klausel.storage.schema import open_database

        other = AssignmentStore(open_database("sqlite://"))
        assert store.write(roles, [ADMIN], []) != other.write(roles, [ADMIN], [])
        other.close()

    def test_every_fault_of_every_row_is_named_and_nothing_is_written(
        self, store: AssignmentStore, roles: RoleModel
    ) -> None:
        grant = [
            ADMIN,
            Assignment("ann", "admin", "acme"),
            row("ann", "admn", "acme"),
            row("ann", "lead", "acme"),
            row("ann", "admin", "acme/"),
            row("a\x00nn", "admin", "acme"),
            row("\ud800", "admin", "acme"),
            row("a" * 256, "admin", "acme"),
        ]
        revoke = [ADMIN, row("bo", "boss", "acme")]
        with pytest.raises(InvalidAssignments) as refused:
            store.write(roles, grant, revoke)
        named = sorted((fault.list, fault.index) for fault in refused.value.faults)
        assert named == [*(("grant", index) for index in range(1, 8)), ("revoke", 0), ("revoke", 1)]
        assert all(fault.assignment in (*grant, *revoke) and fault.message for fault in refused.value.faults)
        assert store.is_empty()

    def test_something_else_than_text_is_a_fault(self, store: AssignmentStore, roles: RoleModel) -> None:
        with pytest.raises(InvalidAssignments):
            store.write(roles, [Assignment("user:ann", None, "acme")], [])  # type: ignore[arg-type]

    def test_a_stored_row_whose_role_is_no_longer_declared_can_be_revoked(
        self, store: AssignmentStore, roles: RoleModel, put_behind_the_back: Callable[..., None]
    ) -> None:
        old = row("bo", "owner", "acme")
        put_behind_the_back(old, ADMIN)
        store.write(roles, [], [old])
        assert all_rows(store) == [ADMIN]
        with pytest.raises(InvalidAssignments):
            store.write(roles, [], [old])

    def test_ids_come_back_exactly(self, store: AssignmentStore, roles: RoleModel) -> None:
        ids = ["a, b", '"q"', "# no remark", "100%", "a_b", " led", "trail ", "Ann", "ann", "änn", "a\u0308nn", "日本",
               "🙂", "a\\tb", "'; DROP TABLE casbin_rule; --", "%s", ":x", "a:b/c", "\\", "user:x", "x" * 250]  # fmt: skip
        domains = ["acme", "a,b", "acme ", "Acme", "100%", "ac_me", "#1", 'the "one"', "é", "e\u0301", "d" * 255]
        wanted = sorted([row(id_, "admin", domain) for id_ in ids for domain in domains])
        store.write(roles, wanted, [])
        assert all_rows(store) == wanted
        for id_ in ids:
            assert store.held_by(f"user:{id_}") == tuple(("admin", domain) for domain in sorted(domains))
        store.write(roles, [], wanted[::2])
        assert all_rows(store) == wanted[1::2]

    def test_a_subject_that_can_never_be_stored_holds_nothing(self, store: AssignmentStore, roles: RoleModel) -> None:
        for subject in ("", "user:\x00", "user:\ud800", "user:a\nb"):
            assert store.held_by(subject) == ()
            assert store.page(subject=subject).assignments == ()
            assert store.remove_subject(roles, subject, "acme") == (store.revision(), 0)

    def test_the_database_refuses_repeated_rows_and_policies(self, store: AssignmentStore) -> None:
        statement = "INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES (:ptype, 'user:ann', 'admin', 'acme')"
        for first, second in (("g", "g"), ("g", "p")):
            with pytest.raises(Exception, match=r"(?i)unique|check"), store.engine.begin() as connection:
                connection.execute(text(statement), {"ptype": first})
                connection.execute(text(statement), {"ptype": second})
        assert store.is_empty()


class TestRules:
    def test_a_workspace_role_needs_an_account_role(self, store: AssignmentStore, roles: RoleModel) -> None:
        store.write(roles, [ADMIN], [])
        before = store.revision()
        with pytest.raises(ForbiddenState) as refused:
            store.write(roles, [row("cy", "user", "acme"), LEAD], [])
        (violation,) = refused.value.violations
        assert (violation.subject, violation.role, violation.domain) == LEAD.key
        assert violation.rule == "requires-role-above"
        assert store.revision() == before
        assert all_rows(store) == [ADMIN]

    def test_an_account_role_elsewhere_does_not_help(self, store: AssignmentStore, roles: RoleModel) -> None:
        store.write(roles, [ADMIN, row("zed", "admin", "acme2"), row("bo", "user", "acme2")], [])
        with pytest.raises(ForbiddenState):
            store.write(roles, [LEAD], [])

    def test_the_last_account_role_stays_while_workspace_roles_do(self, store: AssignmentStore, roles: RoleModel) -> None:
        manager = row("bo", "account_manager", "acme")
        store.write(roles, [ADMIN, USER, manager, LEAD], [])
        store.write(roles, [], [manager])
        with pytest.raises(ForbiddenState):
            store.write(roles, [], [USER])
        store.write(roles, [manager], [USER])
        store.write(roles, [], [manager, LEAD])
        assert all_rows(store) == [ADMIN]

    def test_an_account_with_people_keeps_an_admin(self, store: AssignmentStore, roles: RoleModel) -> None:
        with pytest.raises(ForbiddenState) as refused:
            store.write(roles, [USER], [])
        (violation,) = refused.value.violations
        assert (violation.subject, violation.role, violation.domain) == (None, "admin", "acme")
        assert violation.rule == "keep-one"
        store.write(roles, [ADMIN, USER], [])
        with pytest.raises(ForbiddenState):
            store.write(roles, [], [ADMIN])
        other = row("cy", "admin", "acme")
        store.write(roles, [other], [ADMIN])
        store.write(roles, [], [other, USER])
        assert store.is_empty()

    def test_people_below_count_as_people_of_the_account(
        self, store: AssignmentStore, roles: RoleModel, put_behind_the_back: Callable[..., None]
    ) -> None:
        store.write(roles, [ADMIN], [])
        put_behind_the_back(row("stray", "agent", "acme/support"))
        with pytest.raises(ForbiddenState):
            store.write(roles, [], [ADMIN])

    def test_accounts_with_alike_names_do_not_see_each_other(self, store: AssignmentStore, roles: RoleModel) -> None:
        names = ["acme", "acme2", "acme-", "acme0", "ac%", "ac_e", "acme.", "Acme"]
        for name in names:
            store.write(roles, [row("ann", "admin", name), row("ann", "lead", f"{name}/s")], [])
        for name in names:
            _, removed = store.remove_subject(roles, "user:ann", name)
            assert removed == 2
        assert store.is_empty()

    def test_old_violations_block_no_removal_and_no_write_elsewhere(
        self, store: AssignmentStore, roles: RoleModel, put_behind_the_back: Callable[..., None]
    ) -> None:
        bad = [row("bo", "lead", "acme/a"), row("bo", "agent", "acme/b"), row("cy", "agent", "acme/b")]
        put_behind_the_back(*bad)
        store.write(roles, [row("zed", "admin", "beta")], [])
        store.write(roles, [], bad[:1])
        for refused in ([row("dee", "user", "acme")], bad[1:2], [row("bo", "lead", "acme/c")]):
            with pytest.raises(ForbiddenState):
                store.write(roles, refused, [])
        store.write(roles, [ADMIN, USER], [])
        assert ("agent", "acme/b") in store.held_by("user:bo")

    def test_a_stronger_role_of_the_level_keeps_a_domain_too(self, store: AssignmentStore) -> None:
        roles = model(
            Level("team", 1, "team", None, None, False, HERE),
            roles=(Role("owner", "team", ("keeper",), False, HERE), Role("keeper", "team", (), True, HERE),
                   Role("guest", "team", (), False, HERE)),
        )  # fmt: skip
        store.write(roles, [row("ann", "owner", "t"), row("bo", "guest", "t")], [])
        with pytest.raises(ForbiddenState):
            store.write(roles, [], [row("ann", "owner", "t")])

    def test_three_levels_need_a_role_at_each_and_may_keep_one_below(self, store: AssignmentStore) -> None:
        roles = model(
            Level("org", 1, "org", None, None, False, HERE),
            Level("team", 2, "team", None, None, True, HERE),
            Level("repo", 3, "repo", None, None, True, HERE),
            roles=(Role("member", "org", (), False, HERE), Role("maintainer", "team", (), True, HERE),
                   Role("player", "team", (), False, HERE), Role("writer", "repo", (), False, HERE)),
        )  # fmt: skip
        whole = [row("ann", "member", "o"), row("ann", "maintainer", "o/t"), row("ann", "writer", "o/t/r")]
        for missing in range(3):
            if missing != 2:
                with pytest.raises(ForbiddenState):
                    store.write(roles, [kept for kept in whole if kept is not whole[missing]], [])
                with pytest.raises(ForbiddenState):
                    store.import_rows(roles, [kept for kept in whole if kept is not whole[missing]])
        store.write(roles, whole, [])
        with pytest.raises(ForbiddenState) as refused:
            store.write(roles, [row("ann", "player", "o/t")], [whole[1]])
        assert [violation.domain for violation in refused.value.violations] == ["o/t"]

    def test_a_leaver_goes_in_one_call(self, store: AssignmentStore, roles: RoleModel) -> None:
        elsewhere = [row("bo", "user", "beta"), row("zed", "admin", "beta")]
        store.write(roles, [ADMIN, USER, LEAD, row("bo", "agent", "acme/sales"), *elsewhere], [])
        revision, removed = store.remove_subject(roles, "user:bo", "acme")
        assert removed == 3
        assert revision == store.revision()
        assert store.remove_subject(roles, "user:bo", "acme") == (revision, 0)
        assert all_rows(store) == sorted([ADMIN, *elsewhere])

    def test_the_last_admin_of_others_cannot_leave(self, store: AssignmentStore, roles: RoleModel) -> None:
        store.write(roles, [ADMIN, USER], [])
        with pytest.raises(ForbiddenState):
            store.remove_subject(roles, "user:ann", "acme")
        store.remove_subject(roles, "user:bo", "acme")
        assert store.remove_subject(roles, "user:ann", "acme")[1] == 1

    def test_a_leaver_leaves_an_account_and_no_workspace(self, store: AssignmentStore, roles: RoleModel) -> None:
        for account in ("acme/support", "", "a\nb"):
            with pytest.raises(InvalidAssignments):
                store.remove_subject(roles, "user:ann", account)


class TestRaces:
    def test_racing_writers_leave_no_repeated_row(self, store: AssignmentStore, roles: RoleModel) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: store.write(roles, [ADMIN, USER, LEAD], []), range(40)))
        assert all_rows(store) == [ADMIN, LEAD, USER]

    def test_two_admins_cannot_revoke_each_other_in_threads(self, store: AssignmentStore, roles: RoleModel) -> None:
        other = row("cy", "admin", "acme")
        for _ in range(15):
            store.write(roles, [ADMIN, other, USER], [])
            start = threading.Barrier(2)
            outcomes = []

            def revoke(admin: Assignment, start: threading.Barrier = start, outcomes: list[str] = outcomes) -> None:
                start.wait()
                try:
                    store.write(roles, [], [admin])
                    outcomes.append("written")
                except ForbiddenState:
                    outcomes.append("forbidden")

            threads = [threading.Thread(target=revoke, args=(admin,)) for admin in (ADMIN, other)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(outcomes) == ["forbidden", "written"]

    def test_a_workspace_role_and_the_loss_of_its_account_role_cannot_both_happen(
        self, store: AssignmentStore, roles: RoleModel
    ) -> None:
        for _ in range(15):
            store.write(roles, [ADMIN, USER], [LEAD])

            def attempt(grant: list[Assignment], revoke: list[Assignment]) -> None:
                with suppress(ForbiddenState):
                    store.write(roles, grant, revoke)

            with ThreadPoolExecutor(2) as pool:
                futures = [pool.submit(attempt, [LEAD], []), pool.submit(attempt, [], [USER])]
                for future in futures:
                    future.result()
            held = store.held_by("user:bo")
            assert held in ((("lead", "acme/support"), ("user", "acme")), ())

    def test_processes_that_start_at_once_share_one_schema_and_break_no_rule(self, database_url: str) -> None:
        with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
            admins = [row(f"admin{number}", "admin", "acme") for number in range(3)]
            granted = [pool.submit(try_to_write, database_url, [admin], []) for admin in admins]
            assert [future.result() for future in granted] == ["written"] * 3
            assert pool.submit(try_to_write, database_url, [USER], []).result() == "written"
            revoked = [pool.submit(try_to_write, database_url, [], [admin]) for admin in admins]
            assert sorted(future.result() for future in revoked) == ["forbidden", "written", "written"]

    def test_writers_of_many_accounts_in_any_order_do_not_lock_each_other_up(
        self, store: AssignmentStore, roles: RoleModel
    ) -> None:
        accounts = [f"account{number}" for number in range(12)]

        def write(seed: int) -> None:
            order = random.Random(seed)
            some = order.sample(accounts, 6)
            grant = [row(f"boss{seed}", "admin", account) for account in some]
            store.write(roles, grant, [])
            store.write(roles, [row(f"boss{seed + 1000}", "admin", account) for account in some], grant)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(write, range(24)))
        assert store.count() == 24 * 6


class TestPages:
    def test_pages_show_every_row_once_in_order_by_code_point(self, any_store: AssignmentStore, roles: RoleModel) -> None:
        names = ["a", "B", "Z", "ä", "a b", "a-b", "ab", "日", "🙂", "\uffee", "_", "~"]
        rows = [row(name, role, "acme") for name in names for role in ("admin", "user")]
        rows += [row(name, "agent", f"acme/{place}") for name in names for place in ("x", "Y", "é")]
        any_store.write(roles, rows, [])
        filters: list[dict[str, str]] = [
            {},
            {"subject": "user:a"},
            {"role": "agent"},
            {"domain": "acme"},
            {"domain": "acme/Y"},
            {"role": "user", "domain": "acme"},
            {"subject": "user:ä", "domain": "acme"},
            {"subject": "user:ä", "role": "agent"},
            {"subject": "user:ä", "role": "agent", "domain": "acme/é"},
            {"domain": "nowhere"},
        ]
        for wanted in filters:
            fitting = sorted(one for one in rows if all(getattr(one, name) == value for name, value in wanted.items()))
            for limit in (1, 3, len(fitting) or 1, 100):
                shown: list[Assignment] = []
                cursor = None
                for _ in range(len(fitting) + 2):
                    page = any_store.page(**wanted, limit=limit, cursor=cursor)
                    assert len(page.assignments) <= limit
                    shown += page.assignments
                    cursor = page.next_cursor
                    if cursor is None:
                        break
                assert shown == fitting

    def test_a_filter_takes_no_wildcards(self, store: AssignmentStore, roles: RoleModel) -> None:
        store.write(roles, [ADMIN], [])
        for wanted in ("%", "user:%", "user:a_n", "USER:ANN", "user:ann "):
            assert store.page(subject=wanted).assignments == ()

    def test_a_cursor_works_for_its_own_filters_only(self, store: AssignmentStore, roles: RoleModel) -> None:
        store.write(roles, [ADMIN, USER, LEAD], [])
        cursor = store.page(limit=1).next_cursor
        assert cursor is not None
        with pytest.raises(InvalidCursor):
            store.page(role="lead", cursor=cursor)
        for broken in ("", "x", cursor[:-3], "W10=", "é", "bnVsbA==", "W1tudWxsLG51bGwsbnVsbF0sWzEsMiwzXV0="):
            with pytest.raises(InvalidCursor):
                store.page(cursor=broken)

    def test_rows_written_between_two_pages_hide_no_other(self, store: AssignmentStore, roles: RoleModel) -> None:
        people = [row(f"p{number:02}", "admin", "acme") for number in range(20)]
        store.write(roles, people, [])
        first = store.page(limit=10)
        store.write(roles, [row("a", "admin", "acme")], people[2:10])
        second = store.page(limit=100, cursor=first.next_cursor)
        assert [*first.assignments, *second.assignments] == people

    def test_each_filter_is_served_by_an_index(self, sqlite_url: str, roles: RoleModel) -> None:
        from sqlalchemy import event

        from klausel.storage.schema import open_database

        store = AssignmentStore(open_database(sqlite_url))
        store.write(roles, [ADMIN, USER, LEAD], [])
        cursor_of = store.page(limit=1).next_cursor
        assert cursor_of
        asked: list[tuple[str, object]] = []
        event.listen(store.engine, "before_cursor_execute", lambda _c, _k, sql, values, *_: asked.append((sql, values)))
        store.page(cursor=cursor_of)
        for wanted in ({"subject": "user:bo"}, {"role": "user"}, {"domain": "acme"}, {"role": "user", "domain": "acme"}):
            page = store.page(**wanted, limit=1)
            if page.next_cursor:
                store.page(**wanted, limit=1, cursor=page.next_cursor)
        store.write(roles, [], [LEAD])
        queries = [(sql, values) for sql, values in asked if sql.startswith("SELECT") and "casbin_rule" in sql]
        with store.engine.connect() as connection:
            for sql, values in queries:
                steps = [step[3] for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
                assert not any("TEMP B-TREE" in step or step == "SCAN casbin_rule" for step in steps), (sql, steps)
        store.close()


def test_an_export_is_one_moment_and_lets_others_write(store: AssignmentStore) -> None:
    people = [row(f"p{number:02}", "admin", "acme") for number in range(30)]
    store.write(ROLES, people, [])
    rows = store.export_rows()
    shown = [next(rows)]
    store.write(ROLES, [row("zz", "admin", "acme")], people[10:])
    shown += rows
    assert shown == people
    assert store.count() == 11


def test_a_write_of_very_many_subjects_is_one_change(store: AssignmentStore, roles: RoleModel) -> None:
    people = [row(f"p{number}", "admin", "acme") for number in range(SUBJECTS_IN_LOG_ENTRY * 3)]
    before = store.revision()
    after = store.write(roles, people, [])
    assert int(after.split("-")[1]) == int(before.split("-")[1]) + 1
    assert store.count() == len(people)
