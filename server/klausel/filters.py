"""Lists in memory: the answer of `POST /v1/filter` as a Python predicate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from klausel.core.conditions.tree import Attribute, Comparison, ListOf
from klausel.core.filters.json_form import read_filter
from klausel.core.filters.tree import Every, Filter, InDomains, Some, every, holds, some
from klausel.core.terms.request import Resource

__all__ = ["predicate"]


def predicate(answer: Mapping[str, Any]) -> Callable[[str, Mapping[str, object]], bool]:
    """What says of a resource, by its id and its properties, whether it belongs on the list.

    Raises `ValueError` for what is no answer of `/v1/filter`; the predicate itself never raises.
    """
    filter_ = _with_sets(read_filter(answer))
    return lambda id_, properties: holds(filter_, Resource("", id_, properties))


def _with_sets(filter_: Filter) -> Filter:
    """The same filter, which finds a text among thousands without going through them for each resource."""
    match filter_:
        case Every(parts):
            return every(_with_sets(part) for part in parts)
        case Some(parts):
            return some(_with_sets(part) for part in parts)
        case Comparison("in", Attribute() as attribute, ListOf(items)):
            texts = [item.value for item in items if isinstance(item.value, str)]
            return InDomains((attribute,), frozenset(texts)) if len(texts) == len(items) else filter_
        case _:
            return filter_
