"""Which roles and domains the stored role assignments have: one query each along the index of roles."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine, func, select

from klausel.core.policy.orphans import StoredRole
from klausel.storage.sql.database import reading
from klausel.storage.sql.tables import CasbinRule


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
