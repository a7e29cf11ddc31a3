"""A picture as Mermaid, which code hosts draw where it stands in a Markdown page."""

from __future__ import annotations

import re
from collections.abc import Iterator

from klausel.core.pictures.picture import Box, Picture
from klausel.core.terms.escaping import shown

_UNSAFE = re.compile(r"[^\w .,:;/()\[\]'+=*–±-]|(?<!\w)_|_(?!\w)")
_CLASSES = {
    "allow": "stroke:#0b6b2e,stroke-width:2px",
    "more": "stroke:#0b6b2e,stroke-width:2px",
    "deny": "stroke:#a40e26,stroke-width:2px",
    "less": "stroke:#a40e26,stroke-width:2px",
    "other": "stroke:#7a4b00,stroke-width:2px",
}


def as_mermaid(picture: Picture) -> Iterator[str]:
    """The lines of a flow chart from left to right, in a subgraph for each band that has a name."""
    ids = {box.id: f"n{number}" for number, box in enumerate(picture.boxes)}
    yield "flowchart LR"
    for remark in picture.remarks:
        yield f"  %% {shown(remark)}"
    for number, band in enumerate(picture.bands):
        inside = [box for box in picture.boxes if box.band == number]
        if band:
            yield f'  subgraph b{number}["{_text(band)}"]'
        for box in inside:
            yield f'  {"  " if band else ""}{ids[box.id]}["{_label(box)}"]'
        if band:
            yield "  end"
    for arrow in picture.arrows:
        line = "-.->" if arrow.is_dashed else "-->"
        text = f'|"{_text(arrow.text)}"|' if arrow.text else ""
        yield f"  {ids[arrow.start]} {line}{text} {ids[arrow.end]}"
    for kind, style in _CLASSES.items():
        named = [ids[box.id] for box in picture.boxes if box.kind == kind]
        if named:
            yield f"  classDef {kind} {style}"
            yield f"  class {','.join(named)} {kind}"


def _label(box: Box) -> str:
    return "<br/>".join((f"<b>{_text(box.title)}</b>", *map(_text, box.lines)))


def _text(text: str) -> str:
    """A text in which no sign means anything to Mermaid."""
    return _UNSAFE.sub(lambda sign: f"#{ord(sign[0])};", shown(text))
