"""Long words on pages break between their parts alone."""

import pytest

from klausel.core.analysis.page_style import html_words

DAY = '<span class="day">2026-03-01</span>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("short/one", "short/one"),
        ("policies/features/pins.yaml:9", "policies/<wbr>features/<wbr>pins.<wbr>yaml:<wbr>9"),
        ("2026-03-01T12:00:00Z", f"{DAY}T<wbr>12:<wbr>00:<wbr>00Z"),
        ("until-2026-03-01-at-noon", f"until-<wbr>{DAY}-<wbr>at-<wbr>noon"),
        ("12026-03-01-is-no-day", "12026-<wbr>03-<wbr>01-<wbr>is-<wbr>no-<wbr>day"),
        ("a<b>c&d@example.example", "a&lt;b&gt;c&amp;d@<wbr>example.<wbr>example"),
    ],
)
def test_a_long_word_breaks_between_its_parts(text: str, html: str) -> None:
    assert html_words(text) == html
