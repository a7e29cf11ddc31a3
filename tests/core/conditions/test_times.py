"""Times are instants, whatever zone they were written in; the clock is an argument; zones know summer time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from klausel.core.conditions.parser import parse_condition
from klausel.core.conditions.tokens import ExpressionFault
from klausel.core.conditions.tree import Condition, evaluate, negate
from klausel.core.conditions.values import read_time
from klausel.core.terms.request import Action, Request, Resource, Subject, asked_at

NOT = {True: False, False: True, None: None}
NOW = datetime.fromisoformat("2026-05-31T23:30:00-05:00")


def parse(text: str) -> Condition:
    return parse_condition(text, lambda name: None, {})


def truth(
    text: str, now: datetime | None = NOW, context: dict[str, object] | None = None, **resource: object
) -> bool | None:
    request = Request(Subject("user", "ann"), Action("view"), Resource("doc", "d1", resource), context or {})
    found = evaluate(parse(text), asked_at(request, now))
    assert evaluate(negate(parse(text)), asked_at(request, now)) is NOT[found]
    return found


@pytest.mark.parametrize(
    ("expires", "expected"),
    [
        ("2026-06-01T00:00:00Z", False),
        ("2026-06-01T04:30:00Z", False),
        ("2026-06-01T04:30:00.000001Z", True),
        ("2026-06-01t04:31:00z", True),
        ("2026-06-01T06:31:00+02:00", True),
        ("2026-05-31T23:59:00-05:00", True),
        ("2026-06-01T04:30:01.123456789Z", True),
        ("2026-06-01T04:30:590Z", None),
        ("2026-06-01T04:30:0000Z", None),
        ("2026-06-01T04:30:01.Z", None),
        ("2026-06-01T04:30:01", None),
        ("2026-06-01", None),
        ("06/01/2027", None),
        ("tomorrow", None),
        ("2026-02-30T00:00:00Z", None),
        ("2026-06-01T24:00:00Z", None),
        ("2026-06-01T00:00:00+25:00", None),
        ("9999-12-31T23:59:59-23:00", None),
        (1_780_000_000, None),
        (None, None),
        (["2026-06-01T04:31:00Z"], None),
    ],
)
def test_instants_are_compared_not_letters(expires: object, expected: bool | None) -> None:
    assert truth("context.now < resource.expires", expires=expires) is expected
    assert truth("resource.expires > context.now", expires=expires) is expected
    assert truth("context.now < time(resource.expires)", expires=expires) is expected


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">="])
def test_two_texts_that_are_not_declared_never_come_in_any_order(sign: str) -> None:
    early, late = "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"
    for one, other in ((early, late), (late, early), (early, early)):
        assert truth(f"resource.a {sign} resource.b", a=one, b=other) is None
    assert truth("time(resource.a) < resource.b", a=early, b=late) is True


def test_without_a_clock_everything_about_it_is_unknown() -> None:
    assert truth('context.now < time("2030-01-01T00:00:00Z")', now=None) is None
    assert truth('weekday(context.now, "UTC") == "monday"', now=None) is None


def test_what_a_caller_sends_as_now_is_never_read() -> None:
    sent: dict[str, object] = {"now": "2020-01-01T00:00:00Z"}
    assert truth('context.now < time("2021-01-01T00:00:00Z")', context=sent) is False
    assert truth('context.now < time("2021-01-01T00:00:00Z")', now=None, context=sent) is None


@pytest.mark.parametrize(
    ("text", "created", "expected"),
    [
        ("context.now - resource.created < days(30)", "2026-05-02T04:30:00Z", False),
        ("context.now - resource.created < days(30)", "2026-05-02T04:30:01Z", True),
        ("context.now - resource.created <= days(30)", "2026-05-02T04:30:00Z", True),
        ("context.now - resource.created < hours(1.5)", "2026-06-01T03:00:01Z", True),
        ("context.now - resource.created < minutes(90)", "2026-06-01T03:00:00Z", False),
        ("resource.created - context.now > seconds(0)", "2026-06-01T04:30:00.5Z", True),
        ("context.now - resource.created < days(resource.most)", "2026-05-02T04:30:01Z", True),
        ("context.now - resource.created < days(30)", "2026-05-02", None),
    ],
)
def test_differences_are_durations(text: str, created: str, expected: bool | None) -> None:
    assert truth(text, created=created, most=30) is expected


@pytest.mark.parametrize("most", ["30", None, True, float("inf"), 1e300])
def test_a_duration_of_something_else_than_a_number_is_unknown(most: object) -> None:
    assert truth("context.now - resource.created < days(resource.most)", created="2026-05-02T04:30:01Z", most=most) is None


@pytest.mark.parametrize(
    ("moment", "day", "clock"),
    [
        ("2026-03-29T00:59:59Z", "sunday", "01:59:59"),  # the hour from two to three is left out in Berlin
        ("2026-03-29T01:00:00Z", "sunday", "03:00"),
        ("2026-10-25T00:30:00Z", "sunday", "02:30"),  # and comes twice in autumn
        ("2026-10-25T01:30:00Z", "sunday", "02:30"),
        ("2026-06-07T22:00:00Z", "monday", "00:00"),
    ],
)
def test_zones_know_summer_time(moment: str, day: str, clock: str) -> None:
    now = datetime.fromisoformat(moment)
    assert truth(f'weekday(context.now, "Europe/Berlin") == "{day}"', now=now) is True
    assert truth(f'time_of_day(context.now, "Europe/Berlin") == clock("{clock}")', now=now) is True
    assert truth(f'time_of_day(context.now, "Europe/Berlin") < clock("{clock}")', now=now) is False
    assert truth(f'clock("{clock}") >= time_of_day(context.now, "Europe/Berlin")', now=now) is True


def test_opening_hours_may_come_from_the_resource() -> None:
    text = 'time_of_day(context.now, "America/New_York") >= resource.opens'
    now = datetime(2026, 1, 5, 14, 0, tzinfo=UTC)  # nine o'clock there
    assert [truth(text, now=now, opens=opens) for opens in ("09:00", "09:01", "9:00", 9, None)] == [
        True, False, None, None, None
    ]  # fmt: skip


def test_the_zone_may_come_from_what_is_sent() -> None:
    now = datetime(2026, 1, 5, 14, 0, tzinfo=UTC)
    zones = ("America/New_York", "Europe/Berlin", "Nowhere/At_all", "../../etc/hosts", "\0", "x" * 65_000, "", 5, None)
    for text in (
        'time_of_day(context.now, resource.zone) == clock("09:00")',
        'weekday(context.now, resource.zone) == "tuesday"',
    ):
        found = [truth(text, now=now, zone=zone) for zone in zones]
        assert found == ["clock" in text, False, *[None] * 7]


@pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_the_ends_of_the_calendar_do_not_fail(moment: datetime) -> None:
    for zone in ("Pacific/Auckland", "America/New_York"):
        truth(f'weekday(context.now, "{zone}") == "monday"', now=moment)
    assert truth("context.now - resource.a < days(1)", now=moment, a="5000-01-01T00:00:00Z") in (True, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('resource.amount > "1000"', "write the number without quotes: 1000"),
        ('resource.at < "2026-12-31T00:00:00Z"', 'write time("2026-12-31T00:00:00Z")'),
        ('"09:30" <= resource.at', 'write clock("09:30")'),
        ('resource.name < "m"', "compare texts with =="),
        ("subject.id >= resource.first", "compare texts with =="),
    ],
)
def test_texts_in_order_are_refused_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ExpressionFault) as caught:
        parse(text)
    assert caught.value.id == "ordered-texts"
    assert said in caught.value.hint


def test_a_time_is_read_to_the_microsecond_in_any_zone() -> None:
    assert read_time("2026-06-01T00:00:00.1234567-05:30") == datetime(2026, 6, 1, 5, 30, 0, 123456, tzinfo=UTC)
    assert read_time("0001-01-01T00:00:00+14:00") is None
    assert read_time(datetime(2026, 1, 1)) is None
    assert timedelta(0) == read_time("2026-01-01T00:00:00-00:00") - datetime(2026, 1, 1, tzinfo=UTC)  # type: ignore[operator]
