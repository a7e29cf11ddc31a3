"""The tables: role assignments in Casbin's shape, stored properties, one row of state, changed subjects, and the log."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Connection,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    event,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

SCHEMA_VERSION = 7
"""1 had no log for auditors; 2 noted no changes by plain SQL; 3 had no times and groups; 4 had no stored properties; 5 had
no index of their values; 6 had numbers there in no order."""

LASTING = "g"
"""The kind of a role assignment without times; the one that Casbin knows."""
TIMED = "gt"
"""The kind of a role assignment that begins or ends."""
MEMBERSHIP = "gm"
"""The kind of a row that makes its subject a member of a group, with or without times."""

OWN_WRITE = -1
"""On SQLite, a row of `klausel_change` under this revision says that the open transaction counts its changes itself."""
OWN_WRITE_SETTING = "klausel.own_write"
"""On PostgreSQL, a setting that says the same while it is `yes`."""

CHANNEL = "klausel_changes"
"""On PostgreSQL, what each write notifies at its commit, with the revision that it made."""

NOTED_SETTING = "klausel.noted_"
"""On PostgreSQL, the beginning of a setting that says of a table what the open transaction has noted about it."""

_REVISIONS_KEPT_BY_TRIGGERS = 500
_ROWS_NOTED_BY_TRIGGERS = 200

PROPERTY_CHARACTERS = 40
VALUE_CHARACTERS = 100
"""How much of a name and of a text stands in the index of stored properties: PostgreSQL bounds the rows of an index."""


def _exact_text(characters: int = 255) -> TypeEngine[str]:
    """Text that is compared and sorted by code point: accents, case and trailing spaces count, on every database."""
    return String(characters).with_variant(postgresql.VARCHAR(characters, collation="C"), "postgresql")


def _counter() -> TypeEngine[int]:
    """A 64-bit number; SQLite numbers its rows only in a column of type INTEGER."""
    return BigInteger().with_variant(Integer(), "sqlite")


ROW_CHECK_NAME = "casbin_rule_holds_role_assignments"
ROW_CHECK = (
    "(ptype = 'g' AND v3 IS NULL AND v4 IS NULL) OR (ptype = 'gt' AND (v3 IS NOT NULL OR v4 IS NOT NULL)) OR ptype = 'gm'"
)
NOT_LASTING = "ptype <> 'g'"
# ";" is the character after ":".
OF_A_GROUP = "v0 >= 'group:' AND v0 < 'group;'"
DEPTH = "(length(v2) - length(replace(v2, '/', '')))"
"""How many slashes a domain has. SQLite uses an index of it only where a query says it word for word."""
NOT_A_MEMBERSHIP = "v2 <> ''"
DEPTH_INDEX = "casbin_rule_by_depth"


def _only(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class Base(DeclarativeBase):
    """The tables of this module, and no others."""


class CasbinRule(Base):
    """One role assignment in the shape of Casbin's SQLAlchemy adapter: v0 subject, v1 role, v2 domain, v3 from, v4 until.

    A role assignment with times and a membership (v1 the group, v2 empty) are of kinds that a Casbin enforcer passes over: it
    knows no clock, and would take them as given for ever. The database itself refuses other rows (policies are files), repeated
    ones, and times on a row that Casbin would read.
    """

    __tablename__ = "casbin_rule"
    id: Mapped[int] = mapped_column(_counter(), primary_key=True)
    ptype: Mapped[str] = mapped_column(_exact_text())
    v0: Mapped[str] = mapped_column(_exact_text())
    v1: Mapped[str] = mapped_column(_exact_text())
    v2: Mapped[str] = mapped_column(_exact_text())
    v3: Mapped[str | None] = mapped_column(_exact_text())
    v4: Mapped[str | None] = mapped_column(_exact_text())
    v5: Mapped[str | None] = mapped_column(_exact_text())
    __table_args__ = (
        CheckConstraint(ROW_CHECK, name=ROW_CHECK_NAME),
        Index("casbin_rule_once", "v0", "v1", "v2", unique=True),
        Index("casbin_rule_by_role", "v1", "v0", "v2"),
        Index("casbin_rule_by_domain", "v2", "v1", "v0"),
        # Small where few rows have times or groups; who asks for these rows by index says the condition word for word.
        Index("casbin_rule_with_times", "v0", **_only(NOT_LASTING)),
        Index("casbin_rule_by_end", "v4", **_only(NOT_LASTING)),
        Index("casbin_rule_of_groups", "v2", "v1", "v0", **_only(OF_A_GROUP)),
        Index(DEPTH_INDEX, "v1", text(DEPTH), **_only(NOT_A_MEMBERSHIP)),
    )


class Entity(Base):
    """What is stored of a subject or a resource: where it lies (empty: nowhere), and its properties as a JSON object."""

    __tablename__ = "klausel_entity"
    kind: Mapped[str] = mapped_column(_exact_text(8), primary_key=True)
    type: Mapped[str] = mapped_column(_exact_text(), primary_key=True)
    id: Mapped[str] = mapped_column(_exact_text(), primary_key=True)
    domain: Mapped[str] = mapped_column(_exact_text())
    properties: Mapped[str] = mapped_column(Text())
    __table_args__ = (
        CheckConstraint("kind IN ('subject', 'resource')", name="klausel_entity_is_subject_or_resource"),
        Index("klausel_entity_by_domain", "kind", "type", "domain", "id"),
        {"sqlite_with_rowid": False},
    )


class EntityProperty(Base):
    """A value that an entity may have, or hold in a list; what it means is said in `klausel.storage.sql.property_index`."""

    __tablename__ = "klausel_entity_property"
    kind: Mapped[str] = mapped_column(_exact_text(8), primary_key=True)
    type: Mapped[str] = mapped_column(_exact_text(), primary_key=True)
    name: Mapped[str] = mapped_column(_exact_text(PROPERTY_CHARACTERS), primary_key=True)
    value: Mapped[str] = mapped_column(_exact_text(VALUE_CHARACTERS), primary_key=True)
    id: Mapped[str] = mapped_column(_exact_text(), primary_key=True)
    __table_args__ = ({"sqlite_with_rowid": False},)


class State(Base):
    """One row: the schema's version, a random name of this database, and the counter behind its revisions.

    `klausel_change` is complete for the revisions after `log_starts_after`.
    """

    __tablename__ = "klausel_state"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    schema_version: Mapped[int] = mapped_column(Integer)
    lineage: Mapped[str] = mapped_column(String(32))
    revision: Mapped[int] = mapped_column(_counter())
    log_starts_after: Mapped[int] = mapped_column(_counter())
    __table_args__ = (CheckConstraint("id = 1", name="klausel_state_is_one_row"),)


class Change(Base):
    """A subject whose role assignments changed with a revision, or a subject or resource whose stored properties did.

    Other processes drop it from their caches.
    """

    __tablename__ = "klausel_change"
    revision: Mapped[int] = mapped_column(_counter(), primary_key=True, autoincrement=False)
    subject: Mapped[str] = mapped_column(_exact_text(), primary_key=True)


class LogRecord(Base):
    """A record of the change log, as `klausel.core.records.change_record.ChangeRecord` describes it."""

    __tablename__ = "klausel_assignment_log"
    number: Mapped[int] = mapped_column(_counter(), primary_key=True, autoincrement=False)
    microseconds: Mapped[int] = mapped_column(_counter())
    kind: Mapped[str] = mapped_column(_exact_text())
    by: Mapped[str | None] = mapped_column("actor", _exact_text())
    reason: Mapped[str | None] = mapped_column(_exact_text(1000))
    ticket: Mapped[str | None] = mapped_column(_exact_text())
    channel: Mapped[str] = mapped_column(_exact_text())
    caller: Mapped[str | None] = mapped_column(_exact_text())
    request_id: Mapped[str | None] = mapped_column(_exact_text())
    granted: Mapped[int] = mapped_column(_counter())
    revoked: Mapped[int] = mapped_column(_counter())
    rows_digest: Mapped[str] = mapped_column(_exact_text())
    revision: Mapped[str] = mapped_column(_exact_text())
    previous: Mapped[str] = mapped_column(_exact_text())
    hash: Mapped[str] = mapped_column(_exact_text())
    __table_args__ = (
        Index("klausel_assignment_log_by_time", "microseconds"),
        Index("klausel_assignment_log_by_actor", "actor", "number"),
    )


class LogRow(Base):
    """A row that a record granted (sign 1) or revoked (sign -1); `position` counts from 0 in each record.

    What was revoked to be granted with other times stands before that.
    """

    __tablename__ = "klausel_assignment_log_row"
    number: Mapped[int] = mapped_column(_counter(), primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(_counter(), primary_key=True, autoincrement=False)
    sign: Mapped[int] = mapped_column(SmallInteger)
    subject: Mapped[str] = mapped_column(_exact_text())
    role: Mapped[str] = mapped_column(_exact_text())
    domain: Mapped[str] = mapped_column(_exact_text())
    starts: Mapped[str | None] = mapped_column(_exact_text())
    ends: Mapped[str | None] = mapped_column(_exact_text())
    __table_args__ = (
        # Holds all that the state of one subject, or of all in order, as of a moment is read from.
        Index("klausel_assignment_log_row_by_subject", "subject", "role", "domain", "number", "sign", "starts", "ends"),
        {"sqlite_with_rowid": False},
    )


class EntityLogRow(Base):
    """What a record stored (sign 1) or took away (sign -1) of a subject or resource; `position` counts from 0 in each record.

    What was taken away to be stored with other properties stands before that.
    """

    __tablename__ = "klausel_entity_log_row"
    number: Mapped[int] = mapped_column(_counter(), primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(_counter(), primary_key=True, autoincrement=False)
    sign: Mapped[int] = mapped_column(SmallInteger)
    kind: Mapped[str] = mapped_column(_exact_text(8))
    type: Mapped[str] = mapped_column(_exact_text())
    id: Mapped[str] = mapped_column(_exact_text())
    domain: Mapped[str] = mapped_column(_exact_text())
    properties: Mapped[str] = mapped_column(Text())
    __table_args__ = (
        Index("klausel_entity_log_row_by_entity", "kind", "type", "id", "number", "position"),
        {"sqlite_with_rowid": False},
    )


def guards_of(name: str) -> dict[str, tuple[str, ...]]:
    """By dialect, what makes the database itself refuse to change or remove what stands in a table."""
    message = "the change log of role assignments is append-only"
    refuse = f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
    known = " AND ".join(f"{column.name} = NEW.{column.name}" for column in Base.metadata.tables[name].primary_key)
    return {
        "sqlite": (
            *(f"CREATE TRIGGER {name}_no_{verb} BEFORE {verb} ON {name} {refuse}" for verb in ("update", "delete")),
            # REPLACE takes the old row away without firing the triggers of a deletion.
            f"CREATE TRIGGER {name}_no_replace BEFORE insert ON {name} "
            f"WHEN EXISTS (SELECT 1 FROM {name} WHERE {known}) {refuse}",
        ),
        "postgresql": (
            "CREATE OR REPLACE FUNCTION klausel_assignment_log_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$",
            f"CREATE TRIGGER {name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION klausel_assignment_log_refuse()",
        ),
    }


def _sqlite_watch(verb: str, subjects: str, table: str = "casbin_rule") -> str:
    return (
        f"CREATE TRIGGER IF NOT EXISTS {table}_noted_{verb} BEFORE {verb} ON {table} "
        f"WHEN NOT EXISTS (SELECT 1 FROM klausel_change WHERE revision = {OWN_WRITE}) BEGIN "
        "UPDATE klausel_state SET revision = revision + 1, "
        f"log_starts_after = max(log_starts_after, revision + 1 - {_REVISIONS_KEPT_BY_TRIGGERS}); "
        "DELETE FROM klausel_change WHERE revision <= (SELECT log_starts_after FROM klausel_state); "
        "INSERT INTO klausel_change (revision, subject) "
        f"SELECT (SELECT revision FROM klausel_state), subject FROM ({subjects}); END"
    )


def _noting_function(function: str, noted: str) -> str:
    """`noted` are the columns that, with `:` between them, say whom a row is about.

    A transaction counts the revision up once for each table and notes so many rows; one that changes more may change everybody.
    Each row's own count would be quadratic: nothing is cleared away of what a transaction writes until it ends.
    """
    new, old = (" || ':' || ".join(f"{row}.{column}" for column in noted.split()) for row in ("NEW", "OLD"))
    note = "INSERT INTO klausel_change (revision, subject) VALUES (counter, {0}) ON CONFLICT DO NOTHING"
    return (
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger "
        "LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$ "
        f"DECLARE setting text := '{NOTED_SETTING}' || TG_RELID; "
        "before text[] := string_to_array(current_setting(setting, true), ' '); "
        "counter bigint := before[2]; noted bigint := before[3]; BEGIN "
        "IF before[1] IS DISTINCT FROM txid_current()::text THEN noted := 0; "
        "UPDATE klausel_state SET revision = revision + 1, "
        f"log_starts_after = greatest(log_starts_after, revision + 1 - {_REVISIONS_KEPT_BY_TRIGGERS}) "
        "RETURNING revision INTO counter; "
        "DELETE FROM klausel_change WHERE revision <= (SELECT log_starts_after FROM klausel_state); "
        f"PERFORM pg_notify('{CHANNEL}', (SELECT lineage FROM klausel_state) || '-' || counter); "
        f"ELSIF noted > {_ROWS_NOTED_BY_TRIGGERS} THEN RETURN NULL; END IF; "
        f"noted := CASE TG_OP WHEN 'TRUNCATE' THEN {_ROWS_NOTED_BY_TRIGGERS} ELSE noted END + 1; "
        f"IF noted > {_ROWS_NOTED_BY_TRIGGERS} THEN "
        "UPDATE klausel_state SET log_starts_after = greatest(log_starts_after, counter); "
        "DELETE FROM klausel_change WHERE revision <= counter; "
        f"ELSE IF TG_OP <> 'DELETE' THEN {note.format(new)}; END IF; "
        f"IF TG_OP <> 'INSERT' THEN {note.format(old)}; END IF; END IF; "
        "PERFORM set_config(setting, concat_ws(' ', txid_current(), counter, noted), true); RETURN NULL; END $$"
    )


NOTING_FUNCTIONS = (
    # Whoever may change role assignments need not have rights on the tables that note it. The function runs with the rights
    # of who made it, so it looks where the tables are, and last of all where every caller may put one of the same name.
    "SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)",
    _noting_function("klausel_note_row_change", "v0"),
    _noting_function("klausel_note_entity_change", "type id"),
)
"""On PostgreSQL, what notes whom a row is about that somebody else than Klausel changes, and tells who listens."""


def _postgresql_watch(table: str, function: str) -> tuple[str, ...]:
    return (
        *NOTING_FUNCTIONS,
        f"CREATE TRIGGER {table}_noted AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW "
        f"WHEN (current_setting('{OWN_WRITE_SETTING}', true) IS DISTINCT FROM 'yes') "
        f"EXECUTE FUNCTION {function}()",
        f"CREATE TRIGGER {table}_emptied AFTER TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
    )


# A REPLACE takes away the row of the same id, perhaps another subject's, without firing the trigger of a deletion.
_SAME_ID = "UNION SELECT v0 FROM casbin_rule WHERE id = NEW.id"
WATCHES: dict[str, tuple[str, ...]] = {
    "sqlite": (
        _sqlite_watch("insert", f"SELECT NEW.v0 AS subject {_SAME_ID}"),
        _sqlite_watch("update", f"SELECT OLD.v0 AS subject UNION SELECT NEW.v0 {_SAME_ID}"),
        _sqlite_watch("delete", "SELECT OLD.v0 AS subject"),
    ),
    "postgresql": _postgresql_watch("casbin_rule", "klausel_note_row_change"),
}
"""By dialect, what counts the revision up and notes the subject of each row that somebody else than Klausel changes."""
_NEW_ENTITY, _OLD_ENTITY = (f"SELECT {row}.type || ':' || {row}.id AS subject" for row in ("NEW", "OLD"))
ENTITY_WATCHES: dict[str, tuple[str, ...]] = {
    "sqlite": (
        _sqlite_watch("insert", _NEW_ENTITY, "klausel_entity"),
        _sqlite_watch("update", f"{_OLD_ENTITY} UNION {_NEW_ENTITY}", "klausel_entity"),
        _sqlite_watch("delete", _OLD_ENTITY, "klausel_entity"),
    ),
    "postgresql": _postgresql_watch("klausel_entity", "klausel_note_entity_change"),
}
"""The same for stored properties."""


def _put_guards(table: Table, connection: Connection, **_: object) -> None:
    for statement in guards_of(table.name).get(connection.dialect.name, ()):
        connection.exec_driver_sql(statement)


LOG_TABLES: list[Table] = [Base.metadata.tables[model.__tablename__] for model in (LogRecord, LogRow, EntityLogRow)]
for _table in LOG_TABLES:
    event.listen(_table, "after_create", _put_guards)
