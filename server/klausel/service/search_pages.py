"""Pages of searches: the first answers, found within a share of time; a page that is cut says from where to look on."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import NamedTuple

SECONDS_A_PAGE = 0.5
"""How long is looked for the answers of a page, for a caller who follows tokens; a step of looking may end a little later."""
SECONDS_AT_ONCE = 30.0
"""The same for a caller who does not, and whom only a whole list is told."""


class Look(NamedTuple):
    """How far a run of answers came: an answer, or an id that `is_passed`, up to which there is no other.

    Looks sort as they come: what is passed up to an id stands behind an answer of that id, which another run may have.
    """

    id: str
    is_passed: bool = False


class Page(NamedTuple):
    """The answers of a page, and the id behind which the next one begins; None where there is none.

    It `is_cut` where the time was over before it was full.
    """

    found: list[str]
    after: str | None
    is_cut: bool = False


def merged(*runs: Iterable[Look]) -> Iterator[Look]:
    """The looks of several runs, each in order, as one of all of them; each answer once."""
    last = None
    for look in heapq.merge(*runs):
        if look.is_passed:
            yield look
        elif look.id != last:
            last = look.id
            yield look


def page_of(looks: Iterable[Look], limit: int, after: str, ends: float | None = None) -> Page:
    """The first answers behind an id that are found until a moment, as `monotonic` counts; it gets one look further at least."""
    found: list[str] = []
    for look in looks:
        if not look.is_passed:
            if len(found) == limit:
                return Page(found, after)
            found.append(look.id)
        after = look.id
        if ends is not None and monotonic() >= ends:
            return Page(found, after, is_cut=len(found) < limit)
    return Page(found, None)
