"""Which domains are known, because there are role assignments in them or below them; found along the index of domains."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from sqlalchemy import Engine, func, select

from klausel.storage.sql.database import reading
from klausel.storage.sql.rows import below
from klausel.storage.sql.tables import CasbinRule

PLACES_PER_STEP = 500
_AFTER_ALL = "\U0010ffff"


def ids_below(engine: Engine, above: str | None, after: str, *, is_lowest: bool) -> Iterator[str]:
    """The ids of the domains directly below one (None: of the top level) after an id, each once, by code points.

    A domain is known by what lies in it, too: unless the level `is_lowest`, all of that is read before the first is given.
    Raises StorageError.
    """
    prefix = "" if above is None else above + "/"
    position = prefix.count("/")
    ids = (domain.split("/")[position] for domain in _domains(engine, prefix, after))
    if is_lowest:
        yield from (id_ for id_, _ in groupby(ids) if id_ > after)
    else:
        # What lies in `a` stands behind `a-b`.
        yield from sorted({id_ for id_ in ids if id_ > after})


def is_known(engine: Engine, domain: str) -> bool:
    """Whether there is a role assignment in a domain, or below it. Raises StorageError."""
    query = select(CasbinRule.v2).limit(1)
    with reading(engine) as connection:
        return any(
            connection.execute(query.where(there)).first() is not None
            for there in (CasbinRule.v2 == domain, below(CasbinRule.v2, domain))
        )


def _domains(engine: Engine, prefix: str, after: str) -> Iterator[str]:
    """Each domain behind a prefix once, in order, from the first that can have an id after one."""
    end = prefix[:-1] + "0" if prefix else _AFTER_ALL
    start = prefix + after
    other = CasbinRule.__table__.alias()
    while True:
        first = select(func.min(other.c.v2)).where(other.c.v2 > start, other.c.v2 < end).scalar_subquery()
        places = select(first.label("place")).cte("places", recursive=True)
        following = select(func.min(other.c.v2)).where(other.c.v2 > places.c.place, other.c.v2 < end).scalar_subquery()
        places = places.union_all(select(following).where(places.c.place.is_not(None)))
        query = select(places.c.place).where(places.c.place.is_not(None)).limit(PLACES_PER_STEP)
        with reading(engine) as connection:
            some = connection.execute(query).scalars().all()
        yield from some
        if len(some) < PLACES_PER_STEP:
            return
        start = some[-1]
