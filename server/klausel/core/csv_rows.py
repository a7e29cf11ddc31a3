"""Reading CSV (RFC 4180) into fields that know their place."""

from __future__ import annotations

import re

from klausel.core.problem import Place, Problem
from klausel.core.yaml_nodes import Text

_UNQUOTED = re.compile(r'[^,"\r\n]*')
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def read_csv(text: str, file: str) -> tuple[list[list[Text]], list[Problem]]:
    """The rows of a CSV file, with every problem found; a row with a problem is left out.

    Blanks around unquoted fields do not count. A line that starts with `#` is a comment, an empty line is nothing.
    """
    rows: list[list[Text]] = []
    problems: list[Problem] = []
    position = 0
    line = 1
    while position < len(text):
        end = _end_of_line(text, position)
        whole_line = text[position:end]
        if not whole_line.strip() or whole_line.lstrip().startswith("#"):
            position, line = _next_line(text, end), line + 1
            continue
        row, after, problem = _row(text, position, file, line)
        if problem is None:
            rows.append(row)
        else:
            problems.append(problem)
            after = _end_of_line(text, max(after, position))
        line += text.count("\n", position, after) + 1
        position = _next_line(text, after)
    return rows, problems


def _row(text: str, start: int, file: str, line: int) -> tuple[list[Text], int, Problem | None]:
    """The fields from `start` to the end of the record, the position after them, and the first problem."""
    row: list[Text] = []
    position = start
    line_start = start
    while True:
        while position < len(text) and text[position] in " \t":
            position += 1
        place = Place(file, line, position - line_start + 1)
        if text.startswith('"', position):
            match = _QUOTED.match(text, position)
            if match is None:
                return row, position, Problem(place, "csv-quoting", "the quoted field is not closed", 'end it with "')
            row.append(Text(match[1].replace('""', '"'), Place(file, line, place.column + 1), '""' not in match[1]))
            if "\n" in match[0]:
                line += match[0].count("\n")
                line_start = match.start() + match[0].rfind("\n") + 1
            position = match.end()
            while position < len(text) and text[position] in " \t":
                position += 1
        else:
            match = _UNQUOTED.match(text, position)
            value = match.group().rstrip() if match else ""
            if "#" in value:
                hash_place = Place(file, line, place.column + value.index("#"))
                hint = 'put the comment on a line of its own, or the field in "quotes"'
                return row, position, Problem(hash_place, "csv-comment", "a comment stands behind values", hint)
            row.append(Text(value, place))
            position = match.end() if match else position
        if position >= len(text) or text[position] in "\r\n":
            return row, position, None
        if text[position] != ",":
            place = Place(file, line, position - line_start + 1)
            hint = 'put the whole field in "quotes" and write a quote inside it twice'
            return row, position, Problem(place, "csv-quoting", "a quote stands inside or behind a field", hint)
        position += 1


def _end_of_line(text: str, position: int) -> int:
    ends = [end for end in (text.find("\n", position), text.find("\r", position)) if end >= 0]
    return min(ends, default=len(text))


def _next_line(text: str, end: int) -> int:
    return end + 2 if text.startswith("\r\n", end) else end + 1
