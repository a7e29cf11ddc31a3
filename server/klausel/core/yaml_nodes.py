"""Reading YAML into nodes that know their place; every scalar is text, and nothing is merged, repeated or guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import yaml

from klausel.core.problem import Place, Problem

DEEPEST_NESTING = 20
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar; `place` is where its first character stands (inside the quotes), `on_one_line` whether offsets hold."""

    value: str
    place: Place
    on_one_line: bool = True

    def place_at(self, offset: int) -> Place:
        """The place of the character with this offset; the start where the text spans lines."""
        if not self.on_one_line:
            return self.place
        return Place(self.place.file, self.place.line, self.place.column + offset)


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    values: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping; keys are unique and in the order of the file."""

    entries: tuple[tuple[Text, Node], ...]
    place: Place

    def get(self, key: str) -> Node | None:
        """The value of a key; None when there is none."""
        return next((value for name, value in self.entries if name.value == key), None)


Node = Text | Items | Fields


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def decode(content: bytes, file: str) -> tuple[str | None, list[Problem]]:
    """The text of a file, or None with the problem that makes it unreadable (not UTF-8, a byte order mark)."""
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        hint = "save it as UTF-8 without a byte order mark"
        return None, [Problem(Place(file, 1, 1), "byte-order-mark", "the file starts with a byte order mark", hint)]
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        return None, [Problem(place, "not-utf8", "the file is not UTF-8 from here on", "save it as UTF-8")]


def read_yaml(text: str, file: str) -> tuple[Fields | None, list[Problem]]:
    """The mapping that a YAML file holds, or None, with every problem found on the way."""
    problems: list[Problem] = []
    try:
        node = _Reader(text, file, problems).read()
    except _Refused as refused:
        return None, [*problems, refused.problem]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        what = (error.problem or error.context or "cannot be read").replace("'", "`")
        hint = "indent with spaces" if "\\t" in what else "look at this line and the one above it"
        return None, [*problems, Problem(place, "yaml-syntax", f"this is not YAML: {what}", hint)]
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        hint = "remove the control character"
        return None, [*problems, Problem(place, "yaml-syntax", "this character is not allowed in YAML", hint)]
    if node is None:
        return Fields((), Place(file, 1, 1)), problems
    if not isinstance(node, Fields):
        hint = "start it with a key and a colon"
        return None, [*problems, Problem(node.place, "wrong-kind", "the file does not hold keys and values", hint)]
    return node, problems


class _Reader:
    """Builds nodes from the parser's events; keeps going after repeated keys, stops at what cannot be understood."""

    def __init__(self, text: str, file: str, problems: list[Problem]) -> None:
        self._file = file
        self._problems = problems
        self._events = yaml.parse(text, Loader=_Loader)

    def read(self) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "the file holds more than one document", "remove the `---` line")
            elif not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentEndEvent):
                root = self._node(event, 1)
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if depth > DEEPEST_NESTING:
            self._refuse(event, f"this is nested deeper than {DEEPEST_NESTING} levels", "flatten it")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._refuse(
                event, "anchors and aliases (`&`, `*`) are not used in policies", "write the value out, or quote it"
            )
        if getattr(event, "tag", None):
            self._refuse(event, f"tags such as `{event.tag}` are not used in policies", "remove the tag, or quote the text")
        place = self._place(event)
        if isinstance(event, yaml.ScalarEvent):
            quoted = event.style in ("'", '"')
            start, end = event.start_mark, event.end_mark
            width = end.column - start.column if start and end and start.line == end.line else -1
            exact = width == len(event.value) + (2 if quoted else 0)
            return Text(event.value, Place(place.file, place.line, place.column + quoted) if exact else place, exact)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            for inner in self._events:
                if isinstance(inner, yaml.SequenceEndEvent):
                    break
                items.append(self._node(inner, depth + 1))
            return Items(tuple(items), place)
        return self._fields(place, depth)

    def _fields(self, place: Place, depth: int) -> Fields:
        entries: dict[str, tuple[Text, Node]] = {}
        for inner in self._events:
            if isinstance(inner, yaml.MappingEndEvent):
                break
            key = self._node(inner, depth + 1)
            if not isinstance(key, Text):
                self._refuse(inner, "a list or mapping stands where a key is expected", "quote texts that start with [ or {")
            value = self._node(next(self._events), depth + 1)
            if key.value in entries:
                first = entries[key.value][0].place.line
                message = f'key "{key.value}" is repeated; it stands on line {first} already'
                self._problems.append(Problem(key.place, "repeated-key", message, "keep one of them"))
            else:
                entries[key.value] = (key, value)
        return Fields(tuple(entries.values()), place)

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file, 1, 1)

    def _refuse(self, event: yaml.Event, message: str, hint: str) -> NoReturn:
        raise _Refused(Problem(self._place(event), "yaml-feature", message, hint))
