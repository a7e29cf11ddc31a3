"""Counting what many threads do, without a lock on the way."""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from collections.abc import Hashable

_Counts = defaultdict[Hashable, float]


class Tally:
    """Numbers by key; any thread may add, and none waits for another.

    Each thread adds to numbers of its own, which are joined to those of the threads before it when it ends.
    """

    def __init__(self) -> None:
        self._own = threading.local()
        # A thread may end, and be counted, while this one reads.
        self._lock = threading.RLock()
        self._living: dict[int, _Counts] = {}
        self._ended: _Counts = defaultdict(int)

    def add(self, key: Hashable, amount: float = 1) -> None:
        """Adds to the number of a key."""
        try:
            counts = self._own.numbers.counts
        except AttributeError:
            counts = self._begin()
        counts[key] += amount

    def totals(self) -> dict[Hashable, float]:
        """The numbers so far, by key; those of a thread that is just adding may be a moment old."""
        with self._lock:
            totals = self._ended.copy()
            for counts in list(self._living.values()):
                # `copy` of a dict is one step, which no thread that adds a key can come into.
                _join(totals, counts.copy())
        return dict(totals)

    def _begin(self) -> _Counts:
        self._own.numbers = numbers = _OfThread()
        with self._lock:
            self._living[id(numbers)] = numbers.counts
        # What is local to a thread goes with it, also where the thread was not started by Python.
        weakref.finalize(numbers, _end, weakref.ref(self), id(numbers)).atexit = False
        return numbers.counts


class _OfThread:
    __slots__ = ("__weakref__", "counts")

    def __init__(self) -> None:
        self.counts: _Counts = defaultdict(int)


def _end(reference: weakref.ref[Tally], number: int) -> None:
    tally = reference()
    if tally is not None:
        with tally._lock:
            _join(tally._ended, tally._living.pop(number))


def _join(totals: _Counts, counts: _Counts) -> None:
    for key, amount in counts.items():
        totals[key] += amount
