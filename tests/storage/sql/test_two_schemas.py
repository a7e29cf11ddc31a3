"""Two services in two schemas of one PostgreSQL database: neither sees, holds up or wakes the other."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from storage_people import ROLES, row

from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database
from klausel.storage.sql.access import Limits
from klausel.storage.sql.database import write_transaction


@pytest.fixture
def other_schema_url(postgresql_schema_url: str) -> Iterator[str]:
    """Another schema of the same database, with that of the first service behind it in its search path."""
    url, schema = make_url(postgresql_schema_url), f"klausel_test_{secrets.token_hex(6)}"
    first = str(url.query["options"]).partition("=")[2]
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    path = f"-csearch_path={schema},{first}"
    yield url.update_query_dict({"options": path}).render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


def test_two_services_share_a_database(postgresql_schema_url: str, other_schema_url: str) -> None:
    # The other one first: tables further back in its path must not be taken for its own.
    limits = Limits(lock_seconds=2.0)
    other, first = (AssignmentStore(open_database(url, limits)) for url in (other_schema_url, postgresql_schema_url))
    assert first.revision().partition("-")[0] != other.revision().partition("-")[0]
    first.write(ROLES, [row("ann", "admin", "acme")], [])
    assert other.is_empty()
    before = first.revision()
    with other.engine.connect() as connection, write_transaction(connection, None):
        # By plain SQL, so that a trigger notes it; and while the first one writes to the same account.
        connection.exec_driver_sql("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:eve', 'admin', 'acme')")
        first.write(ROLES, [row("bob", "admin", "acme")], [])
    assert other.held_by("user:eve") == (("admin", "acme"),)
    assert first.held_by("user:eve") == ()
    assert int(first.revision().rpartition("-")[2]) == int(before.rpartition("-")[2]) + 1
    first.close()
    other.close()
