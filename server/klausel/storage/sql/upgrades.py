"""Bringing the tables of older versions up to date, in the caller's transaction; what they hold stays as it is."""

from __future__ import annotations

from sqlalchemy import Connection, inspect

from klausel.storage.sql.indexes import add_missing_indexes, index_names
from klausel.storage.sql.property_index import index_what_is_stored
from klausel.storage.sql.revisions import own_write
from klausel.storage.sql.tables import (
    ROW_CHECK,
    ROW_CHECK_NAME,
    Base,
    CasbinRule,
    Entity,
    EntityLogRow,
    LogRecord,
    LogRow,
    guards_of,
)

_VERSION_WITHOUT_LOG = 1
_VERSION_WITHOUT_WATCHES = 2
_VERSION_WITHOUT_ENTITIES = 4
_LOG_TABLES = [Base.metadata.tables[model.__tablename__] for model in (LogRecord, LogRow)]
_ENTITY_TABLES = [Base.metadata.tables[model.__tablename__] for model in (Entity, EntityLogRow)]


def bring_up_to_date(connection: Connection, found: int) -> None:
    """Leads the tables from an older version to this one; what watches the rows is set afterwards."""
    if found < _VERSION_WITHOUT_ENTITIES:
        _add_times(connection, found)
    if found <= _VERSION_WITHOUT_ENTITIES:
        Base.metadata.create_all(connection, _ENTITY_TABLES, checkfirst=False)
    index_what_is_stored(connection)
    add_missing_indexes(connection, Base.metadata.sorted_tables)


def _add_times(connection: Connection, found: int) -> None:
    if found == _VERSION_WITHOUT_LOG:
        Base.metadata.create_all(connection, _LOG_TABLES, checkfirst=False)
    else:
        if found == _VERSION_WITHOUT_WATCHES:
            _add_new_guards(connection)
        _add_times_to_log(connection)
    if connection.dialect.name == "sqlite":
        _make_rows_anew(connection)
    else:
        _change_rows(connection)


def _add_new_guards(connection: Connection) -> None:
    """Adds the guards that version 2 did not have; one that somebody lifted stays away, for `verify` to find."""
    if connection.dialect.name == "sqlite":
        for table in _LOG_TABLES:
            connection.exec_driver_sql(guards_of(table.name)["sqlite"][-1])


def _add_times_to_log(connection: Connection) -> None:
    table = Base.metadata.tables[LogRow.__tablename__]
    known = {column["name"] for column in inspect(connection).get_columns(table.name)}
    for column in (table.c.starts, table.c.ends):
        if column.name not in known:
            described = column.type.compile(connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {described}")
    # The index is made again to hold them too.
    for index in table.indexes:
        index.drop(connection)
        index.create(connection)


def _make_rows_anew(connection: Connection) -> None:
    """SQLite cannot change what a table checks, so another takes its place; triggers go with the old one."""
    table = Base.metadata.tables[CasbinRule.__tablename__]
    old = f"{table.name}_before"
    for name in sorted(index_names(connection, table.name)):
        connection.exec_driver_sql(f"DROP INDEX {name}")
    triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
    for (name,) in connection.exec_driver_sql(triggers, (table.name,)).all():
        connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
    connection.exec_driver_sql(f"ALTER TABLE {table.name} RENAME TO {old}")
    table.create(connection)
    # What stood in columns that meant nothing is left behind.
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} (id, ptype, v0, v1, v2) SELECT id, ptype, v0, v1, v2 FROM {old} "
        "WHERE ptype = 'g' ORDER BY id"
    )
    connection.exec_driver_sql(f"DROP TABLE {old}")


def _change_rows(connection: Connection) -> None:
    table = Base.metadata.tables[CasbinRule.__tablename__]
    with own_write(connection):
        connection.exec_driver_sql("UPDATE casbin_rule SET v3 = NULL, v4 = NULL WHERE v3 IS NOT NULL OR v4 IS NOT NULL")
    connection.exec_driver_sql(f"ALTER TABLE {table.name} DROP CONSTRAINT {ROW_CHECK_NAME}")
    connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD CONSTRAINT {ROW_CHECK_NAME} CHECK ({ROW_CHECK})")
