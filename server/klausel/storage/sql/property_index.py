"""Stored properties by value: which entities have a value, or a list that holds it; kept by the database itself.

A row for each text, number, true and false that stands in the properties, or in a list there. It leads to entities that may
have the value, which is told by their properties alone: texts stand here cut off, and numbers by the whole number that is not
above them, with a `+` where they are more than that. The texts of numbers sort as the numbers do: a sign, which is `-` or `0`,
and sixteen digits of the two's complement. Of numbers that are hardly ever met, beyond 2**53, PostgreSQL keeps the nearest that
a double can be, and all beyond 2**63 are one.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from math import floor

from sqlalchemy import Connection, inspect

from klausel.core.conditions.values import Scalar
from klausel.core.filters.candidates import Bound
from klausel.storage.sql.tables import PROPERTY_CHARACTERS, VALUE_CHARACTERS, Base, EntityProperty

_TABLE = EntityProperty.__tablename__
_VERBS = ("insert", "update", "delete", "truncate")
_COLUMNS = "kind, type, name, value, id"
_MOST_WHOLE = 2**63 - 1024
"""The largest whole number of 64 bits that a double can be."""
_MOST_EXACT = 2**53
"""Up to so much each whole number is a double of its own."""
_LEAST_POSITIVE = "2.4703282292062328e-324"
"""What is nearer to zero is zero as a double, which PostgreSQL refuses to say."""
_FIRST_NUMBER, _LAST_NUMBER = "-8", "08"
_LAST_CHARACTER = "\U0010ffff"
_DAY = timedelta(days=1)


def indexed_values(value: Scalar) -> frozenset[str]:
    """Under which texts a value may stand in the index; none for one that may stand anywhere, or nowhere."""
    if isinstance(value, bool):
        return frozenset({str(int(value))})
    if isinstance(value, int | float):
        is_kept = -_MOST_WHOLE <= value < _MOST_WHOLE
        return frozenset({_number_text(value), _number_text(float(value))}) if is_kept else frozenset()
    return frozenset({value[:VALUE_CHARACTERS]}) if isinstance(value, str) else frozenset()


def indexed_range(bound: Bound) -> tuple[str, str]:
    """The first and the last text under which a value may stand that is bounded so; the last is below the first for none."""
    if isinstance(bound.value, datetime):
        return _days(bound.operator, bound.value)
    if isinstance(bound.value, str):
        start = bound.value[:VALUE_CHARACTERS]
        return start, start + _LAST_CHARACTER * (VALUE_CHARACTERS - len(start))
    number, first, last = max(-_MOST_EXACT, min(bound.value, _MOST_EXACT)), _FIRST_NUMBER, _LAST_NUMBER
    is_exact = number == floor(number) and -_MOST_EXACT < number < _MOST_EXACT
    if bound.operator in (">", ">="):
        # What is more than a whole number may have the same one with a fraction.
        first = f"{_number_text(number)}+" if is_exact and bound.operator == ">" else _number_text(number)
        return (first if bound.value > -_MOST_EXACT else _FIRST_NUMBER), last
    last = f"{_number_text(number - 1)}+" if is_exact and bound.operator == "<" else _number_text(number)
    return first, (last if bound.value < _MOST_EXACT else _LAST_NUMBER)


def _days(operator: str, moment: datetime) -> tuple[str, str]:
    """The first and the last text of times: each begins with its day, which is that of the moment in UTC, or beside it."""
    day = moment.astimezone(UTC).date()
    first = day - _DAY if operator in (">", ">=", "==") and day > date.min else date.min
    last = day + _DAY if operator in ("<", "<=", "==") and day < date.max else date.max
    return first.isoformat(), f"{last.isoformat()}{_LAST_CHARACTER}"


def _number_text(value: float) -> str:
    whole = floor(value)
    return f"{'-' if whole < 0 else '0'}{whole % 2**64:016x}{'+' if whole != value else ''}"


def indexed_name(name: str) -> str:
    """Under which text the name of a property stands in the index."""
    return name[:PROPERTY_CHARACTERS]


def _in_sqlite(row: str) -> str:
    """What stands in the index for a row of the table of entities: its parts as a query."""
    cut = "CAST(part.value AS INTEGER)"
    is_cut_up = f"part.value < {cut} AND part.value > -{_MOST_EXACT}"
    value = (
        f"CASE part.type WHEN 'text' THEN substr(part.value, 1, {VALUE_CHARACTERS}) "
        "WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE CASE WHEN part.value < 0 THEN '-' ELSE '0' END "
        f"|| printf('%016x', {cut} - ({is_cut_up})) || CASE WHEN part.value <> {cut} THEN '+' ELSE '' END END"
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
    kept = f"CAST(least(greatest(given, -{_MOST_WHOLE}), {_MOST_WHOLE}) AS double precision)"
    # By OFFSET 0 each step is made once, and not again wherever the next one names it.
    given = "SELECT CAST(part AS numeric) AS given OFFSET 0"
    exact = f"SELECT CASE WHEN abs(given) < {_LEAST_POSITIVE} THEN 0 ELSE {kept} END AS exact FROM ({given}) AS one OFFSET 0"
    whole = f"SELECT exact, CAST(floor(exact) AS bigint) AS whole FROM ({exact}) AS two OFFSET 0"
    number = (
        "SELECT CASE WHEN whole < 0 THEN '-' ELSE '0' END || lpad(to_hex(whole), 16, '0') "
        f"|| CASE WHEN whole = exact THEN '' ELSE '+' END FROM ({whole}) AS three"
    )
    value = (
        f"CASE jsonb_typeof(part) WHEN 'string' THEN left(part #>> '{{}}', {VALUE_CHARACTERS}) "
        f"WHEN 'number' THEN ({number}) WHEN 'boolean' THEN CAST(CAST(part AS boolean) AS integer)::text END"
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
    # SQLite looks each row up in its index only where the parts that are known stand outside of what is made of the properties.
    of_it = "kind = OLD.kind AND type = OLD.type AND id = OLD.id"
    delete = f"DELETE FROM {_TABLE} WHERE {of_it} AND (name, value) IN (SELECT name, value FROM ({gone}));"
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
    """Makes the index of a database that has none, or one of before, and fills it; the triggers come afterwards."""
    dialect = connection.dialect.name
    if inspect(connection).has_table(_TABLE):
        # The table stays, with the rights on it.
        is_postgresql = dialect == "postgresql"
        connection.exec_driver_sql(f"{'TRUNCATE' if is_postgresql else 'DELETE FROM'} {_TABLE}")
        on = " ON klausel_entity" if is_postgresql else ""
        for name in _VERBS:
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS klausel_entity_indexed_{name}{on}")
    else:
        Base.metadata.tables[_TABLE].create(connection)
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
