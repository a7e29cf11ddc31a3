"""Who holds any of some roles, themselves or through groups, and which domains are known: in order, by index alone."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Sequence
from itertools import chain, groupby, islice
from typing import Any

from sqlalchemy import CTE, Engine, Select, and_, func, select, text

from klausel.core.analysis.search import Holders
from klausel.core.policy.holding import NOTHING, Held, gather_rows, held_at, rows_by_subject
from klausel.core.terms.identifiers import subject_key
from klausel.storage.assignments.closures import groups_below, rows_with_groups
from klausel.storage.sql.database import reading
from klausel.storage.sql.rows import below
from klausel.storage.sql.steps import in_steps
from klausel.storage.sql.tables import OF_A_GROUP, CasbinRule

FIRST_PEOPLE = 20
FIRST_ROWS = 32
MOST_ROWS = 500
FEW_PLACES = 16
NEAR_PLACES = 160
PLACES_PER_STEP = 500
_AFTER_ALL = "\U0010ffff"


def people_who_hold(
    engine: Engine, holders: Holders, after: str = "", now: float | None = None
) -> Iterator[tuple[str, Held]]:
    """Each subject after `after` who holds one of these roles now, once, by code points, with all that they hold.

    Groups are among them, and all their members. `now` is in seconds since 1970; None: by the clock. Read in steps, so that
    writes in between may show or not. Raises StorageError.
    """
    for subject, held in what_they_hold(engine, subjects_who_hold(engine, holders, after), now):
        if any(holders.include(role, domain) for role, domain in held.pairs):
            yield subject, held


def what_they_hold(
    engine: Engine,
    subjects: Iterator[str],
    now: float | None = None,
    at_first: int = FIRST_PEOPLE,
    *,
    with_nothing: bool = False,
) -> Iterator[tuple[str, Held]]:
    """Each of some subjects with all that it holds now; read in steps that grow from `at_first`.

    Those without any row are left out, or come `with_nothing`: with `NOTHING` itself.
    """
    moment = time.time() if now is None else now
    size = at_first
    while some := list(islice(subjects, size)):
        with reading(engine) as connection:
            rows = rows_by_subject(rows_with_groups(connection, some))
        for subject in some:
            if subject in rows:
                yield subject, held_at(subject, gather_rows(subject, rows[subject], rows), moment)
            elif with_nothing:
                yield subject, NOTHING
        size = min(5 * size, MOST_ROWS)


def subjects_of_type(engine: Engine, type_: str, after: str = "") -> Iterator[str]:
    """Every subject of a type that has a role assignment, or is in a group; in order, each once."""
    # ";" is the character after ":".
    first = subject_key(type_, "")
    query = select(CasbinRule.v0).where(CasbinRule.v0 < f"{first[:-1]};").distinct()
    return _in_growing_steps(engine, query, max(after, first))


def subjects_who_hold(engine: Engine, holders: Holders, after: str = "") -> Iterator[str]:
    """Those with one of these roles whenever, and the members of groups that have one; in order, each once."""
    runs = [_in_one_place(engine, role, domain, after) for role, domain in holders.exactly]
    if holders.anywhere:
        runs.append(_anywhere_below(engine, holders, after))
    groups = _groups_below(engine, holders)
    if len(groups) <= FEW_PLACES:
        runs += [_in_one_place(engine, group, "", after) for group in groups]
        groups = []
    runs += [_members_of(engine, some, after) for some in in_steps(groups, MOST_ROWS)]
    return (subject for subject, _ in groupby(heapq.merge(*runs)))


def _groups_below(engine: Engine, holders: Holders) -> list[str]:
    """The groups with one of the roles, and those that are in them."""
    chosen = [and_(CasbinRule.v1 == role, CasbinRule.v2 == domain) for role, domain in holders.exactly]
    if holders.anywhere:
        chosen.append(and_(CasbinRule.v1.in_(holders.anywhere), below(CasbinRule.v2, holders.top)))
    found: set[str] = set()
    with reading(engine) as connection:
        for condition in chosen:
            found |= set(connection.execute(select(CasbinRule.v0).where(condition, text(OF_A_GROUP))).scalars())
        return sorted(groups_below(connection, found))


def _members_of(engine: Engine, groups: Sequence[str], after: str) -> Iterator[str]:
    """The members of some groups, in order; one may come more than once."""
    query = select(CasbinRule.v0).where(CasbinRule.v1.in_(groups), CasbinRule.v2 == "").distinct()
    return _in_growing_steps(engine, query, after)


def _in_one_place(engine: Engine, role: str, domain: str, after: str) -> Iterator[str]:
    """The subjects with one role in one domain, in order."""
    query = select(CasbinRule.v0).where(CasbinRule.v2 == domain, CasbinRule.v1 == role)
    return _in_growing_steps(engine, query, after)


def _in_growing_steps(engine: Engine, query: Select[str], after: str) -> Iterator[str]:
    """The subjects of a query behind `after`, in order; each step is a transaction of its own, and reads more than the last."""
    query = query.order_by(CasbinRule.v0)
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
    # "0" is the character after "/".
    places = _domains_between(holders.top + "/", holders.top + "0")
    here = select(func.min(CasbinRule.v0)).where(CasbinRule.v2 == places.c.place, CasbinRule.v0 > after)
    subjects = [here.where(CasbinRule.v1 == role).scalar_subquery() for role in holders.anywhere]
    return select(places.c.place, *subjects).where(places.c.place.is_not(None))


def _domains_between(start: str, end: str) -> CTE:
    """Each domain between two texts once, as `place`, in order: found from one to the next along the index; the last is NULL."""
    other = CasbinRule.__table__.alias()
    first = select(func.min(other.c.v2)).where(other.c.v2 > start, other.c.v2 < end).scalar_subquery()
    places = select(first.label("place")).cte("places", recursive=True)
    following = select(func.min(other.c.v2)).where(other.c.v2 > places.c.place, other.c.v2 < end).scalar_subquery()
    return places.union_all(select(following).where(places.c.place.is_not(None)))


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
    while True:
        places = _domains_between(start, end)
        query = select(places.c.place).where(places.c.place.is_not(None)).limit(PLACES_PER_STEP)
        with reading(engine) as connection:
            some = connection.execute(query).scalars().all()
        yield from some
        if len(some) < PLACES_PER_STEP:
            return
        start = some[-1]
