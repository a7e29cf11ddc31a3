"""Lines of YAML that are indented like none above them: told by the numbers of the lines that they could belong to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_DASH = re.compile(r"- +")
_KEY_AND_VALUE = re.compile(r"[^\s'\"#{\[][^:#]*:\s+[^\s#|>]")
_NO_COLON = re.compile(r"[^\s'\"#{\[>|:][^:#]*")
_BRACKET_BEHIND_KEY = re.compile(r"\s*(- +)*[^\s'\":#{}\[\]-][^'\":#{}\[\]]* [{\[]")
_COMMENT_ELSEWHERE = re.compile(r"(//|/\*|--(?!-)|;|<!--|%)")


class Told(NamedTuple):
    """What is wrong and how to fix it, of which line (counted from 1)."""

    line: int
    what: str
    hint: str


def told_of_indentation(text: str, line: int) -> Told | None:
    """What is wrong with how a line is indented that does not belong to those above it; None where that is not it."""
    lines = text.splitlines()
    here = _indent(lines[line - 1])
    deeper: tuple[int, int] | None = None
    top = 0
    for number, starts in _above(lines, line):
        if here in starts:
            return _beside(line, lines[line - 1], number, starts, here)
        deeper = min(
            [*((indent, -number) for indent in starts if indent > here), *([deeper] if deeper else [])], default=None
        )
        if starts[0] > here:
            top = number
        elif deeper is None:
            return told_of_deeper_line(text, line, here + 1)
        elif _DASH.match(lines[line - 1], here) and top and not _DASH.match(lines[top - 1].lstrip()):
            what = f"a dash stands here, but none before the lines above it, from line {top} on"
            return Told(line, what, f"write the line that is missing there, or the dash: `- {lines[top - 1].strip()}`")
        else:
            spaces = f"{here} space{'' if here == 1 else 's'}"
            others = f"line {number} has {starts[0]}, line {-deeper[1]} has {deeper[0]}"
            what = f"this line is indented by {spaces}, like none above it: {others}"
            return Told(line, what, "indent it like the lines that it belongs to")
    return None


def _beside(line: int, written: str, number: int, starts: list[int], here: int) -> Told | None:
    """What is wrong with a line that is indented like one above it, where one of the two has a dash and the other none."""
    has_dash = _DASH.match(written, here) is not None
    if has_dash and here == starts[-1]:
        hint = "write the key that the list belongs to in a line above it, such as `grants:`; or remove the dash"
        return Told(line, f"a dash stands here, beside line {number} without one", hint)
    if not has_dash and here == starts[0] < starts[-1]:
        hint = f"indent it by {starts[1]}, to belong to line {number}; or start it with a dash"
        return Told(line, f"no dash stands here, beside line {number} with one", hint)
    return None


def told_of_no_key(text: str) -> Told | None:
    """What is wrong where the lines at the start are indented and stand under no key; None where they are not."""
    lines = text.splitlines()
    first = next((number for number, _ in enumerate(lines, 1) if _says_something(lines[number - 1])), None)
    if first is None or not _indent(lines[first - 1]):
        return None
    hint = "write that key in a line of its own above it, at the margin and with a colon; or move the lines to the margin"
    return Told(first, "this line is indented, but the key that it belongs to is missing above it", hint)


def told_of_deeper_line(text: str, line: int, column: int) -> Told | None:
    """What is wrong with a line below one that has a value already, or with a comment of another language; None else."""
    lines = text.splitlines()
    above = next(_above(lines, line), None)
    for number in (line, *([above[0]] if above else [])):
        mark = _COMMENT_ELSEWHERE.match(lines[number - 1].lstrip())
        if mark:
            return Told(number, f"`{mark[0]}` starts no comment here", "a comment starts with #")
    here = _indent(lines[line - 1])
    if above is None or ":" in lines[line - 1][here : column - 1]:
        return None
    number, starts = above
    if len(starts) > 1 and starts[-1] == here and _NO_COLON.fullmatch(lines[number - 1], starts[-1]):
        return told_of_no_colon(number)
    if starts[-1] < here and _KEY_AND_VALUE.match(lines[number - 1][starts[-1] :]):
        what = f"this line is indented deeper than line {number}, which has a value already"
        return Told(line, what, f"indent it by {starts[-1]}, like line {number}; a text with a colon in it stands in quotes")
    return None


def told_of_no_colon(line: int) -> Told:
    """What is wrong with a line whose key has no colon."""
    return Told(line, "this line has no colon", "write it as `key: value`")


def told_of_bracket_behind_key(text: str, line: int) -> Told | None:
    """What is wrong with a line where a bracket stands behind a key without a colon; None where none does."""
    return told_of_no_colon(line) if _BRACKET_BEHIND_KEY.match(text.splitlines()[line - 1]) else None


def _above(lines: list[str], line: int) -> Iterator[tuple[int, list[int]]]:
    """The lines above one that say something, the nearest first, each with where it starts: with a dash, and behind it."""
    for number in range(line - 1, 0, -1):
        if _says_something(lines[number - 1]):
            indent = _indent(lines[number - 1])
            starts = [indent]
            while dash := _DASH.match(lines[number - 1], starts[-1]):
                starts.append(dash.end())
            yield number, starts


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#") and line.rstrip() not in ("---", "...")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
