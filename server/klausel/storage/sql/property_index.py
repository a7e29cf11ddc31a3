"""Stored properties by value: which entities have a value, or a list that holds it; kept by the database itself.

A row for each text, number, true and false that stands in the properties, or in a list there. It leads to entities that may
have the value, which is told by their properties alone: texts stand here cut off, and numbers without their fraction.
"""

from __future__ import annotations

from sqlalchemy import Connection

from klausel.core.conditions.values import Scalar
from klausel.storage.sql.tables import PROPERTY_CHARACTERS, VALUE_CHARACTERS, Base, EntityProperty

_TABLE = EntityProperty.__tablename__
_COLUMNS = "kind, type, name, value, id"
_MOST_WHOLE = 2**63


def indexed_value(value: Scalar) -> str | None:
    """Under which text a value stands in the index; None for one that does not."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int | float):
        return str(int(value)) if -_MOST_WHOLE <= value < _MOST_WHOLE else None
    return value[:VALUE_CHARACTERS] if isinstance(value, str) else None


def indexed_name(name: str) -> str:
    """Under which text the name of a property stands in the index."""
    return name[:PROPERTY_CHARACTERS]


def _in_sqlite(row: str) -> str:
    """What stands in the index for a row of the table of entities: its parts as a query."""
    value = (
        f"CASE part.type WHEN 'text' THEN substr(part.value, 1, {VALUE_CHARACTERS}) "
        "ELSE CAST(CAST(part.value AS INTEGER) AS TEXT) END"
    )
    name = f"substr(property.key, 1, {PROPERTY_CHARACTERS})"
    kinds = "('text', 'integer', 'real', 'true', 'false')"
    whole = value.replace("part.", "property.")
    return (
        f"SELECT {row}.kind, {row}.type, {name} AS name, {whole} AS value, {row}.id "
        f"FROM {{table}}json_each({row}.properties) AS property WHERE property.type IN {kinds} "
        f"UNION SELECT {row}.kind, {row}.type, {name}, {value}, {row}.id "
        f"FROM {{table}}json_each({row}.properties) AS property, json_each(property.value) AS part "
        f"WHERE property.type = 'array' AND part.type IN {kinds}"
    )


def _in_postgresql(table: str) -> str:
    """What stands in the index for the rows of a table of entities."""
    value = (
        "CASE jsonb_typeof(part) WHEN 'string' THEN left(part #>> '{}', "
        f"{VALUE_CHARACTERS}) WHEN 'number' THEN left(trunc(CAST(part #>> '{{}}' AS numeric))::text, {VALUE_CHARACTERS}) "
        "WHEN 'boolean' THEN CAST(CAST(part AS boolean) AS integer)::text END"
    )
    return (
        f"SELECT DISTINCT e.kind, e.type, left(property.key, {PROPERTY_CHARACTERS}) AS name, {value} AS value, e.id "
        f"FROM {table} AS e, "
        "LATERAL jsonb_each(CAST(e.properties AS jsonb)) AS property, "
        "LATERAL jsonb_array_elements(CASE jsonb_typeof(property.value) WHEN 'array' THEN property.value "
        "ELSE jsonb_build_array(property.value) END) AS part WHERE jsonb_typeof(part) IN ('string', 'number', 'boolean')"
    )


def _sqlite_triggers() -> tuple[str, ...]:
    put, gone = (_in_sqlite(row).format(table="") for row in ("NEW", "OLD"))
    # Of what a REPLACE takes away without firing the trigger of a deletion, rows stay; they lead to nothing.
    insert = f"INSERT INTO {_TABLE} ({_COLUMNS}) SELECT * FROM ({put}) WHERE true ON CONFLICT DO NOTHING;"
    delete = f"DELETE FROM {_TABLE} WHERE ({_COLUMNS}) IN ({gone});"
    return tuple(
        f"CREATE TRIGGER klausel_entity_indexed_{verb} AFTER {verb} ON klausel_entity BEGIN {does} END"
        for verb, does in (("insert", insert), ("update", delete + insert), ("delete", delete))
    )


def _postgresql_triggers() -> tuple[str, ...]:
    insert = f"INSERT INTO {_TABLE} ({_COLUMNS}) {_in_postgresql('put')}; "
    same = " AND ".join(f"i.{name} = g.{name}" for name in _COLUMNS.split(", "))
    delete = f"DELETE FROM {_TABLE} AS i USING ({_in_postgresql('gone')}) AS g WHERE {same}; "
    head = "RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT"
    # A plan that was made for many rows, or before there were statistics, must not read the whole table for one.
    by_index = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"
    bodies = {
        "insert": f"{head} AS $$ BEGIN {insert}RETURN NULL; END $$",
        "update": f"{head} {by_index} AS $$ BEGIN {delete}{insert}RETURN NULL; END $$",
        "delete": f"{head} {by_index} AS $$ BEGIN {delete}RETURN NULL; END $$",
        "truncate": f"{head} AS $$ BEGIN TRUNCATE {_TABLE}; RETURN NULL; END $$",
    }
    tables = {"insert": "NEW TABLE AS put", "delete": "OLD TABLE AS gone", "update": "OLD TABLE AS gone NEW TABLE AS put"}
    made = []
    for verb, body in bodies.items():
        referencing = f"REFERENCING {tables[verb]} " if verb in tables else ""
        made.append(f"CREATE OR REPLACE FUNCTION klausel_index_entities_{verb}() {body}")
        made.append(
            f"CREATE TRIGGER klausel_entity_indexed_{verb} AFTER {verb} ON klausel_entity {referencing}"
            f"FOR EACH STATEMENT EXECUTE FUNCTION klausel_index_entities_{verb}()"
        )
    # As the functions that note changes: they look where the tables are, and last of all where anybody may put one.
    path = "SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)"
    return (path, *made)


TRIGGERS: dict[str, tuple[str, ...]] = {"sqlite": _sqlite_triggers(), "postgresql": _postgresql_triggers()}
"""By dialect, what keeps the index; other databases have none, and searches there do without."""


def index_what_is_stored(connection: Connection) -> None:
    """Makes the index of a database that has none, and fills it; the triggers come afterwards."""
    Base.metadata.tables[_TABLE].create(connection)
    dialect = connection.dialect.name
    if dialect in TRIGGERS:
        found = (
            _in_sqlite("e").format(table="klausel_entity AS e, ")
            if dialect == "sqlite"
            else _in_postgresql("klausel_entity")
        )
        connection.exec_driver_sql(f"INSERT INTO {_TABLE} ({_COLUMNS}) {found}")
        if dialect == "postgresql":
            # What was never counted is taken for small.
            connection.exec_driver_sql(f"ANALYZE {_TABLE}, klausel_entity")
