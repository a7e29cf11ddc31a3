"""From the text of a condition to its tokens: words, numbers, texts in quotes and signs, each with its offset."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    | (?P<name>[^\W\d]\w*)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<operator>==|!=|<=|>=|<|>|\(|\)|\[|\]|,|\.|-)""",
    re.VERBOSE | re.DOTALL,
)
INSTEAD = {
    "&&": "write `and`",
    "||": "write `or`",
    "!": "write `not`",
    "=": "write `==`",
    "True": "write `true`",
    "False": "write `false`",
    "None": "write `null`",
    "AND": "write `and`",
    "OR": "write `or`",
    "NOT": "write `not`",
    "&": "write `and`",
    "|": "write `or`",
    "is": "write `==`",
    "equals": "write `==`",
    "exists": "write `has resource.team` for what is there",
    "≠": "write `!=`",
    "≤": "write `<=`",
    "≥": "write `>=`",
    "−": "write a plain minus, `-`",
    **dict.fromkeys("“”„‟«»", 'use the straight quote, `"`'),
    **dict.fromkeys("‘’‚‛`´", "use the straight quote, `'`"),
    **dict.fromkeys("+*/%", "conditions do not calculate; send the result as an attribute"),
}
"""What people write who know other languages, and what to write here; by their word or sign."""
_ROOT_AND_NAME = re.compile(r"(subject|resource|action|context)_(\w+)")
_LONGEST_WHOLE_NUMBER = 300
_EXACT_WHOLE_NUMBERS = 2.0**53
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "/": "/"}


class ExpressionFault(Exception):
    """What is wrong in the text of a condition: problem id, message, hint, and the offset of the fault in characters."""

    def __init__(self, id_: str, message: str, hint: str, offset: int) -> None:
        super().__init__(message)
        self.id = id_
        self.message = message
        self.hint = hint
        self.offset = offset


class Token(NamedTuple):
    """A word, number, text or sign, as it is written; the last one is the `end`."""

    kind: str
    text: str
    offset: int


def tokens(text: str) -> list[Token]:
    """The tokens of a text, without the space between them; raises `ExpressionFault`."""
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            wrong = next((sign for sign in ("&&", "||", "=", "!") if text.startswith(sign, at)), text[at])
            if wrong in ("'", '"'):
                raise ExpressionFault("condition-syntax", "a text is not closed", f"end it with {wrong}", at)
            hint = INSTEAD.get(wrong, "remove it, or put the text that it belongs to in quotes")
            if text.strip() == "*":
                hint = "to ask for nothing, leave the condition out; in CSV its field is empty"
            raise ExpressionFault("condition-syntax", f"`{wrong}` has no meaning in conditions", hint, at)
        if match.lastgroup != "space":
            found.append(Token(match.lastgroup or "", match.group(), at))
        at = match.end()
    return [*found, Token("end", "", len(text))]


def refuse_minus_in_names(found: Sequence[Token], known: Container[str]) -> None:
    """Raises `ExpressionFault` where the name of a known condition is written with `-` in place of `_`."""
    for at, token in enumerate(found):
        end = at
        while [next_.text if next_.text == "-" else next_.kind for next_ in found[end + 1 : end + 3]] == ["-", "name"]:
            end += 2
        name = "".join(one.text for one in found[at : end + 1])
        is_written_together = found[end].offset + len(found[end].text) == token.offset + len(name)
        is_part = at > 0 and found[at - 1].text == "."
        if token.kind == "name" and end > at and is_written_together and not is_part and name.replace("-", "_") in known:
            hint = f'did you mean "{name.replace("-", "_")}"? The names of conditions have `_`'
            raise ExpressionFault("unknown-condition", f'unknown condition "{name}"', hint, token.offset)


def unquoted(token: Token) -> str:
    """What a text in quotes says; raises `ExpressionFault`."""

    def unescape(match: re.Match[str]) -> str:
        if len(match[1]) == 5 and not "d800" <= match[1][1:].lower() <= "dfff":
            return chr(int(match[1][1:], 16))
        if match[1] not in _ESCAPES:
            raise ExpressionFault(
                "condition-syntax",
                f"`{match[0]}` is not an escape in a text",
                "write a backslash as `\\\\`",
                token.offset + 1 + match.start(),
            )
        return _ESCAPES[match[1]]

    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", unescape, token.text[1:-1], flags=re.DOTALL)


def looks_like_thousands(text: str) -> bool:
    """Whether a number with decimals is written like one with a point between its thousands: `1.000`, `12.500`."""
    return re.fullmatch(r"-?[1-9][0-9]{0,2}\.[0-9]{3}", text) is not None


def hint_on_two_readings(text: str) -> str | None:
    """What to write for a number that some read as thousands, and that can be written otherwise: `1.000`; else None."""
    if not (text.endswith("0") and looks_like_thousands(text)):
        return None
    return f"write `{text.replace('.', '')}` for thousands, `{text.rstrip('0').rstrip('.')}` for decimals"


def number_of(token: Token) -> int | float:
    """The exact value of a number; a whole number is an int however it is written. Raises `ExpressionFault`."""
    text = token.text
    if re.match(r"-?0[0-9]", text):
        hint = f'a number does not start with 0, and a text stands in quotes: "{text}"'
        raise ExpressionFault("condition-syntax", f"`{text}` is not a value", hint, token.offset)
    if not set(text) & set(".eE"):
        if len(text) > _LONGEST_WHOLE_NUMBER:
            message = f"the number `{text[:20]}…` is too long"
            raise ExpressionFault("condition-syntax", message, "use a shorter one", token.offset)
        return int(text)
    if (shorter := hint_on_two_readings(text)) is not None:
        raise ExpressionFault("condition-syntax", f"`{text}` can be read in two ways", shorter, token.offset)
    number = float(text)
    is_zero = not re.search(r"[1-9]", re.split("[eE]", text)[0])
    if number in (float("inf"), float("-inf")) or (number == 0) != is_zero:
        message = f"the number `{text[:20]}` is too large or too near to zero"
        raise ExpressionFault("condition-syntax", message, "use another", token.offset)
    return int(number) if number.is_integer() and abs(number) <= _EXACT_WHOLE_NUMBERS else number


def with_root(name: str) -> str:
    """A word as an attribute: `resource_owner` is most often a slip for `resource.owner`."""
    parts = _ROOT_AND_NAME.fullmatch(name)
    return f"{parts[1]}.{parts[2]}" if parts else f"resource.{name}"


def hint_on_word(word: str) -> str:
    """What to write instead of a word that stands where a value does."""
    return f"write {with_root(word)}" if _ROOT_AND_NAME.fullmatch(word) else f'a text stands in quotes: "{word}"'
