"""From the bytes of a policy file to its text: UTF-8, and nothing in it that people cannot see."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

from klausel.core.terms.lookalikes import HIDDEN
from klausel.core.terms.problem import Place, Problem

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# Control characters; the line ends of Unicode, which editors and parsers count differently; marks that turn the order
# of what is shown (CVE-2021-42574), and the byte order mark, which is not seen at all.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]|\r(?!\n)"
)
_USUAL = bytes([*b"\t\n", *range(0x20, 0x7F)])


def decode(content: bytes, file: str) -> tuple[str | None, list[Problem]]:
    """The text of a file, or None when it cannot be read on, with every problem found; never raises.

    A byte order mark is reported and left out, so that the rest is read and its columns are what people see.
    """
    problems: list[Problem] = []
    if content.startswith((_UTF8_MARK, *_UTF16_MARKS)):
        hint = "save it as UTF-8 without a byte order mark"
        problems.append(Problem(Place(file, 1, 1), "byte-order-mark", "the file starts with a byte order mark", hint))
        if not content.startswith(_UTF8_MARK):
            return None, problems
        content = content.removeprefix(_UTF8_MARK)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        problems.append(Problem(place, "not-utf8", "the file is not UTF-8 from here on", "save it as UTF-8"))
        return None, problems
    invisible = _invisible_characters(text, file)
    return (None if invisible else text), problems + invisible


def decode_policies(content: bytes, file: str) -> tuple[str | None, list[Problem]]:
    """As `decode`; with a warning for the first character of each line that takes no room: a name is another than it looks."""
    text, problems = decode(content, file)
    if text is None or text.isascii():
        return text, problems
    hidden = (
        replace(problem, hint="delete it, or type the word again", severity="warning")
        for problem in _first_of_each_line(HIDDEN, text, file)
    )
    return text, [*problems, *hidden]


def _invisible_characters(text: str, file: str) -> list[Problem]:
    """A problem for the first such character of each line."""
    if text.isascii() and not text.encode().translate(None, _USUAL):  # most files, told at once
        return []
    return _first_of_each_line(_INVISIBLE, text, file)


def _first_of_each_line(characters: re.Pattern[str], text: str, file: str) -> list[Problem]:
    problems: list[Problem] = []
    line = 1
    seen = 0
    for match in characters.finditer(text):
        newlines = text.count("\n", seen, match.start())
        seen = match.start()
        line += newlines
        if problems and problems[-1].place.line == line:
            continue
        place = Place(file, line, match.start() - text.rfind("\n", 0, match.start()))
        name = unicodedata.name(match[0], "a control character").lower()
        message = f"a character that cannot be seen stands here: U+{ord(match[0]):04X}, {name}"
        hint = "delete it"
        if match[0] == "\r":
            message, hint = "a carriage return stands without a line feed", "save the file with Unix line ends (LF)"
        problems.append(Problem(place, "invisible-character", message, hint))
    return problems
