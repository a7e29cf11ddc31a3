"""Lists in memory: the answer of `POST /v1/filter` as a Python predicate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from klausel.core.filters.json_form import read_filter
from klausel.core.filters.tree import holds
from klausel.core.terms.request import Resource

__all__ = ["predicate"]


def predicate(answer: Mapping[str, Any]) -> Callable[[str, Mapping[str, object]], bool]:
    """What says of a resource, by its id and its properties, whether it belongs on the list.

    Raises `ValueError` for what is no answer of `/v1/filter`; the predicate itself never raises.
    """
    filter_ = read_filter(answer)
    return lambda id_, properties: holds(filter_, Resource("", id_, properties))
