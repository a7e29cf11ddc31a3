"""Moments in time as people write them, and as the change log counts them: microseconds since 1970 in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_WRITTEN = re.compile(
    r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?",
    re.ASCII,
)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_STORED_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_moment(text: str) -> int:
    """The microseconds of a date or a date with a time; raises ValueError with a sentence that says how to write it.

    A date alone is its first moment. Without `Z` or an offset such as `+01:00` a time is in UTC.
    """
    if _WRITTEN.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return (moment - _EPOCH) // timedelta(microseconds=1)
        except (ValueError, OverflowError):
            pass
    raise ValueError(f'"{text}" is no moment; write 2026-03-01, 2026-03-01T12:00 (UTC), or 2026-03-01T12:00:30+01:00')


def is_moment(text: str) -> bool:
    """Whether `read_moment` reads a text."""
    try:
        read_moment(text)
    except ValueError:
        return False
    return True


def moment_text(microseconds: int) -> str:
    """`2026-03-01T12:00:00.000000Z`; texts sort as their moments do."""
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def read_instant(text: str) -> str:
    """An instant of RFC 3339 in its one stored form, `2026-03-01T12:00:00Z`; texts in it sort as their instants do.

    Raises ValueError with a sentence that says how to write it. What may be read in two ways is none: a date alone, or a time
    without `Z` or an offset.
    """
    found = _INSTANT.fullmatch(text)
    if found and (found[1] or ".0").strip(".0"):
        raise ValueError(f'"{text}" has a part of a second, which is not kept; write whole seconds')
    if found:
        try:
            whole = datetime.fromisoformat(text.upper().replace(found[1] or " ", "")).astimezone(UTC)
            return whole.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")
        except (ValueError, OverflowError):
            pass
    raise ValueError(f'"{text}" is no instant; write 2026-03-01T12:00:00Z, or with an offset 2026-03-01T13:00:00+01:00')


def instant_text(seconds: float) -> str:
    """The stored form of an instant that is given in seconds since 1970; parts of a second are left out."""
    return (_EPOCH + timedelta(seconds=int(seconds // 1))).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


@lru_cache(4096)
def seconds_of_instant(stored: str) -> float | None:
    """The seconds since 1970 of an instant in its stored form; None for any other text."""
    if _STORED_INSTANT.fullmatch(stored):
        try:
            return (datetime.fromisoformat(stored) - _EPOCH).total_seconds()
        except ValueError:
            pass
    return None
