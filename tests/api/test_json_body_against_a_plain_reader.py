"""The body reader against its own slower path, and against a plain reader written for the comparison."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_json import outcome, plain_outcome

from klausel.api import json_body
from klausel.api.json_body import BodyError, BodyLimits, read_json_object

LIMITS = BodyLimits()
TIGHT = BodyLimits(body_bytes=400, nesting_depth=3, string_characters=5)
MEBIBYTE = 1_048_576


def error_of(body: bytes, limits: BodyLimits = LIMITS) -> BodyError:
    with pytest.raises(BodyError) as caught:
        read_json_object(body, limits)
    return caught.value


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
def test_the_quick_path_the_careful_one_and_a_plain_reader_agree(body: bytes, limits: BodyLimits) -> None:
    expected = plain_outcome(body, limits)
    assert outcome(lambda: read_json_object(body, limits)) == expected
    if len(body) <= limits.body_bytes:
        assert outcome(lambda: json_body._read_carefully(body, limits, None)) == expected


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
