"""Whether the database still refuses to change what stands in the change log."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, Engine, text

from klausel.core.records.change_chain import Finding
from klausel.storage.sql.database import reading
from klausel.storage.sql.tables import LOG_TABLES, guards_of

_SQLITE = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND sql = :statement"
# The bits of a type: 2 before, 8 delete, 16 update, 32 truncate; without 1, for each statement.
_POSTGRESQL = """
SELECT 1 FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
WHERE tgrelid = to_regclass(:table) AND tgtype = 58 AND tgenabled IN ('O', 'A') AND tgqual IS NULL AND prosrc = :body
"""


def missing_guards(engine: Engine) -> list[Finding]:
    """A finding for each table of the log that the database lets people change; none where Klausel sets no trigger."""
    with reading(engine) as connection:
        return [
            Finding(
                None, "guard", f"{table.name} can be changed: a trigger is gone, off or another; {_cure(table.name, engine)}"
            )
            for table in LOG_TABLES
            if not all(_stand(connection, table.name))
        ]


def _stand(connection: Connection, table: str) -> Iterator[bool]:
    guards = guards_of(table).get(connection.dialect.name, ())
    if connection.dialect.name == "sqlite":
        for statement in guards:
            yield connection.execute(text(_SQLITE), {"statement": statement}).first() is not None
    elif guards:
        function, _ = guards
        values = {"table": table, "body": function.split("$$")[1]}
        yield connection.execute(text(_POSTGRESQL), values).first() is not None


def _cure(table: str, engine: Engine) -> str:
    return f"find out who lifted it, then put it back: {'; '.join(guards_of(table)[engine.dialect.name])}"
