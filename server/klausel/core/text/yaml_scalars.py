"""Writing texts in YAML: without quotes where they are not needed, long ones folded over lines."""

from __future__ import annotations

import re
from functools import lru_cache

import yaml

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NULLS = ("", "~", "null", "Null", "NULL")
_CLEARLY_PLAIN = re.compile(r"\w(?:[\w ./'\"()@=<>+*!?%&|-]*[\w./'\"()@=<>+*!?%&|-])?")
# Control characters, line ends of Unicode, marks that turn the order of what is shown: nobody would see them.
_ESCAPED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]")
_SHORT_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_SINGLE_BLANK = re.compile(r"(?<! ) (?! )")


def write_text(text: str, is_flow: bool, is_key: bool = False, is_quoted: bool = False) -> str:
    """A text on one line; `is_flow` inside brackets, `is_quoted` when it would be no text without quotes."""
    if not is_quoted and (is_key or text not in NULLS) and _is_plain(text, is_flow, is_key):
        return text
    if _ESCAPED.search(text) or ('"' not in text and "\\" not in text):
        escaped = re.sub(r'["\\]', lambda match: _SHORT_ESCAPES[match[0]], text)
        return '"' + _ESCAPED.sub(lambda match: _escape(match[0]), escaped) + '"'
    return "'" + text.replace("'", "''") + "'"


def fold(text: str, columns: int) -> list[str] | None:
    """The lines of a long text for a folded block (`>-`), of at most so many columns where words allow that.

    None for a text that cannot be folded without a change.
    """
    if text != text.strip(" ") or _ESCAPED.search(text):
        return None
    lines: list[str] = []
    for word in _SINGLE_BLANK.split(text):
        if lines and len(lines[-1]) + 1 + len(word) <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines if len(lines) > 1 else None


def literal(text: str) -> tuple[str, list[str]] | None:
    """The sign (`|` or `|-`) and the lines of a text over several lines in YAML; None when it has to stand in quotes."""
    body = text.removesuffix("\n")
    lines = body.split("\n")
    if "\n" not in text or not body or lines[0][:1] in ("", " ") or not lines[-1]:
        return None
    if any(line != line.rstrip(" ") or _ESCAPED.search(line) for line in lines):
        return None
    return ("|" if text.endswith("\n") else "|-"), lines


def _escape(character: str) -> str:
    code = ord(character)
    return _SHORT_ESCAPES.get(character) or (f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}")


@lru_cache(maxsize=10_000)
def _is_plain(text: str, is_flow: bool, is_key: bool) -> bool:
    """Whether the text, without quotes, is read as what it is."""
    if _CLEARLY_PLAIN.fullmatch(text):
        return True
    if _ESCAPED.search(text) or text != text.strip(" ") or not text:
        return False
    pair = f"{text}: x" if is_key else f"x: {text}"
    document = f"x: {{{pair}, y: z}}\n" if is_flow else f"{pair}\ny: z\n"
    expected = [text, "x"] if is_key else ["x", text]
    expected = [*(["x"] if is_flow else []), *expected, "y", "z"]
    try:
        events = list(yaml.parse(document, Loader=_Loader))
    except yaml.YAMLError:
        return False
    scalars = [event for event in events if isinstance(event, yaml.ScalarEvent)]
    is_as_expected = [scalar.value for scalar in scalars] == expected and all(
        scalar.style in (None, "") for scalar in scalars
    )
    has_more = any(isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) for event in events)
    return is_as_expected and not has_more and len(events) == len(expected) + (8 if is_flow else 6)
