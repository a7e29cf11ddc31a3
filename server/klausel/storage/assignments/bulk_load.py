"""Adding very many role assignments at once: checked in one pass, staged, inserted and judged as sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Any

from sqlalchemy import Connection, Engine, Index, Table, bindparam, text

from klausel.core.policy.assignment import Assignment, Violation, fault_in_assignment, keeper_violation, subject_violations
from klausel.core.policy.keepers import holders_of, kept_roles_and_domains
from klausel.core.policy.roles import RoleModel, depth_of, parent_domain, top_domain
from klausel.core.records.change_record import Origin
from klausel.core.terms.identifiers import fault_in_subject, split_subject_key
from klausel.storage.assignments.store_answers import (
    ForbiddenState,
    ImportResult,
    InvalidAssignments,
    RowFault,
)
from klausel.storage.change_log.writer import head_of, log_granted_rows
from klausel.storage.sql.database import explained_errors, is_in_memory, make_engine, write_transaction
from klausel.storage.sql.revisions import SUBJECTS_IN_LOG_ENTRY, StoreChange, log_change, own_write, revision_now
from klausel.storage.sql.tables import CasbinRule, LogRow

ROWS_PER_STEP = 25_000
MOST_FAULTS = 100
MOST_DOMAINS_REMEMBERED = 200_000
ROWS_PER_SQLITE_STATEMENT = 150

# A domain's depth (0 for a bad one); the domains above in which its people need a role, with their levels, nearest
# first; whether people below may need a role in it.
_Placement = tuple[int, tuple[tuple[str, str], ...], bool]
# (subject, role, domain) needs that the subject has a role of the level in the domain above.
_Need = tuple[str, str, str, str, str]

_STAGES = {
    "klausel_stage": ("subject", "role", "domain"),
    "klausel_need": ("subject", "role", "domain", "above", "level"),
    "klausel_kept": ("role", "domain"),
}

# SQLite fills its unique index fastest in order. PostgreSQL is fastest without sorting, and without ON CONFLICT: the
# locks keep others from writing, so what is not there stays so. Each also puts exactly the rows added into the change
# log: SQLite numbers new rows upwards, so they are those above the last one before.
_INSERT = {
    "sqlite": (
        "INSERT INTO casbin_rule (ptype, v0, v1, v2) SELECT 'g', subject, role, domain FROM temp.klausel_stage "
        "WHERE true ORDER BY subject, role, domain ON CONFLICT DO NOTHING",
        "INSERT INTO klausel_assignment_log_row (number, position, sign, subject, role, domain) "
        "SELECT :number, id - :last - 1, 1, v0, v1, v2 FROM casbin_rule WHERE id > :last ORDER BY id",
    ),
    "postgresql": (
        "INSERT INTO klausel_assignment_log_row (number, position, sign, subject, role, domain) "
        "SELECT :number, row_number() OVER () - 1, 1, subject, role, domain FROM ("
        "SELECT DISTINCT subject, role, domain FROM klausel_stage AS stage WHERE NOT EXISTS ("
        "SELECT 1 FROM casbin_rule WHERE v0 = stage.subject AND v1 = stage.role AND v2 = stage.domain)) AS added",
        "INSERT INTO casbin_rule (ptype, v0, v1, v2) "
        "SELECT 'g', subject, role, domain FROM klausel_assignment_log_row WHERE number = :number",
    ),
}


def load_rows(
    engine: Engine,
    roles: RoleModel,
    rows: Iterable[Assignment],
    on_progress: Callable[[int], None] | None,
    origin: Origin,
) -> tuple[ImportResult, StoreChange | None]:
    """Adds the rows, all or nothing, on SQLite or PostgreSQL; the change is None when all were there already.

    Raises InvalidAssignments or ForbiddenState with at most 100 entries, StorageError. The locks are held only from the
    last row read to the commit.
    """
    # A database in memory lives in its one connection; any other gets one that takes its settings and stages with it.
    own = engine if is_in_memory(engine.url) else make_engine(engine.url, hold_connections=True)
    with explained_errors(engine), own.connect() as connection:
        try:
            with connection.begin():
                _make_stages(connection)
                check = _RowCheck(roles)
                read = _stage(connection, check, rows, on_progress)
            with write_transaction(connection, None):
                return _insert_and_judge(connection, roles, read, origin)
        finally:
            if own is engine:
                with connection.begin():
                    _drop_stages(connection)


class _RowCheck:
    """Judges rows one by one, and gathers what the whole must fulfil."""

    def __init__(self, roles: RoleModel) -> None:
        self._roles = roles
        self._depth_of_role = {name: roles.level_of(name).depth for name in roles.roles}
        self._placements: dict[str, _Placement] = {}
        self.kept: set[tuple[str, str]] = set()

    def faults_and_needs(self, rows: Sequence[Assignment], first_index: int) -> tuple[list[RowFault], list[_Need]]:
        """The faults of some rows, and what they need that is not among them."""
        faults = []
        needs: list[_Need] = []
        present: set[tuple[str, str]] = set()
        good_subject = None
        placements = self._placements
        depth_of_role = self._depth_of_role
        for index, row in enumerate(rows, first_index):
            subject, role, domain = row
            placement = placements.get(domain)
            if placement is None:
                placement = placements[domain] = self._placement(domain)
            depth, needed, may_be_needed = placement
            if depth_of_role.get(role) != depth or (subject != good_subject and not _is_good_subject(subject)):
                message = fault_in_assignment(self._roles, row)
                assert message is not None
                faults.append(RowFault("grant", index, row, message))
                continue
            good_subject = subject
            if may_be_needed:
                present.add((subject, domain))
            for above, level in needed:
                if (subject, above) not in present:
                    needs.append((subject, role, domain, above, level))
        if len(placements) > MOST_DOMAINS_REMEMBERED:
            placements.clear()
        return faults, [need for need in needs if (need[0], need[3]) not in present]

    def _placement(self, domain: str) -> _Placement:
        levels = self._roles.levels
        depth = depth_of(domain)
        fitting = next((role for role, its_depth in self._depth_of_role.items() if its_depth == depth), None)
        if fitting is None or fault_in_assignment(self._roles, Assignment("x:x", fitting, domain)):
            return 0, (), False
        self.kept.update(kept_roles_and_domains(self._roles, domain))
        needed = []
        above = parent_domain(domain)
        while above is not None and levels[depth_of(above)].requires_role_above:
            needed.append((above, levels[depth_of(above) - 1].name))
            above = parent_domain(above)
        return depth, tuple(needed), depth < len(levels) and levels[depth].requires_role_above


def _is_good_subject(subject: str) -> bool:
    parts = split_subject_key(subject)
    return parts is not None and fault_in_subject(*parts) is None


def _stage(
    connection: Connection, check: _RowCheck, rows: Iterable[Assignment], on_progress: Callable[[int], None] | None
) -> int:
    faults: list[RowFault] = []
    read = 0
    # While one step's rows are stored by a second thread, the next step's are checked.
    with ThreadPoolExecutor(1) as storing:
        stored: Future[None] | None = None
        for some in _in_steps(rows):
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
    return read


def _in_steps(rows: Iterable[Assignment]) -> Iterator[list[Assignment]]:
    waiting = iter(rows)
    while some := list(islice(waiting, ROWS_PER_STEP)):
        yield some


def _insert_and_judge(
    connection: Connection, roles: RoleModel, read: int, origin: Origin
) -> tuple[ImportResult, StoreChange | None]:
    dropped = _drop_slow_indexes(connection, read)
    with own_write(connection):
        added = _insert(connection)
    for index in dropped:
        index.create(connection)
    violations = _without_role_above(connection, roles) + _without_keeper(connection, roles)
    violations += _holding_separate_roles(connection, roles)
    if violations:
        raise ForbiddenState(tuple(violations[:MOST_FAULTS]))
    if added >= ROWS_PER_STEP and connection.dialect.name == "postgresql":
        # Until it has statistics, PostgreSQL plans for a small table.
        connection.execute(text("ANALYZE casbin_rule"))
    change = None
    if added:
        change = log_change(connection, _subjects_staged(connection))
        log_granted_rows(connection, "change", origin, added)
    return ImportResult(added, read - added, revision_now(connection)), change


def _insert(connection: Connection) -> int:
    """Puts what is staged and not there into both tables; returns how many rows that were."""
    last = connection.execute(text("SELECT coalesce(max(id), 0) FROM casbin_rule")).scalar_one()
    values = {"number": head_of(connection).number + 1, "last": last}
    added = 0
    for statement in _INSERT[connection.dialect.name]:
        added = connection.execute(text(statement), values).rowcount
    return added


def _without_role_above(connection: Connection, roles: RoleModel) -> list[Violation]:
    query = text(
        "SELECT DISTINCT subject, role, domain FROM klausel_need AS need WHERE level = :level AND NOT EXISTS ("
        "SELECT 1 FROM casbin_rule WHERE v0 = need.subject AND v2 = need.above AND v1 IN :names) "
        f"ORDER BY subject, role, domain LIMIT {MOST_FAULTS}"
    ).bindparams(bindparam("names", expanding=True))
    staged: set[Assignment] = set()
    for level in roles.levels[:-1]:
        names = [name for role in roles.roles.values() if role.level == level.name for name in roles.stored_names(role.name)]
        staged.update(Assignment(*row) for row in connection.execute(query, {"level": level.name, "names": names}))
    blamed = []
    for subject, account in sorted({(row.subject, top_domain(row.domain)) for row in staged}):
        held = connection.execute(text("SELECT v1, v2 FROM casbin_rule WHERE v0 = :subject"), {"subject": subject})
        pairs = [(role, domain) for role, domain in held if top_domain(domain) == account]
        for violation in subject_violations(roles, subject, pairs):
            if Assignment(subject, violation.role, violation.domain) in staged:
                blamed.append(violation)
    return blamed


def _holding_separate_roles(connection: Connection, roles: RoleModel) -> list[Violation]:
    query = text(
        "SELECT DISTINCT one.v0 FROM klausel_stage AS stage JOIN casbin_rule AS one ON one.v0 = stage.subject "
        "JOIN casbin_rule AS other ON other.v0 = one.v0 WHERE one.v1 IN :ones AND other.v1 IN :others "
        f"ORDER BY one.v0 LIMIT {MOST_FAULTS}"
    ).bindparams(bindparam("ones", expanding=True), bindparam("others", expanding=True))
    blamed: list[Violation] = []
    for pair in roles.separate:
        ones, others = (_stored_names_of_holders(roles, wanted) for wanted in pair)
        for (subject,) in connection.execute(query, {"ones": ones, "others": others}).all():
            held = connection.execute(text("SELECT v1, v2 FROM casbin_rule WHERE v0 = :subject"), {"subject": subject})
            pairs = [(role, domain) for role, domain in held]
            for account in sorted({top_domain(domain) for _, domain in pairs}):
                inside = [(role, domain) for role, domain in pairs if top_domain(domain) == account]
                found = subject_violations(roles, subject, inside)
                blamed += [violation for violation in found if violation.rule == "separate-roles"]
    return blamed


def _stored_names_of_holders(roles: RoleModel, wanted: str) -> list[str]:
    return [stored for name in roles.roles if wanted in roles.closure[name] for stored in roles.stored_names(name)]


def _without_keeper(connection: Connection, roles: RoleModel) -> list[Violation]:
    # The rows just added are people in these domains, so only a holder can be missing.
    query = text(
        "SELECT domain FROM klausel_kept AS kept WHERE role = :role AND NOT EXISTS ("
        "SELECT 1 FROM casbin_rule WHERE v2 = kept.domain AND v1 IN :holders) "
        f"ORDER BY domain LIMIT {MOST_FAULTS}"
    ).bindparams(bindparam("holders", expanding=True))
    blamed = []
    for role in roles.roles.values():
        if role.keep_one:
            holders = sorted(holders_of(roles, role.name))
            for (domain,) in connection.execute(query, {"role": role.name, "holders": holders}):
                blamed.append(keeper_violation(role.name, domain))
    return blamed


def _subjects_staged(connection: Connection) -> frozenset[str] | None:
    query = text(f"SELECT DISTINCT subject FROM klausel_stage LIMIT {SUBJECTS_IN_LOG_ENTRY + 1}")
    subjects = frozenset(connection.execute(query).scalars())
    return subjects if len(subjects) <= SUBJECTS_IN_LOG_ENTRY else None


def _drop_slow_indexes(connection: Connection, read: int) -> list[Index]:
    """The indexes dropped because making them anew, over many new rows, takes half the time.

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
            indexes = [index for index in table.indexes if not (index.unique and is_sqlite)]
            slow += sorted(indexes, key=lambda index: str(index.name))
    for index in slow:
        index.drop(connection)
    return slow


def _make_stages(connection: Connection) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite and not is_in_memory(connection.engine.url):
        for setting in ("cache_size = -200000", "temp.cache_size = -100000", "threads = 2"):
            connection.exec_driver_sql(f"PRAGMA {setting}")
    if not is_sqlite:
        for setting in ("work_mem = '256MB'", "maintenance_work_mem = '256MB'"):
            connection.exec_driver_sql(f"SET {setting}")
    _drop_stages(connection)
    column_type = "TEXT" if is_sqlite else 'VARCHAR(255) COLLATE "C"'
    for name, columns in _STAGES.items():
        described = ", ".join(f"{column} {column_type} NOT NULL" for column in columns)
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {name} ({described})")


def _drop_stages(connection: Connection) -> None:
    schema = "temp" if connection.dialect.name == "sqlite" else "pg_temp"
    for name in _STAGES:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {schema}.{name}")


def _put_step(connection: Connection, rows: Sequence[Assignment], needs: Sequence[_Need]) -> None:
    _put(connection, "klausel_stage", rows)
    _put(connection, "klausel_need", needs)


def _put(connection: Connection, table: str, rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        marks = f"({', '.join('?' * len(_STAGES[table]))})"
        for start in range(0, len(rows), ROWS_PER_SQLITE_STATEMENT):
            some = rows[start : start + ROWS_PER_SQLITE_STATEMENT]
            driver.execute(
                f"INSERT INTO temp.{table} VALUES {', '.join([marks] * len(some))}", list(chain.from_iterable(some))
            )
        return
    # Every text was checked to hold no control character, so only the backslash has a meaning to COPY.
    block = "".join(["\t".join(row) + "\n" for row in rows]).replace("\\", "\\\\")
    with driver.cursor() as cursor, cursor.copy(f"COPY pg_temp.{table} FROM STDIN") as copy:
        copy.write(block)
