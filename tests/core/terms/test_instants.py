"""Instants: one stored form, read strictly."""

from __future__ import annotations

import pytest

from klausel.core.terms.moment import instant_text, read_instant, seconds_of_instant


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"),
        ("2026-03-01t12:00:00z", "2026-03-01T12:00:00Z"),
        ("2026-03-01T13:00:00+01:00", "2026-03-01T12:00:00Z"),
        ("2026-02-28T23:30:00-05:00", "2026-03-01T04:30:00Z"),
        ("2026-03-01T12:00:00.000Z", "2026-03-01T12:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_an_instant_has_one_stored_form(text: str, stored: str) -> None:
    assert read_instant(text) == stored
    seconds = seconds_of_instant(stored)
    assert seconds is not None
    assert instant_text(seconds) == stored


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-01",
        "2026-03-01T12:00",
        "2026-03-01T12:00:00",
        "2026-03-01 12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T23:59:60Z",
        "2026-03-01T12:00:00+25:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "\u0662026-03-01T12:00:00Z",
        "tomorrow",
    ],
)
def test_what_could_be_read_in_two_ways_or_is_no_time_is_refused_with_its_cure(text: str) -> None:
    with pytest.raises(ValueError, match="write 2026-03-01T12:00:00Z"):
        read_instant(text)


def test_parts_of_a_second_are_refused_and_not_dropped() -> None:
    with pytest.raises(ValueError, match="write whole seconds"):
        read_instant("2026-03-01T12:00:00.5Z")


@pytest.mark.parametrize("stored", ["2026-03-01", "2026-03-01T12:00:00+00:00", "2026-13-01T12:00:00Z", "next week", "\0"])
def test_another_text_than_the_stored_form_is_no_instant(stored: str) -> None:
    assert seconds_of_instant(stored) is None
