"""Moments as people write them."""

import pytest

from klausel.core.terms.moment import moment_text, read_moment


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-03-01", "2026-03-01T00:00:00.000000Z"),
        ("2026-03-01T12:00", "2026-03-01T12:00:00.000000Z"),
        ("2026-03-01T12:00:30", "2026-03-01T12:00:30.000000Z"),
        ("2026-03-01T12:00:30.25Z", "2026-03-01T12:00:30.250000Z"),
        ("2026-03-01T12:00:30+01:00", "2026-03-01T11:00:30.000000Z"),
        ("2026-03-01T00:30-02:00", "2026-03-01T02:30:00.000000Z"),
        ("1970-01-01", "1970-01-01T00:00:00.000000Z"),
        ("1899-12-31T23:59:59.999999Z", "1899-12-31T23:59:59.999999Z"),
        ("0001-01-01", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_date_is_its_first_moment_and_a_time_is_in_utc_unless_it_says_otherwise(written: str, meant: str) -> None:
    assert moment_text(read_moment(written)) == meant
    assert read_moment(moment_text(read_moment(written))) == read_moment(written)


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-03", "20260301", "2026-W10-1", "2026-02-30", "2026-03-01 12:00", "2026-03-01T25:00", "2026-03-01T12",
     "2026-03-01T12:00:00.1234567", "2026-03-01T12:00+25:00", "2026-03-01\n", "٢٠٢٦-٠٣-٠١", "2026-03-01T12:00z"],
)  # fmt: skip
def test_anything_else_is_refused_with_a_sentence_that_says_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="write 2026-03-01"):
        read_moment(text)
