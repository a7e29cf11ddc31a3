"""Comparisons by size, times and beginnings of texts lead along ranges of the index: never past an entity that they take."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, text
from stored_entities import entities_wanted, todo, todo_policy

from klausel.core.conditions.tree import Attribute, Call, Comparison, Computed, Literal, Operator
from klausel.core.conditions.values import time_text
from klausel.core.filters.candidates import bound_of
from klausel.core.filters.tree import Every, Filter, Some, holds
from klausel.core.policy.entity import Entity, properties_text
from klausel.core.policy.entity_faults import fault_in_value
from klausel.core.terms.request import Resource
from klausel.storage.entities import narrowing
from klausel.storage.entities.narrowing import InOneDomain, Wanted, narrowed, reading_by_index
from klausel.storage.entities.store import EntityStore
from klausel.storage.schema import open_database, schema_version, upgrade_database
from klausel.storage.sql.property_index import indexed_range, indexed_values
from klausel.storage.sql.tables import Entity as Row

EXAMPLES = int(os.environ.get("KLAUSEL_TEST_EXAMPLES", "4"))
CASES = Path(__file__).parents[2] / "cases/databases"
POLICY = todo_policy()
SIZE, OWNER, DUE = (Attribute("resource", (name,)) for name in ("size", "owner", "due"))
ORDERING: tuple[Operator, ...] = ("<", "<=", ">", ">=")
EDGES = (0, 1, 5, 2**31, 2**52, 2**53, 2**53 + 1, 2**62, 2**63 - 1025, 2**63 - 1, 2**63, 10**30, 1e300, 5e-324, 1e-310, 0.5)
NUMBERS: list[int | float] = [
    sign * (one + more) for one, more, sign in product(EDGES, (-1, 0, 1), (1, -1)) if math.isfinite(one + more)
]
NUMBERS += [
    sign * math.nextafter(one, way) for one in (0, 1, 5, 2**52, 2**62) for way in (-math.inf, math.inf) for sign in (1, -1)
]
NUMBERS += [-0.0, 1.2345678901234568e18, 123456789.125]
TEXTS = (
    "",
    "a",
    "ab",
    "aé",
    "b",
    "a\U0010ffff",
    "\U0010ffff",
    "a" * 99,
    "a" * 100,
    "a" * 101,
    "a" * 120 + "b",
    "5",
    "05",
    "-",
    "A",
    "%",
)
MOMENT = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
TIMES = (
    *(time_text(MOMENT + timedelta(hours=hours)) for hours in range(-75, 76, 25)),
    "2026-03-01T23:59:00+23:59",
    "2026-02-28T00:31:00-23:59",
    "2026-03-01T01:30:00.0000001+01:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2026-03-01",
    "soon",
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def put(engine: Engine, entities: list[Entity]) -> None:
    """As somebody else writes them, whatever they are."""
    names = ("kind", "type", "id", "domain", "properties")
    rows = [(*one[:4], properties_text(one.properties)) for one in entities]
    with engine.begin() as connection:
        connection.execute(insert(Row), [dict(zip(names, row, strict=True)) for row in rows])


def found(engine: Engine, filter_: Filter) -> list[str]:
    wanted = Wanted("resource", "todo", {}, filter_)
    taken = (one for one in entities_wanted(engine, POLICY.roles, wanted, at_first=2))
    return [one.id for one in taken if holds(filter_, Resource("todo", one.id, one.properties))]


def steps(engine: Engine, filter_: Filter) -> list[str] | None:
    """The ids that an index leads to, in order; None where none does."""
    with reading_by_index(engine) as connection:
        narrow = narrowed(connection, POLICY.roles, Wanted("resource", "todo", {}, filter_), "", 2)
        if narrow is None or isinstance(narrow, InOneDomain):
            return None
        ids: list[str] = []
        while not narrow.is_over:
            ids += narrow.take(connection)
        return ids


def taken(entities: list[Entity], filter_: Filter) -> list[str]:
    return sorted(one.id for one in entities if holds(filter_, Resource("todo", one.id, one.properties)))


def test_numbers_of_every_size_are_found_by_each_comparison(engine: Engine) -> None:
    entities = [Entity("resource", "todo", f"n{at:03}", "", {"size": one}) for at, one in enumerate(NUMBERS)]
    entities += [
        Entity("resource", "todo", "list", "", {"size": [1, 2]}),
        Entity("resource", "todo", "true", "", {"size": True}),
    ]
    put(engine, entities)
    count = 0
    for operator, number in product((*ORDERING, "=="), NUMBERS[::2]):
        leaf = Comparison(operator, SIZE, Literal(number))  # type: ignore[arg-type]
        wanted = taken(entities, leaf)
        ways = steps(engine, leaf)
        assert ways is None or set(wanted) <= set(ways), str(leaf)
        assert ways is not None or operator == "==", str(leaf)
        count += len(wanted)
    assert count > 5_000
    kept = [one for one in entities if fault_in_value(one.properties["size"], 2) is None]
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM klausel_entity")
    put(engine, kept)
    for operator, number in product((*ORDERING, "=="), NUMBERS[::3]):
        leaf = Comparison(operator, SIZE, Literal(number))  # type: ignore[arg-type]
        assert found(engine, leaf) == taken(kept, leaf), str(leaf)


def test_numbers_that_are_written_otherwise_are_found_as_what_they_are_read_as(engine: Engine) -> None:
    """By plain SQL: more digits than a double has, more than there is of them, and less."""
    written = ("1e400", "-1e400", "1e-400", "-1e-400", "0.99999999999999999999999", "4.99999999999999999999999", "1E2", "-0")
    entities = []
    with engine.begin() as connection:
        for at, number in enumerate(written):
            row = {"id": f"n{at}", "properties": f'{{"size": {number}}}'}
            connection.execute(text("INSERT INTO klausel_entity VALUES ('resource', 'todo', :id, '', :properties)"), row)
            entities.append(Entity("resource", "todo", row["id"], "", json.loads(row["properties"])))
    for operator, number in product((*ORDERING, "=="), (0, 1, 5, 100, -1, 2**53, 10**25, 0.5)):
        leaf = Comparison(operator, SIZE, Literal(number))  # type: ignore[arg-type]
        ways = steps(engine, leaf)
        assert ways is None or set(taken(entities, leaf)) <= set(ways), str(leaf)


def test_beginnings_of_texts_and_times_are_found(engine: Engine) -> None:
    entities = [Entity("resource", "todo", f"t{at:02}", "", {"owner": one}) for at, one in enumerate(TEXTS)]
    entities += [Entity("resource", "todo", f"d{at:02}", "", {"due": one}) for at, one in enumerate(TIMES)]
    entities += [Entity("resource", "todo", "u1", "", {"owner": ["ab"], "due": [TIMES[0]]})]
    put(engine, entities)
    for start in TEXTS:
        leaf = Call("starts_with", (OWNER, Literal(start)), True)
        assert found(engine, leaf) == taken(entities, leaf) != []
        assert set(taken(entities, leaf)) <= set(steps(engine, leaf) or ())
        assert steps(engine, Call("starts_with", (OWNER, Literal(start)), False)) is None
    moments = [MOMENT + timedelta(hours=hours) for hours in range(-75, 76, 5)]
    moments += [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    due = Computed("time", (DUE,))
    for operator, moment in product((*ORDERING, "=="), moments):
        time_leaf = Comparison(operator, due, Literal(moment))  # type: ignore[arg-type]
        assert found(engine, time_leaf) == taken(entities, time_leaf), str(time_leaf)
        assert set(taken(entities, time_leaf)) <= set(steps(engine, time_leaf) or ())


@settings(max_examples=20 * EXAMPLES, deadline=None)
@given(st.one_of(st.integers(), st.floats(allow_nan=False)), st.one_of(st.integers(), st.floats(allow_nan=False)))
def test_the_text_of_a_number_lies_in_each_range_that_takes_it(value: float, other: float) -> None:
    kept = indexed_values(value)
    for operator in ORDERING:
        leaf = Comparison(operator, SIZE, Literal(other))
        bound = bound_of(leaf)
        assert bound is not None
        first, last = indexed_range(bound)
        if holds(leaf, Resource("todo", "x", {"size": value})):
            assert all(first <= one <= last for one in kept)
    if value == other:
        assert not kept or kept & indexed_values(other)


def test_few_of_many_are_found_without_looking_at_the_others(engine: Engine) -> None:
    others = [todo(f"t{number:03}", size=number % 10, owner="bo", due="2026-01-01T00:00:00Z") for number in range(120)]
    few = [todo("t050x", size=10), todo("t060x", size=9.5), todo("t070x", size=-3, owner="ann", due="2030-01-01T00:00:00Z")]
    EntityStore(engine).write(POLICY, [*others, *few])

    def size(operator: Operator, number: float) -> Comparison:
        return Comparison(operator, SIZE, Literal(number))

    # What is at a whole number is not between it and the next.
    assert steps(engine, size(">", 9)) == ["t050x", "t060x"]
    assert steps(engine, size(">=", 10)) == ["t050x"]
    assert steps(engine, size("<", 0)) == steps(engine, Comparison(">", Literal(0), SIZE)) == ["t070x"]
    assert steps(engine, Every((size(">", 9), size("<", 10)))) == ["t060x"]
    assert steps(engine, Every((size(">", 5), size("<", 3)))) == []
    assert steps(engine, Some((size("<", 0), size(">", 9.9)))) == ["t050x", "t060x", "t070x"]
    in_acme = Comparison("==", Attribute("resource", ("company",)), Literal("acme"))
    assert steps(engine, Every((in_acme, size(">=", 9.75), Comparison("!=", OWNER, Literal("x"))))) == ["t050x", "t060x"]
    assert steps(engine, Call("starts_with", (OWNER, Literal("an")), True)) == ["t070x"]
    after = Comparison(">", Computed("time", (DUE,)), Literal(datetime(2029, 1, 1, tzinfo=UTC)))
    assert steps(engine, after) == ["t070x"]
    # What is sent of all stands for what is not stored, which no index has.
    wanted = Wanted("resource", "todo", {"size": 99}, size(">", 9))
    assert [one.id for one in entities_wanted(engine, POLICY.roles, wanted)] == ["t050x", "t060x"]


@pytest.mark.parametrize("most", [10, 60, 200])
def test_a_range_of_many_is_read_in_order_in_parts(engine: Engine, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(narrowing, "MOST_AT_ONCE", 7)
    monkeypatch.setattr(narrowing, "STEPS", (2, 5, 7))
    monkeypatch.setattr(narrowing, "MOST_SORTED", most)
    random = Random(3)
    entities = [todo(f"t{number:03}", size=random.randrange(100)) for number in range(100)]
    # In a list, too, where each entity stands twice in a range.
    entities += [Entity("resource", "todo", f"u{number}", "", {"size": [80, 81]}) for number in range(20)]
    put(engine, entities)
    leaf = Comparison(">", SIZE, Literal(49))
    ways = steps(engine, leaf)
    assert (ways is None) == (most < 200 and len(taken(entities, leaf)) + 40 > most)
    assert ways is None or ways == sorted({*taken(entities, leaf), *(f"u{number}" for number in range(20))})
    assert found(engine, leaf) == taken(entities, leaf)
    wanted = Wanted("resource", "todo", {}, leaf)
    behind = [one.id for one in entities_wanted(engine, POLICY.roles, wanted, "t049", 2)]
    assert [id_ for id_ in behind if id_ < "u"] == [id_ for id_ in taken(entities, leaf) if id_ > "t049"]


def values(engine: Engine) -> list[tuple[str, str, str]]:
    of_these = "WHERE name IN ('size', 'grade', 'owner') ORDER BY name, value, id"
    query = f"SELECT name, value, id FROM klausel_entity_property {of_these}"
    with engine.connect() as connection:
        return [(name, value, id_) for name, value, id_ in connection.execute(text(query))]


UPGRADED = [
    ("grade", "00000000000000003", "ann"),
    ("owner", "ann", "1"),
    ("size", "-fffffffffffffffe+", "3"),
    ("size", "00000000000000009+", "2"),
    ("size", "0000000000000000a", "1"),
]


def check_upgraded(url: str) -> None:
    assert (schema_version(url), upgrade_database(url)) == (6, 6)
    with closing(_Opened(url)) as opened:
        engine = opened.engine
        assert values(engine) == UPGRADED
        assert found(engine, Comparison(">", SIZE, Literal(9))) == ["1", "2"]
        EntityStore(engine).write(POLICY, [todo("1", size=7), todo("4", size=11)], [("resource", "todo", "2")])
        assert values(engine) == [
            *UPGRADED[:1], UPGRADED[2], ("size", "00000000000000007", "1"), ("size", "0000000000000000b", "4")
        ]  # fmt: skip
        assert found(engine, Comparison(">", SIZE, Literal(9))) == ["4"]
    assert upgrade_database(url) == schema_version(url)


class _Opened:
    def __init__(self, url: str) -> None:
        self.engine = open_database(url)

    def close(self) -> None:
        self.engine.dispose()


def test_an_sqlite_file_of_version_6_gets_numbers_in_order(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection, connection:
        connection.executescript((CASES / "version_6.sql").read_text())
        connection.execute("INSERT INTO klausel_entity_property VALUES ('resource', 'todo', 'size', '5', 'left behind')")
    check_upgraded(f"sqlite:///{tmp_path}/old.db")


def test_a_postgresql_database_of_version_6_gets_numbers_in_order(postgresql_schema_url: str) -> None:
    engine = open_database(postgresql_schema_url)
    with engine.begin() as connection:
        for statement in (CASES / "version_6_functions.sql").read_text().split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        connection.exec_driver_sql("UPDATE klausel_state SET schema_version = 6")
    put(
        engine,
        [
            todo("1", owner="ann", size=10, done=True),
            todo("2", size=9.5, labels=["x"]),
            todo("3", size=-1.5),
            Entity("subject", "user", "ann", "", {"grade": 3}),
        ],
    )
    assert ("size", "-1", "3") in values(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("GRANT SELECT ON klausel_entity_property TO PUBLIC")
    engine.dispose()
    check_upgraded(postgresql_schema_url)
    with closing(_Opened(postgresql_schema_url)) as opened, opened.engine.connect() as connection:
        granted = (
            "SELECT count(*) FROM information_schema.role_table_grants WHERE grantee = 'PUBLIC' "
            "AND table_name = 'klausel_entity_property' AND table_schema = current_schema()"
        )
        assert connection.execute(text(granted)).scalar_one() == 1


def test_on_sqlite_what_one_change_costs_does_not_grow_with_what_is_stored(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/some.db")
    store = EntityStore(engine)
    costs = []
    for size in (10, 3_000):
        store.write(
            POLICY, [todo(f"s{size}t{number}", owner="bo", size=number, labels=["x", "y"]) for number in range(size)]
        )
        ticks: list[None] = []
        with closing(sqlite3.connect(tmp_path / "some.db")) as connection:
            connection.set_progress_handler(lambda ticks=ticks: ticks.append(None), 10)
            one = "WHERE kind = 'resource' AND type = 'todo' AND id = "
            connection.execute(f"UPDATE klausel_entity SET properties = '{{}}' {one} 's10t3'")
            connection.execute(f"DELETE FROM klausel_entity {one} 's10t4'")
            connection.rollback()
        costs.append(len(ticks))
    assert costs[1] < 2 * costs[0]
    engine.dispose()
