"""Patterns of conditions as regular expressions that SQLite (through Python), PostgreSQL and Django all read alike."""

from __future__ import annotations

import re


def pattern_of(matcher: str, pattern: str) -> str:
    """The regular expression that finds itself in exactly the texts that match the pattern as a whole."""
    body = _glob(pattern, ".") if matcher == "matches_glob" else _path(pattern.split("/"))
    # A newline is a character like others, and the end is the very end.
    return rf"(?s)\A(?:{body})\Z"


def _glob(pattern: str, any_character: str) -> str:
    signs = {"*": f"{any_character}*", "?": any_character}
    return "".join(signs.get(character) or re.escape(character) for character in pattern)


def _path(segments: list[str]) -> str:
    rest = "".join(r"(?:/[^/]*)*" if segment == "**" else "/" + _glob(segment, "[^/]") for segment in segments[1:])
    if segments[0] != "**":
        return _glob(segments[0], "[^/]") + rest
    later = next((number for number, segment in enumerate(segments) if segment != "**"), None)
    if later is None:
        return ".*"
    return rf"(?:[^/]*(?:/[^/]*)*/)?{_path(segments[later:])}"
