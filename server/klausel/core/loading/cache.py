"""What was read from the files of a policy set before, so that loading it again reads only what changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

Value = TypeVar("Value")


class HashedOnce:
    """A value in a key, whose hash is worked out once: for large ones that are part of many keys, or of keys again and again."""

    __slots__ = ("_hash", "value")

    def __init__(self, value: Hashable) -> None:
        self.value = value
        self._hash = hash(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HashedOnce):
            return NotImplemented
        return self is other or (self._hash == other._hash and self.value == other.value)


class LoadCache:
    """Remembers, from one loading to the next, what was made of equal input; forgets what the last loadings did not use.

    One loading at a time may use it.
    """

    def __init__(self, loadings: int = 1) -> None:
        """What this many loadings before did not use is forgotten; more than one are for sets that are loaded in turn."""
        self._before: deque[dict[Hashable, Any]] = deque(maxlen=loadings)
        self._now: dict[Hashable, Any] = {}

    def begin(self) -> None:
        """Starts a loading."""
        self._before.appendleft(self._now)
        self._now = {}

    def remembered(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What was made for an equal key in this or an earlier loading, else what `make` makes now; never None."""
        value = self._now.get(key)
        if value is None:
            for before in self._before:
                value = before.get(key)
                if value is not None:
                    break
            self._now[key] = value = make() if value is None else value
        return cast(Value, value)

    def renewed(self, name: str, renew: Callable[[Value | None], Value]) -> Value:
        """What `renew` makes of what it made under this name in the last loading, which is None in the first."""
        self._now[name] = value = renew(self._before[0].get(name))
        return value
