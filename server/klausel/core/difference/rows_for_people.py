"""A difference as the few rows that a page shows of it."""

from __future__ import annotations

from klausel.core.difference.report import (
    DifferenceReport,
    entries,
    headline,
    notes,
    rules_in_words,
    where_in_words,
    who_in_words,
)

MOST_SHOWN = 100
"""Rows of one list that are shown; how many more there are is always told."""


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
