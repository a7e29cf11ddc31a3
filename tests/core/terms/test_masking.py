"""What is masked is gone, the rest stays, and the record says what was masked."""

import copy
import json
from typing import Any

import pytest

from klausel.core.terms.masking import Masks, fault_in_mask, pointer_parts, pointer_text

RECORD: dict[str, Any] = {
    "subject": {"type": "user", "id": "ann", "properties": {"email": "ann@example.com", "team": {"name": "blue"}}},
    "action": {"name": "view", "properties": {"channel": "web"}},
    "resource": {"type": "doc", "id": "d1", "properties": {"tags": ["a", {"secret": 1}], "a/b": "c", "email": None}},
    "context": {"ip": "::1", "region": "eu"},
    "failure": "the resource names the site ann@example.com, but not its company",
}


@pytest.mark.parametrize(
    ("pointers", "masked"),
    [
        (["/subject/properties/email"], ["/subject/properties/email"]),
        (["/subject/id"], ["/subject/id"]),
        (["/context/*"], ["/context/ip", "/context/region"]),
        (["/context/ip", "/context/*"], ["/context/ip", "/context/region"]),
        (["/subject/properties/*/name"], ["/subject/properties/team/name"]),
        (["/subject/properties/team", "/subject/properties/team/name"], ["/subject/properties/team"]),
        (["/subject/properties/team/name", "/subject/properties/team"], ["/subject/properties/team"]),
        (
            ["/subject/properties/*", "/subject/properties/team/name"],
            ["/subject/properties/email", "/subject/properties/team"],
        ),
        (["/resource/properties/tags/*/secret"], ["/resource/properties/tags/1/secret"]),
        (["/resource/properties/tags/0"], ["/resource/properties/tags/0"]),
        (["/resource/properties/tags/1/secret"], ["/resource/properties/tags/1/secret"]),
        (["/resource/properties/tags/2", "/resource/properties/tags/00"], None),
        (["/resource/properties/a~1b"], ["/resource/properties/a~1b"]),
        (["/resource/properties/email"], ["/resource/properties/email"]),
        (["/resource/properties/missing", "/context/ip/deeper"], None),
    ],
    ids=str,
)
def test_exactly_what_a_pointer_names_is_masked_and_listed(pointers: list[str], masked: list[str] | None) -> None:
    record = copy.deepcopy(RECORD)
    Masks(pointers).apply(record)
    assert record.get("masked") == masked
    for pointer in masked or ():
        value: Any = record
        for part in pointer_parts(pointer):
            value = value[int(part) if isinstance(value, list) else part]
        assert value == "***"
    untouched = {
        name: RECORD[name] for name in RECORD if name not in {part for p in masked or () for part in pointer_parts(p)}
    }
    assert {name: record[name] for name in untouched if name != "failure"} == {
        name: value for name, value in untouched.items() if name != "failure"
    }


def test_the_request_itself_is_not_changed_by_masking() -> None:
    record, before = dict(RECORD), json.dumps(RECORD)
    Masks(["/subject/properties/team/name", "/context/*", "/resource/properties/tags/*/secret"]).apply(record)
    assert json.dumps(RECORD) == before


def test_a_masked_text_is_masked_in_the_reason_of_a_failure_too() -> None:
    record = copy.deepcopy(RECORD)
    Masks(["/subject/properties/email"]).apply(record)
    assert "ann@example.com" not in json.dumps(record)


@pytest.mark.parametrize(
    "pointer",
    ["", "resource.email", "/", "/resource", "/resource/", "/owner/x", "/subject/type", "/action/name", "/resource/properties",
     "/subject/id/x", "/subject/email"],
)  # fmt: skip
def test_a_pointer_to_what_cannot_be_masked_is_refused_with_its_cure(pointer: str) -> None:
    fault = fault_in_mask(pointer)
    assert fault is not None and "/" in fault


@pytest.mark.parametrize("pointer", ["/subject/id", "/resource/properties/email", "/context/*", "/action/properties/a/*/b"])
def test_a_good_pointer_has_no_fault_and_reads_back(pointer: str) -> None:
    assert fault_in_mask(pointer) is None
    assert pointer_text(pointer_parts(pointer)) == pointer
