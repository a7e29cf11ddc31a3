"""Opening the database: any SQLAlchemy URL becomes an engine whose schema is ready, or an error that says how to fix it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from sqlalchemy import Connection, Engine, insert, inspect, select, text, update

from klausel.core.records.change_record import Origin
from klausel.storage.change_log.writer import begin_log, log_rows
from klausel.storage.sql.access import COMMAND_LIMITS, Limits, Locked
from klausel.storage.sql.database import (
    StorageError,
    access_of,
    explained_errors,
    lock_key,
    make_engine,
    place_of,
    read_url,
    reading,
    use_write_ahead_log,
    write_transaction,
    writing,
)
from klausel.storage.sql.indexes import add_missing_indexes, missing_indexes
from klausel.storage.sql.property_index import TRIGGERS
from klausel.storage.sql.revisions import log_change, notify
from klausel.storage.sql.tables import (
    ENTITY_WATCHES,
    NOTED_SETTING,
    NOTING_FUNCTIONS,
    SCHEMA_VERSION,
    WATCHES,
    Base,
    CasbinRule,
    State,
)
from klausel.storage.sql.upgrades import bring_up_to_date

_VERSION_WITHOUT_LOG = 1
_VERSION_WITHOUT_WATCHES = 2
_VERSION_WITHOUT_TIMES = 3
_VERSION_WITHOUT_ENTITIES = 4
_VERSION_WITHOUT_INDEX = 5
_VERSION_WITHOUT_ORDER = 6
_OLD_VERSIONS = (
    _VERSION_WITHOUT_LOG,
    _VERSION_WITHOUT_WATCHES,
    _VERSION_WITHOUT_TIMES,
    _VERSION_WITHOUT_ENTITIES,
    _VERSION_WITHOUT_INDEX,
    _VERSION_WITHOUT_ORDER,
)


def open_database(url: str, limits: Limits = COMMAND_LIMITS, creates: bool = True) -> Engine:
    """An engine on the database at a SQLAlchemy URL; its tables are created when absent, unless told otherwise.

    `postgresql://` and `postgres://` mean psycopg 3. An SQLite file is created on first use. Raises StorageError, also for tables
    of an older version: only `upgrade_database` changes them, for services of that version could not go on.
    """
    engine = make_engine(read_url(url), limits=limits)
    try:
        with explained_errors(engine):
            if creates:
                _make_file(engine)
            with engine.connect() as connection:
                found = _schema_version(connection)
            if found != SCHEMA_VERSION and not (found is None and creates):
                raise StorageError(f"{place_of(engine.url)} {why_not(found)}")
            if creates and engine.dialect.name == "sqlite":
                use_write_ahead_log(engine)
            if found is None:
                _prepare_schema(engine)
    except StorageError:
        engine.dispose()
        raise
    return engine


def schema_version(url: str) -> int | None:
    """The version of the tables at a URL, None where there are none; changes nothing. Raises StorageError."""
    engine = make_engine(read_url(url))
    try:
        with explained_errors(engine), engine.connect() as connection:
            return _schema_version(connection)
    finally:
        engine.dispose()


def upgrade_database(url: str, limits: Limits = COMMAND_LIMITS) -> int | None:
    """Brings the tables at a URL to this version, or creates them, all or nothing; the version before. Raises StorageError."""
    engine = make_engine(read_url(url), limits=limits)
    try:
        with explained_errors(engine):
            if engine.dialect.name == "sqlite":
                _make_file(engine)
                use_write_ahead_log(engine)
            found = _prepare_schema(engine)
            if engine.dialect.name == "postgresql":
                _renew_what_notes(engine)
            if found == SCHEMA_VERSION:
                _make_indexes_that_lack(engine)
            return found
    except Locked:
        raise StorageError(
            f"{place_of(engine.url)} was locked by another process for over {limits.lock_seconds:g} s, so nothing was changed; "
            "where another klausel db upgrade is at work, wait until it ends and run klausel db check; else stop what writes"
        ) from None
    finally:
        engine.dispose()


def _make_file(engine: Engine) -> None:
    file = access_of(engine).file
    if file is not None:
        file.make_for_owner_of_folder()


def why_not(found: int | None) -> str:
    """Why tables of another version cannot be used, and what to do, as the end of a sentence about their database."""
    if found is None:
        return "has no tables of Klausel yet; start the service once, import people, or run `klausel db upgrade`"
    return (
        f"has schema version {found}, this version of Klausel needs {SCHEMA_VERSION}; make a backup, stop all services of the "
        "older version, then run `klausel db upgrade`"
    )


def _prepare_schema(engine: Engine) -> int | None:
    """Leads any known version, or none, to this one; the version before."""
    with engine.connect() as connection:
        found = _schema_version(connection)
        if found == SCHEMA_VERSION:
            return found
    # Whoever brings a schema up to date keeps writers away; a new one has none.
    with engine.connect() as connection, write_transaction(connection, () if found is None else None):
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({lock_key('schema')})"))
        found = _schema_version(connection)
        if found == SCHEMA_VERSION:
            return found
        if found is None:
            _create_schema(connection)
        else:
            bring_up_to_date(connection, found)
        for statement in _triggers(connection.dialect.name, found):
            connection.exec_driver_sql(statement)
        connection.execute(update(State).values(schema_version=SCHEMA_VERSION))
        if found in (None, _VERSION_WITHOUT_LOG):
            begin_log(connection)
        return found


def _triggers(dialect: str, found: int | None) -> Iterator[str]:
    """What makes the triggers that tables of a version lack."""
    has_watches = found is not None and (
        found >= _VERSION_WITHOUT_ENTITIES or (found == _VERSION_WITHOUT_TIMES and dialect != "sqlite")
    )
    if not has_watches:
        yield from WATCHES.get(dialect, ())
    if found is None or found <= _VERSION_WITHOUT_ENTITIES:
        yield from ENTITY_WATCHES.get(dialect, ())
    yield from TRIGGERS.get(dialect, ())


def begin_new_history(engine: Engine, origin: Origin) -> None:
    """Lets every revision that was told before count as never seen, with a record in the change log. Raises StorageError.

    After an older backup was restored, revisions of lost writes would else look as if they were seen, once the database has had
    as many writes again. Running services forget whom they know.
    """
    with writing(engine, None) as connection:
        # Those who listen know the name from before.
        notify(connection)
        connection.execute(update(State).values(lineage=secrets.token_hex(4)))
        log_change(connection, None)
        log_rows(connection, origin, [], [])


def names_of_missing_indexes(engine: Engine) -> list[str]:
    """The indexes that tables of this version lack, as they were made before there were these. Raises StorageError."""
    with reading(engine) as connection:
        return [str(index.name) for index in missing_indexes(connection, Base.metadata.sorted_tables)]


def _make_indexes_that_lack(engine: Engine) -> None:
    if names_of_missing_indexes(engine):
        with engine.connect() as connection, write_transaction(connection, None):
            add_missing_indexes(connection, Base.metadata.sorted_tables)


def _renew_what_notes(engine: Engine) -> None:
    """Triggers may be there that were made before plain SQL told those who listen, or when it counted each row."""
    with engine.connect() as connection, write_transaction(connection, None):
        source = connection.exec_driver_sql("SELECT prosrc FROM pg_proc WHERE oid = to_regproc('klausel_note_row_change')")
        if NOTED_SETTING not in (source.scalar_one_or_none() or ""):
            for statement in NOTING_FUNCTIONS:
                connection.exec_driver_sql(statement)


def _create_schema(connection: Connection) -> None:
    if inspect(connection).has_table(CasbinRule.__tablename__):
        raise StorageError(
            f"{place_of(connection.engine.url)} already holds a table {CasbinRule.__tablename__} that Klausel did not make; "
            "use another database or schema, and bring the rows by `klausel assignments import`"
        )
    Base.metadata.create_all(connection, checkfirst=False)
    connection.execute(
        insert(State).values(
            id=1, schema_version=SCHEMA_VERSION, lineage=secrets.token_hex(4), revision=0, log_starts_after=0
        )
    )


def _schema_version(connection: Connection) -> int | None:
    """The version that this Klausel reads, or can bring up to date; None where there is no schema yet."""
    if not inspect(connection).has_table(State.__tablename__):
        return None
    found = connection.execute(select(State.schema_version)).scalar_one_or_none()
    if found not in (*_OLD_VERSIONS, SCHEMA_VERSION):
        raise StorageError(
            f"{place_of(connection.engine.url)} has schema version {found}, this version of Klausel reads {SCHEMA_VERSION}; "
            "use the version of Klausel that wrote it, or restore the backup from before its `klausel db upgrade`; `klausel "
            "assignments export` there, and an import here, bring role assignments alone"
        )
    return found
