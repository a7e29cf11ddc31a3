"""Where a cursor stands in a YAML file that somebody is typing, and that need not be readable yet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from klausel.core.loading.file_schema import (
    FILES,
    Entries,
    Key,
    ListOf,
    OneOrMore,
    OneText,
    Table,
    Texts,
    TextsOrEntries,
    Value,
)

_LINE = re.compile(
    r"""(?P<indent>[ ]*)(?P<dashes>(?:-[ ]+|-$)*)
    (?:(?P<key>[^\s:#\[{"'][^:#]*?|"[^"]*"|'[^']*')\s*:(?=\s|$)\s*)?(?P<rest>.*)""",
    re.VERBOSE,
)
_ITEM = ""
"""Stands in a path for one of a list."""


@dataclass(frozen=True, slots=True)
class Spot:
    """What may stand at a cursor: a key of `table`, a name of `entries`, or a value.

    `path` are the keys above, `siblings` the texts of the keys beside it, and `typed` what stands from `start` (a column,
    counted from 0) to the cursor.
    """

    value: Value | None
    is_key: bool
    typed: str
    start: int
    path: tuple[str, ...]
    siblings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def table(self) -> Table | None:
        """The table of which a key may stand here."""
        return self.value if self.is_key and isinstance(self.value, Table) else None

    @property
    def key(self) -> Key | None:
        """The key that stands here, whole."""
        return self.table.key(self.typed) if self.table else None


@dataclass(frozen=True, slots=True)
class _Row:
    """A line taken apart; `column` is where its key or text begins, `dashes` are the columns of its dashes."""

    column: int
    dashes: tuple[int, ...]
    key: str | None
    rest: str
    rest_column: int

    @property
    def is_blank(self) -> bool:
        return self.key is None and not self.rest.strip() and not self.dashes


def spot_at(text: str, kind: str, line: int, column: int) -> Spot:
    """The spot of a cursor in a file of a kind that `FILES` has; line and column count from 0."""
    lines = text.split("\n")
    rows = [_row(one) for one in lines]
    here = _row(lines[line][:column]) if line < len(lines) else _row("")
    path = list(_path_above(rows, line, here))
    siblings = _siblings(rows, line, here)
    inside, is_flow_key, typed, start = _in_brackets(here)
    if here.key is not None:
        path.append(here.key)
    path += inside
    if inside and any(inside):
        siblings = {**siblings, **_siblings_in_brackets(lines[line])}
    is_key = is_flow_key if inside or _opens(here) else here.key is None
    value = _value(FILES[kind], path)
    if is_key and isinstance(value, ListOf | OneOrMore | Texts | OneText):
        # A text of a list, or one that goes on from the line above.
        is_key = False
    return Spot(value, is_key, typed, start, tuple(path), siblings)


def _row(line: str) -> _Row:
    match = _LINE.fullmatch(line)
    if match is None or line.lstrip().startswith("#"):
        return _Row(len(line) - len(line.lstrip()), (), None, "", len(line))
    dashes = tuple(match.start("dashes") + at for at, sign in enumerate(match["dashes"]) if sign == "-")
    key = match["key"].strip("\"'") if match["key"] is not None else None
    column = match.start("key") if key is not None else match.start("rest")
    return _Row(column, dashes, key, match["rest"], match.start("rest"))


def _path_above(rows: Sequence[_Row], line: int, here: _Row) -> Iterator[str]:
    """The keys above a line, the outermost first, with an empty one for each list."""
    found: list[str] = []
    column = here.column
    in_list: int | None = None
    if here.dashes:
        found += [_ITEM] * len(here.dashes)
        in_list = here.dashes[0]
    for row in reversed(rows[:line]):
        if row.is_blank or (row.key is None and not row.dashes):
            continue
        if in_list is not None:
            if (row.dashes and row.dashes[0] >= in_list) or row.column > in_list or row.key is None:
                continue
            found.append(row.key)
            column, in_list = row.column, None
        elif row.column > column or (row.key is None and row.dashes):
            continue
        elif row.column < column:
            if row.key is None:
                continue
            found.append(row.key)
            column = row.column
        if row.dashes:
            found += [_ITEM] * len(row.dashes)
            in_list = row.dashes[0]
    return reversed(found)


def _siblings(rows: Sequence[_Row], line: int, here: _Row) -> dict[str, tuple[str, ...]]:
    """The keys of the mapping that a line is in, with the texts behind them."""
    found: dict[str, tuple[str, ...]] = {}
    column = here.column
    above = range(line, -1, -1)
    for number in above:
        row = here if number == line else rows[number]
        if row.is_blank:
            continue
        if row.column < column:
            break
        if row.column == column and row.key is not None:
            found[row.key] = _words(rows, number)
        if row.column == column and row.dashes:
            break
    for number in range(line + 1, len(rows)):
        row = rows[number]
        if row.is_blank:
            continue
        if row.column < column or (row.dashes and row.dashes[-1] < column):
            break
        if row.column == column and row.key is not None:
            found[row.key] = _words(rows, number)
    return found


def _words(rows: Sequence[_Row], number: int) -> tuple[str, ...]:
    """The texts behind a key: on its line, or in the list below it."""
    row = rows[number]
    rest = re.sub(r"\s+#.*", "", row.rest).strip()
    if rest:
        return tuple(part.strip().strip("\"'") for part in rest.strip("[]").split(",") if part.strip())
    found = []
    for below in rows[number + 1 :]:
        if below.is_blank:
            continue
        if not below.dashes or below.key is not None or below.dashes[0] < row.column:
            break
        found.append(re.sub(r"\s+#.*", "", below.rest).strip().strip("\"'"))
    return tuple(found)


def _opens(row: _Row) -> bool:
    return row.rest.startswith(("{", "["))


def _in_brackets(here: _Row) -> tuple[list[str], bool, str, int]:
    """The path inside of the brackets of a line, whether a key is typed there, and what is typed, with its column."""
    rest = here.rest
    if not _opens(here):
        quote = 1 if rest[:1] in ("'", '"') else 0
        return [], False, rest[quote:], here.rest_column + quote
    path: list[str] = []
    start = 0
    quoted = ""
    for at, sign in enumerate(rest):
        if quoted:
            quoted = "" if sign == quoted else quoted
        elif sign in "\"'" and not rest[start:at].strip():
            quoted, start = sign, at + 1
        elif sign in "[{":
            path.append(_ITEM if sign == "[" else "{")
            start = at + 1
        elif sign in "]}":
            while path and path[-1] not in (_ITEM, "{"):
                path.pop()
            path = path[:-1]
            start = at + 1
        elif sign == ":" and path and path[-1] == "{" and rest[at + 1 : at + 2] in (" ", ""):
            path.append(f":{rest[start:at].strip()}")
            start = at + 1
        elif sign == ",":
            if path and path[-1].startswith(":"):
                path.pop()
            start = at + 1
    while start < len(rest) and rest[start] == " ":
        start += 1
    is_key = bool(path) and path[-1] == "{"
    inside = [part.removeprefix(":") for part in path if part != "{"]
    return inside, is_key, rest[start:], here.rest_column + start


def _siblings_in_brackets(line: str) -> dict[str, tuple[str, ...]]:
    """The keys in the brackets of one line, with their texts."""
    pairs = re.findall(r"([\w.]+)\s*:\s+(\[[^\]]*\]|[^,{}\[\]]+)", line)
    return {key: tuple(part.strip() for part in value.strip("[]").split(",")) for key, value in pairs}


def _value(value: Value, path: Sequence[str]) -> Value | None:
    """What stands behind a path; None where a key is not known."""
    for step in path:
        match value:
            case Table():
                key = value.key(step)
                if key is None:
                    return None
                value = key.value
            case Entries():
                value = value.value
            case ListOf(kinds):
                value = kinds[0]
            case OneOrMore(text, table):
                if step != _ITEM:
                    key = table.key(step)
                    if key is None:
                        return None
                    value = key.value
                else:
                    value = text
            case TextsOrEntries(texts, entries):
                value = texts if step == _ITEM else entries.value
            case Texts() | OneText():
                if step != _ITEM:
                    return None
            case _:
                return None
    return value
