"""The change log of role assignments: what stands in it, that it never misses or invents anything, and the past read from it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text
from storage_people import ROLES, held_by_at, row

from klausel.casbin.adapter import KlauselAdapter
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel
from klausel.core.records.change_record import BEFORE_THE_FIRST, Origin
from klausel.storage.assignments import bulk_load
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState
from klausel.storage.change_log import writer
from klausel.storage.change_log.entity_reader import EntityFilters, EntityLogReader
from klausel.storage.change_log.reader import BeforeTheLog, Filters, LoggedChange, LogReader, MomentInLog
from klausel.storage.change_log.verification import Verdict, missing_guards, verify_log
from klausel.storage.schema import open_database, upgrade_database
from klausel.storage.sql.tables import SCHEMA_VERSION

ADMIN = row("ann", "admin", "acme")
USER = row("bo", "user", "acme")
LEAD = row("bo", "lead", "acme/support")
CARA = Origin("cara", "she moved teams", "HR-12", "http", "127.0.0.1", "request-1")


def changes(store: AssignmentStore, **filters: object) -> list[LoggedChange]:
    """Oldest first."""
    return list(LogReader(store.engine).changes(Filters(**filters)))[::-1]  # type: ignore[arg-type]


def rows_of_record(store: AssignmentStore, number: int) -> list[tuple[str, Assignment]]:
    found = [change for change in changes(store) if change.number == number]
    return [(change.word, Assignment(change.subject, change.role, change.domain)) for change in found]


def whole(store: AssignmentStore) -> Verdict:
    """The verdict on a log that must be whole."""
    verdict = verify_log(store.engine, {})
    assert verdict.findings == ()
    return verdict


class TestRecords:
    def test_a_new_log_is_whole_and_has_a_first_record_without_rows(self, any_store: AssignmentStore) -> None:
        verdict = whole(any_store)
        assert (verdict.records, verdict.rows) == (1, 0)
        assert verdict.last is not None
        assert (verdict.last.number, verdict.last.kind, verdict.last.previous) == (1, "begins", BEFORE_THE_FIRST)

    def test_a_record_holds_who_why_and_exactly_what_really_changed(
        self, any_store: AssignmentStore, roles: RoleModel
    ) -> None:
        any_store.write(roles, [ADMIN, USER], [])
        revision = any_store.write(roles, [LEAD, LEAD, USER], [row("nobody", "user", "acme")], CARA)
        (change,) = changes(any_store, by="cara")
        assert (change.subject, change.role, change.domain, change.word) == (*LEAD.key, "granted")
        assert (change.by, change.reason, change.ticket) == ("cara", "she moved teams", "HR-12")
        assert (change.channel, change.caller, change.request_id) == ("http", "127.0.0.1", "request-1")
        assert (change.number, change.revision) == (3, revision)
        assert whole(any_store).records == 3

    def test_what_changes_nothing_or_is_refused_leaves_no_record(self, store: AssignmentStore, roles: RoleModel) -> None:
        store.write(roles, [ADMIN, USER], [])
        store.write(roles, [ADMIN], [LEAD], CARA)
        store.import_rows(roles, [ADMIN, USER], None, CARA)
        store.remove_subject(roles, "user:nobody", "acme", CARA)
        with pytest.raises(ForbiddenState):
            store.write(roles, [], [ADMIN], CARA)
        with pytest.raises(ForbiddenState):
            store.import_rows(roles, [row("cy", "lead", "acme/x")], None, CARA)
        assert changes(store, by="cara") == []
        assert whole(store).records == 2

    def test_a_leaver_is_one_record(self, store: AssignmentStore, roles: RoleModel) -> None:
        store.write(roles, [ADMIN, USER, LEAD], [])
        store.remove_subject(roles, "user:bo", "acme", CARA)
        assert rows_of_record(store, 3) == [("revoked", LEAD), ("revoked", USER)]
        whole(store)

    def test_an_import_is_one_record_of_the_rows_that_were_not_there(
        self, any_store: AssignmentStore, roles: RoleModel
    ) -> None:
        any_store.write(roles, [ADMIN, USER], [])
        more = [row(f"p{number}", "user", "acme") for number in range(30)]
        any_store.import_rows(roles, [ADMIN, *more, USER, LEAD, *more[:5]], None, CARA)
        logged = rows_of_record(any_store, 3)
        assert sorted(assignment for _, assignment in logged) == sorted([*more, LEAD])
        assert {word for word, _ in logged} == {"granted"}
        any_store.import_rows(roles, [row("late", "user", "acme"), *more], None, CARA)
        assert rows_of_record(any_store, 4) == [("granted", row("late", "user", "acme"))]
        assert whole(any_store).rows == 2 + 31 + 1

    def test_an_import_over_several_steps_drops_and_makes_indexes_and_is_whole(
        self, store: AssignmentStore, roles: RoleModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bulk_load, "ROWS_PER_STEP", 20)
        for account in ("a", "b"):
            people = [row(f"p{number}", "admin", account) for number in range(90)]
            store.import_rows(roles, people, None, CARA)
        assert whole(store).rows == 180
        with store.engine.connect() as connection:
            catalogue = "pg_indexes" if connection.dialect.name == "postgresql" else "sqlite_master"
            column = "indexname" if connection.dialect.name == "postgresql" else "name"
            query = text(f"SELECT count(*) FROM {catalogue} WHERE {column} = 'klausel_assignment_log_row_by_subject'")
            assert connection.execute(query).scalar_one() >= 1

    def test_changes_through_casbins_adapter_are_logged_without_a_name(
        self, store: AssignmentStore, roles: RoleModel
    ) -> None:
        adapter = KlauselAdapter(store, roles)
        adapter.add_policies("g", "g", [ADMIN, USER])
        adapter.update_policy("g", "g", USER, row("cy", "user", "acme"))
        adapter.remove_filtered_policy("g", "g", 0, "user:cy")
        assert [(change.word, change.subject, change.channel, change.by) for change in changes(store)] == [
            ("granted", "user:ann", "adapter", None),
            ("granted", "user:bo", "adapter", None),
            ("revoked", "user:bo", "adapter", None),
            ("granted", "user:cy", "adapter", None),
            ("revoked", "user:cy", "adapter", None),
        ]
        whole(store)

    def test_times_never_go_back_nor_stand_still(
        self, store: AssignmentStore, roles: RoleModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = iter([1000 + time.time_ns() // 1000, 500, 500, 2000])
        monkeypatch.setattr(writer, "now_microseconds", lambda: next(clock))
        for number in range(4):
            store.write(roles, [row(f"p{number}", "admin", "acme")], [])
        times = [change.microseconds for change in changes(store)]
        assert times == [times[0] + number for number in range(4)]
        whole(store)

    @pytest.mark.parametrize(
        ("field", "value"),
        [("by", ""), ("by", "x" * 256), ("reason", "x" * 1001), ("ticket", "a\nb"), ("reason", "\ud800"), ("by", 5)],
    )
    def test_a_claim_that_is_no_line_of_text_is_refused(self, field: str, value: object) -> None:
        with pytest.raises(ValueError, match=field):
            Origin(**{field: value})  # type: ignore[arg-type]

    def test_the_longest_texts_and_the_strangest_ids_are_kept(self, any_store: AssignmentStore, roles: RoleModel) -> None:
        origin = Origin("ä" * 255, "🙂" * 1000, '"; DROP TABLE casbin_rule; --')
        strange = [
            row(id_, "admin", domain) for id_ in ('"q"', "a\\b", "日本", "🙂", "%s", "'", ":number") for domain in "é%"
        ]
        any_store.write(roles, strange, [], origin)
        any_store.import_rows(roles, [one._replace(subject=one.subject + "2") for one in strange], None, origin)
        assert {(change.by, change.reason, change.ticket) for change in changes(any_store)} == {
            (origin.by, origin.reason, origin.ticket)
        }
        whole(any_store)


@pytest.mark.parametrize("table", ["klausel_assignment_log", "klausel_assignment_log_row"])
def test_the_database_itself_refuses_to_change_or_remove_records(
    store: AssignmentStore, roles: RoleModel, table: str
) -> None:
    store.write(roles, [ADMIN], [])
    statements = ["UPDATE {} SET number = number + 7", "DELETE FROM {}"]
    if store.engine.dialect.name == "postgresql":
        statements.append("TRUNCATE {}")
    for statement in statements:
        with pytest.raises(Exception, match="append-only"), store.engine.begin() as connection:
            connection.execute(text(statement.format(table)))
    assert whole(store).records == 2


def drop_watches(connection: Connection) -> None:
    """Takes away what notes the changes that others make to role assignments, and the tables that came later."""
    for table in ("klausel_entity_log_row", "klausel_entity_property", "klausel_entity"):
        connection.execute(text(f"DROP TABLE {table}"))
    if connection.dialect.name == "sqlite":
        for verb in ("insert", "update", "delete"):
            connection.execute(text(f"DROP TRIGGER casbin_rule_noted_{verb}"))
    else:
        connection.execute(text("DROP FUNCTION klausel_note_row_change CASCADE"))


def make_old(store: AssignmentStore) -> None:
    """Makes the database one of the schema before the log."""
    with store.engine.begin() as connection:
        drop_watches(connection)
        for table in ("klausel_assignment_log_row", "klausel_assignment_log"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("UPDATE klausel_state SET schema_version = 1"))


class TestOldDatabases:
    def test_a_database_of_version_2_keeps_its_log_and_gets_the_new_triggers(
        self, store: AssignmentStore, roles: RoleModel, database_url: str
    ) -> None:
        revision = store.write(roles, [ADMIN, USER, LEAD], [])
        with store.engine.begin() as connection:
            drop_watches(connection)
            if connection.dialect.name == "sqlite":
                for table in ("klausel_assignment_log_row", "klausel_assignment_log"):
                    connection.execute(text(f"DROP TRIGGER {table}_no_replace"))
            connection.execute(text("UPDATE klausel_state SET schema_version = 2"))
        assert upgrade_database(database_url) == 2
        opened = AssignmentStore(open_database(database_url))
        assert opened.revision() == revision
        assert whole(opened).records == 2
        assert missing_guards(opened.engine) == []
        with opened.engine.begin() as connection:
            connection.execute(text("DELETE FROM casbin_rule WHERE v1 = 'lead'"))
        assert opened.revision() != revision
        opened.close()

    def test_a_database_made_before_gets_a_first_record_with_what_is_there(
        self, store: AssignmentStore, roles: RoleModel, database_url: str
    ) -> None:
        revision = store.write(roles, [ADMIN, USER, LEAD], [])
        make_old(store)
        assert upgrade_database(database_url) == 1
        opened = AssignmentStore(open_database(database_url))
        assert rows_of_record(opened, 1) == [("found", ADMIN), ("found", LEAD), ("found", USER)]
        assert whole(opened).records == 1
        assert opened.revision() == revision
        opened.write(roles, [], [LEAD], CARA)
        assert whole(opened).records == 2
        opened.close()

    def test_many_may_bring_it_up_to_date_at_once(self, store: AssignmentStore, roles: RoleModel, database_url: str) -> None:
        store.write(roles, [ADMIN, USER], [])
        make_old(store)
        with ThreadPoolExecutor(6) as pool:
            assert set(pool.map(upgrade_database, [database_url] * 6)) <= {1, SCHEMA_VERSION}
        assert whole(store).records == 1

    def test_nothing_is_known_of_the_time_before(self, store: AssignmentStore) -> None:
        with pytest.raises(BeforeTheLog, match="the log begins at"):
            LogReader(store.engine).at(0)


def grant_many(url: str, name: str, count: int) -> None:
    """Some writes by a process of its own, in two accounts, one of them shared with all others."""
    store = AssignmentStore(open_database(url))
    for number in range(count):
        store.write(ROLES, [row(f"{name}.{number}", "admin", name), row(f"{name}.{number}", "admin", "shared")], [])
        with suppress(ForbiddenState):
            store.remove_subject(ROLES, f"user:{name}.{number}", "shared")
    store.import_rows(ROLES, [row(f"{name}.i{number}", "admin", name) for number in range(50)])
    store.close()


class TestRacesAndCrashes:
    def test_records_of_racing_processes_are_numbered_without_gaps(self, store: AssignmentStore, database_url: str) -> None:
        with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
            for done in [pool.submit(grant_many, database_url, name, 12) for name in ("x", "y", "z")]:
                done.result()
        verdict = whole(store)
        assert verdict.last is not None
        assert verdict.records == verdict.last.number >= 1 + 3 * 13

    @pytest.mark.parametrize("moment", ["log_change", "log_stored_rows", "revision_now"])
    def test_a_process_killed_during_an_import_leaves_neither_rows_nor_records(
        self, store: AssignmentStore, database_url: str, moment: str
    ) -> None:
        store.write(ROLES, [ADMIN], [])
        die = f"setattr(bulk_load, '{moment}', lambda *_: os.kill(os.getpid(), 9))"
        act = "store.import_rows(ROLES, [row(f'p{n}', 'user', 'acme') for n in range(500)])"
        assert run_and_die(database_url, f"{die}\n{act}") == -9
        assert store.count() == 1
        assert whole(store).records == 2
        store.import_rows(ROLES, [USER])
        assert whole(store).records == 3

    def test_a_process_killed_during_a_write_leaves_neither_rows_nor_records(
        self, store: AssignmentStore, database_url: str
    ) -> None:
        store.write(ROLES, [ADMIN], [])
        die = "setattr(assignment_store, 'revision_now', lambda *_: os.kill(os.getpid(), 9))"
        assert run_and_die(database_url, f"{die}\nstore.write(ROLES, [row('bo', 'user', 'acme')], [])") == -9
        assert store.count() == 1
        assert whole(store).records == 2


def run_and_die(url: str, program: str) -> int:
    start = (
        "import os\nfrom storage_people import ROLES, row\n"
        "from klausel.storage.assignments import bulk_load\nfrom klausel.storage.assignments import store as assignment_store\n"
        "from klausel.storage.schema import open_database\n"
        f"store = assignment_store.AssignmentStore(open_database({url!r}))\n"
    )
    command = [sys.executable, "-c", start + program]
    return subprocess.run(command, cwd=Path(__file__).parents[2] / "helpers", timeout=60).returncode


POOL = [row(name, role, domain) for name in "abc" for role, domain in (("admin", "x"), ("user", "x"), ("admin", "y"))]
POOL += [row(name, "lead", f"x/{place}") for name in "abc" for place in "mn"]


class TestThePast:
    @pytest.mark.parametrize("seed", range(3))
    def test_the_log_gives_the_table_at_every_moment(self, store: AssignmentStore, roles: RoleModel, seed: int) -> None:
        chance = random.Random(seed)
        known: dict[int, frozenset[Assignment]] = {1: frozenset()}
        for _ in range(40):
            some = chance.sample(POOL, chance.randint(1, 6))
            cut = chance.randint(0, len(some))
            with suppress(ForbiddenState):
                if chance.random() < 0.2:
                    store.import_rows(roles, some)
                else:
                    store.write(roles, some[:cut], some[cut:])
            last = whole(store).last
            assert last is not None
            known[last.number] = frozenset(store.export_rows())
        reader = LogReader(store.engine)
        times = {change.number: change.microseconds for change in changes(store)}
        assert len(known) > 10
        for number, rows in known.items():
            moment = MomentInLog(0, number)
            if number in times:
                assert reader.at(times[number]).number == number
                assert reader.at(times[number] - 1).number == number - 1
            assert list(reader.held_at(moment)) == sorted(rows)
            assert list(reader.held_at(moment, domain="x")) == sorted(one for one in rows if one.domain == "x")
            for subject in ("user:a", "user:b", "user:c", "user:nobody", "user:\0"):
                held = sorted(one for one in rows if one.subject == subject)
                assert held_by_at(reader, subject, moment) == tuple((one.role, one.domain) for one in held)
                assert list(reader.held_at(moment, subject)) == held

    def test_filters_and_places_pick_among_the_changes(self, store: AssignmentStore, roles: RoleModel) -> None:
        for number, one in enumerate(POOL[:2] + POOL[6:8]):
            store.write(roles, [one], [], Origin(by=f"by{number % 2}"))
        every = changes(store)[::-1]
        reader = LogReader(store.engine)
        middle = every[1].microseconds
        tests: list[tuple[dict[str, object], Callable[[LoggedChange], bool]]] = [
            ({}, lambda change: True),
            ({"subject": "user:a"}, lambda change: change.subject == "user:a"),
            ({"role": "admin"}, lambda change: change.role == "admin"),
            ({"domain": "x", "by": "by1"}, lambda change: change.domain == "x" and change.by == "by1"),
            ({"since": middle}, lambda change: change.microseconds >= middle),
            ({"until": middle, "subject": "user:c"}, lambda change: change.microseconds < middle and change.subject == "user:c"),
            ({"by": "a\nb"}, lambda change: False),
        ]  # fmt: skip
        for wanted, fits in tests:
            fitting = [change for change in every if fits(change)]
            filters = Filters(**wanted)  # type: ignore[arg-type]
            shown: list[LoggedChange] = []
            for _ in range(len(fitting)):
                after = (shown[-1].number, shown[-1].position) if shown else None
                shown += reader.changes(filters, limit=1, after=after)
            assert shown == fitting == list(reader.changes(filters))

    def test_what_is_asked_of_the_log_is_read_along_an_index(self, sqlite_url: str, roles: RoleModel) -> None:
        store = AssignmentStore(open_database(sqlite_url))
        store.write(roles, POOL[:3], [])
        asked: list[tuple[str, tuple[object, ...]]] = []
        event.listen(store.engine, "before_cursor_execute", lambda _c, _k, sql, values, *_: asked.append((sql, values)))
        reader = LogReader(store.engine)
        list(reader.changes(Filters(subject="user:a"), 5))
        held_by_at(reader, "user:a", reader.at(2**62))
        list(reader.held_at(reader.at(2**62)))
        list(reader.changes(Filters(by="user:a"), 5))
        list(EntityLogReader(store.engine).changes(EntityFilters(by="user:a"), 5))
        queries = [(sql, values) for sql, values in asked if sql.startswith("SELECT")]
        assert len(queries) == 7
        with store.engine.connect() as connection:
            for sql, values in queries:
                steps = [step[3] for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
                scans = [step for step in steps if step.startswith("SCAN")]
                assert not [step for step in scans if "COVERING INDEX klausel_assignment_log_row_by_subject" not in step]
                assert not [step for step in steps if "TEMP B-TREE" in step and "subject = " not in sql], steps
        store.close()
