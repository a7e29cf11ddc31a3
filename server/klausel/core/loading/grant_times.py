"""Reading from when and until when a grant holds; that is a part of its condition, so whatever knows conditions knows it."""

from __future__ import annotations

import re
from datetime import datetime

from klausel.core.conditions.tree import AnyOf, Condition
from klausel.core.conditions.values import read_time
from klausel.core.loading.fields import ProblemList
from klausel.core.text.yaml_nodes import Fields, Text

_DATE_FIRST = re.compile(r"\d{4,}-\d+-\d+")
_BOUNDS = (("from", ">="), ("until", "<"))


def read_times(fields: Fields, problems: ProblemList) -> list[tuple[Text, str]]:
    """What `from` and `until` of a grant ask of the time, each where it stands; problems for what is no time.

    `from` is the first instant at which it holds, `until` the first at which it no longer does; one that is not later is
    a problem, too.
    """
    found: list[tuple[Text, str, datetime]] = []
    for key, operator in _BOUNDS:
        text = problems.text(fields.get(key), key)
        time = read_time(text.value) if text is not None else None
        if text is not None and time is None:
            problems.add(text.place, "wrong-kind", f'{key} "{text.value}" is no time', _how_to_write(text.value))
        if text is not None and time is not None:
            found.append((text, f'context.now {operator} time("{text.value}")', time))
    if len(found) == 2 and found[0][2] >= found[1][2]:
        message = "the grant ends before it starts, so it would hold at no time"
        problems.add(found[1][0].place, "ends-before-it-starts", message, "write an `until` that is later than `from`")
    return [(text, part) for text, part, _ in found]


def _how_to_write(text: str) -> str:
    joined = "T".join(text.split(" ", 1))
    completed = [f"{joined}{rest}" for rest in ("T00:00:00Z", ":00Z", "Z", "")]
    if _DATE_FIRST.match(text) and not any(read_time(whole) for whole in (text, *completed)):
        return "there is no such day or time; look at the numbers, and write them as in 2026-03-01T12:00:00Z"
    example = next((whole for whole in completed if read_time(whole) is not None), "2026-03-01T12:00:00Z")
    return f"write date, time and zone: {example}" + (
        f", or with an offset {example[:-1]}+01:00" if example.endswith("Z") else ""
    )


def with_times(text: Text | None, condition: Condition | None, times: list[tuple[Text, str]]) -> str:
    """The text of the condition of a grant together with what is asked of the time; empty for neither."""
    value = text.value.strip() if text is not None else ""
    if times and isinstance(condition, AnyOf) and not value.isidentifier():
        value = f"({value})"
    return " and ".join([*([value] if value else []), *(part for _, part in times)])
