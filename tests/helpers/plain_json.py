"""A plain reader of JSON bodies, independent of the one under test: RFC 8259 by its grammar, then our rules."""

import math
import re
from collections.abc import Callable

from klausel.api.json_body import BodyError, BodyLimits


def outcome(read: Callable[[], object]) -> str:
    """The exact value read, types and order of members included, or `refused`."""
    try:
        return repr(read())
    except BodyError:
        return "refused"


class Refused(Exception):
    pass


def plainly_read(body: bytes, limits: BodyLimits) -> object:
    text = body.decode()
    at = 0

    def take(pattern: str) -> str:
        nonlocal at
        found = re.compile(pattern).match(text, at)
        if not found:
            raise Refused
        at = found.end()
        return found[0]

    def space() -> None:
        take(r"[ \t\r\n]*")

    def string() -> str:
        units = bytearray()
        for piece in re.findall(
            r"\\u[0-9a-fA-F]{4}|\\.|.", take(r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"')[1:-1]
        ):
            if piece[0] != "\\":
                units += piece.encode("utf-16-be")
            elif piece[1] == "u":
                units += int(piece[2:], 16).to_bytes(2, "big")
            else:
                units += {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(piece[1], piece[1]).encode("utf-16-be")
        try:
            value = units.decode("utf-16-be")
        except UnicodeDecodeError:
            raise Refused from None
        if len(value) > limits.string_characters:
            raise Refused
        return value

    def members(depth: int, close: str, member: Callable[[], None]) -> None:
        if depth > limits.nesting_depth:
            raise Refused
        space()
        while not text.startswith(close, at):
            member()
            space()
            if not text.startswith(close, at):
                take(",")
                space()
                if text.startswith(close, at):
                    raise Refused
        take(re.escape(close))

    def value(depth: int) -> object:
        first = text[at : at + 1]
        if first == "{":
            take(r"\{")
            pairs: list[tuple[str, object]] = []

            def pair() -> None:
                name = string()
                space()
                take(":")
                space()
                pairs.append((name, value(depth + 1)))

            members(depth + 1, "}", pair)
            if len({name for name, _ in pairs}) < len(pairs):
                raise Refused
            return dict(pairs)
        if first == "[":
            take(r"\[")
            items: list[object] = []
            members(depth + 1, "]", lambda: items.append(value(depth + 1)))
            return items
        if first == '"':
            return string()
        if first and first in "tfn":
            return {"true": True, "false": False, "null": None}[take("true|false|null")]
        number = take(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
        if re.fullmatch("-?[0-9]+", number):
            if len(number.lstrip("-")) > 308:
                raise Refused
            return int(number)
        if math.isinf(float(number)):
            raise Refused
        return float(number)

    space()
    result = value(0)
    space()
    if at < len(text) or type(result) is not dict:
        raise Refused
    return result


def plain_outcome(body: bytes, limits: BodyLimits) -> str:
    try:
        if len(body) > limits.body_bytes:
            raise Refused
        return repr(plainly_read(body, limits))
    except (Refused, UnicodeDecodeError):
        return "refused"
