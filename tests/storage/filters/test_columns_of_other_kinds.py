"""A condition about a column of another kind than it is meant for, or about no column, takes the rows that it takes in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from sqlalchemy import JSON, Engine, Text, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from storage_fixtures import engine_with
from test_columns_of_models import Json, side

from klausel.core.conditions.functions import FUNCTIONS
from klausel.filters import predicate
from klausel.sqlalchemy import FilterError, sql, where


class Base(DeclarativeBase):
    """The table of this module."""


class Thing(Base):
    """A row with a column of each kind."""

    __tablename__ = "filtered_kinds"
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    text: Mapped[str | None] = mapped_column(Text)
    number: Mapped[int | None]
    flag: Mapped[bool | None]
    items: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)


ROWS: dict[str, Json] = {
    "all": {"text": "true", "number": 1, "flag": True, "items": ["true", 1, True]},
    "texts": {"text": "", "number": 0, "flag": False, "items": ["a"]},
    "empty": {"items": []},
    "none": {},
}
COLUMNS = ("text", "number", "flag", "items", "unmapped")
KINDS = {"text": "text", "number": "integer", "flag": "boolean", "items": "json"}
OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "in", "not in")
VALUES = ("true", "", "a", 1, True, [], ["a"], [1, True], ["true", "a"])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engine_with(request.param, Base.metadata) as engine:
        with engine.begin() as connection:
            for id_, properties in ROWS.items():
                connection.execute(insert(Thing).values(id=id_, **properties))
        yield engine


def conditions() -> Iterator[Json]:
    """Each operator and each function that gives true or false, held and not, about each column and each value."""
    named = [name for name, function in FUNCTIONS.items() if function.gives == "truth" and name not in OPERATORS]
    for column, value in product(COLUMNS, VALUES):
        sides = side(f".{column}"), side(value)
        for left, right in (sides, sides[::-1]):
            for operator in OPERATORS:
                yield {"operator": operator, "left": left, "right": right}
            for name, holds in product(named, (True, False)):
                yield {"function": name, "arguments": [left, right], "holds": holds}


def test_what_is_of_another_kind_is_taken_by_no_condition_and_by_no_negated_one(engine: Engine) -> None:
    compared: dict[str, int] = {}
    with engine.connect() as connection:
        for condition in conditions():
            answer = {"filter": "when", "condition": condition}
            try:
                takes = predicate(answer)
                wanted = sorted(id_ for id_, properties in ROWS.items() if takes(id_, properties))
            except (ValueError, TypeError):
                continue  # no condition that a policy can have
            try:
                query = select(Thing.id).where(where(answer, Thing, {"unmapped": None}))
                assert sorted(connection.execute(query).scalars()) == wanted, condition
                compared[str(condition.get("function"))] = compared.get(str(condition.get("function")), 0) + 1
                if "unmapped" not in str(condition):
                    columns = {name: (name, kind) for name, kind in KINDS.items()}
                    text, parameters = sql(answer, columns, engine.dialect.name)
                    plain = f"SELECT id FROM filtered_kinds WHERE {text}"
                    values = tuple(parameters) if isinstance(parameters, list) else parameters
                    assert sorted(connection.exec_driver_sql(plain, values).scalars()) == wanted, condition
            except FilterError:
                continue
    assert {"None", "starts_with", "ends_with", "matches_glob", "overlaps", "subset of"} <= compared.keys()
