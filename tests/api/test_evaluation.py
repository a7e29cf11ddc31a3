"""One evaluation: AuthZEN's model, and that its types are checked and never coerced."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doors import ALLOWED, DENIED, EVALUATION, EVALUATIONS, EXPLAIN, ROOT, Door, Doors, Json, asking, grant, open_doors
from hypothesis import given, settings
from hypothesis import strategies as st

from klausel.api import request_shapes
from klausel.api.authzen_requests import read_evaluation, request_of
from klausel.api.errors import ApiError
from klausel.core.terms.request import Request

JSON_VALUES: dict[str, object] = {
    "null": None,
    "true": True,
    "false": False,
    "a number": 12,
    "zero": 0,
    "a fraction": 1.5,
    "a string": "text",
    "an empty string": "",
    "a list": ["user"],
    "an empty list": [],
    "an object": {"type": "user"},
    "an empty object": {},
}
STRINGS = {"a string", "an empty string"}
OBJECTS = {"an object", "an empty object"}

FIELDS = {
    "subject": set(),
    "subject.type": STRINGS,
    "subject.id": STRINGS,
    "subject.properties": OBJECTS | {"null"},
    "action": set(),
    "action.name": STRINGS,
    "action.properties": OBJECTS | {"null"},
    "resource": set(),
    "resource.type": STRINGS,
    "resource.id": STRINGS,
    "resource.properties": OBJECTS | {"null"},
    "context": OBJECTS | {"null"},
}
"""Each field, and the values of JSON_VALUES that it takes; an entity takes none, since each needs members."""

REQUIRED = ("subject", "subject.type", "subject.id", "action", "action.name", "resource", "resource.type", "resource.id")
WHOLE = {**ALLOWED, "context": {"region": "eu"}}


def put(request: Json, field: str, value: object) -> Json:
    entity, _, member = field.partition(".")
    return {**request, entity: {**request[entity], member: value} if member else value}


def without(request: Json, field: str) -> Json:
    entity, _, member = field.partition(".")
    if not member:
        return {key: value for key, value in request.items() if key != entity}
    return {**request, entity: {key: value for key, value in request[entity].items() if key != member}}


def test_a_decision_is_a_200_with_true_or_false_and_nothing_else(client: Door) -> None:
    assert client.post(EVALUATION, ALLOWED).body == b'{"decision":true}'
    assert client.post(EVALUATION, DENIED).body == b'{"decision":false}'


def test_context_is_never_demanded_and_may_be_empty(client: Door) -> None:
    assert "context" not in ALLOWED
    assert client.allows(ALLOWED)
    assert client.allows({**ALLOWED, "context": {}})
    assert client.allows({**ALLOWED, "context": {"time": {"zone": ["a", None, 1.5, {"b": True}]}}})


def test_properties_are_optional_on_each_entity(client: Door) -> None:
    assert client.allows(asking("max", "view_settings", "account", "acme"))
    full = {
        "subject": {"type": "user", "id": "max", "properties": {"deep": {"er": [None, 1]}}},
        "action": {"name": "view_settings", "properties": {}},
        "resource": {"type": "account", "id": "acme", "properties": {"account": "acme"}},
    }
    assert client.allows(full)


@pytest.mark.parametrize("field", REQUIRED)
def test_a_required_field_that_is_missing_is_named_in_a_400(client: Door, field: str) -> None:
    for path in (EVALUATION, EVALUATIONS, EXPLAIN):
        answer = client.post(path, without(WHOLE, field))
        assert answer.status == 400
        assert answer.message == f"{field} is missing; send {'an object' if '.' not in field else 'a string'}"


@pytest.mark.parametrize("value", JSON_VALUES)
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_the_wrong_json_type_is_named_in_a_400(demo: Doors, field: str, value: str) -> None:
    for door in (demo.flask, demo.lane):
        check_field(door, field, value)


def check_field(client: Door, field: str, value: str) -> None:
    request = put(WHOLE, field, JSON_VALUES[value])
    answers = {path: client.post(path, request) for path in (EVALUATION, EVALUATIONS, EXPLAIN)}
    item = client.post(EVALUATIONS, {**WHOLE, "evaluations": [request]}).json["evaluations"][0]
    if value in FIELDS[field]:
        assert {answer.status for answer in answers.values()} == {200}
        assert "error" not in item.get("context", {})
        return
    assert {answer.status for answer in answers.values()} == {400}
    assert len({answer.body for answer in answers.values()}) == 1
    message = answers[EVALUATION].message
    assert message.startswith(field)
    assert item == {"decision": False, "context": {"error": {"status": 400, "message": message}}}


@pytest.mark.parametrize("body", [b"{}", b"null", b"[]", b'"subject"', b"12", b"true", b"[{}]"])
def test_a_body_that_is_no_request_is_a_400(client: Door, body: bytes) -> None:
    for path in (EVALUATION, EVALUATIONS, EXPLAIN):
        assert client.ask("POST", path, body).status == 400


def test_unknown_fields_anywhere_are_ignored(client: Door) -> None:
    request: Json = {key: {**value, "more": {"decision": False}} for key, value in ALLOWED.items()}
    request |= {"decision": False, "evaluations": "not read here", "options": 12, "page": None, "roles": ["admin"]}
    assert client.allows(request)
    denied: Json = {key: {**value, "roles": ["admin"]} for key, value in DENIED.items()}
    assert not client.allows({**denied, "roles": ["admin"], "decision": True})


def test_no_role_comes_in_with_a_request(client: Door) -> None:
    held = {"roles": ["admin"], "role": "admin", "effective_roles": ["account_manager"], "id": "max", "type": "user"}
    assert not client.allows({**DENIED, "subject": {**DENIED["subject"], "properties": held, "roles": ["admin"]}})
    assert client.allows({**DENIED, "subject": {"type": "user", "id": "max"}})


def test_the_order_of_members_does_not_matter(client: Door) -> None:
    def turned(value: Any) -> Any:
        return {key: turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    for request in (ALLOWED, DENIED):
        assert list(turned(request)) == ["resource", "action", "subject"]
        assert client.post(EVALUATION, turned(request)).body == client.post(EVALUATION, request).body


def test_the_same_request_gives_the_same_bytes(client: Door) -> None:
    malformed = asking("leo", "edit", "quiz", account="a/b")
    batch = {**ALLOWED, "evaluations": [{}, DENIED, malformed, 12, {"action": {}}]}
    for path, request in [(EVALUATION, ALLOWED), (EVALUATION, malformed), (EVALUATION, {}), (EVALUATIONS, batch)]:
        assert len({client.post(path, request).body for _ in range(3)}) == 1
    for request in (ALLOWED, DENIED, malformed):
        assert len({client.post(EXPLAIN, request).body for _ in range(3)}) == 1


def test_who_is_unknown_is_denied_without_any_complaint(client: Door) -> None:
    assert client.evaluate(asking("nobody", "edit", "quiz", account="acme")) == {"decision": False}
    assert client.evaluate(asking("leo", "fly", "quiz", account="acme")) == {"decision": False}
    assert client.evaluate(asking("leo", "edit", "unheard_of", account="acme")) == {"decision": False}
    assert client.evaluate(asking("leo", "edit", "quiz", account="no_such_account")) == {"decision": False}
    assert client.evaluate({**ALLOWED, "subject": {"type": "robot", "id": "leo"}}) == {"decision": False}


# --- Types in conditions ------------------------------------------------------------------------------------------

TYPED = """\
resource_types:
  account: {actions: [view]}
  workspace: {actions: [view]}
  box:
    actions: [is_true, is_one, is_twelve, is_text, is_named, is_large, in_list, denied_unless_false]
grants:
  - {allow: anyone, to: is_true, resource: box, when: resource.value == true}
  - {allow: anyone, to: is_one, resource: box, when: resource.value == 1}
  - {allow: anyone, to: is_twelve, resource: box, when: resource.value == 12}
  - {allow: anyone, to: is_text, resource: box, when: 'resource.value == "12"'}
  - {allow: anyone, to: is_named, resource: box, when: resource.id == "12"}
  - {allow: anyone, to: is_large, resource: box, when: resource.value > 12}
  - {allow: anyone, to: in_list, resource: box, when: 'resource.value in ["1", "true"]'}
  - {allow: anyone, to: denied_unless_false, resource: box}
  - {deny: anyone, to: denied_unless_false, resource: box, when: resource.value}
"""
HOLDS: dict[str, list[object]] = {
    "is_true": [True],
    "is_one": [1, 1.0],
    "is_twelve": [12, 12.0],
    "is_text": ["12"],
    "is_large": [13, 12.5, 10**40],
    "in_list": ["1", "true"],
    "denied_unless_false": [False],
}
VALUES: list[object] = [None, True, False, 0, 1, 1.0, 12, 12.0, 12.5, 13, 10**40, -(10**40)]
VALUES += ["12", "1", "true", "True", "", [], ["1"], {}]


def same(left: object, right: object) -> bool:
    return left == right and isinstance(left, bool) is isinstance(right, bool)


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("boxes")
    (folder / "policies" / "features").mkdir(parents=True)
    (folder / "policies" / "roles.yaml").write_bytes((ROOT / "policies" / "roles.yaml").read_bytes())
    (folder / "policies" / "features" / "boxes.yaml").write_text(TYPED, encoding="utf-8")
    with open_doors(folder / "klausel.db", policies=str(folder / "policies")) as doors:
        yield doors


@pytest.mark.parametrize("action", HOLDS)
def test_types_are_never_coerced(boxes: Doors, door_name: str, action: str) -> None:
    requests = [asking("ann", action, "box", "12", value=value) for value in VALUES]
    expected = [any(same(value, held) for held in HOLDS[action]) for value in VALUES]
    assert boxes.named(door_name).decisions({"evaluations": requests}) == expected


def test_missing_and_null_are_unknown_so_an_allow_fails_and_a_deny_holds(boxes: Doors, door_name: str) -> None:
    for action in HOLDS:
        assert not boxes.named(door_name).allows(asking("ann", action, "box", "12"))
        assert not boxes.named(door_name).allows(asking("ann", action, "box", "12", value=None))


def test_a_property_never_poses_as_the_id(boxes: Doors, door_name: str) -> None:
    door = boxes.named(door_name)
    assert door.allows(asking("ann", "is_named", "box", "12", id="13"))
    assert not door.allows(asking("ann", "is_named", "box", "13", id="12"))


def test_a_number_of_any_size_is_decided_and_explained(boxes: Doors, door_name: str) -> None:
    door = boxes.named(door_name)
    for number in (10**19, 2**63, 2**64, 10**307, -(10**307)):
        request = asking("ann", "is_large", "box", value=number)
        assert door.allows(request) is (number > 12)
        told = door.explain(request)
        assert told["decision"] is (number > 12)
        assert str(number) in str(told)
    body = json.dumps(asking("ann", "is_large", "box", value="HERE"))
    for number_text in ("1" + "0" * 400, "1e999", "-1e400"):
        for path in (EVALUATION, EXPLAIN):
            assert door.ask("POST", path, body.replace('"HERE"', number_text).encode()).status == 400


def test_texts_of_every_alphabet_are_explained_as_they_came(boxes: Doors, door_name: str) -> None:
    door = boxes.named(door_name)
    for text in ('"', "\\", "\x00", "\x1b[31m", "\u2028", "é", "e\u0301", "😀", "\uffff", "</script>"):
        told = door.explain(asking("ann", "denied_unless_false", "box", value=text))
        assert told["decision"] is False
        assert told["decided_by"]["condition"]["comparisons"][0]["read"] == {"resource.value": text}


def test_nested_values_are_explained_as_they_came(boxes: Doors, door_name: str) -> None:
    value: object = {"a": [1, 2.5, None, True, {"b": 10**30}]}
    told = boxes.named(door_name).explain(asking("ann", "denied_unless_false", "box", value=value))
    assert told["decided_by"]["condition"]["comparisons"][0]["read"] == {"resource.value": value}


def test_a_setting_for_deeper_bodies_does_not_break_the_explanation(
    tmp_path: Path, opened: Callable[..., Doors], boxes: Doors
) -> None:
    doors = opened(policies=boxes.service.settings.policies, max_nesting_depth=400)
    value: object = 1
    for _ in range(390):
        value = [value]
    told = doors.lane.explain(asking("ann", "denied_unless_false", "box", value=value))
    assert told["decided_by"]["condition"]["comparisons"][0]["read"] == {"resource.value": value}


def test_a_deny_grant_wins_over_http_too(boxes: Doors, door_name: str) -> None:
    grant(boxes.service, [("user:boss", "admin", "acme")])
    assert boxes.named(door_name).allows(asking("boss", "denied_unless_false", "box", value=False))
    assert not boxes.named(door_name).allows(asking("boss", "denied_unless_false", "box", value=True))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", ""]), st.lists, max_leaves=3
)
entities = st.fixed_dictionaries(
    {},
    optional={
        "type": st.just("user") | json_values,
        "id": st.just("leo") | json_values,
        "name": st.just("edit") | json_values,
        "properties": st.dictionaries(st.sampled_from(["a", "now"]), json_values) | json_values,
    },
)
questions = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("subject", "action", "resource"), entities | json_values),
        "context": st.dictionaries(st.sampled_from(["a", "now"]), json_values) | json_values,
    },
)


@settings(max_examples=300, deadline=None)
@given(questions)
def test_the_quick_reader_takes_what_the_table_of_shapes_takes(body: Json) -> None:
    def outcome(read: Callable[[Json], Request]) -> Request | str:
        try:
            return read(body)
        except ApiError as error:
            return error.message

    assert outcome(read_evaluation) == outcome(lambda body: request_of(request_shapes.EXPLANATION.read(body, "")))
