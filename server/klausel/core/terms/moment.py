"""Moments in time as people write them, and as the change log counts them: microseconds since 1970 in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_WRITTEN = re.compile(
    r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?",
    re.ASCII,
)
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
