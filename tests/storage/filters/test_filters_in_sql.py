"""The rows that a filter selects in SQL are those for which `decide` says yes, on SQLite and on PostgreSQL.

The resources are kept in two ways: as JSON, and in columns of types, where what does not fit its column is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from filter_cases import FilterCase, filter_cases, in_domain
from generated_policies import LEVELS, generate
from generated_sets import asked_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from policy_sets import Asked
from sqlalchemy import JSON, Boolean, Double, Engine, Text, insert, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from storage_fixtures import engine_with

from klausel.core.filters.json_form import filter_as_json
from klausel.core.filters.tree import Filter
from klausel.core.terms.request import Request, Resource
from klausel.sqlalchemy import FilterError, sql, where


class Base(DeclarativeBase):
    """The tables of this module."""


class Document(Base):
    """A resource with its properties as JSON."""

    __tablename__ = "filtered_document"
    number: Mapped[int] = mapped_column(primary_key=True)
    in_case: Mapped[int]
    id: Mapped[str] = mapped_column(Text)
    properties: Mapped[Any] = mapped_column(JSON().with_variant(JSONB(), "postgresql"))


class Row(Base):
    """A resource with a column for each property; one column sorts letters as people do."""

    __tablename__ = "filtered_row"
    number: Mapped[int] = mapped_column(primary_key=True)
    in_case: Mapped[int]
    id: Mapped[str] = mapped_column(Text)
    owner: Mapped[str | None] = mapped_column(
        Text(collation="NOCASE").with_variant(Text(collation="und-x-icu"), "postgresql")
    )
    count: Mapped[float | None] = mapped_column(Double)
    flag: Mapped[bool | None] = mapped_column(Boolean)
    tags: Mapped[Any] = mapped_column(JSON, nullable=True)
    deep: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    odd: Mapped[str | None] = mapped_column(Text)
    company: Mapped[str | None] = mapped_column(Text)
    site: Mapped[str | None] = mapped_column(Text)
    team: Mapped[str | None] = mapped_column(Text)


COLUMNS_OF_ROWS = {"odd p.name": Row.odd}
TYPES: dict[str, tuple[type, ...]] = {
    "owner": (str,),
    "count": (int, float),
    "flag": (bool,),
    "tags": (list, dict, str, int, bool, float),
    "deep": (list, dict, str, int, bool, float),
    "odd p.name": (str,),
    **dict.fromkeys(LEVELS, (str,)),
}


@dataclass
class Kept:
    """What is kept for one generated set: the requests of each case, with a number each."""

    engine: Engine
    asked: Asked
    cases: list[tuple[int, FilterCase, dict[int, Request]]]

    def wanted(self, case: FilterCase, requests: dict[int, Request]) -> set[int]:
        return {
            number
            for number, request in requests.items()
            if self.asked.allows(request) and in_domain(self.asked.policy, request, case.inside)
        }


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engine_with(request.param, Base.metadata) as engine:
        yield engine


def fits(name: str, value: object) -> bool:
    return isinstance(value, TYPES.get(name, ())) and not (isinstance(value, bool) and bool not in TYPES[name])


def has_meaning(condition: Filter) -> bool:
    """Whether a filter has a meaning in SQL; what it holds of networks, of clocks and of times in texts has none."""
    return not any(word in str(condition) for word in ("in_network", "time(", "weekday(", "time_of_day(", *OF_TWO_LISTS))


OF_TWO_LISTS = tuple(f"resource.{name} {word} resource." for name in ("tags", "owner") for word in ("overlaps", "subset of"))


def typed(request: Request) -> Request:
    """The request about what a row of types can hold."""
    type_, id_, properties = request.resource
    return request._replace(
        resource=Resource(type_, id_, {name: one for name, one in properties.items() if fits(name, one)})
    )


def keep(engine: Engine, seed: int, *, in_columns: bool) -> Kept | None:
    generated = generate(seed, requests=10)
    asked = asked_of(generated)
    if asked is None:
        return None
    cases = []
    rows: list[dict[str, object]] = []
    for place, case in enumerate(filter_cases(asked, generated, Random(seed), shared_fits=fits if in_columns else None)):
        requests = {}
        for request in case.requests:
            number = len(rows)
            requests[number] = typed(request) if in_columns else request
            resource = requests[number].resource
            if in_columns:
                columns = {COLUMN_OF.get(name, name): resource.properties.get(name) for name in TYPES}
                rows.append({"number": number, "in_case": place, "id": resource.id, **columns})
            else:
                rows.append({"number": number, "in_case": place, "id": resource.id, "properties": resource.properties})
        cases.append((place, case, requests))
    model = Row if in_columns else Document
    with engine.begin() as connection:
        connection.execute(model.__table__.delete())  # type: ignore[attr-defined]
        connection.execute(insert(model), rows)
    return Kept(engine, asked, cases)


COLUMN_OF = {"odd p.name": "odd"}
SEEDS = st.integers(0, 2**32 - 1)
some_examples = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@some_examples
@given(seed=SEEDS)
def test_resources_in_json(engine: Engine, seed: int) -> None:
    kept = keep(engine, seed, in_columns=False)
    with engine.connect() as connection:
        for place, case, requests in kept.cases if kept else ():
            if not has_meaning(case.filter):
                with pytest.raises(FilterError, match="no meaning in SQL"):
                    where(filter_as_json(case.filter), Document, {"id": Document.id, "*": Document.properties})
                continue
            condition = where(filter_as_json(case.filter), Document, {"id": Document.id, "*": Document.properties})
            found = set(connection.scalars(select(Document.number).where(Document.in_case == place, condition)))
            assert kept and found == kept.wanted(case, requests), (str(case.filter), requests)


BESIDE_FRACTIONS = re.compile(r"\d{16}|resource\.tags")
"""A very large number, or the column of JSON, which can hold one."""


@some_examples
@given(seed=SEEDS)
@example(seed=245)  # a column of fractions beside one of JSON
def test_resources_in_columns(engine: Engine, seed: int) -> None:
    kept = keep(engine, seed, in_columns=True)
    with engine.connect() as connection:
        for place, case, requests in kept.cases if kept else ():
            if not has_meaning(case.filter):
                with pytest.raises(FilterError, match="no meaning in SQL"):
                    where(filter_as_json(case.filter), Document, {"id": Document.id, "*": Document.properties})
                continue
            try:
                condition = where(filter_as_json(case.filter), Row, {"id": Row.id, **COLUMNS_OF_ROWS})
            except FilterError as refused:
                assert "holds fractions" in str(refused) and BESIDE_FRACTIONS.search(str(case.filter))
                continue
            found = set(connection.scalars(select(Row.number).where(Row.in_case == place, condition)))
            assert kept and found == kept.wanted(case, requests), (str(case.filter), requests)


@some_examples
@given(seed=SEEDS)
def test_plain_sql(engine: Engine, seed: int) -> None:
    kept = keep(engine, seed, in_columns=False)
    columns = {"id": ("id", "text"), "*": ("properties", "json")}
    with engine.connect() as connection:
        for place, case, requests in kept.cases if kept else ():
            if not has_meaning(case.filter):
                with pytest.raises(FilterError, match="no meaning in SQL"):
                    where(filter_as_json(case.filter), Document, {"id": Document.id, "*": Document.properties})
                continue
            text, parameters = sql(filter_as_json(case.filter), columns, engine.dialect.name)  # type: ignore[arg-type]
            query = f"SELECT number FROM filtered_document WHERE in_case = {place} AND ({text})"
            given = tuple(parameters) if engine.dialect.name == "sqlite" else parameters
            found = {number for (number,) in connection.exec_driver_sql(query, given)}
            assert kept and found == kept.wanted(case, requests), (str(case.filter), requests)
