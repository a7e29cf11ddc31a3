"""Matching a text against a literal pattern, in time that is never more than pattern length times text length."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def matches_glob(text: str, pattern: str) -> bool:
    """Whether the whole text matches: `*` stands for any run of characters, `?` for exactly one."""
    return _matches(text, pattern, "*", lambda wanted, given: wanted in ("?", given))


def matches_path(text: str, pattern: str) -> bool:
    """Whether a `/`-separated text matches: `*` stands for one whole segment or a run within one, `**` for any segments."""
    return _matches(text.split("/"), pattern.split("/"), "**", lambda wanted, given: matches_glob(given, wanted))


def _matches(given: Sequence[str], pattern: Sequence[str], star: str, fits: Callable[[str, str], bool]) -> bool:
    """Greedy matching that goes back to the last star only, so it never explores more than one alternative."""
    at = 0
    position = 0
    star_at = -1
    resume = 0
    while position < len(given):
        if at < len(pattern) and pattern[at] == star:
            star_at, resume = at, position
            at += 1
        elif at < len(pattern) and fits(pattern[at], given[position]):
            at += 1
            position += 1
        elif star_at >= 0:
            resume += 1
            at, position = star_at + 1, resume
        else:
            return False
    return all(part == star for part in pattern[at:])
