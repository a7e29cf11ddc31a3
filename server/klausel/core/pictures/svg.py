"""A picture as SVG: text that can be read and searched, colours that follow light and dark, and no script."""

from __future__ import annotations

import html
from collections.abc import Iterator

from klausel.core.pictures.layout import LINE, TURN, Layout, PlacedArrow, PlacedBox, layout_of
from klausel.core.pictures.picture import Picture
from klausel.core.terms.escaping import shown

STYLE = """
.picture { --paper: #ffffff; --ink: #1b1f24; --soft: #57606a; --edge: #c9d1d9; --band: #f3f5f7;
  --more: #0b6b2e; --less: #a40e26; --other: #7a4b00; }
@media (prefers-color-scheme: dark) { .picture { --paper: #0f1419; --ink: #e6edf3; --soft: #a5b0bb; --edge: #3a434d;
  --band: #1b222a; --more: #6fd58b; --less: #ff8a94; --other: #f0b65a; } }
.picture { background: var(--paper); }
.picture text { fill: var(--ink); font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre; }
.picture .title { font-weight: bold; }
.picture .soft { fill: var(--soft); }
.picture .band { fill: var(--band); stroke: var(--edge); }
.picture .box { fill: var(--paper); stroke: var(--ink); stroke-width: 1.2; }
.picture .allow, .picture .more { stroke: var(--more); stroke-width: 2; }
.picture .deny, .picture .less { stroke: var(--less); stroke-width: 2; }
.picture .other { stroke: var(--other); stroke-width: 2; }
.picture .arrow { fill: none; stroke: var(--soft); stroke-width: 1.3; }
.picture .dashed { stroke-dasharray: 5 4; }
.picture .tip { fill: var(--soft); }
"""
"""The style sheet that a picture brings, or that a page with pictures has."""


def as_svg(picture: Picture, with_style: bool = True) -> Iterator[str]:
    """The lines of an SVG file; without its style for a page that has `STYLE` already."""
    layout = layout_of(picture)
    size = f'width="{layout.width}" height="{layout.height}" viewBox="0 0 {layout.width} {layout.height}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" role="img" aria-label="{_text(picture.title)}" {size}>'
    yield f"<title>{_text(picture.title)}</title>"
    if with_style:
        yield "<style>"
        yield from STYLE.strip().split("\n")
        yield "</style>"
    yield '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    yield '<path class="tip" d="M0 0 L10 5 L0 10 z"/></marker></defs>'
    yield f'<text class="title" x="16" y="{LINE + 8}">{_text(picture.title)}</text>'
    yield from _bands(layout)
    for arrow in layout.arrows:
        yield _arrow(arrow)
    for box in layout.boxes:
        yield from _box(box)
    for number, remark in enumerate(layout.remarks):
        yield f'<text class="soft" x="16" y="{layout.remarks_y + number * LINE}">{_text(remark)}</text>'
    yield "</svg>"


def _bands(layout: Layout) -> Iterator[str]:
    for band in layout.bands:
        if band.name:
            yield f'<rect class="band" x="4" y="{band.y}" width="{layout.width - 8}" height="{band.height}" rx="4"/>'
            yield f'<text class="soft" x="12" y="{band.y + LINE}">{_text(band.name)}</text>'


def _arrow(placed: PlacedArrow) -> str:
    (x1, y1), (x2, y2) = placed.start, placed.end
    bend = max(20, abs(x2 - x1) // 2)
    dashed = " dashed" if placed.arrow.is_dashed else ""
    path = f"M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
    if placed.lane is not None:
        y, half = placed.lane, TURN // 2
        there = f"C{x1 + half} {y1} {x1 + half} {y} {x1 + TURN} {y} H{x2 - TURN}"
        path = f"M{x1} {y1} {there} C{x2 - half} {y} {x2 - half} {y2} {x2} {y2}"
    hint = f"<title>{_text(placed.arrow.text)}</title>" if placed.arrow.text else ""
    return f'<path class="arrow{dashed}" d="{path}" marker-end="url(#tip)">{hint}</path>'


def _box(placed: PlacedBox) -> Iterator[str]:
    box = placed.box
    hint = " ".join(part for part in (box.title, box.hint) if part)
    yield f"<g><title>{_text(hint)}</title>"
    yield (
        f'<rect class="box {box.kind}" x="{placed.x}" y="{placed.y}" width="{placed.width}" height="{placed.height}" rx="4"/>'
    )
    yield f'<text class="title" x="{placed.x + 10}" y="{placed.y + LINE}">{_text(placed.title)}</text>'
    for number, line in enumerate(placed.lines, 2):
        yield f'<text x="{placed.x + 10}" y="{placed.y + number * LINE}">{_text(line)}</text>'
    yield "</g>"


def _text(text: str) -> str:
    return html.escape(" ".join(map(shown, text.split("\n"))))
