"""Which texts may name things."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klausel.core.terms.identifiers import (
    fault_in_domain,
    fault_in_domain_id,
    fault_in_subject,
    is_action_name,
    is_name,
    is_printable,
    split_subject_key,
    subject_key,
)


@pytest.mark.parametrize("text", ["a", "no", "_", "read_all", "soft-delete", "v1.2", "éclair", "名", "x" * 64])
def test_names_start_with_a_letter(text: str) -> None:
    assert is_name(text)
    assert is_action_name(text)


@pytest.mark.parametrize(
    "text", ["", "1", "-a", ".a", "a b", "a\n", " a", "a*", "any lead", "a,b", "a#", "x" * 65, "e\u0301", "\u200ba", "²"]
)
def test_texts_that_cannot_name_anything(text: str) -> None:
    assert not is_name(text)
    assert not is_action_name(text)


@pytest.mark.parametrize("text", ["read:all", "a/b", "files:read/all"])
def test_actions_may_hold_colons_and_slashes(text: str) -> None:
    assert is_action_name(text)
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
        ("a:b", "ann", 'has a type with ":" or "/"'),
        ("a/b", "ann", 'has a type with ":" or "/"'),
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


def test_a_key_without_a_type_is_no_subject() -> None:
    assert split_subject_key("ann") is None
