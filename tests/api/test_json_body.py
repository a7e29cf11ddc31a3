"""The body reader: what it refuses and in what words, what it keeps, and how it stands large and hostile bodies."""

import json
import re
import time

import pytest
from plain_json import outcome

from klausel.api import json_body
from klausel.api.json_body import BodyError, BodyLimits, read_json_object

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
