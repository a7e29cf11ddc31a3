"""Verifying the change log: the chain of its records, its end, its guards, and that role assignments are what it comes to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, func, select, text

from klausel.core.policy.assignment import Assignment
from klausel.core.records.change_chain import ChainCheck, Finding, StoredRecord, StoredRows
from klausel.core.records.change_record import ENTITIES, GRANTED, REVOKED, RowsDigest
from klausel.core.terms.escaping import shown
from klausel.storage.change_log.writer import ROWS_PER_FETCH, batches
from klausel.storage.sql.database import reading
from klausel.storage.sql.revisions import revision_now
from klausel.storage.sql.rows import kind_of
from klausel.storage.sql.steps import in_steps
from klausel.storage.sql.tables import LOG_TABLES, CasbinRule, Entity, EntityLogRow, LogRecord, LogRow, guards_of

MOST_FINDINGS = 100
_MODELS = (LogRecord, LogRow, LogRow, CasbinRule, EntityLogRow, EntityLogRow, Entity)

Progress = Callable[[int], object]

_COLUMNS = ", ".join("actor" if name == "by" else name for name in StoredRecord._fields)
_RECORDS = f"SELECT {_COLUMNS} FROM klausel_assignment_log WHERE number >= :number ORDER BY number"
_ROWS = (
    "SELECT number, position, sign, subject, role, domain, starts, ends FROM klausel_assignment_log_row "
    "WHERE number >= :number ORDER BY number, position"
)
_ENTITY_ROWS = (
    "SELECT number, position, sign, kind, type, id, domain, properties FROM klausel_entity_log_row "
    "WHERE number >= :number ORDER BY number, position"
)
_ENTITY_ROWS_BY_KEY = (
    "SELECT kind, type, id, number, sign, domain, properties FROM klausel_entity_log_row "
    "ORDER BY kind, type, id, number, position"
)
_ENTITIES = "SELECT kind, type, id, domain, properties FROM klausel_entity ORDER BY kind, type, id"
_ROWS_BY_SUBJECT = (
    "SELECT subject, role, domain, number, sign, starts, ends FROM klausel_assignment_log_row "
    "ORDER BY subject, role, domain, number, sign"
)
_TABLE = "SELECT v0, v1, v2, v3, v4, ptype FROM casbin_rule ORDER BY v0, v1, v2"
_NO_ROWS = StoredRows(0, 0, RowsDigest().hexdigest(), True)
_SQLITE = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND sql = :statement"
# The bits of a type: 2 before, 8 delete, 16 update, 32 truncate; without 1, for each statement.
_POSTGRESQL = """
SELECT 1 FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
WHERE tgrelid = to_regclass(:table) AND tgtype = 58 AND tgenabled IN ('O', 'A') AND tgqual IS NULL AND prosrc = :body
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification saw: how many records and rows, the last record, at most 100 findings and how many there are."""

    records: int
    rows: int
    last: StoredRecord | None
    findings: tuple[Finding, ...]
    found: int


def count_of_log(engine: Engine) -> int:
    """How many steps `verify_log` will tell its progress in."""
    with reading(engine) as connection:
        counts = [select(func.count()).select_from(model) for model in _MODELS]
        return sum(connection.execute(count).scalar_one() for count in counts)


def verify_log(
    engine: Engine, checkpoints: Mapping[int, str], first: int = 1, on_progress: Progress | None = None
) -> Verdict:
    """Walks the whole log in one snapshot, or from record `first` on, then without comparing the role assignments.

    `checkpoints` has the signed hash of some numbers. Memory does not grow with the log.
    """
    tell = on_progress or (lambda steps: None)
    with _snapshot(engine) as connection:
        walk = _Walk(connection, checkpoints, first, tell)
        differences = (_differences(connection, tell), _different_entities(connection, tell)) if first == 1 else ()
        findings = chain(walk.findings(), _damage(connection), *differences)
        kept: list[Finding] = []
        found = 0
        for finding in findings:
            found += 1
            if found <= MOST_FINDINGS:
                kept.append(finding)
    return Verdict(walk.records, walk.rows, walk.last, tuple(kept), found)


class _Walk:
    """Two streams, records and rows, each in order, brought together."""

    def __init__(self, connection: Connection, checkpoints: Mapping[int, str], first: int, tell: Progress) -> None:
        self._connection = connection
        self._check = ChainCheck({number: signed for number, signed in checkpoints.items() if number >= first}, first)
        self._first = first
        self._tell = tell
        self.records = 0
        self.rows = 0
        self.last: StoredRecord | None = None

    def findings(self) -> Iterator[Finding]:
        first = self._first if self._first > 1 else -(2**63)
        assignments, entities = _Stream(self._connection, _ROWS, first), _Stream(self._connection, _ENTITY_ROWS, first)
        for some in batches(self._connection, _RECORDS, first):
            for record in map(StoredRecord._make, some):
                for stream in (assignments, entities):
                    yield from map(self._strays, stream.before(record.number))
                own, other = (entities, assignments) if record.kind == ENTITIES else (assignments, entities)
                found = own.of(record.number)
                rows = _NO_ROWS if found is None else self._read_rows(found)
                yield from self._check.look_at(record, rows)
                strange = other.of(record.number)
                if strange is not None:
                    self._read_rows(strange)
                    yield Finding(record.number, "rows", "it has rows of another kind of change; they were inserted")
                self.last = record
            self.records += len(some)
            self._tell(len(some))
        for stream in (assignments, entities):
            yield from map(self._strays, stream.before(None))
        yield from self._check.end(self.last.revision if self.last else None, revision_now(self._connection))

    def _read_rows(self, rows: Iterator[Any]) -> StoredRows:
        digest: RowsDigest | None = RowsDigest()
        granted = revoked = position = 0
        is_gapless = True
        for some in in_steps(rows, ROWS_PER_FETCH):
            for _, found, sign, *_ in some:
                is_gapless = is_gapless and found == position
                granted += sign == GRANTED
                revoked += sign == REVOKED
                position += 1
            try:
                if digest is not None:
                    digest.add([row[2:] for row in some])
            except TypeError:
                digest = None
            self._tell(len(some))
        self.rows += position
        return StoredRows(granted, revoked, digest.hexdigest() if digest else None, is_gapless)

    def _strays(self, run: tuple[Any, Iterator[Any]]) -> Finding:
        number, rows = run
        before = self.rows
        self._read_rows(rows)
        count = self.rows - before
        place = number if isinstance(number, int) else None
        return Finding(place, "rows", f"there is no such record, but {count} of its rows; it was removed, or they inserted")


class _Stream:
    """Rows in the order of their records, of which each run is read at most once."""

    def __init__(self, connection: Connection, query: str, first: int) -> None:
        self._runs = groupby(chain.from_iterable(batches(connection, query, first)), key=lambda row: row[0])
        self._waiting = next(self._runs, None)

    def before(self, number: int | None) -> Iterator[tuple[Any, Iterator[Any]]]:
        """The runs before that of a record, of all that are left for None."""
        while self._waiting is not None and (number is None or not _is_number_from(self._waiting[0], number)):
            yield self._waiting
            self._waiting = next(self._runs, None)

    def of(self, number: int) -> Iterator[Any] | None:
        """The run of a record; None where it has none. It must be read before anything else is."""
        if self._waiting is None or self._waiting[0] != number:
            return None
        run = self._waiting[1]
        return chain(run, self._go_on())

    def _go_on(self) -> Iterator[Any]:
        self._waiting = next(self._runs, None)
        yield from ()


def _is_number_from(found: object, least: int) -> bool:
    """Whether a number found is one; SQLite keeps text in a column of numbers, after all of them."""
    return isinstance(found, int) and found >= least


def _differences(connection: Connection, tell: Progress) -> Iterator[Finding]:
    """Where the role assignments are not what the log comes to; both are read in the same order."""
    try:
        yield from _unlike(
            chain.from_iterable(_told(batches(connection, _TABLE), tell)),
            _last_words(chain.from_iterable(_told(batches(connection, _ROWS_BY_SUBJECT), tell))),
        )
    except TypeError:
        yield Finding(None, "table", "the role assignments, or the rows of the log, hold what is no text")


def _different_entities(connection: Connection, tell: Progress) -> Iterator[Finding]:
    """Where the stored properties are not what the log comes to."""
    stored = chain.from_iterable(_told(batches(connection, _ENTITIES), tell))
    logged = _last_words(chain.from_iterable(_told(batches(connection, _ENTITY_ROWS_BY_KEY), tell)))
    try:
        for row, word in _side_by_side(stored, logged):
            kind, type_, id_ = word.key if row is None else row[:3]
            what = f"the stored {kind} {shown(f'{type_}:{id_}')}"
            if word is None or (row is not None and word.sign != GRANTED):
                yield Finding(word and word.number, "table", f"{what} is there by no record; it was added behind the log")
            elif row is None and word.sign == GRANTED:
                yield Finding(word.number, "table", f"{what} was stored by this record, but is gone; somebody took it away")
            elif row is not None and row != word.row:
                yield Finding(word.number, "table", f"{what} is not as this record stored it; it was changed behind the log")
    except TypeError:
        yield Finding(None, "table", "the stored properties, or their rows of the log, hold what is no text")


def _side_by_side(stored: Iterator[Any], logged: Iterator[_LastWord]) -> Iterator[tuple[Any, Any]]:
    """Rows and last words of the log by their keys; None where one of the two is missing."""
    row: Any = next(stored, None)
    word = next(logged, None)
    while row is not None or word is not None:
        has_row = row is not None and (word is None or row[:3] <= word.key)
        has_word = word is not None and (row is None or word.key <= row[:3])
        yield row if has_row else None, word if has_word else None
        if has_row:
            row = next(stored, None)
        if has_word:
            word = next(logged, None)


def _unlike(stored: Iterator[Any], logged: Iterator[_LastWord]) -> Iterator[Finding]:
    row: Any = next(stored, None)
    word = next(logged, None)
    while row is not None or word is not None:
        if word is None or (row is not None and row[:3] < word.key):
            yield Finding(None, "table", f"{_shown(row[:5])} is held, but no record grants it; it was added behind the log")
            row = next(stored, None)
        elif row is None or word.key < row[:3]:
            if word.sign == GRANTED:
                message = f"{_shown(word.row)} was granted by this record, but is not held; it was taken away behind the log"
                yield Finding(word.number, "table", message)
            word = next(logged, None)
        else:
            if word.sign != GRANTED:
                message = f"{_shown(row[:5])} was revoked by this record, but is held; it was added behind the log"
                yield Finding(word.number, "table", message)
            elif row[3:5] != word.row[3:] or row[5] != kind_of(Assignment(*row[:5])):
                message = f"{_shown(word.row)} was granted by this record, but other times or another kind are stored"
                yield Finding(word.number, "table", f"{message}; the row was changed behind the log")
            row, word = next(stored, None), next(logged, None)


class _LastWord(NamedTuple):
    """The last row of the log about a role assignment: the number of its record, its sign, and itself."""

    number: int
    sign: int
    row: Any

    @property
    def key(self) -> Any:
        return self.row[:3]


def _last_words(rows: Iterator[Any]) -> Iterator[_LastWord]:
    """For each role assignment that the log names, the last row that does."""
    for assignment, entries in groupby(rows, key=lambda row: row[:3]):
        *_, last = entries
        yield _LastWord(last[3], last[4], (*assignment, *last[5:]))


def _told(rows: Iterator[list[Any]], tell: Progress) -> Iterator[list[Any]]:
    for some in rows:
        yield some
        tell(len(some))


def _shown(row: Any) -> str:
    return shown(str(Assignment(*row)))


def _damage(connection: Connection) -> Iterator[Finding]:
    """What SQLite itself finds wrong with the file of the log, such as an index that does not fit its table."""
    if connection.dialect.name == "sqlite":
        for table in (LogRecord.__tablename__, LogRow.__tablename__, EntityLogRow.__tablename__):
            for (told,) in connection.exec_driver_sql(f"PRAGMA integrity_check({table})"):
                if told != "ok":
                    yield Finding(None, "edited", f"the file is damaged: {told}")


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one moment, and text that is not UTF-8 as text that no record can hold."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with reading(engine) as connection:
        driver: Any = connection.connection.driver_connection
        if engine.dialect.name != "sqlite":
            yield connection
            return
        usual = driver.text_factory
        driver.text_factory = functools.partial(str, encoding="utf-8", errors="surrogateescape")
        try:
            yield connection
        finally:
            driver.text_factory = usual


def verdict_as_json(verdict: Verdict, findings: tuple[Finding, ...], signed: int) -> dict[str, object]:
    """A verification as programs read it, with all that was found wrong, and how many signed checkpoints it met."""
    last = verdict.last
    return {
        "ok": not findings,
        "records": verdict.records,
        "changes": verdict.rows,
        "checkpoints": signed,
        "last": None if last is None else {"number": last.number, "hash": last.hash},
        "findings": [{"number": one.number, "kind": one.kind, "message": one.message} for one in findings],
    }


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
