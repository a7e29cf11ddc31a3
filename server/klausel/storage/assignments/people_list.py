"""Finding subjects by how their stored form begins, page by page, along the index."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, Engine, or_, select

from klausel.core.terms.identifiers import is_printable
from klausel.storage.sql.database import reading
from klausel.storage.sql.rows import inside
from klausel.storage.sql.tables import CasbinRule

MOST_TYPES = 50
_LAST = "\U0010ffff"


def subjects_beginning(
    engine: Engine, text: str, after: str, limit: int, accounts: Collection[str] | None = None
) -> list[str]:
    """The first `limit` subjects after `after` that hold something, sorted: `user:an` begins them, or `an` in any type.

    With `accounts`, those alone that have a role in one of these or below it. Raises StorageError.
    """
    if not all(is_printable(one) for one in (text, after) if one):
        return []
    chosen = [] if accounts is None else [or_(*(inside(CasbinRule.v2, account) for account in sorted(accounts)))]
    with reading(engine) as connection:
        begins = [text] if ":" in text or not text else [text, *(f"{type_}:{text}" for type_ in _types(connection))]
        found: set[str] = set()
        for one in begins:
            query = select(CasbinRule.v0).where(CasbinRule.v0 >= one, CasbinRule.v0 < one + _LAST, *chosen)
            query = query.where(CasbinRule.v0 > after).group_by(CasbinRule.v0).order_by(CasbinRule.v0).limit(limit)
            found.update(connection.execute(query).scalars())
    return sorted(found)[:limit]


def groups_there_are(engine: Engine, limit: int) -> list[str]:
    """The first groups that hold something, sorted."""
    return subjects_beginning(engine, "group:", "", limit)


def _types(connection: Connection) -> list[str]:
    """The types of subjects that there are, each found by one step along the index."""
    types: list[str] = []
    bound = ""
    query = select(CasbinRule.v0).order_by(CasbinRule.v0).limit(1)
    while len(types) < MOST_TYPES and (found := connection.execute(query.where(CasbinRule.v0 >= bound)).scalar()):
        types.append(found.partition(":")[0])
        # ";" is the character after ":".
        bound = f"{types[-1]};"
    return types
