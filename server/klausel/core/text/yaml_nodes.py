"""Reading YAML into nodes that know their place; every scalar is text, and nothing is merged, repeated or guessed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from klausel.core.terms.problem import SWITCH_OFF_MARK, Place, Problem
from klausel.core.text.other_formats import hint_on_blank, problem_of_format
from klausel.core.text.source_map import places_of_block, places_of_flow
from klausel.core.text.yaml_indentation import (
    Told,
    told_of_bracket_behind_key,
    told_of_deeper_line,
    told_of_indentation,
    told_of_no_key,
)

DEEPEST_NESTING = 20
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = ("~", "null", "Null", "NULL")
_SHOWN = 40
_QUOTES = ("'", '"')
_WITH_SIGNS = frozenset((*_QUOTES, "|", ">"))
"""The styles of a scalar that has a sign at its start; others are plain."""
# By parts of what libyaml, or PyYAML where it stands alone, says.
_IN_PLAIN_WORDS = {
    "mapping values are not allowed": (
        "a colon stands where none can",
        "a text with a colon in it stands in quotes; or the lines are indented unequally",
    ),
    "block sequence entries are not allowed": ("a dash stands where no list can start", "start the list on the next line"),
    "cannot start any token": ("a text cannot start with this character", "put the whole text in quotes"),
    "expected alphabetic": ("a star or ampersand stands without quotes", 'write it in quotes: "*"'),
    "could not find expected ':'": ("this line has no colon", "write it as `key: value`"),
    "unexpected end of stream": ("the quoted text that starts here is not closed", "close the quote"),
    "unknown escape character": ("this backslash has no meaning", "write it twice, or put the text in single quotes"),
    "expected key": (
        "this does not belong to the lines above it",
        "indent keys that belong together equally; a text that starts with a quote stands in quotes as a whole",
    ),
    "expected <block end>": (
        "this does not belong to the lines above it",
        "indent keys that belong together equally; a text that starts with a quote stands in quotes as a whole",
    ),
    "expected '-' indicator": ("this does not belong to the list above it", "indent it like the lines that it belongs to"),
    "expected ',' or": (
        "the bracket that starts here is not closed, or a comma is missing",
        "separate values with commas, and close the bracket; in brackets, a text with brackets or commas stands in quotes",
    ),
    "expected node content": ("a value is missing", "write it, or close what is open"),
    "expected the node content": ("a value is missing", "write it, or close what is open"),
    "<document start>": ("text stands behind the end of the document", "remove it, or what ends the text before it"),
    "incompatible YAML": ("the file asks for another version of YAML", "remove the %YAML line"),
}
_ODD_BLANK = re.compile(r"[^\S \t\r\n]")
_AT_THEIR_START = ("end of stream", "could not find expected ':'", "expected ',' or")


class Text(NamedTuple):
    """A scalar; `place` is where its first character stands, inside the quotes.

    `places` has the place of each character, and of the end, where they do not just stand side by side. `is_quoted` tells
    `"12"` from `12`, for the few places where that matters.
    """

    value: str
    place: Place
    places: tuple[Place, ...] = ()
    is_quoted: bool = False

    def place_at(self, offset: int) -> Place:
        """The place of the character with this offset; the last place for any offset behind the end."""
        if self.places:
            return self.places[min(offset, len(self.places) - 1)]
        return Place(self.place.file, self.place.line, self.place.column + offset)

    def after(self, offset: int) -> Text:
        """The rest of the text from this offset on."""
        return Text(self.value[offset:], self.place_at(offset), self.places[offset:])


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    values: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping; keys are unique and in the order of the file. `asked` are the keys that somebody has looked for."""

    entries: tuple[tuple[Text, Node], ...]
    place: Place
    asked: set[str] = field(default_factory=set, compare=False, repr=False)

    def get(self, key: str) -> Node | None:
        """The value of a key; None when there is none."""
        entry = self.entry(key)
        return entry[1] if entry else None

    def entry(self, key: str) -> tuple[Text, Node] | None:
        """A key as it is written, with its value; None when there is none."""
        self.asked.add(key)
        for entry in self.entries:
            if entry[0].value == key:
                return entry
        return None


Node = Text | Items | Fields
_Value = ScalarEvent | CollectionStartEvent


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


ReadYaml = Callable[[str, str], tuple[Fields | None, list[Problem]]]


def read_yaml(text: str, file: str) -> tuple[Fields | None, list[Problem]]:
    """The mapping that a YAML file holds, or None, with every problem found on the way; never raises.

    A file that says nothing gives a mapping without entries.
    """
    problems: list[Problem] = []
    other = problem_of_format(text, file)
    if other is not None:
        return None, [other]
    try:
        node = _Reader(text, file, problems).read()
    except _Refused as refused:
        return None, [*problems, refused.problem]
    except yaml.MarkedYAMLError as error:
        return None, [*problems, _syntax_problem(error, text, file)]
    except yaml.YAMLError as error:
        hint = "look for a character that cannot be seen"
        return None, [*problems, Problem(Place(file, 1, 1), "yaml-syntax", f"this is not YAML: {error}", hint)]
    if node is None:
        return Fields((), Place(file, 1, 1)), problems
    if not isinstance(node, Fields):
        hint = "start it with a key and a colon"
        return None, [*problems, Problem(node.place, "wrong-kind", "the file does not hold keys and values", hint)]
    return node, problems


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    what = error.problem or error.context or "it cannot be read"
    is_at_the_start = any(part in what for part in _AT_THEIR_START)
    mark = (error.context_mark if is_at_the_start else None) or error.problem_mark or error.context_mark
    place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
    hint = "look at this line and the one above it"
    what, hint = next((words for part, words in _IN_PLAIN_WORDS.items() if part in what), (what, hint))
    if mark and text[mark.index : mark.index + 1] == "\t":
        what, hint = "a tab stands where the line is indented", "indent with spaces"
    blank = _odd_blank(text, mark) if mark else None
    if blank is not None:
        place = Place(file, text.count("\n", 0, blank) + 1, blank - text.rfind("\n", 0, blank))
        what = f"U+{ord(text[blank]):04X}, {unicodedata.name(text[blank], 'a blank').lower()}, stands where a space belongs"
        hint = "write an ordinary space"
    elif mark:
        on_blank = hint_on_blank(text, mark.line + 1) or hint_on_blank(text, place.line)
        told = None if on_blank else _told_of_lines(error, text, mark)
        hint = on_blank or hint
        if told is not None and told.line == place.line:
            what, hint = told.what, told.hint
        elif told is not None:
            line = text.splitlines()[told.line - 1]
            place, what, hint = Place(file, told.line, len(line) - len(line.lstrip()) + 1), told.what, told.hint
    return Problem(place, "yaml-syntax", f"this is not YAML: {what}", hint)


def _told_of_lines(error: yaml.MarkedYAMLError, text: str, mark: yaml.Mark) -> Told | None:
    """What the lines above a fault tell of its cause."""
    what = error.problem or ""
    if "<document start>" in what:
        return told_of_no_key(text)
    if "mapping values are not allowed" in what or "could not find expected ':'" in what:
        return told_of_deeper_line(text, mark.line + 1, mark.column + 1)
    if any(part in what for part in ("expected key", "expected <block end>", "expected '-' indicator")):
        return told_of_bracket_behind_key(text, mark.line + 1) or told_of_indentation(text, mark.line + 1)
    return None


def _odd_blank(text: str, mark: yaml.Mark) -> int | None:
    """Where a blank that looks like a space stands, such as a no-break space, in the line of a mark or the one above it."""
    line_start = text.rfind("\n", 0, mark.index) + 1
    start = text.rfind("\n", 0, max(line_start - 1, 0)) + 1
    end = text.find("\n", mark.index)
    odd = _ODD_BLANK.search(text, start, end if end >= 0 else len(text))
    return odd.start() if odd else None


_MERGE = "<<"
_INSTEAD_OF_MERGING = (
    "write the keys that it would bring here again, such as to: and resource:; what several grants ask for alike is a named "
    "condition, and several roles, actions or types are a list"
)


class _Reader:
    """Builds nodes from the parser's events; keeps going after repeated keys, stops at what cannot be understood."""

    def __init__(self, text: str, file: str, problems: list[Problem]) -> None:
        self._text = text
        self._file = file
        self._problems = problems
        self._loader = _Loader(text)
        self._next_event: Callable[[], Any] = self._loader.get_event
        self._next_comment = -1

    def read(self) -> Node | None:
        root: Node | None = None
        documents = 0
        try:
            while event := self._next_event():
                if isinstance(event, DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self._refuse(event, "the file holds more than one document", "remove the `---` line")
                elif not isinstance(event, StreamStartEvent | StreamEndEvent | DocumentEndEvent):
                    root = self._node(event, 1)
        finally:
            self._loader.dispose()
        return root

    def _node(self, event: _Value | AliasEvent, depth: int, is_key: bool = False, key_column: int | None = None) -> Node:
        if depth > DEEPEST_NESTING:
            self._refuse(event, f"this is nested deeper than {DEEPEST_NESTING} levels", "flatten it")
        if isinstance(event, AliasEvent):
            self._refuse(event, "aliases (`*name`) are not used here", 'write the value out; a star stands in quotes: "*"')
        if event.anchor or event.tag:
            self._check_properties(event)
        if isinstance(event, ScalarEvent):
            return self._scalar(event, is_key, key_column)
        place = self._place(event)
        if isinstance(event, SequenceStartEvent):
            items = []
            while not isinstance(inner := self._next_event(), SequenceEndEvent):
                items.append(self._node(inner, depth + 1))
            return Items(tuple(items), place)
        return self._fields(place, depth, bool(event.flow_style))

    def _check_properties(self, event: _Value) -> None:
        """Reports an anchor and a tag, and reads on as if they were not there."""
        if event.anchor:
            hint = "remove it, or put the whole text in quotes"
            self._report(event, f"anchors such as `&{event.anchor}` are not used here", hint)
        if event.tag:
            hint = "remove the tag, or put the whole text in quotes; in conditions, write `not` for `!`"
            say = self._report if getattr(event, "value", "something") else self._refuse
            say(event, f"tags such as `{event.tag}` are not used here", hint)

    def _warn_where_cut(self, start: Place, end: int, value: str, key_column: int | None) -> None:
        if is_cut(self._text, end, value, key_column):
            shown_end = value[-_SHOWN:]
            shown = f'the text "{shown_end}"' if shown_end == value else f'the text with the end "{shown_end}"'
            message = f"{shown} ends where a comment starts" if value else "a comment stands where a text is expected"
            hint = "put the whole text in quotes; a comment that is meant goes on a line of its own, above"
            self._problems.append(Problem(start, "cut-text", message, hint, "warning"))

    def _is_before_comment(self, end: int) -> bool:
        """Whether only blanks and line ends stand between an offset and the next sign of a comment; offsets only grow."""
        if self._next_comment < end:
            found = self._text.find("#", end)
            self._next_comment = len(self._text) if found < 0 else found
        return self._next_comment < len(self._text) and not self._text[end : self._next_comment].strip()

    def _scalar(self, event: ScalarEvent, is_key: bool, key_column: int | None) -> Text:
        value, style, mark, end_mark = event.value, event.style, event.start_mark, event.end_mark
        is_plain = style not in _WITH_SIGNS
        start = Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file, 1, 1)
        if is_plain and not is_key:
            if end_mark is not None and (not value or self._is_before_comment(end_mark.index)):
                self._warn_where_cut(start, end_mark.index, value, key_column)
            if value in _NULLS:
                return Text("", start)
        if mark is None or end_mark is None or event.anchor or event.tag:
            return Text(value, start, is_quoted=not is_plain)
        source = self._text[mark.index : end_mark.index]
        if is_plain and source == value:
            return Text(value, start)
        if style in _QUOTES and source[1:-1] == value:
            return Text(value, Place(start.file, start.line, start.column + 1), is_quoted=True)
        read_places = places_of_flow if is_plain or style in _QUOTES else places_of_block
        places = read_places(source, value, start)
        return Text(value, places[0], places, not is_plain)

    def _fields(self, place: Place, depth: int, is_in_brackets: bool) -> Fields:
        entries: dict[str, tuple[Text, Node]] = {}
        while not isinstance(inner := self._next_event(), MappingEndEvent):
            key = self._node(inner, depth + 1, is_key=True)
            if not isinstance(key, Text):
                self._refuse(inner, "a list or mapping stands where a key is expected", "quote texts that start with [ or {")
            of_value = self._next_event()
            if is_in_brackets and ":" in key.value and not key.is_quoted:
                self._check_colon(inner, of_value)
            if key.value == _MERGE and not key.is_quoted:
                say = self._refuse if isinstance(of_value, AliasEvent) else self._report
                say(inner, "merge keys (`<<`) are not used here", _INSTEAD_OF_MERGING)
            value = self._node(of_value, depth + 1, key_column=key.place.column)
            if key.value == _MERGE and isinstance(value, Fields):
                entries = {**{one.value: (one, inner) for one, inner in value.entries}, **entries}
            elif key.value in entries:
                first = entries[key.value][0].place.line
                message = f'key "{key.value}" is repeated; it stands on line {first} already'
                self._problems.append(Problem(key.place, "repeated-key", message, "keep one of them"))
            else:
                entries[key.value] = (key, value)
        return Fields(tuple(entries.values()), place)

    def _check_colon(self, key: ScalarEvent, value: Event) -> None:
        """Reports `{city:Oslo}`, which is a key with a colon in it and without a value."""
        if key.end_mark and value.start_mark and ":" not in self._text[key.end_mark.index : value.start_mark.index]:
            name, _, rest = key.value.partition(":")
            message = f"this is not YAML: a blank is missing behind the colon of `{key.value}`, so it has no value"
            self._problems.append(Problem(self._place(key), "yaml-syntax", message, f"write `{name}: {rest}`"))

    def _place(self, event: Event) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file, 1, 1)

    def _report(self, event: Event, message: str, hint: str) -> None:
        self._problems.append(Problem(self._place(event), "yaml-feature", message, hint))

    def _refuse(self, event: Event, message: str, hint: str) -> NoReturn:
        raise _Refused(Problem(self._place(event), "yaml-feature", message, hint))


_BESIDE = re.compile(r"[ \t]+#([^\r\n]*)")
_NOTHING_BEFORE = re.compile(r":[ \t]+#([^\r\n]*)\s*\Z")
_BELOW = re.compile(r"[ \t]*\r?\n([ \t]+)#([^\r\n]*)")
_FARTHEST = 200
_GOES_ON = re.compile(r"[ \t]*(\d|(and|or|not|in|is)\b|[=<>!,.;)\]}\"'])")
_WAITS = re.compile(
    r"(\b(see|ticket|tickets|issue|issues|bug|pr|mr|case|change|item|number|no\.?|nr\.?|and|or|not|in|the|of)|[,:])$",
    re.IGNORECASE,
)


def is_cut(text: str, end: int, value: str, key_column: int | None) -> bool:
    """Whether the comment behind a value without quotes, which ends at this offset of a YAML text, looks like its rest.

    It does where the sign stands right before a letter or digit, as in `#12`, where the value waits for more, or the
    comment goes on with it. `key_column` counts from 1; a comment on the next line counts where it is indented deeper.
    """
    beside = _BESIDE.match(text, end)
    if not value and not beside:  # inside brackets, nothing stands where the next sign does
        beside = _NOTHING_BEFORE.search(text, max(0, end - _FARTHEST), end)
    if beside:
        comment = beside[1]
    else:
        below = _BELOW.match(text, end) if key_column is not None and value else None
        if below is None or len(below[1]) < (key_column or 0):
            return False
        comment = below[2]
    if not comment.strip() or comment.lstrip().startswith(SWITCH_OFF_MARK):
        return False
    is_sign = comment[0].isalnum()
    return is_sign or bool(value and _WAITS.search(value)) or bool(_GOES_ON.match(comment))
