"""Lets the garbage collector look less often while policy sets are made: they are many objects, and few circles among them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_OBJECTS_BETWEEN_COLLECTIONS = 50_000
_lock = threading.Lock()
_usual: list[tuple[int, int, int]] = []
"""The threshold to come back to, once for each that is inside: several threads may be, and leave in any order."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Inside, the collector looks rarely; when the last one has left, as often as before."""
    with _lock:
        _usual.append(_usual[0] if _usual else gc.get_threshold())
        if gc.isenabled() and 0 < _usual[0][0] < _OBJECTS_BETWEEN_COLLECTIONS:
            gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *_usual[0][1:])
    try:
        yield
    finally:
        with _lock:
            usual = _usual.pop()
            if not _usual:
                gc.set_threshold(*usual)
