"""How the properties of resources are found in mapped classes: keys, relationships, lists, and what is refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    DateTime,
    Engine,
    ForeignKey,
    Numeric,
    String,
    Text,
    Uuid,
    cast,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from storage_fixtures import engine_with

from klausel.filters import predicate
from klausel.sqlalchemy import FilterError, sql, where

KEY = uuid.UUID("6f1c3f0e-0000-4000-8000-00000000000a")
Json = dict[str, Any]


class Base(DeclarativeBase):
    """The tables of this module."""


class Workspace(Base):
    """A workspace of an account."""

    __tablename__ = "model_workspace"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    slug: Mapped[str] = mapped_column(String(80))


class Quiz(Base):
    """A quiz in a workspace."""

    __tablename__ = "model_quiz"
    id: Mapped[int] = mapped_column(primary_key=True)
    workspace_id: Mapped[int | None] = mapped_column(ForeignKey(Workspace.id))
    workspace: Mapped[Workspace | None] = relationship()
    tags: Mapped[list[Tag]] = relationship()
    owner_name: Mapped[str | None] = mapped_column(String(40))
    score: Mapped[int] = mapped_column(default=0)
    labels: Mapped[Any] = mapped_column(JSON().with_variant(ARRAY(Text()), "postgresql"), nullable=True)
    due: Mapped[datetime | None] = mapped_column(DateTime)
    share: Mapped[float] = mapped_column(default=0.5)
    price: Mapped[Decimal] = mapped_column(Numeric(20, 2), default=Decimal("0.5"))
    views: Mapped[int] = mapped_column(BigInteger, default=2**53 + 1)
    made: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Tag(Base):
    """A tag of a quiz."""

    __tablename__ = "model_tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    quiz_id: Mapped[int] = mapped_column(ForeignKey(Quiz.id))
    name: Mapped[str | None] = mapped_column(String(40))


COLUMNS = {
    "account": "workspace.account_id",
    "workspace": Quiz.workspace_id,
    "slug": "workspace.slug",
    "owner": Quiz.owner_name,
    "tags": "tags.name",
    "colour": None,
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engine_with(request.param, Base.metadata) as engine:
        with Session(engine) as session:
            there = Workspace(id=7, account_id=KEY, slug="Support")
            session.add(there)
            tags = [Tag(name="a"), Tag(name="b")]
            day = datetime(2026, 1, 2, 12, tzinfo=UTC)
            due = day.replace(tzinfo=None)
            session.add(Quiz(id=1, workspace=there, owner_name="ann", tags=tags, labels=["x", "y"], due=due, made=day))
            session.add(Quiz(id=2, workspace=there, owner_name="Ann", tags=[Tag(name=None)], labels=[], score=12))
            session.add(Quiz(id=3))
            session.commit()
        yield engine


def side(value: object) -> Json:
    return (
        {"id": True} if value == ".id" else {"property": value[1:].split(".")} if str(value)[:1] == "." else {"value": value}
    )  # type: ignore[index]


def at(text: str) -> Json:
    return {"function": "time", "arguments": [{"value": text}]}


def due(operator: str, text: str, name: str = "due") -> Json:
    left = {"function": "time", "arguments": [{"property": [name]}]}
    return {"filter": "when", "condition": {"operator": operator, "left": left, "right": at(text)}}


def call(function: str, holds: bool, *arguments: object) -> Json:
    values = [side(argument) for argument in arguments]
    return {"filter": "when", "condition": {"function": function, "arguments": values, "holds": holds}}


def among(*domains: str) -> Json:
    return {"filter": "when", "condition": {"domain": [side(".account"), side(".workspace")], "among": list(domains)}}


def when(left: object, operator: str, right: object) -> Json:
    return {"filter": "when", "condition": {"operator": operator, "left": side(left), "right": side(right)}}


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ({"filter": "always"}, {1, 2, 3}),
        ({"filter": "never"}, set()),
        (when(".id", "==", "1"), {1}),
        (when(".id", "==", "01"), set()),
        (when(".id", "==", 1), set()),
        (when(".id", "in", ["1", "3", "x"]), {1, 3}),
        (when(".workspace", "==", "7"), {1, 2}),
        (when(".workspace", "!=", "8"), {1, 2}),
        (when(".account", "==", str(KEY)), {1, 2}),
        (when(".account", "in", [str(KEY), "no key"]), {1, 2}),
        (when(".account", "==", str(KEY).upper()), set()),
        (when(".account", "!=", "elsewhere"), {1, 2}),
        (when(".slug", "==", "support"), set()),
        (when(".slug", "==", "Support"), {1, 2}),
        (when(".owner", "==", "ann"), {1}),
        (when("a", "in", ".tags"), {1}),
        (when("c", "not in", ".tags"), {1, 3}),
        (due("<", "2026-01-02T13:00:00+01:00", "colour"), set()),
        (when(".share", "<", 2**53), {1, 2, 3}),
        (when(".share", "<", ".score"), {2}),
        (when(".views", "==", 2**53 + 1), {1, 2, 3}),
        (when("x", "in", ".labels"), {1}),
        (when("x", "not in", ".labels"), {2}),
        (when(".score", "==", "12"), set()),
        (when(".score", ">", 11.5), {2}),
        (when(".score", "in", [12, 1.5]), {2}),
        (when(".colour", "!=", "red"), set()),
        (due("<", "2026-01-02T13:00:01+01:00"), {1}),
        (due("<", "2026-01-02T13:00:00+01:00"), set()),
        (due("==", "2026-01-02T12:00:00Z"), {1}),
        (due("!=", "2026-01-02T12:00:01Z", "made"), {1}),
        (due(">", "2026-01-02T12:00:00Z", "made"), set()),
        (call("has", True, ".due"), {1}),
        (call("starts_with", True, ".owner", "an"), {1}),
        (call("starts_with", False, ".owner", "an"), {2}),
        (call("ends_with", True, ".owner", "nn"), {1, 2}),
        (call("ends_with", True, ".owner", ""), {1, 2}),
        (call("ends_with", False, ".owner", "long before Ann"), {1, 2}),
        (call("overlaps", True, ".tags", ["b", "c"]), {1}),
        (call("overlaps", False, ".tags", ["c"]), {1, 3}),
        (call("overlaps", False, ["c", None], ".tags"), set()),
        (call("overlaps", False, ".labels", ["z", 1]), {2}),
        (call("subset of", True, ".labels", ["x", "y", "z"]), {1, 2}),
        (call("subset of", False, ".labels", ["x"]), {1}),
        (call("subset of", True, ["x", "y"], ".labels"), {1}),
        (call("subset of", False, ["x", "z"], ".labels"), {1, 2}),
        (among(f"{KEY}/7", f"{KEY}/8"), {1, 2}),
        (among(f"{KEY}/8", "x/7"), set()),
        ({"filter": "when", "condition": {"missing": {"property": ["workspace"]}}}, {3}),
        ({"filter": "when", "condition": {"missing": {"property": ["colour"]}}}, {1, 2, 3}),
        (
            {"filter": "when", "condition": {"names_domain": [side(".account"), side(".workspace")], "characters": 38}},
            {1, 2},
        ),
        ({"filter": "when", "condition": {"names_domain": [side(".account"), side(".workspace")], "characters": 37}}, set()),
    ],
)
def test_rows_are_found_by_what_requests_would_say_of_them(engine: Engine, answer: Json, wanted: set[int]) -> None:
    with Session(engine) as session:
        assert set(session.scalars(select(Quiz.id).where(where(answer, Quiz, COLUMNS)))) == wanted


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (call("overlaps", False, ".labels", ["\0"]), {1, 2, 4}),
        (call("overlaps", True, ".labels", ["\0"]), set()),
        (call("overlaps", True, ".labels", ["\0", "x"]), {1}),
        (call("subset of", True, ".labels", ["\0"]), {2}),
        (call("subset of", False, ".labels", ["\0"]), {1, 4}),
        (call("subset of", True, ["\0"], ".labels"), set()),
        (when("\0", "in", ".labels"), set()),
        (when("\0", "not in", ".labels"), {1, 2, 4}),
        (when("\0", "not in", ".tags"), {1, 3, 4}),
        (when(".owner", "==", "ann\0"), set()),
        (when(".owner", "!=", "\0ann"), {1, 2}),
        (when(".owner", "in", ["\0ann"]), set()),
        (when(".owner", "in", ["\0ann", "ann"]), {1}),
        (when(".owner", "not in", ["\0ann"]), {1, 2}),
        (when(".owner", "not in", ["\0ann", "ann"]), {2}),
        (when(".owner", "not in", ["\0ann", 1]), set()),
        (call("starts_with", True, ".owner", "\0"), set()),
        (call("starts_with", False, ".owner", "\0"), {1, 2}),
        (call("ends_with", False, ".owner", "nn\0"), {1, 2}),
        (call("matches_glob", True, ".owner", "\0*"), set()),
        (call("matches_glob", False, ".owner", "\0*"), {1, 2}),
    ],
)
def test_a_nul_is_in_no_text_of_a_database(engine: Engine, answer: Json, wanted: set[int]) -> None:
    with Session(engine) as session:
        session.add(Quiz(id=4, labels=[""]))
        session.flush()
        assert set(session.scalars(select(Quiz.id).where(where(answer, Quiz, COLUMNS)))) == wanted


def test_ten_thousand_places_are_one_parameter(engine: Engine) -> None:
    answer = when(".workspace", "in", [str(number) for number in range(10_000)])
    query = select(Quiz.id).where(where(answer, Quiz, COLUMNS))
    assert len(query.compile(engine).params) == 1
    with Session(engine) as session:
        assert set(session.scalars(query)) == {1, 2}
    text, parameters = sql(answer, {"workspace": ("workspace_id", "key")}, engine.dialect.name)  # type: ignore[arg-type]
    assert len(parameters) == 1
    with engine.connect() as connection:
        given = tuple(parameters) if engine.dialect.name == "sqlite" else parameters
        rows = connection.exec_driver_sql(f"SELECT id FROM model_quiz WHERE {text}", given)
        assert {number for (number,) in rows} == {1, 2}


def test_a_number_that_requests_send_as_a_text_is_cast(engine: Engine) -> None:
    query = select(Quiz.id).where(where(when(".score", "==", "12"), Quiz, {"score": cast(Quiz.score, Text)}))
    with Session(engine) as session:
        assert set(session.scalars(query)) == {2}


@pytest.mark.parametrize(
    ("answer", "columns", "message"),
    [
        (when(".unknown", "==", 1), {}, 'Quiz has no column for the property "unknown"'),
        (when(".due", "==", "2026-01-01"), {}, 'the column for "due" holds times'),
        (due("<", "2026-01-02T13:00:01+01:00", "owner_name"), {}, "no meaning in SQL but for a column of times"),
        (call("in_network", True, ".owner_name", "10.0.0.0/8"), {}, "no meaning in SQL"),
        (when(".account", "==", "a"), {"account": "place.account_id"}, 'Quiz has no relationship "place"'),
        (when(".account", "==", "a"), {"account": "workspace.place"}, 'Workspace has no attribute "place"'),
        (when(".account", "==", "a"), {"account": 5}, "is no column"),
        (when(".score", "==", 2**63), {}, "too large"),
        (when(".score", "in", [2**63, 1]), {}, "too large"),
        *(
            (when(left, operator, right), {}, "does not compare those exactly")
            for left, operator, right in (
                (".share", "==", 2**53 + 1),
                (".share", "<=", -(2**53) - 1),
                (".share", "not in", [1, 2**53 + 1]),
                (".share", "in", [2**53 + 1]),
                (".share", "!=", ".views"),
                (".views", "<", ".share"),
                (".share", "in", ".labels"),
                (".labels.size", "==", ".share"),
                (".share", ">=", ".labels.size"),
                (".share", "==", ".price"),
            )
        ),
    ],
)
def test_what_has_no_exact_meaning_is_refused(answer: Json, columns: Json, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        where(answer, Quiz, columns)


def test_a_class_without_a_table_is_refused() -> None:
    with pytest.raises(FilterError, match="no mapped class"):
        where({"filter": "always"}, str)


@pytest.mark.parametrize(
    ("columns", "message"),
    [({}, "no column for the property"), ({"owner": ("owner", "words")}, '"words" is no kind of column')],
)
def test_plain_sql_needs_its_columns(columns: Any, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        sql(when(".owner", "==", "ann"), columns, "sqlite")


def test_nothing_of_a_filter_stands_in_the_text_of_a_query() -> None:
    text, parameters = sql(when(".owner", "==", "'; DROP TABLE quizzes"), {"owner": ("owner", "text")}, "sqlite")
    assert "DROP" not in text
    assert parameters == ["'; DROP TABLE quizzes"] * 2


def test_a_predicate_takes_rows_in_memory() -> None:
    takes = predicate(when(".deep.er", "in", ["ann", 1]))
    assert [takes("1", {"deep": {"er": value}}) for value in ("ann", 1.0, True, "1", None)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert not takes("1", {"deep": "ann"})


def test_a_predicate_finds_a_text_among_ten_thousand_as_among_two() -> None:
    many = when(".place", "in", [f"p{number}" for number in range(10_000)])
    either = {"filter": "when", "condition": {"or": [many["condition"], when(".id", "==", "7")["condition"]]}}
    for answer, of_seven in ((many, False), (either, True)):
        takes = predicate(answer)
        assert [takes("1", {"place": value}) for value in ("p9999", "p10000", "", 1, True, None, ["p1"])] == [True] + [
            False
        ] * 6
        assert not takes("1", {})
        assert takes("7", {}) is of_seven
