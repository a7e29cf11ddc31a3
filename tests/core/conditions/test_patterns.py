"""Glob and path patterns against a reference that is plain and slow, and in the worst case."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klausel.core.conditions.meanings import matches_glob, matches_path


def plain_glob(text: str, pattern: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(plain_glob(text[at:], pattern[1:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and plain_glob(text[1:], pattern[1:])


def plain_path(parts: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(plain_path(parts[at:], pattern[1:]) for at in range(len(parts) + 1))
    return bool(parts) and plain_glob(parts[0], pattern[0]) and plain_path(parts[1:], pattern[1:])


@given(st.text("ab", max_size=8), st.text("ab*?", max_size=6))
def test_globs_match_as_the_plain_reference_does(text: str, pattern: str) -> None:
    assert matches_glob(text, pattern) == plain_glob(text, pattern)


parts = st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=5)
patterns = st.lists(st.sampled_from(["a", "b", "*", "**", "a*", "?", ""]), max_size=5)


@given(parts, patterns)
def test_paths_match_as_the_plain_reference_does(text: list[str], pattern: list[str]) -> None:
    joined_text, joined_pattern = "/".join(text), "/".join(pattern)
    expected = plain_path(joined_text.split("/"), joined_pattern.split("/"))
    assert matches_path(joined_text, joined_pattern) == expected


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("/teams/red/files/a/b.txt", "/teams/*/files/**", True),
        ("/teams/red/files", "/teams/*/files/**", True),
        ("/teams/red/blue/files", "/teams/*/files/**", False),
        ("/teams/red", "/teams/r*", True),
        ("/teams/red/x", "/teams/r*", False),
        ("a/b/c", "**", True),
        ("", "**", True),
        ("a/b", "*", False),
        ("ab", "a**b", True),
    ],
)
def test_stars_stay_inside_a_part_and_two_stars_go_over_parts(text: str, pattern: str, expected: bool) -> None:
    assert matches_path(text, pattern) is expected


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("draft-1", "draft-*", True),
        ("a.b", "a?b", True),
        ("ab", "a?b", False),
        ("[a]", "[a]", True),
        ("", "*", True),
        ("", "?", False),
    ],
)
def test_globs_have_two_signs_and_no_more(text: str, pattern: str, expected: bool) -> None:
    assert matches_glob(text, pattern) is expected


def test_the_worst_pattern_takes_time_in_proportion_to_text_and_pattern() -> None:
    start = time.perf_counter()
    assert not matches_glob("a" * 5_000, "*a" * 200 + "b")
    assert not matches_path("a/" * 2_000, "**/a/" * 100 + "b")
    assert not matches_path("/".join(["a" * 50] * 100), "**/" + "*a" * 20 + "b")
    assert time.perf_counter() - start < 20
