"""What the calendar and the clock on the wall say at an instant in a named zone, summer time included."""

from __future__ import annotations

from datetime import datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo

from klausel.core.terms.problem import did_you_mean

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_OFTEN_MEANT = ("UTC", "Europe/London", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Sydney")


def weekday(moment: datetime, zone: str) -> str | None:
    """The day of the week, such as `monday`; unknown where the zone is."""
    local = _local(moment, zone)
    return None if local is None else WEEKDAYS[local.weekday()]


def time_of_day(moment: datetime, zone: str) -> time | None:
    """What a clock on the wall shows; unknown where the zone is."""
    local = _local(moment, zone)
    return None if local is None else local.time()


def fault_in_zone(zone: object) -> str | None:
    """Why this names no zone, and how to write one; None when it does."""
    if isinstance(zone, str) and _zone(zone) is not None:
        return None
    return f'`{zone}` is no zone; {did_you_mean(str(zone), _OFTEN_MEANT)}Write it as "Europe/Berlin" or "UTC"'


def _local(moment: datetime, zone: str) -> datetime | None:
    known = _zone(zone)
    try:
        return None if known is None else moment.astimezone(known)
    except OverflowError:  # within a day of the first or the last year
        return None


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        return None
