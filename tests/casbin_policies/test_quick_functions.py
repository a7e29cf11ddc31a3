"""The functions that Casbin calls say what the one table of functions says, for values of every kind."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone
from datetime import time as clock

import pytest

from klausel.casbin_policies.condition_text import CASBIN_FUNCTIONS, attribute
from klausel.core.conditions.functions import FUNCTIONS, OPPOSITE, Function
from klausel.core.conditions.values import read_time
from klausel.enforcer.matcher.fold import JOINED


class Text(str):
    """What is a text by its class, though not by its type."""


NOON = datetime(2026, 12, 31, 12, tzinfo=UTC)
VALUES = (
    None, True, False, 0, 1, -1, 1.0, 0.5, float("nan"), float("inf"), "", "1", "open", "op", "2026-12-31T12:00:00Z",
    "2026-12-31T13:00:00+01:00", "2026-13-31T12:00:00Z", Text("open"), NOON, NOON.astimezone(timezone(timedelta(hours=1))),
    NOON.replace(tzinfo=None), NOON + timedelta(days=1), timedelta(1), timedelta(hours=24), timedelta(2), clock(9), clock(10),
    [], ["open"], ["open", 1], ["op", None], [1, True], (), ("open",), ("op", 1), [Text("open")], [float("nan")], {}, {"open": 1},
    object(),
)  # fmt: skip
PATTERNS = {"in_network": "10.0.0.0/8", "time_of_day": "Europe/Berlin", "weekday": "Europe/Berlin"}
ASKED = [entry for entry in FUNCTIONS.values() if entry.turned is None]


def arguments_of(entry: Function) -> list[tuple[object, ...]]:
    """All values for each argument; for one that is written in conditions a good one."""
    written = (PATTERNS.get(entry.name, "op*"),)
    return list(itertools.product(*(written if one.is_written else VALUES for one in entry.parameters)))


@pytest.mark.parametrize("entry", ASKED, ids=lambda entry: entry.in_casbin)
def test_a_function_in_casbin_says_what_the_table_says(entry: Function) -> None:
    function = CASBIN_FUNCTIONS[entry.in_casbin]
    for arguments in arguments_of(entry):
        meant = entry(*arguments)
        assert function(*arguments) == (meant is True if entry.gives == "truth" else meant), arguments
        if entry.gives == "truth" and entry.opposite is None:
            assert CASBIN_FUNCTIONS[OPPOSITE + entry.in_casbin](*arguments) is (meant is False), arguments


@pytest.mark.parametrize("name", ["is_less", "is_at_most", "is_greater", "is_at_least"])
def test_calls_that_are_made_one_say_what_they_say_one_by_one(name: str) -> None:
    compare, difference, read = (CASBIN_FUNCTIONS[one] for one in (name, "difference", "time"))
    of_difference = getattr(compare, JOINED)[0, difference]
    of_past = getattr(of_difference, JOINED)[1, read]
    ends = (
        None,
        1,
        "open",
        "2026-12-31T12:00:00Z",
        NOON,
        NOON.replace(tzinfo=None),
        NOON + timedelta(days=1),
        timedelta(1),
        [],
    )
    limits = (None, 1, True, "1", NOON, timedelta(), timedelta(1), timedelta(2), clock(9), [], object())
    for end, start, limit in itertools.product(ends, VALUES, limits):
        assert of_difference(end, start, limit) is compare(difference(end, start), limit), (end, start, limit)
        assert of_past(end, start, limit) is compare(difference(end, read(start)), limit), (end, start, limit)


def test_a_path_of_names_leads_into_mappings_and_nowhere_else() -> None:
    assert attribute({"a": {"b": 1}}, "a", "b") == 1
    assert attribute({"a": 1}, "a", "b") is attribute({"a": {}}, "a", "b") is attribute(None, "a") is None
    assert attribute({"a": ["b"]}, "a", "b") is attribute({}, "a", "b", "c") is None


def test_a_time_is_read_alike_the_first_time_and_later() -> None:
    for text in (value for value in VALUES if isinstance(value, str)):
        assert read_time(text) == read_time(text)
    assert read_time("2026-12-31T12:00:00Z") == NOON
    assert read_time("2026-12-31 12:00:00Z") is None
