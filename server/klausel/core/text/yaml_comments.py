"""Reading YAML together with its comments: each belongs to the entry that it stands before, beside or behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import yaml

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_COMMENT = re.compile(r"#[^\r\n]*")
BLANK = ""
"""Among the comments of an entry: a line without anything."""


@dataclass(slots=True)
class Written:
    """A value as it is written; `start` and `end` are offsets in the file, `column` that of its entries."""

    kind: Literal["text", "list", "mapping"]
    start: int
    end: int
    column: int
    is_flow: bool = False
    text: str = ""
    is_quoted: bool = False
    entries: list[Entry] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)

    @property
    def is_block(self) -> bool:
        """Whether it is a list or mapping, with entries, each on lines of its own."""
        return self.kind != "text" and not self.is_flow and bool(self.entries)

    @property
    def has_comments(self) -> bool:
        """Whether a comment stands anywhere inside."""
        inside = any(any(entry.before) or entry.beside or entry.value.has_comments for entry in self.entries)
        return inside or any(self.behind)


@dataclass(slots=True)
class Entry:
    """A key (None in a list) with its value, and the comments that belong to it."""

    key: str | None
    value: Written
    start: int
    before: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The offset behind the value."""
        return self.value.end


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment; `is_alone` when nothing stands before it on its line, `follows_blank` when the line above is empty."""

    index: int
    column: int
    text: str
    is_alone: bool
    follows_blank: bool


def read_with_comments(text: str) -> Written | None:
    """What a YAML file holds, with every comment in its place; None for a file that says nothing.

    The text is one that `read_yaml` finds no fault with.
    """
    reader = _Reader(text)
    root = reader.read()
    if root is not None:
        for comment in reader.comments():
            _place(comment, root, None)
        reader.place_blanks(root)
    return root


def comments_in(text: str) -> list[str]:
    """Every comment of a YAML file, in order."""
    reader = _Reader(text)
    reader.read()
    return [comment.text for comment in reader.comments()]


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._scalars: list[tuple[int, int]] = []
        self._events = yaml.parse(text, Loader=_Loader)

    def read(self) -> Written | None:
        root = None
        for event in self._events:
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event)
        return root

    def comments(self) -> Iterator[Comment]:
        """Every `#` outside of texts starts one, to the end of its line."""
        position = 0
        for start, end in [*self._scalars, (len(self._text), len(self._text))]:
            for match in _COMMENT.finditer(self._text, position, start):
                line_start = self._text.rfind("\n", 0, match.start()) + 1
                is_alone = not self._text[line_start : match.start()].strip()
                column = match.start() - line_start
                yield Comment(match.start(), column, match[0].rstrip(), is_alone, self._follows_blank(match.start()))
            position = max(position, end)

    def _follows_blank(self, index: int) -> bool:
        """Whether the line above the one that holds this offset is empty."""
        line_start = self._text.rfind("\n", 0, index)
        above = self._text.rfind("\n", 0, max(line_start, 0))
        return line_start > 0 and not self._text[above + 1 : line_start].strip()

    def place_blanks(self, value: Written) -> None:
        """Adds the empty line above an entry to what stands before it."""
        for entry in value.entries:
            line_start = self._text.rfind("\n", 0, entry.start) + 1
            is_first = not self._text[line_start : entry.start].strip(" -?")
            if is_first and self._follows_blank(entry.start):
                entry.before.append(BLANK)
            self.place_blanks(entry.value)

    def _node(self, event: yaml.Event) -> Written:
        assert event.start_mark is not None and event.end_mark is not None
        start, end, column = event.start_mark.index, event.end_mark.index, event.start_mark.column
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, start, end, column)
        assert isinstance(event, yaml.CollectionStartEvent)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        found = Written("mapping" if is_mapping else "list", start, end, column, bool(event.flow_style))
        for inner in self._events:
            if isinstance(inner, yaml.CollectionEndEvent):
                end = inner.end_mark.index if inner.end_mark is not None else end
                break
            node = self._node(inner)
            if is_mapping:
                found.entries.append(Entry(node.text, self._node(next(self._events)), node.start))
            else:
                found.entries.append(Entry(None, node, node.start))
        found.end = end if found.is_flow or not found.entries else found.entries[-1].end
        return found

    def _scalar(self, event: yaml.ScalarEvent, start: int, end: int, column: int) -> Written:
        source = self._text[start:end]
        end = start + len(source.rstrip())
        # A comment may stand behind the sign that starts a block.
        text_start = start + source.find("\n") if event.style in ("|", ">") and "\n" in source else start
        if end > start:
            self._scalars.append((text_start, max(text_start, end)))
        return Written("text", start, end, column, text=event.value, is_quoted=event.style not in (None, ""))


def _place(comment: Comment, inside: Written, owner: Entry | None) -> None:
    """Gives a comment to an entry of a list or mapping, or to what its entries hold."""
    at = sum(entry.start <= comment.index for entry in inside.entries) - 1
    following = inside.entries[at + 1] if at + 1 < len(inside.entries) else None
    if at < 0:
        if owner is not None and not comment.is_alone and inside.is_flow:
            owner.beside.append(comment.text)
        elif following is not None:
            _add(following.before, comment)
        elif owner is not None:
            _add(owner.before, comment)
        else:
            _add(inside.behind, comment)
        return
    entry = inside.entries[at]
    value = entry.value
    if comment.index < entry.end:
        if value.kind != "text" and comment.index >= value.start:
            _place(comment, value, entry)
        elif not comment.is_alone:
            entry.beside.append(comment.text)
        else:
            _add(value.entries[0].before if value.is_block else entry.before, comment)
    elif comment.is_alone and value.is_block and comment.column >= value.column > inside.column:
        _place(comment, value, entry)
    elif not comment.is_alone and entry.end > comment.index - comment.column:
        while value.is_block:
            entry = value.entries[-1]
            value = entry.value
        entry.beside.append(comment.text)
    else:
        _add(following.before if following is not None else inside.behind, comment)


def _add(comments: list[str], comment: Comment) -> None:
    if comment.is_alone and comment.follows_blank:
        comments.append(BLANK)
    comments.append(comment.text)
