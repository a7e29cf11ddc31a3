"""The canonical form of any file of a policy set, and that of CSV: one blank behind each comma, quotes only where needed.

Scopes of grants that are written as they were before, `acme//workspace`, are written as they are today.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from klausel.core.formatting.yaml import format_yaml
from klausel.core.loading.file_schema import FILES
from klausel.core.loading.load import (
    CONDITIONS_FILE,
    FEATURES_FOLDER,
    INVARIANTS_FILE,
    PROPERTIES_FILE,
    PROVISIONING_FILE,
    ROLES_FILE,
    SourceFile,
    is_entity_file,
    is_test_file,
)
from klausel.core.policy.scope import AT_LEVEL, split_scope
from klausel.core.terms.problem import FormatLossError, PolicyError
from klausel.core.text.csv_rows import Line, lines_of_csv
from klausel.core.text.decoding import decode

_KINDS = {
    ROLES_FILE: "roles",
    CONDITIONS_FILE: "conditions",
    PROPERTIES_FILE: "properties",
    INVARIANTS_FILE: "invariants",
    PROVISIONING_FILE: "provisioning",
}


def kind_of_file(name: str) -> str | None:
    """Which kind of YAML a file of a policy set holds, by its name inside the folder; None for one of another sort."""
    if name.startswith(FEATURES_FOLDER) and name.endswith(".yaml"):
        return "feature"
    if is_entity_file(name):
        return "entities"
    return "test" if is_test_file(name) else _KINDS.get(name)


def can_be_formatted(name: str) -> bool:
    """Whether a file of a policy set has a canonical form."""
    return kind_of_file(name) is not None or (name.startswith(FEATURES_FOLDER) and name.endswith(".csv"))


def format_file(file: SourceFile) -> bytes:
    """The canonical form of a file that has one.

    Raises `PolicyError` with the problems of a file that cannot be read, and `FormatLossError` rather than lose anything.
    """
    text, problems = decode(file.content, file.shown_as)
    if text is None or problems:
        raise PolicyError(problems)
    kind = kind_of_file(file.name)
    if kind is None:
        return format_csv(text, file.shown_as).encode()
    return format_yaml(text, FILES[kind], file.shown_as).encode()


_NEEDS_QUOTES = re.compile(r'[,"\n#]|^[ \t]|[ \t]$')


def format_csv(text: str, file: str) -> str:
    """The canonical form of a CSV file; rows, comments and their order stay.

    Raises `PolicyError` where it cannot be read, and `FormatLossError` rather than give a text that says anything else.
    """
    text = text.replace("\r\n", "\n")
    lines = list(lines_of_csv(text, file))
    problems = [line.problem for line in lines if line.problem is not None]
    if problems:
        raise PolicyError(problems)
    written: list[str] = []
    for line in lines:
        written += [_written(line)] if line.row or line.comment or written[-1:] not in ([], [""]) else []
    while written[-1:] == [""]:
        written.pop()
    result = "".join(f"{line}\n" for line in written)
    if _said(lines_of_csv(result, file)) != [(comment, _today(row)) for comment, row in _said(lines)]:
        raise FormatLossError("its canonical form would not say the same")
    return result


def _said(lines: Iterable[Line]) -> list[tuple[str, list[str]]]:
    """The comments and the rows, in order."""
    return [(line.comment, [field.value for field in line.row]) for line in lines if line.comment or line.row]


def _written(line: Line) -> str:
    """A line as it is to be; empty for an empty one."""
    if line.comment:
        return line.comment
    fields = [_field(value) for value in _today([text.value for text in line.row])]
    return ", ".join(fields).rstrip() if len(fields) > 1 else (fields[0] or '""' if fields else "")


def _today(row: list[str]) -> list[str]:
    """A row with its scope written as it is today."""
    if row[:1] != ["p"] or len(row) < 3:
        return row
    place, level, _ = split_scope(row[2])
    return row if level is None else [*row[:2], f"{place}{AT_LEVEL}{level}", *row[3:]]


def _field(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if _NEEDS_QUOTES.search(value) else value
