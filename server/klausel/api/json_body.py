"""The one reader of request bodies: a JSON object as strict as I-JSON (RFC 7493), or an error that says how to fix it.

Two paths give the same values. The *quick* path lets orjson read the body and then shows, by counting bytes, that the
body breaks none of our rules. A body for which that cannot be shown, a sound one or not, takes the *careful* path: the
standard library's reader with a hook at every place where it is too lenient. The careful path alone refuses.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite

import orjson

_MOST_INTEGER_DIGITS = 308  # an integer of 308 digits still fits a float, so no later comparison or sum can overflow
_LONGEST_QUOTE = 40  # characters of the caller's own text that a message repeats

_DIGITS_ALIKE = bytes(b"0"[0] if byte in b"0123456789" else byte for byte in range(256))
_BRACKETS_ALIKE = bytes(b"["[0] if byte in b"[{" else b"]"[0] if byte in b"]}" else byte for byte in range(256))
_NEITHER_BRACKET_NOR_QUOTE = bytes(byte for byte in range(256) if byte not in b'[]{}"')

# Passes over strings (an unended one runs to the end of the text) and stops at every bracket, an opening one as group 1,
# and at the end. It matches wherever it starts and gives nothing back, so a search with it is linear on any text.
_NEXT_BRACKET = re.compile(
    r"""(?: [^"\[\]{}]++ | "[^"\\]*+(?:\\.[^"\\]*+)*+"? )*+ (?: ([\[{]) | [\]}] | \Z )""",
    re.VERBOSE | re.DOTALL,
)
_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # RFC 9110, 5.6.2
_PARAMETER = re.compile(
    rf"""[ \t]*+ ; [ \t]*+ (?: (?P<name>{_TOKEN}) = (?: (?P<bare>{_TOKEN}) | "(?P<quoted>(?:[^"\\]|\\.)*+)" ) )?""",
    re.VERBOSE,
)


class BodyError(Exception):
    """The body, or its declared type, cannot be accepted; the caller can fix it.

    `status` is the HTTP status to answer with: 413 for a body over the limit, otherwise 400. `message` speaks to the
    person who wrote the request and holds only printable characters that JSON can carry.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much a body may hold; what equals a limit is accepted."""

    body_bytes: int = 1_048_576
    """The whole body, in bytes."""
    nesting_depth: int = 32
    """Objects and arrays inside one another; the body itself is the first."""
    string_characters: int = 65_536
    """Every string, names of members too, in Unicode code points after escapes are resolved."""


def check_content_type(header: str | None) -> None:
    """Accept `application/json`, with any parameters as long as a `charset` among them is UTF-8; else raise BodyError.

    `header` is the value of `Content-Type`, None when it was not sent. The status is 400, never 415 (AuthZEN).
    """
    if header == "application/json":
        return
    if header is None or not header.strip():
        raise BodyError(400, "the request has no Content-Type; send Content-Type: application/json")
    header = header.strip(" \t")
    media_type = header.partition(";")[0].rstrip(" \t")
    if media_type.lower() != "application/json":
        raise BodyError(400, f"the Content-Type is {_quote(media_type)}; send application/json")
    position = len(media_type)
    while position < len(header):
        parameter = _PARAMETER.match(header, position)
        if parameter is None:
            wrong = _quote(header[position:])
            raise BodyError(400, f"the Content-Type cannot be read from {wrong} on; send just application/json")
        position = parameter.end()
        if (parameter["name"] or "").lower() == "charset":
            charset = parameter["bare"] or re.sub(r"\\(.)", r"\1", parameter["quoted"] or "")
            if charset.lower() != "utf-8":
                raise BodyError(400, f"the Content-Type names the charset {_quote(charset)}; send the body as utf-8")


def read_json_object(body: bytes, limits: BodyLimits, batch: str | None = None) -> dict[str, object]:
    """The JSON object that `body` holds, members in the order of the body, or BodyError; nothing else is raised.

    Values are str, bool, None, dict, list, float (always finite) and int (exact, of at most 308 digits). Refused are:
    no or broken UTF-8, a byte order mark, broken JSON, a top level other than an object, a name repeated within one
    object (however it is spelled), NaN and Infinity, numbers beyond a float, halves of surrogate pairs, and whatever
    is over a limit. Takes time linear in the length of the body.

    Where `batch` names a member that is a list, a string in it that is too long spoils its item alone: the `BodyError` that
    says so stands in the place of the item.
    """
    if len(body) > limits.body_bytes:
        raise BodyError(413, f"the body has {len(body)} bytes; at most {limits.body_bytes} are accepted; send less")
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _read_carefully(body, limits, batch)
    if type(tree) is dict and _is_surely_sound(body, tree, limits):
        return tree
    return _read_carefully(body, limits, batch)


# --- The quick path: orjson has accepted the body as JSON in UTF-8 without halves of surrogate pairs ---------------


def _is_surely_sound(body: bytes, tree: dict[str, object], limits: BodyLimits) -> bool:
    """Claim that `tree`, read by orjson from `body`, is within the limits and what the careful path gives as well."""
    return (
        (len(body) <= limits.string_characters + 2 or _strings_are_surely_short(body, limits.string_characters))
        and _nesting_is_surely_within(body, limits.nesting_depth)
        and _tree_surely_holds_all(body, tree)
    )


def _tree_surely_holds_all(body: bytes, tree: dict[str, object]) -> bool:
    """Claim that no member name was repeated, and no integer rounded to a float, between `body` and `tree`.

    orjson keeps the last of repeated members and reads an integer beyond 64 bits as a float.

    *Same bytes.* A dump never repeats a name, and writes every float with a point or an exponent, as no integer is.
    So a body that equals the dump of its tree repeats no name and rounded no integer.

    *Same number of colons.* A body has one colon for every member and one for every colon written in a string; so has
    the dump. Reading loses members but adds none, and keeps the colons of every string that it does not lose, and
    makes none but from the escape \\u003a, which is excluded first. A repeated name loses at least its own colon,
    so equal numbers mean that no name was repeated.

    *No long run of digits.* An integer beyond 64 bits has 20 digits, or a minus and 19.
    """
    try:
        dump = orjson.dumps(tree)
    except orjson.JSONEncodeError:  # nested deeper than orjson writes, where a setting allows so much
        return False
    if dump == body:
        return True
    if (b"\\" in body and b"\\u003" in body) or body.count(b":") != dump.count(b":"):
        return False
    alike = body.translate(_DIGITS_ALIKE)
    return b"0" * 19 not in alike or (b"0" * 20 not in alike and b"-" + b"0" * 19 not in alike)


def _strings_are_surely_short(body: bytes, most_characters: int) -> bool:
    """Claim that no string in `body` has more than so many bytes, and so not more characters either.

    A string is what stands between two neighbouring quotes. From each quote we leap to the last one within reach of
    an allowed string. No leap crosses a longer gap between neighbours; one begins at its left edge at the latest, and
    fails.
    """
    body = _with_no_quote_in_a_string(body)
    quote, last_quote = body.find(b'"'), body.rfind(b'"')
    while quote < last_quote:
        quote = body.rfind(b'"', quote + 1, quote + most_characters + 2)
        if quote < 0:
            return False
    return True


def _nesting_is_surely_within(body: bytes, deepest: int) -> bool:
    """Claim that no reader of `body`, JSON or not, can meet more than so many brackets open at once.

    Either there are no more opening brackets than that. Or, of brackets and quotes alone, we take out the strings
    that hold no bracket (two quotes side by side; were there a bracket in a string, the quote before it would be
    left over), and then the innermost pairs of brackets, all at once, so many times: the depth falls by one a time.
    """
    if body.count(b"{") + body.count(b"[") <= deepest:
        return True
    plain = _with_no_quote_in_a_string(body)
    brackets = plain.translate(_BRACKETS_ALIKE, _NEITHER_BRACKET_NOR_QUOTE).replace(b'""', b"")
    for _ in range(deepest):
        if not brackets or b'"' in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return not brackets


def _with_no_quote_in_a_string(body: bytes) -> bytes:
    """The body with other bytes, as many, for escaped quotes; backslashes pair from the left, as they do in JSON."""
    return body.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in body else body


# --- The careful path: every refusal is made here -----------------------------------------------------------------


@dataclass(slots=True)
class _Fault:
    """Stands in the tree for a value that is refused; the verdict completes a sentence that begins with its place."""

    verdict: Callable[[], str]


def _object_of_distinct_names(members: list[tuple[str, object]]) -> object:
    found = dict(members)
    return found if len(found) == len(members) else _Fault(lambda: _verdict_on_repeated_name(members))


def _verdict_on_repeated_name(members: list[tuple[str, object]]) -> str:
    [(name, _)] = Counter(name for name, _ in members).most_common(1)
    return f"has the member {_quote(name)} more than once; keep one of them"


def _exact_integer(text: str) -> object:
    digits, most = len(text) - text.startswith("-"), _MOST_INTEGER_DIGITS
    if digits <= most:
        return int(text)
    return _Fault(lambda: f"is an integer of {digits} digits; at most {most} are accepted; send it as a string")


def _finite_float(text: str) -> object:
    number = float(text)
    if isfinite(number):
        return number
    return _Fault(lambda: f"is the number {_cut(text)}, too large for a 64-bit float; send a smaller one or a string")


def _no_number(text: str) -> object:
    return _Fault(lambda: f"is {text}, which is no JSON; send null, a finite number or a string")


_STANDARD_READER = json.JSONDecoder(
    object_pairs_hook=_object_of_distinct_names,
    parse_int=_exact_integer,
    parse_float=_finite_float,
    parse_constant=_no_number,
)


def _read_carefully(body: bytes, limits: BodyLimits, batch: str | None) -> dict[str, object]:
    """What `read_json_object` promises, apart from the length of the body; slower, and it names what is wrong."""
    if body.startswith(b"\xef\xbb\xbf"):
        raise BodyError(400, "the body begins with a byte order mark; send UTF-8 without one")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BodyError(400, f"the body is not UTF-8 from byte {error.start + 1} on; encode it as UTF-8") from None
    if not text.strip(" \t\r\n"):
        raise BodyError(400, "the body is empty; send a JSON object")
    if not _nesting_is_surely_within(body, limits.nesting_depth):
        _refuse_deep_nesting(text, limits.nesting_depth)
    try:
        tree: object = _STANDARD_READER.decode(text)
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:].removesuffix(" at").removesuffix(": ")
        place = f"line {error.lineno}, character {error.colno}"
        raise BodyError(400, f"the body is not JSON: {what} at {place}; fix it there, or just before") from None
    except RecursionError:  # a setting allows more than this interpreter's stack does
        raise BodyError(400, "the body nests too many objects and arrays in one another; make it flatter") from None
    if isinstance(tree, _Fault):
        raise BodyError(400, f"the body {tree.verdict()}")
    if not isinstance(tree, dict):
        raise BodyError(400, f"the body is {_kind(tree)}; send a JSON object")
    spoiled = _refuse_faults(tree, limits.string_characters, batch)
    if batch is not None and spoiled:
        items = tree[batch]
        assert isinstance(items, list)
        for index, fault in spoiled.items():
            items[index] = fault
    return tree


def _refuse_deep_nesting(text: str, deepest: int) -> None:
    """Raise BodyError where more than so many brackets are open at once; strings are passed over."""
    depth = 0
    for found in _NEXT_BRACKET.finditer(text):
        if found.lastindex is None:
            depth -= 1
        else:
            depth += 1
            if depth > deepest:
                position = found.end() - 1
                line, character = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
                raise BodyError(
                    400,
                    f"the body nests objects and arrays more than {deepest} deep"
                    f" at line {line}, character {character}; make it flatter",
                )


def _refuse_faults(tree: dict[str, object], most_characters: int, batch: str | None) -> dict[int, BodyError]:
    """Raise BodyError for the first `_Fault` in the tree, or string too long or with half of a surrogate pair.

    Returned are the first too long strings of each item of the batch, which spoil that item alone.
    """
    spoiled: dict[int, BodyError] = {}
    open_containers: list[Iterator[tuple[str | int, object]]] = [iter(tree.items())]
    path: list[str | int] = []  # the step into each open container but the first

    def check(text: str, steps: list[str | int], what: str) -> None:
        verdict = _string_verdict(text, most_characters)
        if verdict is None:
            return
        error = BodyError(400, f"{_spell(steps)} {what}{verdict}")
        is_in_item = len(steps) > 1 and steps[0] == batch and isinstance(steps[1], int)
        if not is_in_item or _HALF_OF_A_PAIR.search(text) is not None:
            raise error
        spoiled.setdefault(int(steps[1]), error)

    while open_containers:
        for step, value in open_containers[-1]:
            if type(step) is str:
                check(step, path, "has a member whose name ")
            if type(value) is str:
                check(value, [*path, step], "")
            elif type(value) is dict or type(value) is list:
                path.append(step)
                open_containers.append(iter(value.items()) if type(value) is dict else enumerate(value))
                break
            elif type(value) is _Fault:
                raise BodyError(400, f"{_spell([*path, step])} {value.verdict()}")
        else:
            open_containers.pop()
            if path:
                path.pop()
    return spoiled


def _string_verdict(text: str, most_characters: int) -> str | None:
    if len(text) > most_characters:
        return f"is {_quote(text)}, {len(text)} characters long; at most {most_characters} are accepted; shorten it"
    half = None if text.isascii() else _HALF_OF_A_PAIR.search(text)
    if half is None:
        return None
    return f"holds \\u{ord(half[0]):04x}, half of a surrogate pair; send both halves or neither"


# --- Words for people ---------------------------------------------------------------------------------------------


def _spell(path: list[str | int]) -> str:
    """The way from the top to a value, with its backticks: `evaluations[3].subject.properties["e-mail"]`."""
    spelled = ""
    for step in path:
        if isinstance(step, int):
            spelled += f"[{step}]"
        elif step.isidentifier() and len(step) <= _LONGEST_QUOTE:
            spelled += f".{step}"
        else:
            spelled += f"[{_quote(step)}]"
    return f"`{spelled.removeprefix('.')}`" if path else "the body"


def _quote(text: str) -> str:
    short = _cut(text)
    return json.dumps(short, ensure_ascii=not short.isprintable())


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {list: "an array", str: "a string", bool: "true or false"}.get(type(value), "a number")
