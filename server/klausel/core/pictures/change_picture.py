"""The picture of a difference: from those who gain or lose, over what changes, to what they may or may no longer do."""

from __future__ import annotations

from klausel.core.difference.report import DifferenceReport, entries, headline, notes, rules_in_words, where_in_words
from klausel.core.pictures.picture import Arrow, Box, Kind, Picture

_KINDS: dict[str, Kind] = {"+": "more", "-": "less", "±": "other"}
MOST_CHANGES = 60


def change_picture(report: DifferenceReport) -> Picture:
    """What a difference changes; of very many changes the first ones, and how many more there are."""
    found = entries(report)
    boxes: dict[str, Box] = {}
    arrows: dict[tuple[str, str], Arrow] = {}
    middle: list[Box] = []
    right: dict[str, Box] = {}
    for position, entry in enumerate(found[:MOST_CHANGES]):
        change = entry.first
        id_ = f"change {position}"
        before, after = rules_in_words(change)
        where = where_in_words(change)
        lines = (*([where] if where else []), f"before: {before}", f"after: {after}")
        sources = ", ".join(dict.fromkeys(cause.source for cause, _ in entry.causes))
        middle.append(Box(id_, f"{entry.sign}  {sources}", _KINDS[entry.sign], 1, 0, lines))
        whos = [" together with ".join(change.who)] if change.together else list(change.who)
        for name in whos:
            boxes.setdefault(f"who {name}", Box(f"who {name}", name, "role", 0))
            arrows[f"who {name}", id_] = Arrow(f"who {name}", id_)
        for one in entry.changes:
            target = f"what {one.resource_type}: {one.action}"
            right.setdefault(target, Box(target, f"{one.action} {one.resource_type}", "action", 2))
            arrows[id_, target] = Arrow(id_, target)
    remarks = [f"From {report.before} to {report.after}: {headline(report)}.", *notes(report)]
    if len(found) > MOST_CHANGES:
        remarks.append(f"{len(found) - MOST_CHANGES} more changes are not drawn; klausel diff lists them all.")
    return Picture(
        "What changes", (*boxes.values(), *middle, *right.values()), tuple(arrows.values()), remarks=tuple(remarks)
    )
