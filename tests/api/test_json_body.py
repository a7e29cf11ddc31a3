"""The body reader against cases, against its own slower path, and against a plain reader written for the comparison."""

import json
import math
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from klausel.api import json_body
from klausel.api.json_body import BodyError, BodyLimits, check_content_type, read_json_object

LIMITS = BodyLimits()
TIGHT = BodyLimits(body_bytes=400, nesting_depth=3, string_characters=5)
MEBIBYTE = 1_048_576

EVALUATION = {
    "subject": {"type": "user", "id": "user:anna", "properties": {"department": "support"}},
    "action": {"name": "can_publish"},
    "resource": {
        "type": "quiz",
        "id": "quiz-417",
        "properties": {"account": "acme", "workspace": "acme/support", "owner": "user:anna"},
    },
}


def error_of(body: bytes, limits: BodyLimits = LIMITS) -> BodyError:
    with pytest.raises(BodyError) as caught:
        read_json_object(body, limits)
    return caught.value


def outcome(read: Callable[[], object]) -> str:
    """The exact value read, types and order of members included, or `refused`."""
    try:
        return repr(read())
    except BodyError:
        return "refused"


# --- A plain reader, independent of the one under test: RFC 8259 by its grammar, then our rules ---------------------


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


# --- JSON texts, most of them sound, with few names so that they repeat, and spelled in every way --------------------

spaces = st.sampled_from(["", "", "", "", " ", "\n", "\t \r\n"])


def spell(character: str, how: int) -> str:
    if how == 0 or character in '"\\' or character < " ":
        return "".join(f"\\u{unit:04x}" for unit in _units(character))
    if how == 1:
        return "".join(f"\\u{unit:04X}" for unit in _units(character))
    return character


def _units(character: str) -> list[int]:
    raw = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]


string_texts = st.one_of(
    st.sampled_from(
        ['"a"', '"a"', '"b"', r'"\u0061"', '":"', r'"\u003a"', r'"\u003A"', r'"\\u003a"', '"[]"', r'"\""', r'"\\"']
    ),
    st.sampled_from(
        ['"a]"', '"{["', r'"\"]"', '"abcde"', '"abcdef"', '"ééééé"', r'"\ud83d\ude00"', r'"\ude00\ud83d"', r'"\ud800"']
    ),
    st.builds(
        lambda pairs: '"' + "".join(spell(*pair) for pair in pairs) + '"',
        st.lists(st.tuples(st.characters(), st.integers(0, 9)), max_size=7),
    ),
)
number_texts = st.one_of(
    st.integers().map(str),
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        ["-0", "-0.0", "1e400", "-1e400", "1E+2", "1e-400", "9" * 308, "9" * 309, "-" + "9" * 308, "1" * 309 + ".5"]
    ),
    st.sampled_from([str(sign * 2**power + step) for sign in (1, -1) for power in (53, 63, 64) for step in (-1, 0, 1)]),
    st.sampled_from(["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "-", "+1", "0x1"]),
)
leaf_texts = st.one_of(string_texts, string_texts, number_texts, st.sampled_from(["true", "false", "null"]))


def object_texts(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.builds("{}{}{}:{}{}{}".format, spaces, string_texts, spaces, spaces, values, spaces)
    return st.lists(member, max_size=4).map(lambda parts: "{" + ",".join(parts) + "}")


def array_texts(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.builds("{}{}{}".format, spaces, values, spaces), max_size=5).map(lambda parts: f"[{','.join(parts)}]")


value_texts = st.recursive(leaf_texts, lambda inner: object_texts(inner) | array_texts(inner), max_leaves=12)
texts = st.builds(
    "{}{}{}".format, spaces, st.one_of(object_texts(value_texts), object_texts(value_texts), value_texts), spaces
)
bodies = texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
limits_of_any_size = st.builds(
    BodyLimits,
    body_bytes=st.sampled_from([60, 1000, 100_000]),
    nesting_depth=st.sampled_from([1, 2, 3, 4, 32, 300]),
    string_characters=st.sampled_from([0, 1, 3, 5, 1024]),
)


@settings(max_examples=400, deadline=None)
@given(bodies, limits_of_any_size)
@example(b'{"a":1,"\\u0061":2}', LIMITS)
@example(b'{"a":1,"a":"\\u003a"}', LIMITS)
@example(b'{"a":[[]],"a":["[[[[",1]}', TIGHT)
def test_it_agrees_with_a_plain_reader_on_value_and_on_refusal(body: bytes, limits: BodyLimits) -> None:
    assert outcome(lambda: read_json_object(body, limits)) == plain_outcome(body, limits)


@settings(max_examples=300, deadline=None)
@given(bodies, limits_of_any_size)
def test_the_quick_path_gives_what_the_careful_path_gives(body: bytes, limits: BodyLimits) -> None:
    if len(body) <= limits.body_bytes:
        quick = outcome(lambda: read_json_object(body, limits))
        assert quick == outcome(lambda: json_body._read_carefully(body, limits, None))


@settings(max_examples=300, deadline=None)
@given(bodies, st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=2), st.integers(0, 3)), max_size=3))
def test_a_damaged_body_is_read_as_the_plain_reader_reads_it(body: bytes, damages: list[tuple[int, bytes, int]]) -> None:
    for place, put_in, taken_out in damages:
        body = body[:place] + put_in + body[place + taken_out :]
    assert outcome(lambda: read_json_object(body, LIMITS)) == plain_outcome(body, LIMITS)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text('{}[]",:\\u0a1e-. \n', max_size=200).map(str.encode), limits_of_any_size)
def test_any_bytes_give_an_object_or_a_body_error(body: bytes, limits: BodyLimits) -> None:
    assert outcome(lambda: read_json_object(body, limits)) == plain_outcome(body, limits)


@settings(max_examples=100, deadline=None)
@given(bodies, limits_of_any_size)
def test_a_message_is_printable_and_short(body: bytes, limits: BodyLimits) -> None:
    try:
        read_json_object(body, limits)
    except BodyError as error:
        assert error.status in (400, 413)
        assert error.message.isprintable() and "; " in error.message and not error.message.endswith(".")
        assert len(error.message) < 1000
        assert str(error) == error.message


# --- What is refused, and in what words ------------------------------------------------------------------------------

REFUSED = [
    (b"", "the body is empty; send a JSON object"),
    (b" \r\n\t", "the body is empty; send a JSON object"),
    (b"\xef\xbb\xbf{}", "the body begins with a byte order mark; send UTF-8 without one"),
    (b'{"a": "\xff"}', "the body is not UTF-8 from byte 8 on; encode it as UTF-8"),
    (b'{"a": "\xed\xa0\x80"}', "the body is not UTF-8 from byte 8 on; encode it as UTF-8"),
    ('{"a": 1}'.encode("utf-16"), "the body is not UTF-8 from byte 1 on; encode it as UTF-8"),
    (
        b'{"a":\n "\xc3\xa9" 2}',
        "the body is not JSON: expecting ',' delimiter at line 2, character 6; fix it there, or just before",
    ),
    (
        b"{'a': 1}",
        "the body is not JSON: expecting property name enclosed in double quotes at line 1, character 2; "
        "fix it there, or just before",
    ),
    (b'{"a": 1} {}', "the body is not JSON: extra data at line 1, character 10; fix it there, or just before"),
    (b'{"a": "\\x"}', "the body is not JSON: invalid \\escape at line 1, character 8; fix it there, or just before"),
    (b"[]", "the body is an array; send a JSON object"),
    (b'"{}"', "the body is a string; send a JSON object"),
    (b"1", "the body is a number; send a JSON object"),
    (b"1.5", "the body is a number; send a JSON object"),
    (b"true", "the body is true or false; send a JSON object"),
    (b"null", "the body is null; send a JSON object"),
    (b"NaN", "the body is NaN, which is no JSON; send null, a finite number or a string"),
    (b'{"a": 1, "b": 2, "a": 1}', 'the body has the member "a" more than once; keep one of them'),
    (b'{"s": [0, {"a": 1, "\\u0061": 1}]}', '`s[1]` has the member "a" more than once; keep one of them'),
    (
        b'{"s": {"e-mail": {"": NaN}}}',
        '`s["e-mail"][""]` is NaN, which is no JSON; send null, a finite number or a string',
    ),
    (b'{"s": -Infinity}', "`s` is -Infinity, which is no JSON; send null, a finite number or a string"),
    (b'{"s": 1e400}', "`s` is the number 1e400, too large for a 64-bit float; send a smaller one or a string"),
    (
        b'{"s": -' + b"9" * 5000 + b"}",
        "`s` is an integer of 5000 digits; at most 308 are accepted; send it as a string",
    ),
    (b'{"s": {"p": "x\\uD800y"}}', "`s.p` holds \\ud800, half of a surrogate pair; send both halves or neither"),
    (
        b'{"s": {"\\udc00": 1}}',
        "`s` has a member whose name holds \\udc00, half of a surrogate pair; send both halves or neither",
    ),
]


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_a_refusal_says_what_is_wrong_where_and_how_to_mend_it(body: bytes, message: str) -> None:
    error = error_of(body)
    assert (error.status, error.message) == (400, message)


def test_a_body_longer_than_the_limit_is_413_before_anything_else_is_read() -> None:
    error = error_of(b"\xff" * 1001, BodyLimits(body_bytes=1000))
    assert (error.status, error.message) == (413, "the body has 1001 bytes; at most 1000 are accepted; send less")
    assert read_json_object(b"{}" + b" " * 998, BodyLimits(body_bytes=1000)) == {}


@pytest.mark.parametrize("inner", [b"1", b"{}", b"[]", b'"]]]"', b'"\\"]]]"'])
def test_nesting_is_counted_from_the_body_as_one(inner: bytes) -> None:
    depth = 32 - (inner in (b"{}", b"[]"))
    body = b'{"a":' + b"[" * (depth - 1) + inner + b"]" * (depth - 1) + b"}"
    assert read_json_object(body, LIMITS) == json.loads(body)
    error = error_of(b'{"a":\n[' + body[5:-1] + b"]}")
    assert error.status == 400
    assert error.message == "the body nests objects and arrays more than 32 deep at line 2, character 32; make it flatter"


def test_many_siblings_are_not_deep() -> None:
    wide = {"evaluations": [EVALUATION] * 1000}
    assert read_json_object(json.dumps(wide).encode(), LIMITS) == wide


@pytest.mark.parametrize("character", ["x", "é", "😀"])
@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("padding", ["", "y" * 1000])
def test_strings_are_measured_in_characters_not_in_bytes_or_escapes(character: str, escaped: bool, padding: str) -> None:
    def body(name: int, value: int) -> bytes:
        members = {"p": padding, "s": {character * name: character * value}}
        return json.dumps(members, ensure_ascii=escaped).encode()

    limits = BodyLimits(string_characters=1024)
    assert read_json_object(body(1024, 1024), limits) == json.loads(body(1024, 1024))
    assert re.match(
        r"`s\.?.*` is .*1025 characters long; at most 1024 are accepted", error_of(body(1, 1025), limits).message
    )
    assert re.match("`s` has a member whose name is .*1025 characters long", error_of(body(1025, 1), limits).message)


def test_a_long_way_to_a_fault_is_cut_in_the_message() -> None:
    body = b"NaN"
    for _ in range(31):
        body = b'{"' + b"n" * 1000 + b'":' + body + b"}"
    assert len(error_of(body).message) < 2000


# --- What is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**19, -(10**18), 10**308 - 1])
def test_integers_of_any_size_stay_exact(number: int) -> None:
    for body in (f'{{"n":{number}}}', f'{{"n": {number} }}', f'{{"n":"\\u003a","m":[{number},1.0]}}'):
        read = repr(read_json_object(body.encode(), LIMITS))
        assert str(number) in read and "e+" not in read


def test_numbers_and_truths_keep_their_kinds() -> None:
    read = read_json_object(b'{"a":1,"b":1.0,"c":true,"d":"1","e":-0.0,"f":-0,"g":1e2,"h":null}', LIMITS)
    assert repr(list(read.values())) == "[1, 1.0, True, '1', -0.0, 0, 100.0, None]"


def test_nul_and_colons_and_quotes_in_strings_are_kept() -> None:
    assert read_json_object(rb'{"\u0000":"a:b\u003Ac\"d\\"}', LIMITS) == {"\x00": 'a:b:c"d\\'}


# --- Speed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [EVALUATION, {"evaluations": [EVALUATION] * 50}, {**EVALUATION, "context": {"name": "Zoë \\ [1]"}}]
)
@pytest.mark.parametrize("form", [{"separators": (",", ":")}, {}, {"indent": 2}, {"ensure_ascii": False}])
def test_usual_bodies_need_no_careful_path(body: object, form: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(json_body, "_read_carefully")
    assert read_json_object(json.dumps(body, **form).encode(), LIMITS) == body  # type: ignore[arg-type]


def filled(opening: bytes, repeated: bytes, closing: bytes = b"") -> bytes:
    return opening + repeated * ((MEBIBYTE - len(opening) - len(closing)) // len(repeated)) + closing


NESTS = b"[" * 31 + b"]" * 31
HOSTILE = {
    "opening brackets": filled(b"", b"["),
    "opening braces": filled(b"", b'{"a":'),
    "deep and closed": b"[" * (MEBIBYTE // 2) + b"]" * (MEBIBYTE // 2),
    "closing brackets": filled(b"{", b"]"),
    "a million zeros": filled(b'{"a":[0', b",0", b"]}"),
    "empty arrays": filled(b'{"a":[0', b",[]", b"]}"),
    "empty arrays and an escape": filled(b'{"a":["\\""', b",[]", b"]}"),
    "deepest nests allowed": filled(b'{"a":[0', b"," + NESTS[1:-1], b"]}"),
    "deepest nests allowed and an escape": filled(b'{"a":["\\""', b"," + NESTS[1:-1], b"]}"),
    "nests too deep at the end": filled(b'{"a":["\\""', b",[]", b"," + NESTS + b"]}"),
    "many tiny names": b"{" + b",".join(b'"%x":0' % i for i in range(100_000)) + b"}",
    "many tiny names, one repeated": b"{" + b",".join(b'"%x":0' % i for i in range(100_000)) + b',"0":0}',
    "one name repeated": filled(b'{"a":0', b',"a":0', b"}"),
    "one name repeated far down": filled(b'{"a":' * 31 + b'{"a":0', b',"a":0', b"}" * 32),
    "objects with repeated names": filled(b'{"a":[0', b',{"a":0,"a":0}', b"]}"),
    "an unended string": filled(b'{"', b"a"),
    "an unended string of escapes": filled(b'{"', b'\\"'),
    "an unended string of backslashes": filled(b'{"', b"\\"),
    "an unended string after brackets": filled(b"[" * 33 + b'"', b'\\"]'),
    "unended strings": filled(b"{", b'"'),
    "empty strings": filled(b'{"a":[""', b',""', b"]}"),
    "escaped quotes": filled(b'{"a":[""', b',"\\""', b"]}"),
    "short strings not in ASCII, far down": filled(b'{"nnnnnnnn":' * 31 + b"[0", ',"é"'.encode(), b"]" + b"}" * 31),
    "surrogate pairs": filled(b'{"a":["', b'\\ud83d\\ude00","', b'"]}'),
    "blanks": filled(b"", b" "),
    "blanks after the end": filled(b"{}", b" "),
    "blanks between": filled(b'{"a":', b" ", b"1}"),
    "newlines, then an error": filled(b"{", b"\n", b"x"),
    "one long integer": filled(b'{"a":', b"9", b"}"),
    "one long fraction": filled(b'{"a":0.', b"9", b"}"),
    "one long fraction with an exponent": filled(b'{"a":0.', b"0", b"1e1000000}"),
    "one long exponent": filled(b'{"a":1e', b"9", b"}"),
    "one long negative exponent": filled(b'{"a":1e-', b"9", b"}"),
    "integers of 308 digits": filled(b'{"a":[0', b"," + b"9" * 308, b"]}"),
    "floats of 700 digits": filled(b'{"a":[0', b"," + b"123456789" * 30 + b"." + b"7" * 430, b"]}"),
    "runs of 19 digits": filled(b'{"a":[ 0', b"," + b"9" * 19, b"]}"),
    "bytes that are no UTF-8": filled(b"", b"\xff"),
    "NUL bytes": filled(b"", b"\x00"),
    "colons": filled(b"", b":"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_of_a_mebibyte_is_dealt_with_at_once(name: str) -> None:
    body = HOSTILE[name]
    started = time.process_time()
    outcome(lambda: read_json_object(body, LIMITS))
    assert time.process_time() - started < 4  # the worst takes half a second on a busy machine; quadratic, minutes


def test_a_nesting_limit_beyond_the_interpreters_stack_is_still_no_crash() -> None:
    lenient = BodyLimits(nesting_depth=10_000_000)
    for depth in (250, 260, 900, 1100, 100_000):
        body = b'{"a":' * depth + b"1" + b"}" * depth
        assert outcome(lambda body=body: read_json_object(body, lenient)) in ("refused", repr_of_nest(depth))  # type: ignore[misc]


def repr_of_nest(depth: int) -> str:
    return "{'a': " * depth + "1" + "}" * depth


# --- Content-Type ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "application/json",
        "Application/JSON",
        " application/json ",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json ; Charset="utf-8"',
        r'application/json; charset="utf\-8"',
        'application/json; profile="a;charset=latin-1"; charset=utf-8',
        "application/json;",
        "application/json; ; charset=utf-8 ;",
    ],
)
def test_json_in_utf_8_is_accepted(header: str) -> None:
    check_content_type(header)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "the request has no Content-Type; send Content-Type: application/json"),
        (" ", "the request has no Content-Type; send Content-Type: application/json"),
        ("text/plain", 'the Content-Type is "text/plain"; send application/json'),
        ("application/jsonp", 'the Content-Type is "application/jsonp"; send application/json'),
        ("application/json, text/html", 'the Content-Type is "application/json, text/html"; send application/json'),
        (
            "application/x-www-form-urlencoded",
            'the Content-Type is "application/x-www-form-urlencoded"; send application/json',
        ),
        ("application/json; charset=latin-1", 'the Content-Type names the charset "latin-1"; send the body as utf-8'),
        ('application/json; charset="utf-16"', 'the Content-Type names the charset "utf-16"; send the body as utf-8'),
        (
            "application/json; charset=utf-8; charset=x",
            'the Content-Type names the charset "x"; send the body as utf-8',
        ),
        (
            "application/json; charset=",
            'the Content-Type cannot be read from "charset=" on; send just application/json',
        ),
        ('application/json; a="b', 'the Content-Type cannot be read from "a=\\"b" on; send just application/json'),
    ],
)
def test_another_content_type_is_400_with_a_reason(header: str | None, message: str) -> None:
    with pytest.raises(BodyError) as caught:
        check_content_type(header)
    assert (caught.value.status, caught.value.message) == (400, message)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('abj/;= "\\,\t-8') | st.characters(), max_size=40).map("application/json;".__add__))
def test_any_content_type_is_accepted_or_refused_with_a_message(header: str) -> None:
    assert outcome(lambda: check_content_type(header)) in ("None", "refused")
