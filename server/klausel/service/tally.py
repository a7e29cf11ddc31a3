"""Counting what many threads do, without a lock on the way."""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Tally(Generic[Key]):
    """Numbers by key; any thread may add, and none waits for another.

    Each thread adds to numbers of its own, which are joined to those of the threads before it when it ends.
    """

    def __init__(self) -> None:
        self._own = threading.local()
        # A thread may end, and be counted, while this one reads.
        self._lock = threading.RLock()
        self._living: dict[int, defaultdict[Key, float]] = {}
        self._ended: defaultdict[Key, float] = defaultdict(int)

    def add(self, key: Key, amount: float = 1) -> None:
        """Adds to the number of a key."""
        try:
            counts: defaultdict[Key, float] = self._own.numbers.counts
        except AttributeError:
            counts = self._begin()
        counts[key] += amount

    def totals(self) -> dict[Key, float]:
        """The numbers so far, by key; those of a thread that is just adding may be a moment old."""
        with self._lock:
            totals = self._ended.copy()
            for counts in list(self._living.values()):
                # `copy` of a dict is one step, which no thread that adds a key can come into.
                _join(totals, counts.copy())
        return dict(totals)

    def _begin(self) -> defaultdict[Key, float]:
        self._own.numbers = numbers = _OfThread[Key]()
        with self._lock:
            self._living[id(numbers)] = numbers.counts
        # What is local to a thread goes with it, also where the thread was not started by Python.
        weakref.finalize(numbers, _end, weakref.ref(self), id(numbers)).atexit = False
        counts: defaultdict[Key, float] = numbers.counts
        return counts


class _OfThread(Generic[Key]):
    __slots__ = ("__weakref__", "counts")

    def __init__(self) -> None:
        self.counts: defaultdict[Key, float] = defaultdict(int)


def _end(reference: weakref.ref[Tally[Key]], number: int) -> None:
    tally = reference()
    if tally is not None:
        with tally._lock:
            _join(tally._ended, tally._living.pop(number))


def _join(totals: defaultdict[Key, float], counts: defaultdict[Key, float]) -> None:
    for key, amount in counts.items():
        totals[key] += amount
