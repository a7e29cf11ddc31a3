"""What was read from the files of a policy set before, so that loading it again reads only what changed."""

from __future__ import annotations

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
    """Remembers, from one loading to the next, what was made of equal input; forgets what a loading did not use.

    One loading at a time may use it.
    """

    def __init__(self) -> None:
        self._before: dict[Hashable, Any] = {}
        self._now: dict[Hashable, Any] = {}

    def begin(self) -> None:
        """Starts a loading."""
        self._before, self._now = self._now, {}

    def remembered(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What was made for an equal key in this or the last loading, else what `make` makes now; never None."""
        value = self._now.get(key)
        if value is None:
            value = self._before.get(key)
            self._now[key] = value = make() if value is None else value
        return cast(Value, value)

    def renewed(self, name: str, renew: Callable[[Value | None], Value]) -> Value:
        """What `renew` makes of what it made under this name in the last loading, which is None in the first."""
        self._now[name] = value = renew(self._before.get(name))
        return value
