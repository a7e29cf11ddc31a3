"""Values that stand for all others in a group of comparisons: the literals, and as many between and beyond them as are needed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, time, timedelta

from klausel.core.conditions.functions import FUNCTIONS
from klausel.core.conditions.tree import Computed, Term
from klausel.core.conditions.values import Kind, kind_of

_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1) // _MICROSECOND
_EPOCH = datetime(1, 1, 1, tzinfo=UTC)
_LAST = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_SOME_TIME = (datetime(2026, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def samples(literals: Sequence[object], kinds: Collection[Kind | None], count: int, orders: bool) -> list[object]:
    """The values for a group of comparisons.

    Where it `orders`, as many values as `count` between each two literals, below and above; otherwise as many others. Of times
    and the like there are some only where they are among the `kinds`, and they are always taken as ordered.
    """
    texts = sorted({value for value in literals if isinstance(value, str)})
    numbers = sorted({value for value in literals if isinstance(value, int | float) and not isinstance(value, bool)})
    found: list[object] = [True, False, *_texts(texts, count), *_numbers(numbers, count, orders)]
    for kind, (to_number, from_number, low, high, start) in _COUNTED.items():
        if kind in kinds:
            counted = sorted({to_number(value) for value in literals if kind_of(value) == kind})
            found += map(from_number, _counted(counted, count, low, high, start))
    return found


def times_from(now: datetime, times: Collection[datetime]) -> tuple[datetime, ...]:
    """Times that stand for all from now on, where only these are told apart."""
    later = sorted({now, *(moment for moment in times if moment > now)})
    numbers = _counted([(moment - _EPOCH) // _MICROSECOND for moment in later], 1, 0, _LAST, _SOME_TIME)
    return tuple(sorted(moment for moment in (_EPOCH + number * _MICROSECOND for number in numbers) if moment >= now))


def few_values(term: Term) -> tuple[str, ...]:
    """All that a function can give, where these are few; nothing where they are not."""
    return FUNCTIONS[term.function].values if isinstance(term, Computed) else ()


def own_values(term: Term, scalars: Collection[object]) -> list[object]:
    """Of the few values that a function can give: those that are compared with, and one more."""
    few = few_values(term)
    compared = [value for value in few if value in scalars]
    return [*compared, *[value for value in few if value not in compared][:1]]


def _texts(literals: list[str], count: int) -> list[str]:
    fresh = (name for name in map("x{}".format, itertools.count(1)) if name not in literals)
    return [*literals, *itertools.islice(fresh, count)]


def sent(values: Iterable[object]) -> list[object]:
    """Those that a request can hold."""
    return [value for value in values if kind_of(value) in ("text", "number", "boolean")]


def _numbers(literals: list[int | float], count: int, orders: bool) -> list[int | float]:
    beyond = literals[-1] if literals else 0
    above = [beyond + step for step in range(1, count + 1)]
    if not orders or not literals:
        return [*literals, *above]
    below = [literals[0] - step for step in range(1, count + 1)]
    between = [
        low + (high - low) * step / (count + 1) for low, high in itertools.pairwise(literals) for step in range(1, count + 1)
    ]
    return [*literals, *below, *between, *above]


def _counted(literals: list[int], count: int, low: int, high: int, start: int) -> list[int]:
    """The same for values that can be counted, between the least and the greatest that there is."""
    if not literals:
        return [start + step for step in range(count)]
    edges = [max(low, literals[0] - _DAY), *literals, min(high, literals[-1] + _DAY)]
    found = dict.fromkeys(literals)
    for lower, upper in itertools.pairwise(edges):
        for step in range(1, count + 1):
            between = lower + (upper - lower) * step // (count + 1)
            if lower < between < upper:
                found[between] = None
    found.update(dict.fromkeys(edge for edge in (edges[0], edges[-1])))
    return list(found)


def _to_clock(number: int) -> time:
    return (datetime.min + number * _MICROSECOND).time()


def _from_clock(value: time) -> int:
    return (datetime.combine(datetime.min, value) - datetime.min) // _MICROSECOND


_COUNTED: dict[Kind, tuple[Callable[..., int], Callable[[int], object], int, int, int]] = {
    "time": (
        lambda value: (value - _EPOCH) // _MICROSECOND,
        lambda number: _EPOCH + number * _MICROSECOND,
        0,
        _LAST,
        _SOME_TIME,
    ),
    "duration": (
        lambda value: value // _MICROSECOND,
        lambda number: number * _MICROSECOND,
        -_LAST,
        _LAST,
        0,
    ),
    "clock": (_from_clock, _to_clock, 0, _DAY - 1, _DAY // 2),
}
"""For each kind that can be counted: to a number, from one, the least, the greatest, and one to begin with."""
