"""Going through many things, some at a time: what one statement or one read can take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def in_steps(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in their order, at most so many at a time."""
    waiting = iter(items)
    while some := list(islice(waiting, size)):
        yield some
