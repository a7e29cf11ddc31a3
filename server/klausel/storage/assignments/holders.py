"""Who holds any of some roles: subjects in order, page by page, along the index of domains; never by trying everyone."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import chain, groupby, islice
from typing import Any

from sqlalchemy import Engine, Select, func, select

from klausel.core.analysis.search import Holders
from klausel.storage.sql.database import reading
from klausel.storage.sql.tables import CasbinRule

FIRST_PEOPLE = 20
FIRST_ROWS = 32
MOST_ROWS = 500
FEW_PLACES = 16
NEAR_PLACES = 160

Pairs = tuple[tuple[str, str], ...]


def people_who_hold(engine: Engine, holders: Holders, after: str = "") -> Iterator[tuple[str, Pairs]]:
    """Each subject after `after` who holds one of these roles, once, by code points, with all that they hold, sorted.

    Read in steps, so that writes in between may show or not. Raises StorageError.
    """
    subjects = subjects_who_hold(engine, holders, after)
    size = FIRST_PEOPLE
    while some := list(islice(subjects, size)):
        held = _held_by_each(engine, some)
        yield from ((subject, tuple(sorted(held[subject]))) for subject in some if subject in held)
        size = min(5 * size, MOST_ROWS)


def subjects_who_hold(engine: Engine, holders: Holders, after: str = "") -> Iterator[str]:
    """As `people_who_hold`, the subjects alone."""
    runs = [_in_one_place(engine, role, domain, after) for role, domain in holders.exactly]
    if holders.anywhere:
        runs.append(_anywhere_below(engine, holders, after))
    return (subject for subject, _ in groupby(heapq.merge(*runs)))


def _in_one_place(engine: Engine, role: str, domain: str, after: str) -> Iterator[str]:
    """The subjects with one role in one domain, in order, read in growing steps."""
    query = select(CasbinRule.v0).where(CasbinRule.v2 == domain, CasbinRule.v1 == role).order_by(CasbinRule.v0)
    size = FIRST_ROWS
    while True:
        with reading(engine) as connection:
            some = connection.execute(query.where(CasbinRule.v0 > after).limit(size)).scalars().all()
        yield from some
        if len(some) < size:
            return
        after, size = some[-1], min(2 * size, MOST_ROWS)


def _anywhere_below(engine: Engine, holders: Holders, after: str) -> Iterator[str]:
    """The subjects with one of the roles in any domain below the top one, in order; one may come more than once."""
    while True:
        firsts = []
        with reading(engine) as connection:
            for place, *subjects in connection.execute(_first_holders(holders, after)):
                named = zip(subjects, holders.anywhere, strict=True)
                firsts += [(first, role, place) for first, role in named if first is not None]
        firsts.sort()
        if len(firsts) <= FEW_PLACES:
            yield from heapq.merge(
                *(chain([first], _in_one_place(engine, role, place, first)) for first, role, place in firsts)
            )
            return
        # Going on in each of many places by itself would be as many queries. All up to a bound are one.
        near = firsts[:NEAR_PLACES]
        bound = near[-1][0]
        query = select(CasbinRule.v0).where(
            CasbinRule.v2.in_(sorted({place for _, _, place in near})),
            CasbinRule.v1.in_(sorted({role for _, role, _ in near})),
            CasbinRule.v0 > after,
            CasbinRule.v0 <= bound,
        )
        with reading(engine) as connection:
            found = set(connection.execute(query).scalars())
        yield from sorted(found)
        after = bound


def _first_holders(holders: Holders, after: str) -> Select[Any]:
    """Each domain below the top one, with the first subject with each role; goes from domain to domain along the index."""
    other = CasbinRule.__table__.alias()
    # "0" is the character after "/".
    beyond, end = holders.top + "/", holders.top + "0"
    first = select(func.min(other.c.v2)).where(other.c.v2 > beyond, other.c.v2 < end).scalar_subquery()
    places = select(first.label("place")).cte("places", recursive=True)
    following = select(func.min(other.c.v2)).where(other.c.v2 > places.c.place, other.c.v2 < end).scalar_subquery()
    places = places.union_all(select(following).where(places.c.place.is_not(None)))
    here = select(func.min(CasbinRule.v0)).where(CasbinRule.v2 == places.c.place, CasbinRule.v0 > after)
    subjects = [here.where(CasbinRule.v1 == role).scalar_subquery() for role in holders.anywhere]
    return select(places.c.place, *subjects).where(places.c.place.is_not(None))


def _held_by_each(engine: Engine, subjects: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    held: dict[str, list[tuple[str, str]]] = {}
    query = select(CasbinRule.v0, CasbinRule.v1, CasbinRule.v2).where(CasbinRule.v0.in_(subjects))
    with reading(engine) as connection:
        for subject, role, domain in connection.execute(query):
            held.setdefault(subject, []).append((role, domain))
    return held
