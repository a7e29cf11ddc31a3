"""The index of stored values is kept by the database itself, leads to all that has a value, and is used by searches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Connection, Engine, event, insert, text
from stored_entities import entities_wanted, todo, todo_policy, user

from klausel.core.conditions.tree import Attribute, Call, Comparison, ListOf, Literal
from klausel.core.filters.tree import Every, Filter, Some, holds
from klausel.core.policy.entity import Entity, properties_text
from klausel.core.terms.request import Resource
from klausel.storage.entities.narrowing import InOneDomain, Wanted, few_by_value, narrowed, reading_by_index
from klausel.storage.entities.store import EntityStore
from klausel.storage.schema import open_database, upgrade_database
from klausel.storage.sql.tables import Entity as Row

POLICY = todo_policy()
OWNER, DONE, LABELS, SIZE = (Attribute("resource", (name,)) for name in ("owner", "done", "labels", "size"))
COMPANY, TEAM = Attribute("resource", ("company",)), Attribute("resource", ("team",))
VALUES = ("a", "ä", "A", "a" * 99 + "x", "a" * 99 + "xyz", "5", 5, 5.0, 5.5, -0.5, 0, 2**53, True, False, "true", "1", 1, "")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def index(engine: Engine) -> list[tuple[str, str, str]]:
    with engine.connect() as connection:
        query = "SELECT name, value, id FROM klausel_entity_property ORDER BY name, value, id"
        return [(name, value, id_) for name, value, id_ in connection.execute(text(query))]


def found(engine: Engine, filter_: Filter, **more: object) -> list[str]:
    wanted = Wanted("resource", "todo", {}, filter_, **more)  # type: ignore[arg-type]
    return [entity.id for entity in entities_wanted(engine, POLICY.roles, wanted, at_first=2)]


def steps(engine: Engine, filter_: Filter) -> list[str] | None:
    """The ids that an index leads to."""
    with reading_by_index(engine) as connection:
        narrow = narrowed(connection, POLICY.roles, Wanted("resource", "todo", {}, filter_), "", 2)
        if narrow is None:
            return None
        if isinstance(narrow, InOneDomain):
            there = "SELECT id FROM klausel_entity WHERE domain = :domain ORDER BY id"
            return list(connection.execute(text(there), {"domain": narrow.domain}).scalars())
        ids: list[str] = []
        while not narrow.is_over:
            ids += narrow.take(connection)
        return ids


def test_every_write_keeps_the_index_also_one_of_somebody_else(engine: Engine) -> None:
    store = EntityStore(engine)
    store.write(POLICY, [todo("1", owner="ann", size=-1.5, done=True, labels=["x", "x", "y"], place={"city": "Bonn"})])
    rows = [
        ("done", "1", "1"),
        ("labels", "x", "1"),
        ("labels", "y", "1"),
        ("owner", "ann", "1"),
        ("size", "-fffffffffffffffe+", "1"),
    ]
    assert index(engine) == rows
    store.write(POLICY, [todo("1", owner="bo")])
    assert index(engine) == [("owner", "bo", "1")]
    statement = "INSERT INTO klausel_entity VALUES ('resource', 'todo', '{}', '', '{}') {}"
    again = "ON CONFLICT (kind, type, id) DO "
    with engine.begin() as connection:
        connection.exec_driver_sql(statement.format(2, '{"owner": "cy", "labels": [["z"], null, 3]}', ""))
        connection.exec_driver_sql(statement.format(1, "{}", again + "NOTHING"))
    assert index(engine) == [("labels", "00000000000000003", "2"), ("owner", "bo", "1"), ("owner", "cy", "2")]
    with engine.begin() as connection:
        changed = 'UPDATE SET properties = \'{"owner": "dee"}\''
        connection.exec_driver_sql(statement.format(1, "{}", again + changed))
        connection.exec_driver_sql("UPDATE klausel_entity SET id = '3' WHERE id = '2'")
    assert index(engine) == [("labels", "00000000000000003", "3"), ("owner", "cy", "3"), ("owner", "dee", "1")]
    store.write(POLICY, [], [("resource", "todo", "1")])
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "DELETE FROM klausel_entity" if engine.dialect.name == "sqlite" else "TRUNCATE klausel_entity"
        )
    assert index(engine) == []


def test_on_sqlite_a_replace_is_found_by_its_new_values(tmp_path: object) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/some.db")
    EntityStore(engine).write(POLICY, [todo("1", owner="ann")])
    with engine.begin() as connection:
        replaced = """INSERT OR REPLACE INTO klausel_entity VALUES ('resource', 'todo', '1', '', '{"owner": "bo"}')"""
        connection.exec_driver_sql(replaced)
    assert found(engine, Comparison("==", OWNER, Literal("bo"))) == ["1"]
    assert found(engine, Comparison("==", OWNER, Literal("ann"))) == []
    engine.dispose()


def test_a_database_of_version_5_gets_its_index_with_all_that_is_stored(database_url: str) -> None:
    engine = open_database(database_url)
    EntityStore(engine).write(POLICY, [todo("1", owner="ann", labels=["x", "x"]), user("ann", email="a@x")])
    rows = index(engine)
    with engine.begin() as connection:
        on = " ON klausel_entity" if engine.dialect.name == "postgresql" else ""
        verbs = ("insert", "update", "delete", *(("truncate",) if on else ()))
        for verb in verbs:
            connection.exec_driver_sql(f"DROP TRIGGER klausel_entity_indexed_{verb}{on}")
        connection.exec_driver_sql("DROP TABLE klausel_entity_property")
        connection.exec_driver_sql("UPDATE klausel_state SET schema_version = 5")
    engine.dispose()
    assert upgrade_database(database_url) == 5
    engine = open_database(database_url)
    assert index(engine) == rows == [("email", "a@x", "ann"), ("labels", "x", "1"), ("owner", "ann", "1")]
    EntityStore(engine).write(POLICY, [todo("2", owner="bo")], [("subject", "user", "ann")])
    assert index(engine) == [("labels", "x", "1"), ("owner", "ann", "1"), ("owner", "bo", "2")]
    engine.dispose()


def test_a_rare_value_is_found_without_looking_at_the_others(engine: Engine) -> None:
    others = [todo(f"t{number:03}", owner="bo", done=True, labels=[f"l{number}"]) for number in range(120)]
    EntityStore(engine).write(POLICY, [*others, todo("t055x", "acme/blue", owner="ann", done=True)])
    rare, common = Comparison("==", OWNER, Literal("ann")), Comparison("==", DONE, Literal(True))
    assert steps(engine, rare) == steps(engine, Every((common, rare))) == ["t055x"]
    in_acme = Comparison("==", COMPANY, Literal("acme"))
    assert steps(engine, Every((in_acme, common, rare))) == ["t055x"]
    label = Comparison("in", Literal("l7"), LABELS)
    assert steps(engine, Some((label, rare))) == ["t007", "t055x"]
    assert steps(engine, Call("overlaps", (LABELS, ListOf((Literal("l3"), Literal("l5")))), True)) == ["t003", "t005"]
    blue = Every((in_acme, Comparison("==", TEAM, Literal("blue"))))
    assert steps(engine, blue) == ["t055x"]
    # Nothing leads to these but a look at each.
    city = Comparison("==", Attribute("resource", ("place", "city")), Literal("Bonn"))
    assert steps(engine, city) is None
    assert steps(engine, Some((rare, city))) is None
    assert steps(engine, Comparison("!=", SIZE, Literal(3))) is None
    # What is common is read in the order of the ids, in steps, and not as a whole.
    assert found(engine, common) == sorted(one.id for one in (*others, todo("t055x")))


def test_what_lies_in_one_domain_is_read_in_its_order_by_one_query(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    blue = [todo(f"b{number:03}", "acme/blue", owner="ann" if number >= 45 else "bo") for number in range(50)]
    EntityStore(engine).write(POLICY, [*blue, *(todo(f"a{number:03}", "acme/red") for number in range(50))])
    plans: list[str] = []

    def explain(connection: Connection, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if "SELECT klausel_entity.kind, " in statement:
            driver = connection.connection.driver_connection
            assert driver is not None
            plans.append(str(driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()))

    event.listen(engine, "before_cursor_execute", explain)
    place = (Comparison("==", COMPANY, Literal("acme")), Comparison("==", TEAM, Literal("blue")))
    wanted = Wanted("resource", "todo", {}, Every((*place, Comparison("!=", OWNER, Literal("bo")))))
    assert [one.id for one in entities_wanted(engine, POLICY.roles, wanted)] == [f"b{number:03}" for number in range(45, 50)]
    (plan,) = plans
    assert "klausel_entity_by_domain (kind=? AND type=? AND domain=? AND id>?)" in plan
    assert "TEMP B-TREE" not in plan
    # What says so in a property alone is found beside it.
    EntityStore(engine).write(POLICY, [todo("c2", "acme/blue", owner="cy")])
    row = """('resource', 'todo', 'c1', '', '{"company": "acme", "team": "blue", "owner": "cy"}')"""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO klausel_entity VALUES {row}")
    assert [one.id for one in entities_wanted(engine, POLICY.roles, wanted, "b048")] == ["b049", "c1", "c2"]
    engine.dispose()


def test_what_is_sent_of_all_stands_for_what_is_not_stored(engine: Engine) -> None:
    EntityStore(engine).write(POLICY, [todo("1", owner="ann"), todo("2"), todo("3", owner="bo")])
    wanted = Wanted("resource", "todo", {"owner": "ann"}, Comparison("==", OWNER, Literal("ann")))
    assert [entity.id for entity in entities_wanted(engine, POLICY.roles, wanted)] == ["1", "2"]


def test_subjects_with_a_rare_value_are_known_to_be_few(engine: Engine) -> None:
    people = [user(f"p{number}", email=f"{number}@x", grade=7) for number in range(9)]
    EntityStore(engine).write(POLICY, people)
    email, grade = Attribute("subject", ("email",)), Attribute("subject", ("grade",))

    def few(condition: Comparison) -> bool | None:
        return few_by_value(engine, Wanted("subject", "user", {}, condition), 3)

    assert few(Comparison("==", email, Literal("3@x"))) is True
    assert few(Comparison("==", grade, Literal(7))) is False
    assert few(Comparison("<", grade, Literal(7))) is True
    assert few(Comparison("<=", grade, Literal(7))) is False
    assert few(Comparison("!=", grade, Literal(7))) is None


def test_the_index_leads_to_every_entity_that_a_filter_takes(engine: Engine) -> None:
    """Values of all kinds, cut off, equal in one way and not in another, in lists and alone."""
    random = Random(5)
    entities = []
    for number in range(150):
        properties: dict[str, object] = {
            name: random.choice((random.choice(VALUES), None, random.sample(VALUES, 2), {"a": random.choice(VALUES)}))
            for name in ("owner", "labels", "size")
            if random.random() < 0.8
        }
        entities.append(Entity("resource", "todo", f"t{number}", random.choice(("", "acme", "acme/red")), properties))
    with engine.begin() as connection:
        rows = [(*one[:4], properties_text(one.properties)) for one in entities]
        names = ("kind", "type", "id", "domain", "properties")
        connection.execute(insert(Row), [dict(zip(names, row, strict=True)) for row in rows])
    count = 0
    for name in ("owner", "labels"):
        attribute = Attribute("resource", (name,))
        for value in VALUES:
            one = Literal(value)
            filter_ = random.choice(
                (
                    Comparison("==", attribute, one),
                    Comparison("in", attribute, ListOf((one, Literal("a")))),
                    Comparison("in", one, attribute),
                    Call("overlaps", (attribute, ListOf((one, Literal(5)))), True),
                )
            )
            wanted = sorted(one.id for one in entities if holds(filter_, Resource("todo", one.id, one.properties)))
            assert found(engine, filter_) == wanted, (str(filter_), json.dumps([one.as_json() for one in entities]))
            assert set(wanted) <= set(steps(engine, filter_) or ())
            count += len(wanted)
    assert count > 100


def test_postgresql_plans_each_search_for_its_own_values(postgresql_schema_url: str) -> None:
    engine = open_database(postgresql_schema_url)
    for number in range(12):
        found(engine, Comparison("==", OWNER, Literal(str(number))))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0
    engine.dispose()
