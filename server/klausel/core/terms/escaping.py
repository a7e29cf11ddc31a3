"""The one way in which texts from elsewhere are shown: nothing in them can move a cursor, forge a line, or hide."""

from __future__ import annotations

import re

_ALL_PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]*")
_ESCAPE = re.compile(r"\\u\{([0-9a-f]{1,6})\}")
_LARGEST = 0x10FFFF
_CREDENTIALS = re.compile(r"//[^/?#\s]*@")


def shown(text: str) -> str:
    """A text on one line, of signs that show: others (control, direction, no width, blank but no space) as `\\u{202e}`."""
    if _ALL_PRINTABLE_ASCII.fullmatch(text) or text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else f"\\u{{{ord(sign):x}}}" for sign in text)


def written(text: str) -> str:
    """As `shown`, from which `read_written` gives every text back: an escape that stands in it gets one for its backslash."""
    return shown(text.replace("\\u{", "\\u{5c}u{") if "\\u{" in text else text)


def read_written(text: str) -> str:
    """The text that `written` was given."""
    return _ESCAPE.sub(lambda found: _sign(found), text) if "\\u{" in text else text


def cell_of(text: str) -> str:
    """As `written`, for a cell of CSV that no spreadsheet takes for a formula; `read_cell` gives every text back."""
    plain = written(text)
    return f"'{plain}" if plain.startswith(("=", "+", "-", "@", "'")) else plain


def read_cell(cell: str) -> str:
    """The text that `cell_of` was given; of a cell that somebody else wrote, all behind an apostrophe at its beginning."""
    return read_written(cell.removeprefix("'"))


def without_credentials(text: str) -> str:
    """A text that may be an address, without the user and password that it may hold."""
    return _CREDENTIALS.sub("//***@", text)


def shown_in_json(text: str) -> str:
    """JSON text with its line ends, in which signs that do not show are escaped as JSON does."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else _json_escape(sign) for sign in text)


def _sign(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number <= _LARGEST else found[0]


def _json_escape(sign: str) -> str:
    # Outside of strings JSON holds no such sign. Those above U+FFFF are two there.
    if ord(sign) < 0x10000:
        return f"\\u{ord(sign):04x}"
    high, low = divmod(ord(sign) - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
