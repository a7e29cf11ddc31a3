"""Where the boxes and arrows of a picture stand, in pixels; the same picture always has the same layout."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from klausel.core.pictures.picture import Arrow, Box, Picture
from klausel.core.terms.escaping import shown

CHARACTER, LINE = 7.3, 17
_LONGEST_LINE, _LONGEST_TITLE, _LONGEST_REMARK = 40, 48, 110
_MARGIN, _PAD, _GAP_X, _GAP_Y, _HEADING = 16, 10, 56, 14, 26
_ROOM = 5
TURN = _GAP_X - 8
"""Between two columns, so much of the gap takes an arrow that turns to its lane."""


@dataclass(frozen=True, slots=True)
class PlacedBox:
    """A box with its upper left corner and size, and its text as it fits."""

    box: Box
    x: int
    y: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlacedArrow:
    """An arrow with where it begins and ends; between the columns that it passes it keeps to the height of its `lane`."""

    arrow: Arrow
    start: tuple[int, int]
    end: tuple[int, int]
    lane: int | None = None


@dataclass(frozen=True, slots=True)
class PlacedBand:
    """A band with its upper edge and height."""

    name: str
    y: int
    height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """All that is drawn, and how large it is; the title stands at the top, `remarks` below, from `remarks_y` on."""

    width: int
    height: int
    bands: tuple[PlacedBand, ...]
    boxes: tuple[PlacedBox, ...]
    arrows: tuple[PlacedArrow, ...]
    remarks: tuple[str, ...]
    remarks_y: int


def layout_of(picture: Picture) -> Layout:
    """The layout of a picture: columns side by side, bands one below the other, boxes of one place stacked."""
    texts = {box.id: _texts(box) for box in picture.boxes}
    sizes = {id_: _size(title, lines) for id_, (title, lines) in texts.items()}
    columns = sorted({box.column for box in picture.boxes})
    lefts: dict[int, int] = {}
    widths: dict[int, int] = {}
    x = _MARGIN
    for column in columns:
        lefts[column] = x
        widths[column] = max(sizes[box.id][0] for box in picture.boxes if box.column == column)
        x += widths[column] + _GAP_X
    remarks = tuple(line for remark in picture.remarks for line in textwrap.wrap(shown(remark), _LONGEST_REMARK))
    widest = max((_width(line) for line in (*remarks, picture.title, *picture.bands)), default=0)
    width = max(x - _GAP_X + _MARGIN, int(widest * CHARACTER) + 2 * _MARGIN)
    placed: dict[str, PlacedBox] = {}
    bands = []
    y = _MARGIN + _HEADING
    for number, name in enumerate(picture.bands):
        inside = [box for box in picture.boxes if box.band == number]
        top = y + (_HEADING if name else 0)
        heights = {
            column: sum(sizes[box.id][1] + _GAP_Y for box in inside if box.column == column) - _GAP_Y for column in columns
        }
        tallest = max(heights.values(), default=0)
        for column in columns:
            # A short column stands in the middle of the taller ones beside it.
            at = top + (tallest - heights[column]) // 2
            for box in inside:
                if box.column == column:
                    placed[box.id] = PlacedBox(box, lefts[column], at, widths[column], sizes[box.id][1], *texts[box.id])
                    at += sizes[box.id][1] + _GAP_Y
        height = top - y + max(tallest, 0) + _GAP_Y
        bands.append(PlacedBand(name, y, height))
        y += height + _GAP_Y
    arrows: list[PlacedArrow] = []
    for arrow in picture.arrows:
        arrows.append(_arrow(arrow, placed, bands, arrows))
    height = y + len(remarks) * LINE + (_MARGIN if remarks else 0)
    return Layout(width, height, tuple(bands), tuple(placed.values()), tuple(arrows), remarks, y + LINE // 2)


def _arrow(
    arrow: Arrow, placed: Mapping[str, PlacedBox], bands: Sequence[PlacedBand], others: Iterable[PlacedArrow]
) -> PlacedArrow:
    """An arrow that runs behind no box, as if it led there; `others` are drawn already."""
    start, end = placed[arrow.start], placed[arrow.end]
    (x1, y1), (x2, y2) = (start.x + start.width, start.y + start.height // 2), (end.x, end.y + end.height // 2)
    passed = [(box.y, box.y + box.height) for box in placed.values() if x1 < box.x and box.x + box.width < x2]
    if all(low > max(y1, y2) + _ROOM or high < min(y1, y2) - _ROOM for low, high in passed):
        return PlacedArrow(arrow, (x1, y1), (x2, y2))
    names = [(band.y + 4, band.y + LINE + 4) for band in bands if 12 + _width(band.name) * CHARACTER > x1]
    lanes = [(one.lane, one.lane) for one in others if one.lane and one.start[0] < x2 and x1 < one.end[0]]
    wanted, lane, top = (y1 + y2) // 2, None, bands[0].y + _ROOM
    for low, high in sorted([*passed, *names, *lanes, (bands[-1].y + bands[-1].height, 0)]):
        if low - _ROOM >= top:
            free = min(max(wanted, top), low - _ROOM)
            if lane is None or abs(free - wanted) < abs(lane - wanted):
                lane = free
        top = max(top, high + _ROOM)
    return PlacedArrow(arrow, (x1, y1), (x2, y2), lane)


def _texts(box: Box) -> tuple[str, tuple[str, ...]]:
    title = shown(box.title)
    title = title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1] + "…"
    lines = [part for line in box.lines for part in textwrap.wrap(shown(line), _LONGEST_LINE, subsequent_indent="  ")]
    return title, tuple(lines)


def _size(title: str, lines: tuple[str, ...]) -> tuple[int, int]:
    # A title is bold, and so a little wider.
    widest = max(_width(title) * 1.08, *map(_width, lines), 0) if lines else _width(title) * 1.08
    return int(widest * CHARACTER) + 2 * _PAD, (len(lines) + 1) * LINE + _PAD


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)
