"""Files that another program wrote, or that were meant for one: told as what they are, in one problem for the whole file."""

from __future__ import annotations

import re

from klausel.core.terms.problem import Place, Problem

_CONFLICT = re.compile(r"^(<{7} .*|={7}|>{7} .*|\|{7} .*)$", re.MULTILINE)
_LANGUAGES = (
    ("Rego", ("package ",), re.compile(r"^package [\w.]+\s*$", re.MULTILINE)),
    ("Cedar", ("permit", "forbid"), re.compile(r"^(@\w+\(.*\)\s*)*(permit|forbid)\s*\(", re.MULTILINE)),
    ("a policy of Cerbos", ("api.cerbos.dev",), re.compile(r"^apiVersion:\s*[\"']?api\.cerbos\.dev/", re.MULTILINE)),
    ("a schema of SpiceDB", ("definition ",), re.compile(r"^definition [\w/]+ \{", re.MULTILINE)),
    (
        "a model of OpenFGA",
        ("schema ", "relations"),
        re.compile(r"^model\s*\n\s+schema \d|^type \w+\s*\n\s+relations\b", re.MULTILINE),
    ),
    (
        "Polar",
        ("allow(", "has_permission(", "has_role("),
        re.compile(r"^(?:allow|has_permission|has_role)\(\w+", re.MULTILINE),
    ),
    ("a policy of Casbin in CSV", ("p, ",), re.compile(r"^p, *[^,:\n]+, *[^,:\n]+, *[^,:\n]+$", re.MULTILINE)),
    ("a model of Casbin", ("[request_definition]",), re.compile(r"^\[request_definition\]", re.MULTILINE)),
)
"""Each with parts of which one is in what it is known by, for they are found much sooner than that."""
_SIGNS_BETWEEN_FIELDS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_SLIP = re.compile(r"^(?P<before>\s*(?:- *)?)(?:(?P<key>\w+):(?=[^\s:/])|(?P<dash>-)(?=\w+:(\s|$)))", re.MULTILINE)


def problem_of_format(text: str, file: str) -> Problem | None:
    """The problem of a YAML file that a merge left in two, or that is another language's; None for others."""
    found = _conflict(text, file)
    if found is not None:
        return found
    for language, parts, mark in _LANGUAGES:
        match = mark.search(text) if any(part in text for part in parts) else None
        if match:
            hint = "write who may do what under `grants:`, as `allow: role`, `to: action`, `resource: type`"
            return Problem(
                _place(text, match.start(), file), "other-language", f"this is {language}, not a policy file", hint
            )
    return None


def problem_of_csv_format(text: str, file: str) -> Problem | None:
    """The problem of a CSV file that a merge left in two, or whose fields are put apart by another sign; None for others."""
    found = _conflict(text, file)
    if found is not None:
        return found
    rows = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for sign, name in _SIGNS_BETWEEN_FIELDS.items():
        if rows and all(sign in row and "," not in row.partition(sign)[0] for row in rows):
            hint = "put commas between them; in a spreadsheet, save as CSV with commas, in UTF-8"
            place = _place(text, text.index(rows[0]) + rows[0].index(sign), file)
            return Problem(place, "csv-separator", f"the fields of this file are put apart by {name}", hint)
    return None


def hint_on_blank(text: str, line: int) -> str | None:
    """What to write where a blank is missing behind a colon or a dash, in a line (counted from 1) or the one above it."""
    lines = text.splitlines()
    for number in (line, line - 1):
        match = _SLIP.match(lines[number - 1]) if 0 < number <= len(lines) else None
        if match is None:
            continue
        rest = lines[number - 1][match.end() :].strip()
        written = f"{match['key']}: {rest}" if match["key"] else f"- {rest}"
        sign = "colon" if match["key"] else "dash"
        return f"a blank is missing behind the {sign}{'' if number == line else f' in line {number}'}: write `{written}`"
    return None


def _conflict(text: str, file: str) -> Problem | None:
    if "<<<<<<<" not in text and ">>>>>>>" not in text:
        return None
    first = next((mark for mark in _CONFLICT.finditer(text) if mark[0][0] in "<>"), None)
    if first is None:
        return None
    hint = "keep what is right of the two sides, and delete the lines of signs (<<<<<<<, =======, >>>>>>>)"
    message = "a merge left both of its sides here, for somebody to choose"
    return Problem(_place(text, first.start(), file), "conflict-marker", message, hint)


def _place(text: str, offset: int, file: str) -> Place:
    return Place(file, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))
