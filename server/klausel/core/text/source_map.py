"""Where each character of a text stands in its file, when quoting, folding or indentation moves characters about."""

from __future__ import annotations

import re

from klausel.core.terms.problem import Place

_BLANKS = " \t\r\n"
_ESCAPE_DIGITS = {"x": 2, "u": 4, "U": 8}
_LINE_CONTINUATION = re.compile(r"\\\r?\n[ \t]*")


def places_of_flow(source: str, value: str, start: Place) -> tuple[Place, ...]:
    """The places of the characters of a plain or quoted YAML scalar, and of its end.

    `source` is its text in the file, quotes included, and `start` where that begins. Where the two do not fit
    together, which would be a mistake here, everything is said to be at the start.
    """
    quote = source[:1] if source[:1] in ("'", '"') else ""
    return _align(source, value, start, len(quote), quote)


def places_of_block(source: str, value: str, start: Place) -> tuple[Place, ...]:
    """The places of the characters of a YAML block scalar (`|` or `>`), and of its end; as `places_of_flow`."""
    return _align(source, value, start, source.find("\n") + 1, "")


def places_of_csv_field(source: str, value: str, start: Place) -> tuple[Place, ...]:
    """The places of the characters of a quoted CSV field, and of its end; as `places_of_flow`."""
    line, column = start.line, start.column + 1
    places = []
    for character in value:
        places.append(Place(start.file, line, column))
        line, column = (line + 1, 1) if character == "\n" else (line, column + (2 if character == '"' else 1))
    return (*places, Place(start.file, line, column))


def _align(source: str, value: str, start: Place, begin: int, quote: str) -> tuple[Place, ...]:
    """Walks along both texts; blanks of the value may stand for any run of blanks in the source, or for none."""
    offsets: list[int] = []
    at = begin
    for character in value:
        if character in _BLANKS and not source.startswith("\\", at):
            offsets.append(at)
            at += source.startswith(character, at)
            continue
        at = _skip_blanks(source, at, quote)
        offsets.append(at)
        width = _width(source, at, quote)
        if width == 1 and source[at : at + 1] != character:
            return (start,)
        at += width
    offsets.append(at)
    return _places_at(offsets, source, start)


def _skip_blanks(source: str, at: int, quote: str) -> int:
    while at < len(source):
        continuation = _LINE_CONTINUATION.match(source, at) if quote == '"' else None
        if continuation:
            at = continuation.end()
        elif source[at] in _BLANKS:
            at += 1
        else:
            break
    return at


def _width(source: str, at: int, quote: str) -> int:
    """How many characters of the source stand for one of the value."""
    if quote == "'" and source.startswith("''", at):
        return 2
    if quote == '"' and source.startswith("\\", at):
        return 2 + _ESCAPE_DIGITS.get(source[at + 1 : at + 2], 0)
    return 1


def _places_at(offsets: list[int], source: str, start: Place) -> tuple[Place, ...]:
    """The places of ascending offsets in a source that begins at `start`."""
    places = []
    line, line_start = start.line, 1 - start.column
    seen = 0
    for offset in offsets:
        newlines = source.count("\n", seen, offset)
        if newlines:
            line += newlines
            line_start = source.rfind("\n", seen, offset) + 1
        seen = max(seen, offset)
        places.append(Place(start.file, line, offset - line_start + 1))
    return tuple(places)
