"""Reading CSV (RFC 4180) into fields that know their place."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from klausel.core.terms.problem import Place, Problem
from klausel.core.text.other_formats import problem_of_csv_format
from klausel.core.text.source_map import places_of_csv_field
from klausel.core.text.yaml_nodes import Text

_UNQUOTED = re.compile(r'[^,"\r\n]*')
_QUOTED = re.compile(r'"([^"]*(?:""[^"]*)*)"')
_BLANKS = re.compile(r"[ \t]*")
_COMMENT_HINT = 'put the comment on a line of its own, or the field in "quotes"'


@dataclass(frozen=True, slots=True)
class Line:
    """A row, or a comment, or the problem of a row; nothing of these for an empty line."""

    row: list[Text] = field(default_factory=list)
    comment: str = ""
    problem: Problem | None = None


def sentence_of(error: csv.Error) -> str:
    """What the CSV module of Python cannot read, with how to fix it."""
    if "new-line character" in str(error):
        return "a carriage return stands without a line feed; save the file with Unix line ends (LF)"
    return f"this is not CSV: {error}; put fields with commas or quotes in quotes, and double the quotes inside"


def read_csv(text: str, file: str) -> tuple[list[list[Text]], list[Problem]]:
    """The rows of a CSV file, with every problem found; a row with a problem is left out. Never raises.

    Blanks around fields do not count. A line that starts with `#` is a comment, an empty line is nothing. Line ends are
    LF or CRLF; `klausel.core.text.decoding` refuses others.
    """
    lines = list(lines_of_csv(text, file))
    return [line.row for line in lines if line.row], [line.problem for line in lines if line.problem is not None]


def lines_of_csv(text: str, file: str) -> Iterator[Line]:
    """Each line of a CSV file, and each row that goes over several, in order; never raises."""
    other = problem_of_csv_format(text, file)
    if other is not None:
        yield Line(problem=other)
        return
    position = 0
    line = 1
    while position < len(text):
        end = _end_of_line(text, position)
        whole_line = text[position:end].strip()
        if not whole_line or whole_line.startswith("#"):
            yield Line(comment=whole_line)
        else:
            row, after, problem = _row(text, position, file, line)
            yield Line(row) if problem is None else Line(problem=problem)
            end = _end_of_line(text, after)
        line += text.count("\n", position, end) + 1
        position = end + 1


def _row(text: str, start: int, file: str, line: int) -> tuple[list[Text], int, Problem | None]:
    """The fields from `start` to the end of the record, where to read on, and the first problem."""
    row: list[Text] = []
    position = start
    line_start = start
    over_lines: tuple[Place, int] | None = None
    while True:
        position = _skip_blanks(text, position)
        place = Place(file, line, position - line_start + 1)
        if text.startswith('"', position):
            match = _QUOTED.match(text, position)
            if match is None:
                return row, position, Problem(place, "csv-quoting", "the quoted field is not closed", 'end it with "')
            value = match[1].replace('""', '"')
            is_exact = value == match[1] and "\n" not in value
            inside = Place(file, line, place.column + 1)
            row.append(Text(value, inside, () if is_exact else places_of_csv_field(match[0], value, place)))
            if "\n" in value:
                over_lines = over_lines or (place, position)
                line += value.count("\n")
                line_start = match.start() + match[0].rfind("\n") + 1
            position = _skip_blanks(text, match.end())
        else:
            match = _UNQUOTED.match(text, position)
            value = match.group().rstrip(" \t") if match else ""
            if "#" in value:
                return row, position, _comment(Place(file, line, place.column + value.index("#")))
            row.append(Text(value, place))
            position = match.end() if match else position
        if position >= len(text) or text.startswith(("\n", "\r\n"), position):
            return row, position, None
        if text[position] != ",":
            place = Place(file, line, position - line_start + 1)
            if over_lines:
                message = (
                    "the quoted field that starts here goes on over the end of the line, to a quote that does not end it"
                )
                return row, over_lines[1], Problem(over_lines[0], "csv-quoting", message, 'end it with "')
            if text[position] == "#":
                return row, position, _comment(place)
            hint = 'put the whole field in "quotes" and write a quote inside it twice'
            return row, position, Problem(place, "csv-quoting", "a quote stands inside or behind a field", hint)
        position += 1


def _comment(place: Place) -> Problem:
    return Problem(place, "csv-comment", "a comment stands behind values", _COMMENT_HINT)


def _skip_blanks(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position


def _end_of_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end
