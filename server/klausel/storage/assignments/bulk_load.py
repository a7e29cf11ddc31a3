"""Adding very many role assignments at once: checked in one pass, staged, inserted and judged as sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Engine, Index, Table, bindparam, insert, text

from klausel.core.policy.assignment import (
    AFTER_GROUPS,
    GROUP_PREFIX,
    Assignment,
    Violation,
    keeper_violation,
    needs_role_above,
)
from klausel.core.policy.holding import gather_rows, rows_by_subject
from klausel.core.policy.keepers import holders_of
from klausel.core.policy.roles import Level, RoleModel, top_domain
from klausel.core.records.change_record import REVOKED, Origin
from klausel.storage.assignments.closures import (
    ROWS_PER_STATEMENT,
    groups_below,
    has_times_or_groups,
    people_below,
    rows_of_all_groups,
    rows_with_groups,
)
from klausel.storage.assignments.judging import has_holder, has_people
from klausel.storage.assignments.row_check import Need, RowCheck
from klausel.storage.assignments.rules import (
    fault_in_chains,
    keepers_missing,
    two_times,
    violations_of_subject,
)
from klausel.storage.assignments.store_answers import (
    ForbiddenState,
    ImportResult,
    InvalidAssignments,
    RowFault,
)
from klausel.storage.change_log.writer import head_of, log_stored_rows
from klausel.storage.sql.database import explained_errors, is_in_memory, make_engine, take_locks, write_transaction
from klausel.storage.sql.indexes import index_names
from klausel.storage.sql.revisions import SUBJECTS_IN_LOG_ENTRY, StoreChange, log_change, own_write, revision_now
from klausel.storage.sql.steps import in_steps
from klausel.storage.sql.tables import LASTING, MEMBERSHIP, NOT_LASTING, TIMED, CasbinRule, LogRow

ROWS_PER_STEP = 25_000
MOST_FAULTS = 100
ROWS_PER_SQLITE_STATEMENT = 150

_STAGES = {
    "klausel_stage": ("subject", "role", "domain", "starts", "ends"),
    # Those of the rows that have times, once more.
    "klausel_timed": ("subject", "role", "domain", "starts", "ends"),
    "klausel_need": ("subject", "role", "domain", "above", "level"),
    "klausel_kept": ("role", "domain"),
    # What the members of a group need by its roles and by those of the groups above it.
    "klausel_group_need": ("subject", "above", "level"),
}

_MAY_BE_NULL = ("starts", "ends")
# Stands for NULL in a row on its way to COPY; every text was checked to hold no control character.
_NO_TEXT = "\0"
_NO_TIMES = f"\t{_NO_TEXT}\t{_NO_TEXT}\n"

# SQLite fills its unique index fastest in order. PostgreSQL is fastest without sorting, and without ON CONFLICT: the
# locks keep others from writing, so what is not there stays so. Each also puts exactly the rows added into the change
# log: SQLite numbers new rows upwards, so they are those above the last one before.
_KIND = f"CASE WHEN domain = '' THEN '{MEMBERSHIP}' WHEN starts IS NULL AND ends IS NULL THEN '{LASTING}' ELSE '{TIMED}' END"
_LOG_COLUMNS = "number, position, sign, subject, role, domain, starts, ends"
_INSERT = {
    "sqlite": (
        f"INSERT INTO casbin_rule (ptype, v0, v1, v2, v3, v4) SELECT {_KIND}, subject, role, domain, starts, ends "
        "FROM temp.klausel_stage WHERE true ORDER BY subject, role, domain ON CONFLICT DO NOTHING",
        f"INSERT INTO klausel_assignment_log_row ({_LOG_COLUMNS}) "
        "SELECT :number, id - :last - 1 + :revoked, 1, v0, v1, v2, v3, v4 FROM casbin_rule WHERE id > :last ORDER BY id",
    ),
    "postgresql": (
        f"INSERT INTO klausel_assignment_log_row ({_LOG_COLUMNS}) "
        "SELECT :number, row_number() OVER () - 1 + :revoked, 1, subject, role, domain, starts, ends FROM ("
        "SELECT DISTINCT subject, role, domain, starts, ends FROM klausel_stage AS stage WHERE NOT EXISTS ("
        "SELECT 1 FROM casbin_rule WHERE v0 = stage.subject AND v1 = stage.role AND v2 = stage.domain)) AS added",
        f"INSERT INTO casbin_rule (ptype, v0, v1, v2, v3, v4) SELECT {_KIND}, subject, role, domain, starts, ends "
        "FROM klausel_assignment_log_row WHERE number = :number AND sign = 1",
    ),
}
_ROW_TRIGGERS = (f"{CasbinRule.__tablename__}_noted_insert", f"{LogRow.__tablename__}_no_replace")
_DIFFER = "(coalesce({0}, '') <> coalesce({2}, '') OR coalesce({1}, '') <> coalesce({3}, ''))"
# Rows that are there with other times than those staged: all that are staged with times, and those stored with some.
_OTHER_TIMES = (
    "SELECT DISTINCT id, v0, v1, v2, v3, v4 FROM klausel_timed JOIN casbin_rule "
    f"ON v0 = subject AND v1 = role AND v2 = domain WHERE {_DIFFER.format('v3', 'v4', 'starts', 'ends')} "
    "UNION SELECT id, v0, v1, v2, v3, v4 FROM casbin_rule JOIN klausel_stage "
    f"ON v0 = subject AND v1 = role AND v2 = domain WHERE {NOT_LASTING} AND {_DIFFER.format('v3', 'v4', 'starts', 'ends')} "
    "ORDER BY 2, 3, 4"
)
_TWO_TIMES = (
    "SELECT DISTINCT stage.subject, stage.role, stage.domain FROM klausel_stage AS stage CROSS JOIN klausel_timed AS timed "
    "WHERE timed.subject = stage.subject AND timed.role = stage.role AND timed.domain = stage.domain "
    f"AND {_DIFFER.format('timed.starts', 'timed.ends', 'stage.starts', 'stage.ends')} "
    "ORDER BY stage.subject, stage.role, stage.domain"
)


def load_rows(
    engine: Engine,
    roles: RoleModel,
    rows: Iterable[Assignment],
    on_progress: Callable[[int], None] | None,
    origin: Origin,
    now: float,
) -> tuple[ImportResult, StoreChange | None]:
    """Adds the rows, all or nothing, on SQLite or PostgreSQL; the change is None when all were there already.

    A row that is there with other times gets those of the new one. What has ended by `now` breaks no rule.

    Raises InvalidAssignments or ForbiddenState with at most 100 entries, StorageError. The locks are held only from the
    last row read to the commit.
    """
    # A database in memory lives in its one connection; any other gets one that takes its settings and stages with it.
    own = engine if is_in_memory(engine.url) else make_engine(engine.url, hold_connections=True)
    check = RowCheck(roles)
    with explained_errors(engine), own.connect() as connection:
        if connection.dialect.name == "postgresql":
            # One transaction: before the next a pooler may give another connection, with what somebody else staged or nothing.
            with connection.begin():
                _make_stages(connection)
                read = _stage(connection, check, rows, on_progress)
                take_locks(connection, None)
                return _Import(connection, roles, check, read, origin, now).run()
        try:
            with connection.begin():
                _make_stages(connection)
                read = _stage(connection, check, rows, on_progress)
            with write_transaction(connection, None):
                return _Import(connection, roles, check, read, origin, now).run()
        finally:
            if own is engine:
                with connection.begin():
                    _drop_stages(connection)


def _stage(
    connection: Connection, check: RowCheck, rows: Iterable[Assignment], on_progress: Callable[[int], None] | None
) -> int:
    faults: list[RowFault] = []
    read = 0
    # While one step's rows are stored by a second thread, the next step's are checked.
    with ThreadPoolExecutor(1) as storing:
        stored: Future[None] | None = None
        for some in in_steps(rows, ROWS_PER_STEP):
            new_faults, needs = check.faults_and_needs(some, read)
            faults += new_faults
            read += len(some)
            if stored is not None:
                stored.result()
            if len(faults) >= MOST_FAULTS:
                break
            stored = storing.submit(_put_step, connection, some, needs) if not faults else None
            if on_progress is not None:
                on_progress(read)
        if stored is not None:
            stored.result()
    if faults:
        raise InvalidAssignments(tuple(faults[:MOST_FAULTS]))
    _put(connection, "klausel_kept", sorted(check.kept))
    if check.has_times and connection.dialect.name == "sqlite":
        connection.exec_driver_sql("CREATE INDEX temp.klausel_timed_once ON klausel_timed (subject, role, domain)")
    return read


class _Import:
    """The staged rows on their way into the table, and what they come to there."""

    def __init__(
        self, connection: Connection, roles: RoleModel, check: RowCheck, read: int, origin: Origin, now: float
    ) -> None:
        self._connection, self._roles, self._check = connection, roles, check
        self._read, self._origin, self._now = read, origin, now
        self._shortened: set[str] = set()
        self._groups_left: set[str] = set()
        self._has_taken_away = False
        self._knows_times_or_groups = check.has_times or check.has_groups or has_times_or_groups(connection)

    def run(self) -> tuple[ImportResult, StoreChange | None]:
        connection, read = self._connection, self._read
        self._refuse_two_times()
        dropped = _drop_slow_indexes(connection, read)
        with own_write(connection):
            number = head_of(connection).number + 1
            revoked = self._take_away_other_times(number)
            set_aside = _set_row_triggers_aside(connection, read)
            added = self._insert(number, revoked)
            for statement in set_aside:
                connection.exec_driver_sql(statement)
        for index in dropped:
            index.create(connection)
        violations = self._violations()
        if violations:
            raise ForbiddenState(tuple(violations[:MOST_FAULTS]))
        if added >= ROWS_PER_STEP and connection.dialect.name == "postgresql":
            # Until it has statistics, PostgreSQL plans for a small table.
            connection.execute(text("ANALYZE casbin_rule"))
        change = None
        if added:
            change = log_change(connection, _subjects_staged(connection))
            log_stored_rows(connection, "change", self._origin, added, revoked)
        return ImportResult(added, read - added, revision_now(connection), revoked), change

    def _refuse_two_times(self) -> None:
        if self._check.has_times:
            found = [two_times(*key) for key in self._connection.execute(text(_TWO_TIMES))]
            if found:
                raise ForbiddenState(tuple(found[:MOST_FAULTS]))

    def _take_away_other_times(self, number: int) -> int:
        """Removes the rows in whose place other times come, and logs them so; returns how many these are."""
        if not self._knows_times_or_groups:
            return 0
        found = self._connection.execute(text(_OTHER_TIMES)).all()
        self._has_taken_away = bool(found)
        self._shortened = {row.v0 for row in found if not row.v0.startswith(GROUP_PREFIX)}
        self._groups_left = {row.v1 for row in found if row.v1.startswith(GROUP_PREFIX)}
        if found:
            self._connection.execute(text("DELETE FROM casbin_rule WHERE id = :id"), [{"id": row.id} for row in found])
            names = _LOG_COLUMNS.split(", ")
            rows = [(number, position, REVOKED, *row[1:]) for position, row in enumerate(found)]
            self._connection.execute(insert(LogRow), [dict(zip(names, row, strict=True)) for row in rows])
        return len(found)

    def _insert(self, number: int, revoked: int) -> int:
        """Puts what is staged and not there into both tables; returns how many rows that were."""
        last = self._connection.execute(text("SELECT coalesce(max(id), 0) FROM casbin_rule")).scalar_one()
        values = {"number": number, "last": last, "revoked": revoked}
        added = 0
        for statement in _INSERT[self._connection.dialect.name]:
            added = self._connection.execute(text(statement), values).rowcount
        return added

    def _violations(self) -> list[Violation]:
        staged_groups = self._staged_groups()
        behind: frozenset[str] = frozenset()
        if staged_groups:
            rows_of_groups = rows_by_subject(rows_of_all_groups(self._connection))
            fault = fault_in_chains(rows_of_groups, staged_groups)
            if fault is not None:
                return [fault.violation]
            behind = self._behind(staged_groups, rows_of_groups)
        needy = self._without_role_above()
        # Their staged rows alone are to blame; of the others whatever is wrong.
        looked_at_whole = self._with_separate_roles() | behind | self._shortened
        concerned = {subject for subject, _, _ in needy} | looked_at_whole
        people = sorted(subject for subject in concerned if not subject.startswith(GROUP_PREFIX))
        found: list[Violation] = []
        for some in in_steps(people, ROWS_PER_STATEMENT):
            rows = rows_by_subject(rows_with_groups(self._connection, some))
            for subject in some:
                gathered = gather_rows(subject, rows.get(subject, ()), rows)
                accounts = {top_domain(domain) for _, domain in gathered.pairs}
                accounts |= {top_domain(row.domain) for row in gathered.others}
                for violation in violations_of_subject(self._roles, subject, rows, accounts, self._now):
                    if subject in looked_at_whole or (subject, violation.role, violation.domain) in needy:
                        found.append(violation)
            if len(found) >= MOST_FAULTS:
                break
        return found + self._without_keeper()

    def _without_role_above(self) -> set[tuple[str, str, str]]:
        """The staged roles whose holders have no lasting role above; another may be enough, so these are looked at closely."""
        query = text(
            "SELECT DISTINCT subject, role, domain FROM klausel_need AS need WHERE level = :level AND NOT EXISTS ("
            f"SELECT 1 FROM casbin_rule WHERE v0 = need.subject AND v2 = need.above AND v1 IN :names AND ptype = '{LASTING}')"
        ).bindparams(bindparam("names", expanding=True))
        found: set[tuple[str, str, str]] = set()
        for level in self._roles.levels[:-1]:
            values = {"level": level.name, "names": self._names_at(level)}
            for subject, role, domain in self._connection.execute(query, values):
                found.add((subject, role, domain))
        return found

    def _with_separate_roles(self) -> set[str]:
        """Those with a staged row and with two roles that are kept apart, and those of them in groups."""
        roles = self._roles
        query = text(
            "SELECT DISTINCT one.v0 FROM klausel_stage AS stage JOIN casbin_rule AS one ON one.v0 = stage.subject "
            "JOIN casbin_rule AS other ON other.v0 = one.v0 WHERE one.v1 IN :ones AND other.v1 IN :others"
        ).bindparams(bindparam("ones", expanding=True), bindparam("others", expanding=True))
        found: set[str] = set()
        for pair in roles.separate:
            ones, others = (_stored_names_of_holders(roles, wanted) for wanted in pair)
            found |= set(self._connection.execute(query, {"ones": ones, "others": others}).scalars())
        if roles.separate and self._knows_times_or_groups:
            in_groups = text(
                f"SELECT DISTINCT v0 FROM casbin_rule JOIN klausel_stage ON v0 = subject WHERE ptype = '{MEMBERSHIP}'"
            )
            found |= set(self._connection.execute(in_groups).scalars())
        return found

    def _staged_groups(self) -> frozenset[str]:
        """The groups of which rows were staged, and those that somebody was staged to be in."""
        if not self._check.has_groups:
            return frozenset()
        query = text(
            "SELECT DISTINCT subject FROM klausel_stage WHERE subject >= :first AND subject < :beyond "
            "UNION SELECT DISTINCT role FROM klausel_stage WHERE domain = ''"
        )
        values = {"first": GROUP_PREFIX, "beyond": AFTER_GROUPS}
        return groups_below(self._connection, set(self._connection.execute(query, values).scalars()))

    def _behind(self, groups: frozenset[str], rows_of: Mapping[str, Sequence[Assignment]]) -> frozenset[str]:
        """The people in these groups for whom a rule may be broken: by roles that are added, none who has what these need."""
        if self._roles.separate or self._has_taken_away:
            return people_below(self._connection, groups)
        unclear: set[str] = set()
        needs: list[tuple[str, str, str]] = []
        for group in sorted(groups):
            needed = self._needed_by_members(group, rows_of)
            if needed is None:
                unclear.add(group)
            else:
                needs += [(group, above, level) for above, level in needed]
        _put(self._connection, "klausel_group_need", needs)
        return people_below(self._connection, unclear) | self._without_what_groups_need()

    def _needed_by_members(self, group: str, rows_of: Mapping[str, Sequence[Assignment]]) -> set[tuple[str, str]] | None:
        """The domains in which all members of a group need a role, with their levels; None where that cannot be told."""
        gathered = gather_rows(group, rows_of.get(group, ()), rows_of)
        needed: set[tuple[str, str]] = set()
        for role, domain in {*gathered.pairs, *((row.role, row.domain) for row in gathered.others if not row.is_membership)}:
            if needs_role_above(self._roles, role):
                above = self._check.needed_above(self._roles.name_now(role), domain)
                if above is None:
                    return None
                needed.update(above)
        return needed

    def _without_what_groups_need(self) -> frozenset[str]:
        """The people in groups who have no lasting role of their own where one is needed; another may be enough."""
        query = text(
            "SELECT DISTINCT member.v0 FROM klausel_group_need AS need CROSS JOIN casbin_rule AS member "
            f"WHERE member.v1 = need.subject AND member.ptype = '{MEMBERSHIP}' AND need.level = :level "
            "AND NOT (member.v0 >= :first AND member.v0 < :beyond) AND NOT EXISTS (SELECT 1 FROM casbin_rule AS held "
            f"WHERE held.v0 = member.v0 AND held.v2 = need.above AND held.v1 IN :names AND held.ptype = '{LASTING}')"
        ).bindparams(bindparam("names", expanding=True))
        found: set[str] = set()
        for level in self._roles.levels[:-1]:
            values = {"level": level.name, "names": self._names_at(level), "first": GROUP_PREFIX, "beyond": AFTER_GROUPS}
            found.update(self._connection.execute(query, values).scalars())
        return frozenset(found)

    def _names_at(self, level: Level) -> list[str]:
        """The names under which roles of a level may be stored."""
        of_level = [role for role in self._roles.roles.values() if role.level == level.name]
        return [name for role in of_level for name in self._roles.stored_names(role.name)]

    def _without_keeper(self) -> list[Violation]:
        # The rows just added are people in these domains, unless they have ended, so only a holder can be missing.
        query = text(
            "SELECT domain FROM klausel_kept AS kept WHERE role = :role AND NOT EXISTS ("
            f"SELECT 1 FROM casbin_rule WHERE v2 = kept.domain AND v1 IN :holders AND ptype = '{LASTING}' "
            "AND NOT (v0 >= :first AND v0 < :beyond)) ORDER BY domain"
        ).bindparams(bindparam("holders", expanding=True))
        blamed: list[Violation] = []
        for role in self._roles.roles.values():
            if role.keep_one:
                holders = holders_of(self._roles, role.name)
                values = {"role": role.name, "holders": sorted(holders), "first": GROUP_PREFIX, "beyond": AFTER_GROUPS}
                for domain in self._connection.execute(query, values).scalars().all():
                    if len(blamed) < MOST_FAULTS and self._keeps_nobody(holders, domain):
                        blamed.append(keeper_violation(role.name, domain))
        return blamed or self._without_keeper_in_groups_left()

    def _without_keeper_in_groups_left(self) -> list[Violation]:
        """As `_without_keeper`, where somebody stays for a time only in a group that has the role."""
        if not self._groups_left:
            return []
        return keepers_missing(
            self._roles,
            (),
            [row for row in rows_with_groups(self._connection, self._groups_left) if not row.is_membership],
            lambda holders, domain: has_holder(self._connection, holders, domain, self._now),
            lambda domain: has_people(self._connection, domain, self._now),
        )

    def _keeps_nobody(self, holders: frozenset[str], domain: str) -> bool:
        if not self._knows_times_or_groups:
            return True
        has_one = has_holder(self._connection, holders, domain, self._now)
        return not has_one and has_people(self._connection, domain, self._now)


def _stored_names_of_holders(roles: RoleModel, wanted: str) -> list[str]:
    return [stored for name in roles.roles if wanted in roles.reach[name] for stored in roles.stored_names(name)]


def _subjects_staged(connection: Connection) -> frozenset[str] | None:
    query = text(f"SELECT DISTINCT subject FROM klausel_stage LIMIT {SUBJECTS_IN_LOG_ENTRY + 1}")
    subjects = frozenset(connection.execute(query).scalars())
    return subjects if len(subjects) <= SUBJECTS_IN_LOG_ENTRY else None


def _drop_slow_indexes(connection: Connection, read: int) -> list[Index]:
    """The indexes dropped because making them again, over many new rows, takes half the time.

    On SQLite readers do not notice. On PostgreSQL they would wait until the commit, so there it is done only while the
    table is empty and there is nothing to read.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    limit = 4 * read if is_sqlite else 1
    slow = []
    for model in (CasbinRule, LogRow):
        table = model.__table__
        assert isinstance(table, Table)
        few = text(f"SELECT count(*) FROM (SELECT 1 FROM {table.name} LIMIT :few) AS first_rows")
        if read >= ROWS_PER_STEP and connection.execute(few, {"few": limit}).scalar_one() < limit:
            known = index_names(connection, table.name)
            indexes = [index for index in table.indexes if index.name in known and not (index.unique and is_sqlite)]
            slow += sorted(indexes, key=lambda index: str(index.name))
    for index in slow:
        index.drop(connection)
    return slow


def _set_row_triggers_aside(connection: Connection, read: int) -> list[str]:
    """On SQLite, drops what looks at each row that this transaction notes and logs itself; the statements that make it again.

    That takes a sixth of the time. Nobody else sees the tables without: others see them as of before until the commit.
    """
    if connection.dialect.name != "sqlite" or read < ROWS_PER_STEP:
        return []
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name IN :names")
    found = connection.execute(query.bindparams(bindparam("names", _ROW_TRIGGERS, expanding=True))).all()
    for name, _ in found:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    return [statement for _, statement in found]


def _make_stages(connection: Connection) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite and not is_in_memory(connection.engine.url):
        for setting in ("cache_size = -200000", "temp.cache_size = -100000", "threads = 2"):
            connection.exec_driver_sql(f"PRAGMA {setting}")
    if not is_sqlite:
        for setting in ("work_mem = '256MB'", "maintenance_work_mem = '256MB'"):
            connection.exec_driver_sql(f"SET LOCAL {setting}")
    _drop_stages(connection)
    column_type = "TEXT" if is_sqlite else 'VARCHAR(255) COLLATE "C"'
    for name, columns in _STAGES.items():
        described = ", ".join(f"{column} {column_type}{'' if column in _MAY_BE_NULL else ' NOT NULL'}" for column in columns)
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {name} ({described}){'' if is_sqlite else ' ON COMMIT DROP'}")


def _drop_stages(connection: Connection) -> None:
    schema = "temp" if connection.dialect.name == "sqlite" else "pg_temp"
    for name in _STAGES:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {schema}.{name}")


def _put_step(connection: Connection, rows: Sequence[Assignment], needs: Sequence[Need]) -> None:
    _put(connection, "klausel_stage", rows)
    _put(connection, "klausel_timed", [row for row in rows if row.starts is not None or row.ends is not None])
    _put(connection, "klausel_need", needs)


def _put(connection: Connection, table: str, rows: Sequence[tuple[str | None, ...]]) -> None:
    if not rows:
        return
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        marks = f"({', '.join('?' * len(_STAGES[table]))})"
        for some in in_steps(rows, ROWS_PER_SQLITE_STATEMENT):
            driver.execute(
                f"INSERT INTO temp.{table} VALUES {', '.join([marks] * len(some))}", list(chain.from_iterable(some))
            )
        return
    # Every text was checked to hold no control character, so only the backslash has a meaning to COPY.
    block = "".join([_line(row) for row in rows]).replace("\\", "\\\\").replace(_NO_TEXT, "\\N")
    with driver.cursor() as cursor, cursor.copy(f"COPY pg_temp.{table} FROM STDIN") as copy:
        copy.write(block)


def _line(row: tuple[str | None, ...]) -> str:
    if row[3:] == (None, None):
        return "\t".join(row[:3]) + _NO_TIMES  # type: ignore[arg-type]
    return "\t".join([_NO_TEXT if part is None else part for part in row]) + "\n"
