"""Writing many rows at once: on PostgreSQL in one statement, so that what watches the table runs once and not for each row."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, Engine, Integer, Table, bindparam, delete, insert, text

from klausel.storage.sql.database import StorageError, access_of, explained_errors, make_engine
from klausel.storage.sql.steps import in_steps
from klausel.storage.sql.tables import Base

ROWS_PER_STEP = 5_000
_WORTH_A_LOOK = 50
_KIB_FOR_MANY_ROWS = 200_000


def insert_rows(connection: Connection, model: type[Base], names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Inserts rows with values for these columns."""
    table = _table(model)
    for some in in_steps(rows, ROWS_PER_STEP):
        if connection.dialect.name == "postgresql":
            statement = f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM {_unnested(table, names)}"
            connection.execute(text(statement), _columns(names, some))
        else:
            connection.execute(insert(model), [dict(zip(names, row, strict=True)) for row in some])


def delete_rows(connection: Connection, model: type[Base], names: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> None:
    """Deletes the rows whose columns have these values."""
    table = _table(model)
    for some in in_steps(keys, ROWS_PER_STEP):
        if connection.dialect.name == "postgresql":
            same = " AND ".join(f"{table.name}.{name} = gone.{name}" for name in names)
            statement = f"DELETE FROM {table.name} USING {_unnested(table, names)} AS gone({', '.join(names)}) WHERE {same}"
            connection.execute(text(statement), _columns(names, some))
        else:
            # A parameter may not have the name of a column.
            by_key = delete(model).where(*(table.c[name] == bindparam(f"{name}_") for name in names))
            connection.execute(by_key, [{f"{name}_": part for name, part in zip(names, key, strict=True)} for key in some])


@contextmanager
def many_pages(connection: Connection, written: int) -> Iterator[None]:
    """Inside, SQLite keeps more of the file in memory, where very many rows are written: their indexes are all over it."""
    if connection.dialect.name != "sqlite" or written < ROWS_PER_STEP:
        yield
        return
    usual = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql(f"PRAGMA cache_size = -{_KIB_FOR_MANY_ROWS}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size = {usual}")


def keep_statistics(connection: Connection, models: Sequence[type[Base]], written: int) -> bool:
    """After rows were written: has PostgreSQL count what is there, where that is many more than it knows of; whether it did.

    Until it has statistics it plans for small tables, and what should take milliseconds takes seconds: its own cleaner comes
    a minute later, or never. To be called at the end of a write; where it says yes, `mark_visible` after the commit.
    """
    if connection.dialect.name != "postgresql" or written < _WORTH_A_LOOK:
        return False
    names = [model.__tablename__ for model in models]
    changed = text(
        "SELECT coalesce(bool_or(n_mod_since_analyze > greatest(:rows, n_live_tup / 2)), false) FROM pg_stat_user_tables "
        "WHERE relid = to_regclass(:table)"
    ).bindparams(rows=ROWS_PER_STEP, table=names[0])
    if written < ROWS_PER_STEP and not connection.execute(changed).scalar_one():
        return False
    for name in names:
        connection.exec_driver_sql(f"ANALYZE {name}")
    return True


def mark_visible(engine: Engine, models: Sequence[type[Base]]) -> None:
    """After very many rows were committed: has PostgreSQL note which pages of these tables every transaction may see.

    Until then an index alone answers nothing: each row that it has is looked for in the table too, one page a row, and a
    search reads ten times as much. Never raises: what is written stays written, and PostgreSQL does the rest in its own time.
    In a service nobody waits for it, and it ends by itself after as long as a write may take.
    """
    if engine.dialect.name != "postgresql":
        return
    # A connection of its own: those of the pool are as many as may wait for one.
    own = make_engine(engine.url, hold_connections=True, access=access_of(engine))
    # Dead rows are left to its own cleaner, and what others clean at the moment to them.
    names = ", ".join(model.__tablename__ for model in models)
    vacuum = f"VACUUM (SKIP_LOCKED, INDEX_CLEANUP false, TRUNCATE false) {names}"
    if access_of(engine).limits.write_seconds is None:
        _run(own, vacuum)
    else:
        threading.Thread(target=_run, args=(own, vacuum), name="visible pages", daemon=True).start()


def _run(engine: Engine, statement: str) -> None:
    as_it_comes = engine.execution_options(isolation_level="AUTOCOMMIT")
    with suppress(StorageError), explained_errors(engine), as_it_comes.connect() as connection:
        connection.exec_driver_sql(statement)


def _table(model: type[Base]) -> Table:
    return Base.metadata.tables[model.__tablename__]


def _unnested(table: Table, names: Sequence[str]) -> str:
    kinds = ("bigint" if isinstance(table.c[name].type, Integer) else "text" for name in names)
    return f"unnest({', '.join(f'CAST(:{name} AS {kind}[])' for name, kind in zip(names, kinds, strict=True))})"


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
