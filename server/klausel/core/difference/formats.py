"""A difference for a terminal, for a comment on a pull request, as a page of its own, and as the few rows of another page."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from klausel.core.analysis.page_style import FILTER, PAGE_STYLE, html_words
from klausel.core.difference.report import (
    DifferenceReport,
    Entry,
    commits,
    entries,
    headline,
    note_on_models,
    note_on_people,
    notes,
    rules_in_words,
    where_in_words,
    who_in_words,
)
from klausel.core.terms.escaping import shown

Paint = Callable[[str, str], str]
"""Colours a text by `+`, `-`, `±`, or `bold`."""

MOST_BYTES = 59_500
"""Of a comment in Markdown: code hosts take 65,536 characters, and this leaves room for what a workflow adds up to 60,000.

Bytes, as a step of a workflow cannot be handed more than 131,072 of them.
"""
_FOR_NOTES = 15_000
_FOR_ROWS = 45_000
_IN_A_CELL = 4_000
MOST_SHOWN = 100
"""Rows of one list that are shown; how many more there are is always told."""


def as_text(report: DifferenceReport, paint: Paint) -> Iterator[str]:
    """The lines for a terminal."""
    if note_on_models(report):
        yield paint(headline(report), "bold")
    yield f"{report.before} → {report.after}"
    if not note_on_models(report):
        yield paint(headline(report), "bold")
    for note in notes(report):
        yield f"note: {note}"
    type_ = None
    for entry in entries(report):
        if entry.first.resource_type != type_:
            type_ = entry.first.resource_type
            yield ""
            yield paint(type_, "bold")
        yield from _text_lines(report, entry, paint)
    if report.everybody is not None:
        yield ""
        yield f"people: {report.everybody}"
    if commits(report):
        yield ""
        yield paint("commits", "bold")
        yield from (f"  {commit}" for commit in commits(report))


def _text_lines(report: DifferenceReport, entry: Entry, paint: Paint) -> Iterator[str]:
    change = entry.first
    where = where_in_words(change)
    yield paint(f"  {entry.sign} {entry.actions}: {who_in_words(change)}", entry.sign) + (f" ({where})" if where else "")
    before, after = rules_in_words(change)
    how = "" if change.relation in ("gained", "lost") else f" ({change.relation})"
    yield f"      {before} → {after}{how}"
    if entry.people:
        yield f"      people: {entry.people[0]}"
        for sign, names in entry.people[0].names:
            yield f"        {sign} {', '.join(map(shown, names))}"
    for cause, words in entry.causes:
        origin = report.origins.get(cause)
        yield f"      {cause.source}: {words}" + (f" [{origin.told}]" if origin else "")


def as_markdown(report: DifferenceReport) -> str:
    """A comment for a pull request: the verdict, a table, and the lines to blame folded away."""
    listed = entries(report)
    page = _Comment()
    page.put(f"### Policy: {_md(headline(report))}", "")
    everybody = f" · People: {_md(str(report.everybody))}" if report.everybody else ""
    page.put(f"Compared: {_md(report.before)} → {_md(report.after)}{everybody}")
    if note_on_people(report):
        page.put("", _md(note_on_people(report)))
    all_notes = notes(report)
    page.put_while_there_is_room((f"\n> {_md(note)}" for note in all_notes), len(all_notes), _FOR_NOTES, "\n> {} more notes")
    if not listed:
        return page.text()
    people = " people |" if report.people is not None else ""
    page.put("", f"| | may | who | before | after |{people}", "|---|---|---|---|---|" + ("---|" if people else ""))
    more = "\n… and {} more; `klausel diff` shows all."
    page.put_while_there_is_room(map(_md_row, listed), len(listed), _FOR_ROWS, more)
    page.put("", "<details><summary>Lines that cause it</summary>", "")
    causes = (_md_causes(report, entry) for entry in listed)
    blamed = commits(report)
    told = (f"{'' if number else chr(10)}- {_md(commit)}" for number, commit in enumerate(blamed))
    page.put_while_there_is_room(chain(causes, told), len(listed) + len(blamed), MOST_BYTES, "- … and {} more")
    page.put("", "</details>")
    return page.text()


class _Comment:
    """Lines of Markdown in UTF-8, as many as a comment may hold."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._used = 0

    def put(self, *lines: str) -> None:
        self._lines += lines
        self._used += sum(len(line.encode()) + 1 for line in lines)

    def put_while_there_is_room(self, lines: Iterable[str], number: int, most: int, more: str) -> None:
        """Puts lines, of which there are `number`, until the comment has so many bytes, then how many are left out.

        What is left out is not made: a row may name very many people.
        """
        for place, line in enumerate(lines):
            if self._used + len(line.encode()) > most - 100:
                self.put(more.format(f"{number - place:,}"))
                return
            self.put(line)

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _md_causes(report: DifferenceReport, entry: Entry) -> str:
    lines = [f"- {_md(entry.actions)} **{_md(entry.first.resource_type)}**, {_md(who_in_words(entry.first))}"]
    for cause, words in entry.causes:
        origin = report.origins.get(cause)
        lines.append(f"  - {_md(cause.source)}: {_md(words)}" + (f" ({_md(origin.told)})" if origin else ""))
    return "\n".join(lines)


def _md_row(entry: Entry) -> str:
    change = entry.first
    before, after = rules_in_words(change)
    where = where_in_words(change)
    sign = {"+": "➕", "-": "➖", "±": "±"}[entry.sign]
    cells = [
        sign,
        f"{_md(entry.actions)} **{_md(change.resource_type)}**",
        _md(who_in_words(change) + (f" ({where})" if where else "")),
        _md(before),
        _md(after) + (f" *({change.relation})*" if change.relation not in ("gained", "lost") else ""),
    ]
    if entry.people:
        told = str(entry.people[0])
        for sign, names in entry.people[0].names:
            told += f"; {sign} {', '.join(names)}"
        cells.append(_md(told))
    return f"| {' | '.join(cells)} |"


_MARKDOWN = "\\`*_{}[]()<>#+-!|~@&:\"'=$^"


def _md(text: str) -> str:
    """A text that Markdown shows as it is: no markup, no link, nobody mentioned; a very long one is cut."""
    shown = text if len(text) <= _IN_A_CELL else f"{text[:_IN_A_CELL]} …"
    return "".join(f"&#{ord(sign)};" if sign in _MARKDOWN else sign if sign.isprintable() else " " for sign in shown)


def as_html(report: DifferenceReport, picture: Iterable[str]) -> str:
    """One page that needs nothing else; `picture` is SVG, which stands in it as it is."""
    escaped = html_words
    title = f"Policy: {headline(report)}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{PAGE_STYLE}</style></head><body>",
        f"<h1>{escaped(title)}</h1>",
        f"<p>Compared: {escaped(report.before)} → {escaped(report.after)}</p>",
    ]
    if report.everybody:
        parts.append(f"<p>People: {escaped(str(report.everybody))}</p>")
    if note_on_people(report):
        parts.append(f"<p>{escaped(note_on_people(report))}</p>")
    parts += [f'<p class="note">{escaped(note)}</p>' for note in notes(report)]
    listed = entries(report)
    if listed:
        people = "<th>People</th>" if report.people is not None else ""
        parts.append(
            f"<table><thead><tr><th></th><th>May</th><th>Who</th><th>Before</th><th>After</th>{people}</tr></thead><tbody>"
        )
        parts += [_html_row(report, entry) for entry in listed]
        parts.append("</tbody></table>")
    if commits(report):
        parts.append(f"<h2>Commits</h2><ul>{''.join(f'<li>{escaped(commit)}</li>' for commit in commits(report))}</ul>")
    return "\n".join([*parts, "<h2>Roles</h2>", *picture, FILTER, "</body></html>"]) + "\n"


def _html_row(report: DifferenceReport, entry: Entry) -> str:
    escaped = html_words
    change = entry.first
    before, after = rules_in_words(change)
    where = where_in_words(change)
    kind, word = {"+": ("more", "more"), "-": ("less", "less"), "±": ("both", "more and less")}[entry.sign]
    causes = "".join(
        f'<div class="cause"><code>{escaped(cause.source)}</code> {escaped(words)}'
        + (f" ({escaped(report.origins[cause].told)})" if cause in report.origins else "")
        + "</div>"
        for cause, words in entry.causes
    )
    relation = "" if change.relation in ("gained", "lost") else f" ({change.relation})"
    cells = [
        f'<td class="{kind}">{word}</td>',
        f"<td>{escaped(entry.actions)} <strong>{escaped(change.resource_type)}</strong>{causes}</td>",
        f"<td>{escaped(who_in_words(change))}{escaped(f' ({where})' if where else '')}</td>",
        f"<td>{escaped(before)}</td>",
        f"<td>{escaped(after)}{relation}</td>",
    ]
    if entry.people:
        names = [f'<div class="names">{sign} {escaped(", ".join(some))}</div>' for sign, some in entry.people[0].names]
        cells.append(f"<td>{escaped(str(entry.people[0]))}{''.join(names)}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def rows_for_people(report: DifferenceReport) -> dict[str, object]:
    """A difference as a page writes it: its headline, notes, the first rows, and how many more there are."""
    found = entries(report)
    rows = []
    for entry in found[:MOST_SHOWN]:
        change = entry.first
        before, after = rules_in_words(change)
        where = where_in_words(change)
        rows.append(
            {
                "kind": {"+": "more", "-": "less", "±": "more and less"}[entry.sign],
                "may": f"{change.resource_type} {entry.actions}",
                "who": who_in_words(change) + (f" ({where})" if where else ""),
                "before": before,
                "after": after,
                "causes": [(cause.source, words) for cause, words in entry.causes],
            }
        )
    return {
        "before": report.before,
        "after": report.after,
        "headline": headline(report),
        "notes": notes(report),
        "rows": rows,
        "more": len(found) - len(rows),
    }
