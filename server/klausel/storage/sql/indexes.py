"""Which indexes a table has, and making those that tables of earlier versions lack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, Index, Table, inspect, text


def index_names(connection: Connection, table: str) -> frozenset[str]:
    """The names of the indexes that a table has, those aside that its constraints make on SQLite."""
    if connection.dialect.name != "sqlite":
        return frozenset(str(index["name"]) for index in inspect(connection).get_indexes(table))
    # Inspecting passes over indexes of expressions there.
    made = text("SELECT name FROM pragma_index_list(:table) WHERE origin = 'c'")
    return frozenset(connection.execute(made, {"table": table}).scalars())


def missing_indexes(connection: Connection, tables: Iterable[Table]) -> Iterator[Index]:
    """Those of the tables' indexes that the database does not have."""
    for table in tables:
        known = index_names(connection, table.name)
        for index in sorted(table.indexes, key=lambda one: str(one.name)):
            if index.name not in known:
                yield index


def add_missing_indexes(connection: Connection, tables: Iterable[Table]) -> None:
    """Makes the indexes that the database does not have, in the caller's transaction."""
    for index in list(missing_indexes(connection, tables)):
        index.create(connection)
