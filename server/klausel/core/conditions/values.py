"""The values that conditions speak of: their kinds, how two of them compare, and how each is written.

A *time* is an instant, whatever zone it was written in; a *duration* is what lies between two; a *clock* is a time of
day in some zone. Requests send texts, numbers, booleans and lists; times and the like come about in conditions only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime, time, timedelta
from operator import ge, gt, le, lt
from typing import Any, Literal

Scalar = str | bool | int | float | datetime | timedelta | time
Kind = Literal["text", "number", "boolean", "time", "duration", "clock", "list"]
ORDERED: tuple[Kind, ...] = ("number", "time", "duration", "clock")
"""The kinds of which one value can be less than another. Texts have no order: "999" would be more than "1000"."""

_BY_TYPE: dict[type, Kind] = {
    str: "text",
    bool: "boolean",  # before the numbers, of which Python takes it for one
    int: "number",
    float: "number",
    datetime: "time",
    timedelta: "duration",
    time: "clock",
    list: "list",
    tuple: "list",
}
_RFC_3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:(\.\d{1,6})\d*)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
USUAL_LENGTH = len("2026-12-31T16:00:00Z")
_CLOCK = re.compile(r"\d{2}:\d{2}(:\d{2})?", re.ASCII)
_UNITS = (
    ("days", timedelta(days=1)),
    ("hours", timedelta(hours=1)),
    ("minutes", timedelta(minutes=1)),
    ("seconds", timedelta(seconds=1)),
)


def kind_of(value: object) -> Kind | None:
    """The kind of a value; None for anything that cannot be compared, such as an object, NaN or a time without a zone."""
    kind = _BY_TYPE.get(type(value))
    if kind is None:
        kind = next((kind for type_, kind in _BY_TYPE.items() if isinstance(value, type_)), None)
    if (kind == "number" and value != value) or (kind == "time" and value.tzinfo is None):  # type: ignore[attr-defined]
        return None
    return kind


def all_true(values: Collection[bool | None]) -> bool | None:
    """Kleene's `and`: false when one is false, else unknown when one is unknown, else true."""
    return False if False in values else None if None in values else True


def any_true(values: Collection[bool | None]) -> bool | None:
    """Kleene's `or`: true when one is true, else unknown when one is unknown, else false."""
    return True if True in values else None if None in values else False


def equal(left: object, right: object) -> bool | None:
    """Whether two values are the same; unknown unless they are of one kind, and for lists. Nothing is ever converted."""
    kind = kind_of(left)
    if kind is None or kind == "list" or kind != kind_of(right):
        return None
    return bool(left == right)


def different(left: object, right: object) -> bool | None:
    """Kleene's `not` of `equal`."""
    same = equal(left, right)
    return None if same is None else not same


def _ordered(holds: Callable[[Any, Any], Any]) -> Callable[[object, object], bool | None]:
    def compare(left: object, right: object) -> bool | None:
        kind = kind_of(left)
        if kind not in ORDERED or kind != kind_of(right):
            return None
        return bool(holds(left, right))

    return compare


less, at_most, greater, at_least = _ordered(lt), _ordered(le), _ordered(gt), _ordered(ge)


def contained(item: object, container: object) -> bool | None:
    """Whether an item is in a list: Kleene's `or` over its comparisons with each element; unknown when there is no list."""
    kind = kind_of(item)
    if kind is None or kind == "list" or not isinstance(container, list | tuple):
        return None
    if kind == "text" and item in container:
        return True  # no other kind equals a text
    answer: bool | None = False
    for element in container:
        same = equal(item, element)
        if same:
            return True
        if same is None:
            answer = None
    return answer


def not_contained(item: object, container: object) -> bool | None:
    """Kleene's `not` of `contained`."""
    inside = contained(item, container)
    return None if inside is None else not inside


def overlaps(one: object, other: object) -> bool | None:
    """Whether two lists have an element in common; unknown when one is no list."""
    if not isinstance(one, list | tuple) or not isinstance(other, list | tuple):
        return None
    answer: bool | None = False
    for item in one:
        inside = contained(item, other)
        if inside:
            return True
        if inside is None:
            answer = None
    return answer


def is_subset(one: object, other: object) -> bool | None:
    """Whether each element of a list is in another; true for an empty list, unknown when one is no list."""
    if not isinstance(one, list | tuple) or not isinstance(other, list | tuple):
        return None
    return all_true([contained(item, other) for item in one])


def read_time(value: object) -> datetime | None:
    """The instant that a text names as RFC 3339 has it, such as `2026-12-31T17:00:00+01:00`; None for anything else.

    Only a text with seconds and an offset or `Z` names an instant. What is finer than a microsecond is cut off.
    """
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else None
    if type(value) is str and len(value) == USUAL_LENGTH:
        return usual_time(value)
    return _read_any_time(value)


def usual_time(value: str) -> datetime | None:
    """A time as nearly all are written, `2026-12-31T16:00:00Z`; the same few are asked about again and again."""
    found = USUAL_TIMES.get(value)
    if found is None:
        if value[19] == "Z" and value[4] + value[7] + value[10] == "--T":
            try:
                found = datetime.fromisoformat(value) if value[13] == value[16] == ":" else None
            except ValueError:
                return None
        else:
            found = _read_any_time(value)
        if found is not None:
            if len(USUAL_TIMES) >= _MOST_TIMES:
                USUAL_TIMES.clear()
            USUAL_TIMES[value] = found
    return found


USUAL_TIMES: dict[str, datetime] = {}
"""What `usual_time` found last, by the texts."""
_MOST_TIMES = 16_384


def _read_any_time(value: object) -> datetime | None:
    written = _RFC_3339.fullmatch(value) if isinstance(value, str) else None
    if written is None:
        return None
    day, clock, fraction, offset = written.groups(default="")
    try:
        return datetime.fromisoformat(f"{day}T{clock}{fraction}{offset.upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def time_text(moment: datetime) -> str:
    """An instant as RFC 3339 has it, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_clock(value: object) -> time | None:
    """The time of day that a text such as `09:30` or `09:30:15` names; None for anything else."""
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        return None
    try:
        return time.fromisoformat(value)
    except ValueError:
        return None


_written = json.JSONEncoder(ensure_ascii=False).encode


def literal_text(value: Scalar) -> str:
    """A value as a condition writes it."""
    if isinstance(value, str):
        return _written(value)  # lists of thousands of texts are written often
    match value:
        case datetime():
            return f'time("{time_text(value)}")'
        case timedelta():
            for name, unit in _UNITS:
                if value % unit == timedelta():
                    return f"{name}({value // unit})"
            return f"seconds({value / timedelta(seconds=1):.6f})"
        case time():
            return f'clock("{value.isoformat("minutes" if not value.second else "seconds")}")'
        case _:
            return _written(value)


def shown(value: object) -> object:
    """A value as JSON can hold it: a time as a text, a duration and a time of day as conditions write them."""
    if isinstance(value, datetime):
        return time_text(value)
    return literal_text(value) if isinstance(value, timedelta | time) else value
