"""Which roles and domains the stored role assignments have, and which of these roles count for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, Engine, func, select, text

from klausel.core.policy.orphans import StoredRole, is_orphaned, orphaned_roles
from klausel.core.policy.roles import RoleModel
from klausel.storage.sql.database import reading
from klausel.storage.sql.indexes import index_names
from klausel.storage.sql.tables import DEPTH, DEPTH_INDEX, NOT_A_MEMBERSHIP, CasbinRule

_ROWS = {
    # Left to itself, SQLite reads a longer index that has all columns.
    "sqlite": f"FROM casbin_rule INDEXED BY {DEPTH_INDEX} WHERE {NOT_A_MEMBERSHIP}",
    "postgresql": f"FROM casbin_rule WHERE {NOT_A_MEMBERSHIP}",
}


def each_once(dialect: str) -> str:
    """The query for each stored role with each number of slashes in its domains: a step along the index for each of them."""
    rows = _ROWS[dialect]
    return f"""
    WITH RECURSIVE roles (role) AS (
        SELECT (SELECT v1 {rows} ORDER BY v1, {DEPTH} LIMIT 1)
        UNION ALL
        SELECT (SELECT v1 {rows} AND v1 > roles.role ORDER BY v1, {DEPTH} LIMIT 1) FROM roles WHERE role IS NOT NULL
    ),
    found (role, slashes) AS (
        SELECT role, (SELECT {DEPTH} {rows} AND v1 = roles.role ORDER BY {DEPTH} LIMIT 1) FROM roles WHERE role IS NOT NULL
        UNION ALL
        SELECT role, (SELECT {DEPTH} {rows} AND v1 = found.role AND {DEPTH} > found.slashes ORDER BY {DEPTH} LIMIT 1)
        FROM found WHERE slashes IS NOT NULL
    )
    SELECT role, slashes FROM found WHERE slashes IS NOT NULL
    """


def orphaned_in(engine: Engine, roles: RoleModel) -> tuple[StoredRole, ...]:
    """Those of the stored roles that count for nothing under a role model, sorted; only these are counted. Raises StorageError.

    A database from before there was an index of depths answers it too, by reading all.
    """
    with reading(engine) as connection:
        if DEPTH_INDEX in index_names(connection, CasbinRule.__tablename__):
            stored = connection.execute(text(each_once(engine.dialect.name)))
            wrong = [(role, slashes + 1) for role, slashes in stored if is_orphaned(roles, role, slashes + 1)]
            found = [_counted(connection, role, depth) for role, depth in wrong]
            # Another may have removed them meanwhile.
            return tuple(sorted(one for one in found if one.number))
    return orphaned_roles(roles, stored_roles(engine))


def _counted(connection: Connection, role: str, depth: int) -> StoredRole:
    query = text(f"SELECT count(*) {_ROWS[connection.dialect.name]} AND v1 = :role AND {DEPTH} = :slashes")
    number = connection.execute(query, {"role": role, "slashes": depth - 1}).scalar_one()
    return StoredRole(role, depth, number)


def stored_roles(engine: Engine) -> tuple[StoredRole, ...]:
    """Each role and depth of domains that stored role assignments have, with their number, sorted. Raises StorageError."""
    # A depth is one more than the slashes of a domain; the index holds role and domain, so no row of the table is read.
    domain = CasbinRule.v2
    depth = func.length(domain) - func.length(func.replace(domain, "/", "")) + 1
    # Memberships have no domain.
    query = select(CasbinRule.v1, depth, func.count()).where(domain != "").group_by(CasbinRule.v1, depth)
    with reading(engine) as connection:
        return tuple(sorted(StoredRole(role, int(at), int(count)) for role, at, count in connection.execute(query)))


def stored_domains(engine: Engine) -> Iterator[str]:
    """Each domain that stored role assignments are in, once. Raises StorageError."""
    with reading(engine) as connection:
        for (domain,) in connection.execute(select(CasbinRule.v2).distinct()):
            yield domain
