"""Roles of PostgreSQL with least rights: one that owns the tables, one for services, one that only reads for auditors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Table, text
from sqlalchemy.schema import CreateIndex, CreateTable

from klausel.storage.callers.keys import KEYS
from klausel.storage.callers.sessions import SESSIONS
from klausel.storage.decision_log.sinks import DECISIONS
from klausel.storage.provisioned.rows import MEMBERS, PROVISIONED
from klausel.storage.sql.database import StorageError, explained_errors, place_of
from klausel.storage.sql.page_key import PAGE_KEY
from klausel.storage.sql.tables import (
    CasbinRule,
    Change,
    Entity,
    EntityLogRow,
    EntityProperty,
    LogRecord,
    LogRow,
    State,
)

_MADE_WHEN_NEEDED: tuple[Table, ...] = (PAGE_KEY, KEYS, SESSIONS, DECISIONS, PROVISIONED, MEMBERS)
_RIGHTS: dict[str, tuple[str, bool]] = {
    CasbinRule.__tablename__: ("SELECT, INSERT, UPDATE, DELETE", True),
    Entity.__tablename__: ("SELECT, INSERT, UPDATE, DELETE", True),
    # Written by triggers, which have the rights of the owner.
    EntityProperty.__tablename__: ("SELECT", True),
    State.__tablename__: ("SELECT, UPDATE (revision, log_starts_after)", True),
    Change.__tablename__: ("SELECT, INSERT, DELETE", True),
    LogRecord.__tablename__: ("SELECT, INSERT", True),
    LogRow.__tablename__: ("SELECT, INSERT", True),
    EntityLogRow.__tablename__: ("SELECT, INSERT", True),
    DECISIONS.name: ("SELECT, INSERT", True),
    # A service that somebody took over must make no keys.
    KEYS.name: ("SELECT, UPDATE (last_used)", False),
    SESSIONS.name: ("SELECT, INSERT, DELETE", False),
    PROVISIONED.name: ("SELECT, INSERT, UPDATE, DELETE", True),
    MEMBERS.name: ("SELECT, INSERT, DELETE", True),
    PAGE_KEY.name: ("SELECT, INSERT", False),
}
"""What a service may do with each table, and whether auditors may read it."""


@dataclass(frozen=True, slots=True)
class DatabaseRoles:
    """The names of the three roles."""

    owner: str
    service: str
    auditor: str


def grants(engine: Engine, roles: DatabaseRoles) -> tuple[str, ...]:
    """The statements that make the roles and give each what it needs in the database as it is, and nothing else.

    They may be run again, and need a user that may make roles and give the tables away. Raises StorageError.
    """
    with explained_errors(engine), engine.connect() as connection:
        if connection.dialect.name != "postgresql":
            raise StorageError(f"{place_of(engine.url)} knows no roles; on SQLite the rights of the file decide")
        return tuple(" ".join(statement.split()) for statement in _statements(connection, roles))


def apply_grants(engine: Engine, roles: DatabaseRoles) -> None:
    """Runs what `grants` gives, all or nothing. Raises StorageError."""
    statements = grants(engine, roles)
    with explained_errors(engine), engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _statements(connection: Connection, roles: DatabaseRoles) -> Iterator[str]:
    quote = connection.dialect.identifier_preparer.quote_identifier
    where = text(
        "SELECT nspname, current_database() FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE pg_class.oid = to_regclass(:table)"
    )
    schema_name, database_name = connection.execute(where, {"table": State.__tablename__}).one()
    schema, database = quote(schema_name), quote(database_name)
    owner, service, auditor = quote(roles.owner), quote(roles.service), quote(roles.auditor)
    # Whoever runs it may look elsewhere first.
    yield f"SET LOCAL search_path = {schema}, pg_temp"
    for role in (roles.owner, roles.service, roles.auditor):
        yield (
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN "
            f"CREATE ROLE {quote(role)} LOGIN; END IF; END $$"
        )
        if schema_name != "public":
            # Also where a pooler passes no options of the connection on.
            yield f"ALTER ROLE {quote(role)} IN DATABASE {database} SET search_path = {schema}"
    yield f"ALTER ROLE {auditor} IN DATABASE {database} SET default_transaction_read_only = on"
    yield f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {service}, {auditor}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {service}, {auditor}"
    yield f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {owner}"
    for table in _MADE_WHEN_NEEDED:
        yield str(CreateTable(table, if_not_exists=True).compile(dialect=connection.dialect))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index, if_not_exists=True).compile(dialect=connection.dialect))
    for name, (rights, is_for_auditors) in _RIGHTS.items():
        place = f"{schema}.{quote(name)}"
        yield f"ALTER TABLE {place} OWNER TO {owner}"
        yield f"REVOKE ALL ON TABLE {place} FROM PUBLIC, {service}, {auditor}"
        yield f"GRANT {rights} ON TABLE {place} TO {service}"
        if is_for_auditors:
            yield f"GRANT SELECT ON TABLE {place} TO {auditor}"
    for name in (CasbinRule.__tablename__, DECISIONS.name):
        yield f"GRANT USAGE ON SEQUENCE {schema}.{quote(f'{name}_id_seq')} TO {service}"
    functions = text(
        "SELECT proname FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace WHERE nspname = :schema "
        "AND starts_with(proname, 'klausel_') AND prorettype = CAST('trigger' AS regtype) ORDER BY proname"
    )
    for function in connection.execute(functions, {"schema": schema_name}).scalars():
        yield f"ALTER FUNCTION {schema}.{quote(function)}() OWNER TO {owner}"
