"""Connections to the database: engines, transactions with their locks, and errors that say how to fix it."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Engine, Executable, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool, QueuePool

from klausel.storage.sql.access import (
    COMMAND_LIMITS,
    WRITES_AT_ONCE,
    Access,
    Limits,
    Locked,
    OutOfReach,
    StorageError,
    deadline,
)
from klausel.storage.sql.open_file import OpenFile
from klausel.storage.sql.tables import State

__all__ = ["StorageError"]

MOST_ACCOUNT_LOCKS = 64
ROWS_PER_STEP = 10_000
_DRIVERS = frozenset({"sqlite", "sqlite+pysqlite", "postgresql+psycopg"})
"""What everything is tried with. Another database hears of no changes, and another driver knows no limits of time."""

_of_files: WeakSet[Engine] = WeakSet()


def _close_before_fork() -> None:
    """Leaves no connection to an SQLite file to a process that is forked off.

    It would take the locks of this one for its own, and has none of them: once this one ends, others delete the log under it.
    """
    for engine in list(_of_files):
        engine.dispose()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_before_fork)

_WRITES = "klausel_writes"
_ACCESS = "klausel_access"


def make_engine(
    url: URL, hold_connections: bool = False, limits: Limits = COMMAND_LIMITS, access: Access | None = None
) -> Engine:
    """An engine that opens nothing yet; with `hold_connections` it pools nothing, each connection is its asker's.

    With an `access`, that of another engine on the same database, it shares the limits and places of that one.
    """
    if access is None:
        is_file = url.get_backend_name() == "sqlite" and not is_in_memory(url)
        access = Access(place_of(url), limits, OpenFile(url.database or "") if is_file else None)
    limits = access.limits
    options: dict[str, object] = {}
    if url.get_backend_name() == "sqlite":
        if is_in_memory(url):
            # One connection for all threads, one thread at a time: another connection would be another database.
            options = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0}
        seconds = limits.read_seconds or limits.lock_seconds
        options["connect_args"] = {"isolation_level": None, "check_same_thread": False, "timeout": seconds}
    else:
        options = {"pool_pre_ping": True, "isolation_level": "READ COMMITTED"}
        if url.drivername == "postgresql+psycopg":
            # Looking for a type that nothing here uses takes round trips.
            options["use_native_hstore"] = False
        if url.drivername == "postgresql+psycopg" and not hold_connections:
            # A statement that was prepared is planned without its values after ten times: what is common and what is rare
            # are then one, and a page of a large company's things that took milliseconds reads and sorts all of them.
            options["connect_args"] = {"prepare_threshold": None}
    if limits.read_seconds is not None and "poolclass" not in options:
        # As many as there are places: nobody who has one waits for a connection.
        options |= {"max_overflow": limits.reads_at_once + WRITES_AT_ONCE - 5, "pool_timeout": limits.read_seconds}
    if hold_connections:
        kept: dict[str, object] = {name: options[name] for name in ("connect_args", "use_native_hstore") if name in options}
        options = {**kept, "poolclass": NullPool}
        if url.get_backend_name() != "sqlite":
            options["isolation_level"] = "READ COMMITTED"
    try:
        engine = create_engine(url, execution_options={_ACCESS: access}, **options)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise StorageError(
            f'no driver for databases of kind "{url.drivername}" is installed ({error}); '
            "install its Python package, or use sqlite:///klausel.db or postgresql://user@host/name"
        ) from None
    except (SQLAlchemyError, TypeError, ValueError) as error:
        raise StorageError(f"{place_of(url)} cannot be opened: {_without_secrets(url, str(error))}") from None
    if engine.dialect.name == "sqlite":
        if access.file is not None:
            _of_files.add(engine)
            event.listen(engine, "do_connect", partial(_connect_sqlite, access.file))
        event.listen(engine, "connect", set_up_sqlite_connection)
        event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.driver == "psycopg":
        event.listen(engine, "do_connect", partial(_connect_psycopg, limits))
    return engine


def access_of(engine: Engine) -> Access:
    """The limits and places of an engine that `make_engine` made."""
    access: Access = engine.get_execution_options()[_ACCESS]
    return access


def _connect_sqlite(file: OpenFile, dialect: Any, _record: object, arguments: Any, parameters: Any) -> Any:
    return file.opened(lambda: dialect.connect(*arguments, **parameters))


def _connect_psycopg(limits: Limits, _dialect: object, _record: object, arguments: Any, parameters: Any) -> Any:
    from klausel.storage.sql.bounded_psycopg import connect

    return connect(tuple(arguments), dict(parameters), limits)


def driver_connection(engine: Engine) -> Any:
    """A connection of the driver alone, that no pool knows: whoever asked for it closes it. Raises errors of the database."""
    if engine.dialect.driver == "psycopg":
        from klausel.storage.sql.bounded_psycopg import connect

        # The engine's own first connection asks a dozen things, each of which is a round trip.
        arguments, parameters = engine.dialect.create_connect_args(engine.url)
        return connect(tuple(arguments), dict(parameters), access_of(engine).limits)
    proxy = engine.raw_connection()
    connection = proxy.driver_connection
    proxy.detach()
    return connection


def is_in_memory(url: URL) -> bool:
    """Whether a URL names an SQLite database in memory."""
    if url.get_backend_name() != "sqlite":
        return False
    name = url.database or ""
    return name in {"", ":memory:", "file::memory:"} or url.query.get("mode") == "memory" or "mode=memory" in name


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for reading, in a transaction of its own; raises StorageError."""
    access = access_of(engine)
    if access.file is not None:
        access.file.look_at_times()
    with access.reading(), explained_errors(engine), engine.connect() as connection, connection.begin():
        yield connection


def streamed(connection: Connection, query: Executable) -> Iterable[Any]:
    """The rows of a query: read some thousands at a time, but all at once in memory, where nobody else has a connection."""
    options = {} if is_in_memory(connection.engine.url) else {"yield_per": ROWS_PER_STEP}
    return connection.execute(query, execution_options=options)


@contextmanager
def writing(engine: Engine, accounts: Collection[str] | None) -> Iterator[Connection]:
    """A connection in a write transaction as `write_transaction` makes it; raises StorageError."""
    access = access_of(engine)
    if access.file is not None:
        access.file.look()
    with (
        access.writing(),
        explained_errors(engine),
        engine.connect() as connection,
        write_transaction(connection, accounts),
    ):
        yield connection


@contextmanager
def write_transaction(connection: Connection, accounts: Collection[str] | None) -> Iterator[None]:
    """A transaction that holds the locks of these top-level domains (None: of all) and commits at the end.

    What it reads is the newest committed state. SQLite has one lock for all; PostgreSQL advisory ones, taken in sorted order.
    """
    connection.execution_options(**{_WRITES: True})
    try:
        with connection.begin():
            take_locks(connection, accounts)
            yield
    finally:
        connection.execution_options(**{_WRITES: False})


@contextmanager
def explained_errors(engine: Engine) -> Iterator[None]:
    """Turns the database's own errors into StorageError."""
    try:
        yield
    except (SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as error:
        access = access_of(engine)
        if access.file is not None and (said := _damage(error)):
            access.file.meet_damage(said)
        raise _told(engine.url, error, access.limits) from error


def _damage(error: Exception) -> str | None:
    """What SQLite says of a file that it cannot read; None of all else, such as JSON that is malformed."""
    told = str(error.orig if isinstance(error, DBAPIError) else error)
    return told if told in _DAMAGED else None


def read_url(url: str) -> URL:
    """The URL of a database as SQLAlchemy has it; raises StorageError for what is none."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StorageError(
            "the database URL cannot be read; write it as sqlite:////folder/klausel.db or postgresql://user@host/name"
        ) from None
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in _DRIVERS:
        raise StorageError(
            f'Klausel keeps its data in SQLite or PostgreSQL, not in "{parsed.drivername}"; write the database URL as '
            "sqlite:///klausel.db or postgresql://user@host/name"
        )
    if parsed.get_backend_name() == "sqlite" and not is_in_memory(parsed):
        parsed = _with_whole_path(parsed)
    return parsed


def _with_whole_path(url: URL) -> URL:
    name = url.database or ""
    if name.startswith("file:"):
        return url
    path = Path(name).absolute()
    if not path.parent.is_dir():
        raise StorageError(f"the folder {path.parent} of the SQLite file {path.name} does not exist; create it first")
    if path.is_dir():
        raise StorageError(f"{path} is a folder; name a file in it, such as sqlite:///{path}/klausel.db")
    return url.set(database=str(path))


def set_up_sqlite_connection(connection: sqlite3.Connection, record: object) -> None:
    """What each new connection to a file gets; closes it where the file has no database in it, and raises `sqlite3.Error`."""
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        # A revocation that was answered must survive a power cut, so the log is flushed at every commit.
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        # SQLAlchemy 2.0 would leave it open, with its locks, until somebody collects what nobody uses.
        connection.close()
        raise


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    writes, limits = options.get(_WRITES), options[_ACCESS].limits
    seconds = limits.lock_seconds if writes or limits.read_seconds is None else limits.read_seconds
    if (at := deadline()) is not None:
        seconds = min(seconds, max(at - time.monotonic(), 0.0))
    set_busy_timeout(connection.connection.driver_connection, seconds)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def set_busy_timeout(connection: Any, seconds: float) -> None:
    """Sets how long SQLite waits for the locks of others."""
    connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")


def use_write_ahead_log(engine: Engine) -> None:
    """Switches the file to WAL once; SQLite does not wait by itself when two processes do so at the same time."""
    give_up_at = time.monotonic() + access_of(engine).limits.lock_seconds
    connection = engine.raw_connection()
    try:
        driver: sqlite3.Connection = connection.driver_connection  # type: ignore[assignment]
        while driver.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
            try:
                driver.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "readonly" in str(error):
                    return
                if "locked" not in str(error) or time.monotonic() > give_up_at:
                    raise
                time.sleep(0.01)
    finally:
        connection.close()


def take_locks(connection: Connection, accounts: Collection[str] | None) -> None:
    """Takes the locks of `write_transaction` within a transaction on PostgreSQL that has begun; they hold until its end."""
    if connection.dialect.name == "sqlite" or accounts == ():
        return
    limits = access_of(connection.engine).limits
    connection.execute(text(f"SET LOCAL lock_timeout = '{round(limits.lock_seconds * 1000)}ms'"))
    everything = lock_in_schema("everything")
    if accounts is None or len(accounts) > MOST_ACCOUNT_LOCKS:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({everything})"))
        return
    connection.execute(text(f"SELECT pg_advisory_xact_lock_shared({everything})"))
    # Sorted by what is the same in each process of one schema, so that no two wait for each other.
    for _, lock in sorted((lock_key("account", account), lock_in_schema("account", account)) for account in set(accounts)):
        connection.execute(text(f"SELECT pg_advisory_xact_lock({lock})"))


def lock_key(*names: str) -> int:
    """The number of the advisory lock of this name."""
    digest = hashlib.sha256("\0".join(("klausel", *names)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def lock_in_schema(*names: str) -> str:
    """On PostgreSQL, the advisory lock of this name as SQL: services in other schemas of the database have others."""
    return f"{lock_key(*names)} # CAST(coalesce(CAST(to_regclass('{State.__tablename__}') AS oid), 0) AS bigint)"


def place_of(url: URL) -> str:
    """The database in words, without user, password or options."""
    if url.get_backend_name() == "sqlite":
        return "the SQLite database in memory" if is_in_memory(url) else f"the SQLite file {url.database}"
    port = f":{url.port}" if url.port else ""
    host = f" at {url.host}{port}" if url.host else ""
    return f'the PostgreSQL database "{url.database or ""}"{host}'


_SQLITE_CURES = (
    ("readonly", "cannot be written; make the file and its folder writable for the user that runs Klausel"),
    ("locked", "was locked by another process for over {seconds:g} s; wait until its write ends and try again"),
    (
        "unable to open",
        "cannot be opened; check the path, and that the user that runs Klausel may write there",
    ),
    ("not a database", "is not an SQLite database; name another file with --database"),
    ("full", "has no room left on its disk; make room and try again"),
    ("malformed", "is damaged; stop what uses it, keep it aside, and restore the last backup"),
)
_DAMAGED = frozenset({"database disk image is malformed", "file is not a database", "disk I/O error"})
_POSTGRESQL_CURES = {
    "55P03": "was locked by another writer for over {seconds:g} s; wait until its write ends and try again",
    "57014": "took too long for what was asked; see what holds it up, and try again",
    "42501": (
        "refuses the rights that are needed; name a user that has them, such as the owner of `klausel db grants`, run that "
        "again where it was not since the last `klausel db upgrade`, or let "
        "this one create tables in its schema, and read and write them"
    ),
    "3F000": (
        "has no schema that is named in search_path; create it with CREATE SCHEMA, or correct search_path in the database URL "
        "or at the user"
    ),
    "25006": "is read-only, or is so for this user; name its primary server with --database, and a user that may write",
    "53100": "has no room left on its disk; make room and try again",
    "53200": "has no memory left for what was asked; give its server more, or ask for less at once",
    "53300": "takes no more connections; let others go, or raise max_connections of its server",
    "54": "cannot take what was written: it is longer than the database allows; write less at once, or shorter",
    "57P": "is being stopped or started; try again in a moment",
}
"""By their SQLSTATE, or its beginning."""
_KINDS = {"locked": Locked, "55P03": Locked, "unable to open": OutOfReach, "53300": OutOfReach, "57P": OutOfReach}
_NO_WAY_IN = ("08", "28", "3D")
"""How the SQLSTATE begins of those that tell of a server that is not there, or lets nobody in."""


def _told(url: URL, error: Exception, limits: Limits) -> StorageError:
    if isinstance(error, PoolTimeout):
        return StorageError(f"{place_of(url)} is too slow: all connections to it are in use; see what holds it up")
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    first_line = _without_secrets(url, (str(original).strip() or type(original).__name__).splitlines()[0])
    if url.get_backend_name() == "sqlite":
        for sign, cure in _SQLITE_CURES:
            if sign in first_line:
                kind = _KINDS.get(sign, StorageError)
                return kind(f"{place_of(url)} {cure.format(seconds=limits.lock_seconds)} ({first_line})")
        return StorageError(f"{place_of(url)} failed: {first_line}")
    state = getattr(original, "sqlstate", None) or ""
    known = next((start for start in _POSTGRESQL_CURES if state.startswith(start)), None)
    if known is not None:
        cure = _POSTGRESQL_CURES[known].format(seconds=limits.lock_seconds)
        return _KINDS.get(known, StorageError)(f"{place_of(url)} {cure} ({first_line})")
    if "session is read-only" in first_line:
        return OutOfReach(
            f"{place_of(url)} is a standby, which may be late, or read-only for this user; name its primary "
            f"server, or all servers as host=db1:5432&host=db2:5432 ({first_line})"
        )
    if state.startswith(_NO_WAY_IN) or (not state and _is_no_way_in(error, original)):
        return OutOfReach(
            f"{place_of(url)} cannot be used: {first_line}; "
            "check that the server runs and that host, port, user, password and name in the database URL are right"
        )
    if "invalid connection option" in first_line:
        return StorageError(f"{place_of(url)} cannot be used: {first_line}; correct what stands behind ? in its URL")
    return StorageError(f"{place_of(url)} failed: {first_line}")


def _is_no_way_in(error: Exception, original: BaseException) -> bool:
    """Whether an error without an SQLSTATE is of a connection: it was not made, or it broke."""
    if isinstance(error, DBAPIError) and error.statement is not None and not error.connection_invalidated:
        return False  # the driver itself refused what it was to send, and the connection is as good as ever
    return type(original).__name__ in {"OperationalError", "ConnectionTimeout", "InterfaceError", "TimeoutError"}


def _without_secrets(url: URL, message: str) -> str:
    secrets_in_url: list[str | tuple[str, ...]] = [str(url.password or "")]
    secrets_in_url += [value for name, value in url.query.items() if "pass" in name.lower()]
    for secret in secrets_in_url:
        for spelling in (secret,) if isinstance(secret, str) else secret:
            message = message.replace(spelling, "***") if spelling else message
    return message
