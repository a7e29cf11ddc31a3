"""The one query behind most decisions, all rows about one subject, over driver-level connections that are kept open."""

from __future__ import annotations

import mmap
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Hashable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, ClassVar
from weakref import WeakSet

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import Entity, EntityKey
from klausel.core.policy.holding import Rows, rows_of_subject
from klausel.core.terms.identifiers import is_printable
from klausel.storage.assignments.closures import rows_with_groups
from klausel.storage.sql.access import Question
from klausel.storage.sql.database import (
    access_of,
    driver_connection,
    explained_errors,
    is_in_memory,
    make_engine,
    reading,
    set_busy_timeout,
)
from klausel.storage.sql.history import History
from klausel.storage.sql.steps import in_steps
from klausel.storage.sql.storage_error import StorageError
from klausel.storage.sql.tables import MEMBERSHIP, NOT_LASTING
from klausel.storage.sql.wal_header import HEADER_BYTES, wal_header

# The first half reads an index alone, and so costs most subjects as little as can be; the second is empty for them.
_BY_SUBJECT = (
    "SELECT v1, v2, NULL, NULL, NULL FROM casbin_rule WHERE v0 = {0} UNION ALL "
    f"SELECT v1, v2, v3, v4, ptype FROM casbin_rule WHERE {NOT_LASTING} AND v0 = {{0}}"
)
# All rows of a subject and of the groups above it, as of one moment. UNION meets each group once, so circles end.
_WITH_GROUPS = {
    "sqlite": (
        "WITH RECURSIVE met(name) AS (SELECT ? UNION SELECT v1 FROM met CROSS JOIN casbin_rule ON v0 = name "
        f"WHERE {NOT_LASTING} AND ptype = '{MEMBERSHIP}') "
        "SELECT v0, v1, v2, v3, v4 FROM met CROSS JOIN casbin_rule ON v0 = name"
    ),
    # OFFSET 0 keeps PostgreSQL, while it has no statistics, from joining by reading the whole table.
    "postgresql": (
        'WITH RECURSIVE met(name) AS (SELECT CAST(%s AS varchar(255)) COLLATE "C" UNION SELECT up.v1 FROM met, LATERAL ('
        f"SELECT v1 FROM casbin_rule WHERE v0 = met.name AND ptype = '{MEMBERSHIP}' OFFSET 0) AS up) "
        "SELECT v0, v1, v2, v3, v4 FROM met, LATERAL ("
        "SELECT v0, v1, v2, v3, v4 FROM casbin_rule WHERE v0 = met.name OFFSET 0) AS own"
    ),
}


_ENTITY = "SELECT kind, type, id, domain, properties FROM klausel_entity WHERE kind = ? AND type = ? AND id = ?"
KEYS_PER_QUERY = 100
_KIB_OF_PAGES = 512
"""What an SQLite connection of a thread keeps of the file. A subject among a million costs the same with 100 and with 2,000."""
_NO_ROWS = Rows(())


class SubjectReader:
    """Reads one subject's rows; over connections of its own where the driver is known, else through SQLAlchemy.

    On an SQLite file each thread has one; on PostgreSQL there are as many as threads may ask at once.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.shares_one_connection = is_in_memory(engine.url)
        self.tells_changes = engine.dialect.name == "sqlite" and not self.shares_one_connection
        is_sqlite = engine.dialect.name == "sqlite"
        self._in_one_moment = engine if is_sqlite else engine.execution_options(isolation_level="REPEATABLE READ")
        self._query: str | None = None
        mark = "?"
        if self.tells_changes:
            self._query = _BY_SUBJECT.format("?1")
            self._places = 1
            self._query_with_groups = _WITH_GROUPS["sqlite"]
        elif engine.dialect.name == "postgresql" and engine.dialect.driver == "psycopg":
            mark = "%s"
            self._query = _BY_SUBJECT.format(mark)
            self._places = 2
            self._query_with_groups = _WITH_GROUPS["postgresql"]
        # None where the driver is not known.
        self.history = None if self._query is None else History(self._ask, mark)
        self._access = access_of(engine)
        self._driver_error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._held_engine = make_engine(engine.url, hold_connections=True, access=self._access) if self._query else None
        self._local = threading.local()
        self._idle: deque[_Held] = deque()
        # The connection is open as long as the header is read: once the last one is closed, SQLite makes another header.
        self._header: tuple[_Held, mmap.mmap] | None = None
        self._has_tried_header = False
        if self.tells_changes:
            _of_files.add(self)

    def held_by(self, subject: str) -> Rows:
        """All rows that say what a subject holds; none for unknown ones. Raises StorageError.

        One query; for a member of groups another one, which reads everything again as of one moment.
        """
        if not is_printable(subject):
            return _NO_ROWS
        if self._query is None:
            with reading(self._in_one_moment) as connection:
                return rows_of_subject(subject, rows_with_groups(connection, [subject]))
        # Sorted here: ORDER BY can lure PostgreSQL, while it has no statistics, to another index and all its rows.
        found = self._ask(self._query, (subject,) * self._places)
        others = [row for row in found if row[4] is not None]
        if not others:
            return Rows(tuple(sorted([row[:2] for row in found])))
        if any(row[4] == MEMBERSHIP for row in others):
            with_groups = self._ask(self._query_with_groups, (subject,))
            return rows_of_subject(subject, [Assignment(*row) for row in with_groups])
        not_lasting = {row[:2] for row in others}
        pairs = {row[:2] for row in found} - not_lasting
        return Rows(tuple(sorted(pairs)), tuple([Assignment(subject, *row[:4]) for row in others]))

    def entities(self, keys: Sequence[EntityKey]) -> list[tuple[Entity, int]]:
        """The stored entities among some keys, each with how long its properties are as JSON. Raises StorageError.

        One indexed query for each 100 of them.
        """
        found: list[Any] = []
        for some in in_steps(keys, KEYS_PER_QUERY):
            parameters = tuple(part for key in some for part in key)
            if self._query is not None:
                query = " UNION ALL ".join([_ENTITY.replace("?", "%s" if self._places == 2 else "?")] * len(some))
                found += self._ask(query, parameters)
                continue
            names = [str(place) for place in range(len(parameters))]
            parts = [_ENTITY.replace("?", ":{}").format(*names[place : place + 3]) for place in range(0, len(names), 3)]
            with reading(self._in_one_moment) as connection:
                query = " UNION ALL ".join(parts)
                found += connection.execute(text(query), dict(zip(names, parameters, strict=True))).all()
        return [(Entity.of_stored(*row), len(row[4])) for row in found]

    def data_version(self) -> Hashable:
        """What changes when anyone else than this thread's held connection commits; SQLite files only. Raises StorageError."""
        if self._access.file is not None:
            self._access.file.look_at_times()
        if not self._has_tried_header:
            self._find_header()
        # One that was made anew, after all connections were closed, may have the bytes of the one before: both begin alike.
        found = self._header
        if found is not None:
            keeps, header = found
            return keeps.number, header[:HEADER_BYTES]
        version: int = self._ask("PRAGMA data_version")[0][0]
        held: _Held | None = getattr(self._local, "held", None)
        return _Held.next_number() if held is None else held.number, version

    def _find_header(self) -> None:
        try:
            held = self._new_connection()
            header = held.wal_header()
        except (SQLAlchemyError, self._driver_error):
            # The question that comes next waits, or says why it cannot be answered.
            return
        if header is not None:
            if self._access.file is not None:
                self._access.file.watch_log()
            self._header = held, header
        self._has_tried_header = True

    def open_ahead(self) -> None:
        """Opens as many connections to a server as threads may ask at once, so that the first burst waits for none.

        Where that fails, the questions that come open them, and say what is wrong.
        """
        if self.tells_changes or self._query is None:
            return
        with suppress(StorageError):
            for _ in range(self._access.limits.reads_at_once):
                with self._access.reading(), explained_errors(self._engine):
                    held = self._new_connection()
                self._idle.append(held)

    def close(self) -> None:
        """Closes every connection that is not just used; the next question opens a new one."""
        self._header = None
        self._has_tried_header = False
        self._local = threading.local()
        self._idle.clear()
        _Held.close_left()
        if self._access.file is not None:
            self._access.file.forget()

    def _ask(self, query: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        return self._ask_file(query, parameters) if self.tells_changes else self._ask_server(query, parameters)

    def _ask_file(self, query: str, parameters: tuple[object, ...]) -> list[Any]:
        """A reading of SQLite waits for nobody but in rare cases: only those need a place among the threads that wait."""
        held: _Held | None = getattr(self._local, "held", None)
        if held is not None:
            try:
                return held.ask(query, parameters)
            except self._driver_error as error:
                if "locked" not in str(error):
                    # The file may be another one by now; a new connection tells whether it can still be read.
                    held = None
        with self._access.reading(), explained_errors(self._engine):
            if held is None:
                held = self._local.held = self._new_connection()
            limits = self._access.limits
            try:
                return held.ask_waiting(query, parameters, limits.read_seconds or limits.lock_seconds)
            except self._driver_error:
                del self._local.held
                raise

    def _ask_server(self, query: str, parameters: tuple[object, ...]) -> list[Any]:
        """While all places are taken, those in line are asked together with the next, in one round trip."""
        question = Question(query, parameters)
        with self._access.reading(question) as questions:
            if questions:
                self._ask_all(questions)
        return question.rows

    def _ask_all(self, questions: list[Question]) -> None:
        try:
            held = self._idle.pop()
        except IndexError:
            self._ask_anew(questions)
            return
        try:
            held.ask_all(questions)
        except self._driver_error:
            # The server may have closed a connection that stood idle; a new one tells whether it still answers.
            # One that came too late leaves no time for that.
            held.close()
            self._ask_anew(questions)
        else:
            self._idle.append(held)

    def _ask_anew(self, questions: list[Question]) -> None:
        with explained_errors(self._engine):
            held = self._new_connection()
            try:
                held.ask_all(questions)
            except BaseException:
                held.close()
                raise
        self._idle.append(held)

    def _new_connection(self) -> _Held:
        assert self._held_engine is not None
        return _Held(self._held_engine)


_of_files: WeakSet[SubjectReader] = WeakSet()


def _close_before_fork() -> None:
    """As that of engines, and for the same reason."""
    for reader in list(_of_files):
        reader.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_before_fork)


class _Held:
    """A connection without transactions; closed some time after nobody has it any more."""

    __slots__ = ("_connection", "_cursor", "number")
    _numbers = count()
    _left: ClassVar[deque[Any]] = deque()
    """Connections of threads that have ended; closed when the next is opened."""

    def __init__(self, engine: Engine) -> None:
        self.close_left()
        # Versions that SQLite tells one connection mean nothing to another.
        self.number = self.next_number()
        connection: Any = driver_connection(engine)
        self._connection = connection
        if isinstance(connection, sqlite3.Connection):
            set_busy_timeout(connection, 0)
            connection.execute(f"PRAGMA cache_size = -{_KIB_OF_PAGES}")
        else:
            connection.autocommit = True
        self._cursor = connection.cursor()

    def ask(self, query: str, parameters: tuple[object, ...]) -> list[Any]:
        return self._cursor.execute(query, parameters).fetchall()  # type: ignore[no-any-return]

    def ask_all(self, questions: Sequence[Question]) -> None:
        """Asks several questions in one round trip; of PostgreSQL only."""
        if len(questions) == 1:
            questions[0].answer(self.ask(questions[0].query, questions[0].parameters))
            return
        with self._connection.in_one_round_trip():
            cursors = [self._connection.execute(question.query, question.parameters) for question in questions]
        for question, cursor in zip(questions, cursors, strict=True):
            question.answer(cursor.fetchall())

    def close(self) -> None:
        """Closes it at once; of a server only, see `__del__`."""
        self._connection.close()

    def wal_header(self) -> mmap.mmap | None:
        """As `wal_header` gives it, for as long as this is kept; of SQLite only."""
        return wal_header(self._connection)

    def ask_waiting(self, query: str, parameters: tuple[object, ...], seconds: float) -> list[Any]:
        """As `ask`, but waits so long for the locks of others; of SQLite only."""
        set_busy_timeout(self._connection, seconds)
        try:
            return self.ask(query, parameters)
        finally:
            set_busy_timeout(self._connection, 0)

    @classmethod
    def next_number(cls) -> int:
        """A number that no connection had."""
        return next(cls._numbers)

    @classmethod
    def close_left(cls) -> None:
        """Closes the connections of threads that have ended."""
        while cls._left:
            with suppress(IndexError):
                cls._left.popleft().close()

    def __del__(self) -> None:
        # Missing when the connection could not be made.
        connection = getattr(self, "_connection", None)
        if connection is not None:
            # Not closed here: a function that SQLite drops on closing lets go of a thread that is ending, a second time.
            self._left.append(connection)
