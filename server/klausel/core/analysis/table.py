"""A table with facts above and notes below it, written as text, Markdown, CSV or HTML; line by line, as its rows come."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from klausel.core.analysis.page_style import FILTER, PAGE_STYLE, html_words, table_start

NO = "–"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table in sections, each with a heading (empty: none) and its rows.

    A cell that begins with `when` or holds a `;` says more than fits: it becomes a number, and its text a note below, but not
    in a table that `is_in_full`.
    `picture` is SVG for a page, which stands in it as it is. `nothing` is said in place of a table without rows.
    `legend` is asked for when all rows have been written, with the texts of all notes.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    columns: tuple[str, ...]
    sections: Iterable[tuple[str, Iterable[tuple[str, ...]]]]
    legend: Callable[[list[str]], Iterable[tuple[str, str]]]
    is_in_full: bool = False
    picture: Callable[[], Iterable[str]] | None = None
    nothing: str = "There is nothing to list."


@dataclass
class _Notes:
    is_in_full: bool = False
    texts: dict[str, int] = field(default_factory=dict)

    def short(self, cell: str) -> str:
        """A cell as it stands in the table."""
        if self.is_in_full:
            return cell
        if cell == "no":
            return NO
        first, semicolon, rest = cell.partition("; ")
        if semicolon and first == "yes":
            return f"yes [{self._number(rest)}]"
        return f"[{self._number(cell)}]" if semicolon or cell.startswith(("when ", "in ", "elsewhere ")) else cell

    def _number(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts) + 1)

    def lines(self) -> list[tuple[str, str]]:
        return [(f"[{number}]", text) for text, number in self.texts.items()]


def as_table(sheet: Sheet) -> Iterator[str]:
    """For a terminal: columns of equal width in each section."""
    notes = _Notes(sheet.is_in_full)
    yield sheet.title
    yield from (f"{name}: {value}" for name, value in sheet.facts)
    yield from sheet.remarks
    said: list[str] = []
    for heading, rows in _filled(sheet, said):
        yield ""
        short = [sheet.columns, *(tuple(map(notes.short, row)) for row in rows)]
        widths = [max(map(len, column)) for column in zip(*short, strict=True)]
        if heading:
            yield heading
        for row in short:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield from (line for text in said for line in ("", text))
    yield from _after(sheet, notes, "{} {}".format, "{}: {}".format)


def as_markdown(sheet: Sheet) -> Iterator[str]:
    """Tables of GitHub's Markdown."""
    notes = _Notes(sheet.is_in_full)
    yield f"# {_markdown(sheet.title)}"
    yield ""
    yield from (f"- {name}: `{value}`" for name, value in sheet.facts)
    for remark in sheet.remarks:
        yield ""
        yield _markdown(remark)
    said: list[str] = []
    for heading, rows in _filled(sheet, said):
        yield ""
        if heading:
            yield f"## {_markdown(heading)}"
            yield ""
        yield f"| {' | '.join(map(_markdown, sheet.columns))} |"
        yield "|---" * len(sheet.columns) + "|"
        for row in rows:
            yield f"| {' | '.join(_markdown(notes.short(cell)) for cell in row)} |"
    yield from (line for text in said for line in ("", _markdown(text)))
    yield from _after(
        sheet,
        notes,
        lambda number, text: f"- {number} {_markdown(text)}",
        lambda name, text: f"- `{name}`: {_markdown(text)}",
        "## ",
    )


def as_csv(sheet: Sheet) -> Iterator[str]:
    """The columns, and rows with every cell in full; the facts stand elsewhere, so that any program reads the rows."""
    yield csv_line(sheet.columns)
    for _, rows in sheet.sections:
        yield from map(csv_line, rows)


def as_json(sheet: Sheet) -> Iterator[str]:
    """One JSON object with a row a line, every cell in full, in the order of `columns`."""
    told = {"title": sheet.title, "facts": dict(sheet.facts), "remarks": sheet.remarks, "columns": sheet.columns}
    yield json.dumps({"version": 1, **told})[:-1] + ', "rows": ['
    before = ""
    for heading, rows in sheet.sections:
        for row in rows:
            if before:
                yield before + ","
            before = "  " + json.dumps({"section": heading, "cells": row})
    yield before
    yield "]}"


def as_html(sheet: Sheet) -> Iterator[str]:
    """One page that needs nothing else."""
    notes = _Notes(sheet.is_in_full)
    yield "<!doctype html>"
    yield f'<html lang="en"><head><meta charset="utf-8"><title>{html.escape(sheet.title)}</title>'
    # Line by line: a line end within a line is printed as a sign of one.
    yield from f"<style>{PAGE_STYLE}</style></head><body>".splitlines()
    yield f"<h1>{html.escape(sheet.title)}</h1><dl>"
    yield from (f"<dt>{html.escape(name)}</dt><dd><code>{html_words(value)}</code></dd>" for name, value in sheet.facts)
    yield "</dl>"
    yield from (f"<p>{html.escape(remark)}</p>" for remark in sheet.remarks)
    if sheet.picture is not None:
        svg = list(sheet.picture())
        yield from ("<h2>Roles</h2>", *svg) if svg else ()
    said: list[str] = []
    for heading, rows in _filled(sheet, said):
        if heading:
            yield f"<h2>{html.escape(heading)}</h2>"
        yield f"{table_start(len(sheet.columns))}<thead>" + _html_row(sheet.columns, "th") + "</thead><tbody>"
        for row in rows:
            yield _html_row(map(notes.short, row), "td")
        yield "</tbody></table>"
    yield from (f"<p>{html.escape(text)}</p>" for text in said)
    yield from _after(
        sheet,
        notes,
        lambda number, text: f"<p>{number} {html.escape(text)}</p>",
        lambda name, text: f"<p><code>{html.escape(name)}</code>: {html.escape(text)}</p>",
        "<h2>{}</h2>",
    )
    yield from FILTER.splitlines()
    yield "</body></html>"


FORMATS: dict[str, Callable[[Sheet], Iterator[str]]] = {
    "table": as_table,
    "markdown": as_markdown,
    "csv": as_csv,
    "json": as_json,
    "html": as_html,
}


def _filled(sheet: Sheet, said: list[str]) -> Iterator[tuple[str, Iterator[tuple[str, ...]]]]:
    """The sections that have rows; where none has, `said` gets what stands in their place."""
    is_empty = True
    for heading, some in sheet.sections:
        rows = iter(some)
        for first in rows:
            is_empty = False
            yield heading, chain((first,), rows)
    if is_empty and sheet.nothing:
        said.append(sheet.nothing)


def _after(
    sheet: Sheet,
    notes: _Notes,
    note: Callable[[str, str], str],
    term: Callable[[str, str], str],
    heading: str = "",
) -> Iterator[str]:
    legend = list(sheet.legend(list(notes.texts)))
    for title, lines in (
        ("Notes", [note(*line) for line in notes.lines()]),
        ("Conditions", [term(*line) for line in legend]),
    ):
        if lines:
            yield ""
            yield heading.format(title) if "{}" in heading else f"{heading}{title}"
            yield ""
            yield from lines


def _markdown(text: str) -> str:
    text = " ".join(text.split())
    # A bracket alone is none of a link, and these tables are read as they stand, too.
    return re.sub(r"[\\`*|<>]|\](?=\()|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)


def _html_row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html_words(cell)}</{tag}>" for cell in cells) + "</tr>"


def csv_line(cells: Iterable[str]) -> str:
    """A row of CSV, without its line end; no cell is one that a spreadsheet takes for a formula."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([_no_formula(cell) for cell in cells])
    return text.getvalue()


def _no_formula(cell: str) -> str:
    """A cell that a spreadsheet does not take for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
