"""Stored properties on SQLite and PostgreSQL: checked, whole or nothing, idempotent, logged, and verified."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from stored_entities import todo, todo_policy, user

from klausel.core.policy.entity import Entity
from klausel.core.records.change_record import Origin
from klausel.storage.change_log.reader import LogReader
from klausel.storage.change_log.verification import count_of_log, missing_guards, verify_log
from klausel.storage.change_log.writer import now_microseconds
from klausel.storage.entities.store import EntityStore, InvalidEntities, OutOfReach
from klausel.storage.schema import open_database, schema_version, upgrade_database
from klausel.storage.sql.many_rows import ROWS_PER_STEP, many_pages
from klausel.storage.sql.revisions import StoreChange, revision_now

POLICY = todo_policy()
CASES = Path(__file__).parents[2] / "cases/databases"


@pytest.fixture
def told() -> list[StoreChange]:
    return []


@pytest.fixture
def entities(database_url: str, told: list[StoreChange]) -> Iterator[EntityStore]:
    engine = open_database(database_url)
    yield EntityStore(engine, told.append)
    engine.dispose()


def test_what_is_put_is_read_and_the_same_again_changes_nothing(entities: EntityStore, told: list[StoreChange]) -> None:
    all_ = [todo("1", owner="ann@x", size=1.5, labels=["a", "ü"]), todo("2", ""), user("ann", email="ann@x", grade=None)]
    first = entities.write(POLICY, all_)
    assert (first.stored, first.removed) == (3, 0)
    assert [entities.read(one.key) for one in all_] == all_
    assert entities.write(POLICY, reversed(all_)) == first.__class__(first.revision, 0, 0)
    assert [change.subjects for change in told] == [{"todo:1", "todo:2", "user:ann"}]
    # To put replaces all of it.
    second = entities.write(POLICY, [todo("1", size=2)], [all_[2].key, ("resource", "todo", "unknown")])
    assert (second.stored, second.removed, second.revision != first.revision) == (1, 1, True)
    assert list(entities.export()) == [todo("1", size=2), todo("2", "")]
    assert entities.count() == 2


@pytest.mark.parametrize(
    ("entity", "member", "words"),
    [
        (todo("1", owner=5), "properties.owner", "owner is 5, but is declared as text"),
        (todo("1", due="tomorrow"), "properties.due", "declared as time"),
        (todo("1", labels="a"), "properties.labels", "declared as list of text"),
        (todo("1", place={"city": 1}), "properties.place.city", "place.city is 1, but is declared as text"),
        (todo("1", place="here"), "properties.place", "has no parts"),
        (todo("1", colour="red"), "properties.colour", "none of the properties that todo declares"),
        (todo("1", team="red"), "properties.team", "send its domain"),
        (todo("1", id="2"), "properties.id", "attribute of its own"),
        (todo("1", owner="a\0b"), "properties.owner", "databases do not keep"),
        (todo("1", size=2**60), "properties.size", "too large"),
        (todo("1", size=float("nan")), "properties.size", "finite"),
        (todo("1", owner="x" * 9000), "properties", "more than 8192 bytes"),
        (todo("x" * 300), "id", "longer than 255"),
        (todo("a\nb"), "id", "control character"),
        (todo("1", "acme//red"), "domain", "empty part"),
        (todo("1", "acme/red/x"), "domain", "more parts than there are levels"),
        (Entity("resource", "note", "1"), "type", "name note under stored, resources"),
        (Entity("subject", "robot", "1"), "type", "name robot under stored, subjects"),
        (Entity("subject", "user", "1", "acme"), "domain", "everywhere"),
        (user("ann", age=5), "properties.age", "properties.yaml declares"),
        (Entity("thing", "user", "1"), "kind", "neither subject nor resource"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_stored_is_refused_with_place_and_cure(
    tmp_path: Path, entity: Entity, member: str, words: str
) -> None:
    store = EntityStore(open_database(f"sqlite:///{tmp_path}/some.db"))
    with pytest.raises(InvalidEntities) as refused:
        store.write(POLICY, [todo("good"), entity])
    (fault,) = refused.value.faults
    assert (fault.list, fault.index, fault.fault.member) == ("put", 1, member)
    assert words in fault.fault.message
    assert store.count() == 0


def test_one_entity_twice_or_in_both_lists_is_refused(entities: EntityStore) -> None:
    for put, gone in (([todo("1"), todo("1", size=1)], []), ([todo("1")], [todo("1").key])):
        with pytest.raises(InvalidEntities, match="leave it"):
            entities.write(POLICY, put, gone)
    assert entities.write(POLICY, [todo("1"), todo("1")]).stored == 1


def test_a_caller_of_some_accounts_writes_what_lies_and_lay_there_alone(entities: EntityStore) -> None:
    acme = frozenset({"acme"})
    entities.write(POLICY, [todo("1"), todo("2", "zed/red"), todo("3", "")])
    assert entities.write(POLICY, [todo("1", "acme/blue")], accounts=acme).stored == 1
    for put, gone in (
        ([todo("4", "zed")], []),
        ([todo("4", "")], []),
        ([todo("2", "acme/red")], []),
        ([todo("3", "acme/red")], []),
        ([user("ann")], []),
        ([], [user("nobody").key]),
    ):
        before = list(entities.export())
        with pytest.raises(OutOfReach):
            entities.write(POLICY, put, gone, accounts=acme)
        assert list(entities.export()) == before


def test_what_lies_elsewhere_is_not_there_to_a_caller_who_removes_it(entities: EntityStore) -> None:
    entities.write(POLICY, [todo("2", "zed/red")])
    before = list(entities.export())
    for id_ in ("2", "unknown"):
        assert entities.write(POLICY, [], [todo(id_, "").key], accounts=frozenset({"acme"})).removed == 0
        assert list(entities.export()) == before


def test_pages_show_every_entity_once_in_order_and_by_domain(entities: EntityStore) -> None:
    all_ = [todo(f"{n:03}", ("acme/red", "acme", "acmeX", "acme0")[n % 4]) for n in range(25)]
    entities.write(POLICY, all_)
    shown: list[Entity] = []
    more = True
    while more:
        page, more = entities.page("resource", "todo", 7, shown[-1].id if shown else "")
        shown += page
    assert shown == all_
    inside, _ = entities.page("resource", "todo", 100, domain="acme")
    assert inside == [one for one in all_ if one.domain in ("acme", "acme/red")]
    assert entities.page("subject", "todo", 10) == entities.page("resource", "\0", 10) == ([], False)


def test_changes_stand_in_the_chain_of_the_log_and_are_read_as_of_a_moment(entities: EntityStore, database_url: str) -> None:
    engine = open_database(database_url)
    reader, key = LogReader(engine), todo("1").key
    before = reader.at(now_microseconds())
    entities.write(POLICY, [todo("1", size=1)], origin=Origin(by="cara"))
    first = reader.at(now_microseconds() + 1000)
    entities.write(POLICY, [todo("1", size=2), todo("2")])
    second = reader.at(now_microseconds() + 2000)
    entities.write(POLICY, [], [key])
    third = reader.at(now_microseconds() + 3000)
    found = [entities.read_at(key, moment.number) for moment in (before, first, second, third)]
    assert found == [None, todo("1", size=1), todo("1", size=2), None]
    verdict = verify_log(engine, {})
    assert (verdict.findings, verdict.records) == ((), 4)
    assert count_of_log(engine) > 0
    assert missing_guards(engine) == []
    engine.dispose()


def test_what_is_changed_behind_the_log_is_counted_and_found(entities: EntityStore, database_url: str) -> None:
    entities.write(POLICY, [todo(str(n), size=n) for n in range(4)])
    engine = open_database(database_url)
    with engine.connect() as connection:
        before = revision_now(connection)
    with engine.begin() as connection:
        connection.execute(text("UPDATE klausel_entity SET domain = 'zed' WHERE id = '1'"))
        connection.execute(text("DELETE FROM klausel_entity WHERE id = '2'"))
        connection.execute(text("INSERT INTO klausel_entity VALUES ('subject', 'user', 'eve', '', '{}')"))
    with engine.connect() as connection:
        assert revision_now(connection) != before
        noted = {subject for (subject,) in connection.execute(text("SELECT subject FROM klausel_change WHERE revision > 1"))}
    assert noted == {"todo:1", "todo:2", "user:eve"}
    messages = [str(finding) for finding in verify_log(engine, {}).findings]
    for words in (
        "todo:1 is not as this record",
        "todo:2 was stored by this record, but is gone",
        "user:eve is there by no record",
    ):
        assert len([message for message in messages if words in message]) == 1, messages
    with pytest.raises(Exception, match="append-only"), engine.begin() as connection:
        connection.execute(text("UPDATE klausel_entity_log_row SET properties = '{}'"))
    engine.dispose()


def test_a_changed_row_of_the_log_breaks_its_record(tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    store = EntityStore(open_database(f"sqlite:///{file}"))
    store.write(POLICY, [todo("1", size=1)])
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DROP TRIGGER klausel_entity_log_row_no_update")
        connection.execute("UPDATE klausel_entity_log_row SET properties = '{}'")
        connection.execute("UPDATE klausel_entity SET properties = '{}'")
    engine = open_database(f"sqlite:///{file}")
    assert any("do not give their digest" in str(finding) for finding in verify_log(engine, {}).findings)
    assert len(missing_guards(engine)) == 1


def test_a_database_of_version_4_keeps_all_and_can_store_properties(tmp_path: Path) -> None:
    file, url = tmp_path / "old.db", f"sqlite:///{tmp_path}/old.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript((CASES / "version_4.sql").read_text())
    assert (schema_version(url), upgrade_database(url)) == (4, 4)
    check_upgraded(url)


def test_a_postgresql_database_of_version_4_can_store_properties(postgresql_schema_url: str) -> None:
    engine = open_database(postgresql_schema_url)
    with engine.begin() as connection:
        for statement in (
            "DROP TABLE klausel_entity, klausel_entity_log_row, klausel_entity_property",
            "DROP FUNCTION klausel_note_entity_change",
            "UPDATE klausel_state SET schema_version = 4",
        ):
            connection.execute(text(statement))
    engine.dispose()
    assert upgrade_database(postgresql_schema_url) == 4
    check_upgraded(postgresql_schema_url)


def check_upgraded(url: str) -> None:
    engine = open_database(url)
    store = EntityStore(engine)
    store.write(POLICY, [todo("1")])
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM klausel_entity"))
        connection.execute(text("INSERT INTO klausel_entity VALUES ('resource', 'todo', '1', 'acme/red', '{}')"))
    # Noted by the triggers: the end of the log is no longer the revision, and nothing else is wrong.
    assert [finding.kind for finding in verify_log(engine, {}).findings] == ["tail"]
    assert missing_guards(engine) == []
    engine.dispose()


def test_postgresql_has_counted_what_was_written_many_at_once(postgresql_schema_url: str) -> None:
    """Without, the searches that come next would read whole tables."""
    engine = open_database(postgresql_schema_url)
    store = EntityStore(engine)

    def counted() -> list[float]:
        query = (
            "SELECT reltuples FROM pg_class WHERE oid IN ('klausel_entity'::regclass, 'klausel_entity_property'::regclass)"
        )
        with engine.connect() as connection:
            return sorted(connection.execute(text(query)).scalars())

    store.write(POLICY, [todo("0", owner="ann")])
    assert counted() == [-1, -1]
    store.write(POLICY, [todo(f"{number}", size=1) for number in range(5_000)])
    assert counted() == [5_000, 5_000]
    engine.dispose()


def test_sqlite_keeps_more_in_memory_only_while_many_rows_are_written(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'store.db'}")

    def pages() -> int:
        return int(connection.exec_driver_sql("PRAGMA cache_size").scalar_one())

    with engine.connect() as connection:
        usual = pages()
        with many_pages(connection, ROWS_PER_STEP - 1):
            assert pages() == usual
        with pytest.raises(ZeroDivisionError), many_pages(connection, ROWS_PER_STEP):
            assert pages() < -10_000
            raise ZeroDivisionError
        assert pages() == usual
    store = EntityStore(engine)
    written = [todo(f"{number * 7 % 5_000:04}") for number in range(ROWS_PER_STEP)]
    store.write(todo_policy(), written)
    assert [one.id for one in store.export()] == sorted(one.id for one in written)
    engine.dispose()
