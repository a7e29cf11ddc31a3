"""Which Content-Types are taken for JSON, and what is said of others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_json import outcome

from klausel.api.json_body import BodyError, check_content_type


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
