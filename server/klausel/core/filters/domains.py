"""Very many domains in one list: without it, a filter would have a branch for each domain of the top level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from klausel.core.conditions.tree import Attribute
from klausel.core.filters.tree import Every, Filter, FilterCondition, InDomains, Some, equal_to, every, is_among, some

MOST_BRANCHES = 40


def with_domains_together(filter_: Filter, naming: Sequence[Attribute]) -> Filter:
    """The same filter; where it has more than MOST_BRANCHES, those that differ in the domain alone are one.

    `naming` are the attributes that name the levels, from the top.
    """
    if not isinstance(filter_, Some) or len(filter_.parts) <= MOST_BRANCHES or len(naming) < 2:
        return filter_
    top, below = naming[:2]
    domains: dict[str, tuple[list[FilterCondition], set[str]]] = {}
    tops: dict[str, tuple[list[FilterCondition], dict[str, None]]] = {}
    others: list[Filter] = []
    for branch in filter_.parts:
        for parts in _alternatives(branch):
            in_top, in_below = _texts(parts, top), _texts(parts, below)
            if in_top is None:
                others.append(every(parts))
                continue
            rest = [part for part in parts if _equals(part) != top and (in_below is None or _equals(part) != below)]
            key = str(every(rest))
            if in_below is None:
                tops.setdefault(key, (rest, {}))[1].update(dict.fromkeys(in_top))
            else:
                domains.setdefault(key, (rest, set()))[1].update(f"{one}/{other}" for one in in_top for other in in_below)
    return some(
        [
            *(every([InDomains((top, below), frozenset(found)), *rest]) for rest, found in domains.values()),
            *(every([is_among(top, found), *rest]) for rest, found in tops.values()),
            *others,
        ]
    )


def _alternatives(branch: FilterCondition) -> Iterator[Sequence[FilterCondition]]:
    """What must hold together in each way in which a branch can hold, taking its last `or` apart."""
    parts = list(branch.parts) if isinstance(branch, Every) else [branch]
    last = next((part for part in reversed(parts) if isinstance(part, Some)), None)
    if last is None:
        yield parts
        return
    for way in last.parts:
        kept: list[FilterCondition] = [part for part in parts if part is not last]
        kept += way.parts if isinstance(way, Every) else (way,)
        yield kept


def _equals(part: FilterCondition) -> Attribute | None:
    equal = equal_to(part)
    return None if equal is None else equal[0]


def _texts(parts: Sequence[FilterCondition], attribute: Attribute) -> list[str] | None:
    """The texts that an attribute must equal one of; None where no part says so."""
    for part in parts:
        equal = equal_to(part)
        if equal is not None and equal[0] == attribute:
            return [literal.value for literal in equal[1].values() if isinstance(literal.value, str)]
    return None
