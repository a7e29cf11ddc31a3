"""Stores on SQLite and on PostgreSQL: every test that asks for one runs on both."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine, MetaData, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from storage_people import ROLES

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.roles import RoleModel
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database

USUAL_PLACE = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
HOW_TO_GET_POSTGRESQL = (
    "no PostgreSQL server answers; start one at 127.0.0.1:5432 that trusts the user postgres, "
    "or set KLAUSEL_TEST_POSTGRES=postgresql://user:password@host/name (each test makes its own schema there and drops it)"
)


@cache
def postgresql_url() -> str | None:
    """Where a PostgreSQL server answers; None when none does."""
    url = make_url(os.environ.get("KLAUSEL_TEST_POSTGRES") or USUAL_PLACE)
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, connect_args={"connect_timeout": 3})
    try:
        with engine.connect():
            return url.render_as_string(hide_password=False)
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/klausel.db"


@contextmanager
def own_schema_url() -> Iterator[str]:
    """Where a schema of PostgreSQL is that nobody else has; skips the test where no server answers."""
    server = postgresql_url()
    if server is None:
        pytest.skip(HOW_TO_GET_POSTGRESQL)
    schema = f"klausel_test_{secrets.token_hex(6)}"
    engine = create_engine(server)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield make_url(server).update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


@contextmanager
def engine_with(kind: str, tables: MetaData) -> Iterator[Engine]:
    """A database of a kind, `sqlite` or `postgresql`, that has these tables and nobody else uses."""
    with own_schema_url() if kind == "postgresql" else nullcontext("sqlite://") as url:
        engine = create_engine(url)
        tables.create_all(engine)
        yield engine
        engine.dispose()


@pytest.fixture
def postgresql_schema_url() -> Iterator[str]:
    with own_schema_url() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    name = "sqlite_url" if request.param == "sqlite" else "postgresql_schema_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def store(database_url: str) -> Iterator[AssignmentStore]:
    opened = AssignmentStore(open_database(database_url))
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgresql", "memory"])
def any_store(request: pytest.FixtureRequest) -> Iterator[AssignmentStore]:
    """As `store`, and in memory too."""
    names = {"sqlite": "sqlite_url", "postgresql": "postgresql_schema_url"}
    url = request.getfixturevalue(names[request.param]) if request.param in names else "sqlite://"
    opened = AssignmentStore(open_database(url))
    yield opened
    opened.close()


@pytest.fixture
def roles() -> RoleModel:
    return ROLES


@pytest.fixture
def put_behind_the_back(store: AssignmentStore) -> Callable[..., None]:
    """Puts rows into the table as if found there, past every check."""

    def put(*rows: Assignment) -> None:
        statement = text("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', :subject, :role, :domain)")
        with store.engine.begin() as connection:
            connection.execute(statement, [found._asdict() for found in rows])

    return put
