"""Escaping of what is shown: nothing moves a cursor, forges a line or hides, and CSV gives every text back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klausel.core.terms.escaping import read_written, shown, shown_in_json, written

TEXTS = st.text(st.characters() | st.sampled_from("\\u{}5c\x1b\n\u202e\u200b\x9b\u2028\U000e0001"))


@pytest.mark.parametrize(
    ("text", "is_shown_as"),
    [
        ("user:ann", "user:ann"),
        ("Zoë Łukasz 李 😀", "Zoë Łukasz 李 😀"),
        ("a\x1b[31mb", "a\\u{1b}[31mb"),
        ("a\nb\r\u0085\u2028", "a\\u{a}b\\u{d}\\u{85}\\u{2028}"),
        ("a\u202eb\u200bc\ufeff\u2066", "a\\u{202e}b\\u{200b}c\\u{feff}\\u{2066}"),
        ("\x9b\U000e0001\ud800\u00a0", "\\u{9b}\\u{e0001}\\u{d800}\\u{a0}"),
    ],
)
def test_what_does_not_show_is_escaped(text: str, is_shown_as: str) -> None:
    assert shown(text) == is_shown_as
    assert shown(is_shown_as) == is_shown_as


@given(TEXTS)
def test_what_is_shown_is_one_line_of_signs_that_show(text: str) -> None:
    assert shown(text).isprintable()
    assert written(text).isprintable()


@given(TEXTS)
def test_every_text_is_read_back(text: str) -> None:
    assert read_written(written(text)) == text


@given(st.dictionaries(TEXTS, TEXTS))
def test_json_keeps_its_meaning(value: dict[str, str]) -> None:
    for indent in (None, 2):
        text = shown_in_json(json.dumps(value, ensure_ascii=False, indent=indent))
        assert text.replace("\n", "").isprintable()
        assert json.loads(text) == value
