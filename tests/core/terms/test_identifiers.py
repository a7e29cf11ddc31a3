"""Which texts may name things."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klausel.core.terms.identifiers import (
    fault_in_domain,
    fault_in_domain_id,
    fault_in_subject,
    fault_in_subject_key,
    is_name,
    is_printable,
    is_type_or_action,
    split_subject_key,
    subject_key,
)


@pytest.mark.parametrize("text", ["a", "no", "_", "read_all", "soft-delete", "v1.2", "éclair", "名", "x" * 64])
def test_names_start_with_a_letter(text: str) -> None:
    assert is_name(text)
    assert is_type_or_action(text)


@pytest.mark.parametrize(
    "text", ["", "1", "-a", ".a", "a b", "a\n", " a", "a*", "any lead", "a,b", "a#", "x" * 65, "e\u0301", "\u200ba", "²"]
)
def test_texts_that_cannot_name_anything(text: str) -> None:
    assert not is_name(text)
    assert is_type_or_action(text) == (text in ("a b", "any lead", "a#", "x" * 65))


@pytest.mark.parametrize("text", ["read:all", "a/b", "files:read/all"])
def test_actions_may_hold_colons_and_slashes(text: str) -> None:
    assert is_type_or_action(text)
    assert not is_name(text)


@pytest.mark.parametrize("text", ["a", " ", "#,'\"", "Ж", "😀", "e\u0301", "a\u200bb", "\u00a0"])
def test_printable_texts(text: str) -> None:
    assert is_printable(text)


@pytest.mark.parametrize("text", ["", "\n", "a\tb", "\x00", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "a\r"])
def test_texts_that_are_not_printable(text: str) -> None:
    assert not is_printable(text)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("acme", None),
        ("x" * 255, None),
        (1, "is not a string"),
        (None, "is not a string"),
        (["acme"], "is not a string"),
        ("", "is empty"),
        ("a/b", 'contains "/"'),
        ("a\nb", "contains a control character"),
        ("x" * 256, "is longer than 255 characters"),
    ],
)
def test_faults_in_one_id_of_a_domain(value: object, fault: str | None) -> None:
    assert fault_in_domain_id(value) == fault


@pytest.mark.parametrize(
    ("domain", "fault"),
    [
        ("acme", None),
        ("a/b/c", None),
        ("", "has an empty part"),
        ("a//b", "has an empty part"),
        ("a/*", 'is "*", which is no name: it stands for every one'),
        ("a/**", 'is "**", which is no name: "*" stands for every one'),
        ("a/b*", None),
        ("a/\x00", "contains a control character"),
        ("x" * 127 + "/" + "y" * 127, None),
        ("x" * 128 + "/" + "y" * 127, "is longer than 255 characters"),
    ],
)
def test_faults_in_a_whole_domain(domain: str, fault: str | None) -> None:
    assert fault_in_domain(domain) == fault


@pytest.mark.parametrize(
    ("type_", "id_", "fault"),
    [
        ("user", "ann", None),
        ("user", "a:b/c", None),
        ("user", 1, "is not a string"),
        (None, "ann", "is not a string"),
        ("", "ann", "is empty"),
        ("user", "", "is empty"),
        ("urn:example:robot", "r1", None),
        ("https://example.com/types/robot", "r1", None),
        ("a:b", "x" * 250, "is longer than 255 characters"),
        ("user", "a\x1fb", "contains a control character"),
        ("user", "x" * 250, None),
        ("user", "x" * 251, "is longer than 255 characters"),
    ],
)
def test_faults_in_a_subject(type_: object, id_: object, fault: str | None) -> None:
    assert fault_in_subject(type_, id_) == fault


@given(st.text(), st.text())
def test_a_good_subject_comes_back_from_its_stored_form(type_: str, id_: str) -> None:
    if fault_in_subject(type_, id_) is None:
        assert split_subject_key(subject_key(type_, id_)) == (type_, id_)


texts_like_escapes = st.lists(st.sampled_from(["%", "25", "3A", "2F", "3a", ":", "/", "a"]), min_size=1, max_size=6).map(
    "".join
)


@given(texts_like_escapes, texts_like_escapes, texts_like_escapes, texts_like_escapes)
def test_two_subjects_never_have_the_same_stored_form(type_: str, id_: str, other_type: str, other_id: str) -> None:
    key = subject_key(type_, id_)
    assert split_subject_key(key) == (type_, id_)
    assert fault_in_subject_key(key) is None
    assert ((type_, id_) == (other_type, other_id)) == (key == subject_key(other_type, other_id))


@pytest.mark.parametrize("key", ["a/b:x", "a%3Ab%:x", "https%3A/x:y"])
def test_a_key_that_is_not_the_stored_form_of_its_subject_is_refused(key: str) -> None:
    assert "write them as %3A and %2F" in (fault_in_subject_key(key) or "")


@pytest.mark.parametrize("key", ["user:ann", "urn%3Aexample%3Arobot:r1", "user:a:b/c", "50%:x", "a%3a:x"])
def test_a_stored_form_is_good(key: str) -> None:
    assert fault_in_subject_key(key) is None


@pytest.mark.parametrize(
    "text",
    ["quiz", "urn:ietf:params:oauth:token-type:jwt", "https://example.com/t/x?y=1&z=%20#frag", "send mail", "tools/call"],
)
def test_a_urn_a_url_and_words_may_name_a_type_or_an_action(text: str) -> None:
    assert is_type_or_action(text)


@pytest.mark.parametrize("text", ["", " a", "a ", "a  b", "a: b", "a #b", "a,b", "a\nb", "*", "1a", "a*", 'a"b', "x" * 256])
def test_what_would_be_read_in_another_way_names_no_type(text: str) -> None:
    assert not is_type_or_action(text)


def test_a_key_without_a_type_is_no_subject() -> None:
    assert split_subject_key("ann") is None
