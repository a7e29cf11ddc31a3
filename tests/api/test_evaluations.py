"""Batches: defaults, semantics, faulty items in a good answer, and what makes the whole a 400."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from doors import (
    ALLOWED,
    DENIED,
    EVALUATION,
    EVALUATIONS,
    Door,
    Doors,
    Json,
    asking,
    demo_people,
    grant,
    with_resource,
    with_subject,
)

from klausel.core.records.recorded import Recorded
from klausel.storage.decision_log.files import Block, records_in

SUBJECT, ACTION, RESOURCE = ALLOWED["subject"], ALLOWED["action"], ALLOWED["resource"]
DELETE = {"name": "delete"}
SEMANTICS = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")
FAULTY: dict[str, object] = {
    "null": None,
    "a string": "edit",
    "a number": 12,
    "a list": [],
    "true": True,
    "a subject that is a string": {"subject": "leo"},
    "an action without a name": {"action": {}},
    "an id that is a number": {"resource": {"type": "quiz", "id": 7}},
}


def test_top_level_entities_are_defaults_of_the_items(client: Door) -> None:
    assert client.decisions({**ALLOWED, "evaluations": [{}, {"action": DELETE}, {"action": ACTION}]}) == [True, False, True]
    assert client.decisions({"evaluations": [ALLOWED, DENIED]}) == [True, False]
    assert client.decisions({"subject": SUBJECT, "evaluations": [{"action": ACTION, "resource": RESOURCE}]}) == [True]


def test_a_key_in_an_item_replaces_the_whole_entity(client: Door) -> None:
    told = client.evaluate_all(
        {
            **ALLOWED,
            "evaluations": [
                {"resource": {"type": "quiz", "id": "q1"}},
                {"resource": {"id": "q2"}},
                {"subject": {"id": "max"}},
                {"action": {"properties": {}}},
                {},
            ],
        }
    )
    assert told[0] == {"decision": False}
    messages = [item["context"]["error"]["message"] for item in told[1:4]]
    assert messages == [
        "resource.type is missing; send a string",
        "subject.type is missing; send a string",
        "action.name is missing; send a string",
    ]
    assert told[4] == {"decision": True}


def test_the_context_of_an_item_replaces_the_whole_context(opened: Callable[..., Doors], door_name: str) -> None:
    door = opened().named(door_name)
    both = {**DENIED, "context": "no object", "evaluations": [{"context": {}}, {}]}
    assert [item.get("context") for item in door.evaluate_all(both)] == [
        None,
        {"error": {"status": 400, "message": "context is not an object; send one"}},
    ]


def test_a_default_of_the_wrong_kind_that_every_item_overrides_is_no_error(client: Door) -> None:
    values: list[object] = [None, 12, "leo", [], {}, {"type": 1}]
    for wrong in values:
        defaults = dict.fromkeys(("subject", "action", "resource", "context"), wrong)
        assert client.decisions({**defaults, "evaluations": [{**ALLOWED, "context": {}}] * 2}) == [True, True]


def test_a_null_optional_member_is_as_if_it_were_not_there(client: Door) -> None:
    nulls = {
        entity: {**ALLOWED[entity], "properties": {} if entity == "resource" else None}
        for entity in ("subject", "action", "resource")
    }
    nulls["resource"]["properties"] = RESOURCE["properties"]
    request = {**nulls, "context": None, "options": None, "page": None, "evaluations": None}
    for path in (EVALUATION, EVALUATIONS):
        assert client.post(path, request).json == {"decision": True}
    without = with_resource(ALLOWED, properties=None)
    assert client.post(EVALUATION, without).json == {"decision": False}
    assert client.decisions({"evaluations": [{**ALLOWED, "context": None}], "options": {"evaluations_semantic": None}}) == [
        True
    ]
    of_default = client.evaluate_all({**ALLOWED, "context": {"now": 1}, "evaluations": [{"context": None}, {"context": {}}]})
    assert [one["decision"] for one in of_default] == [False, True]


@pytest.mark.parametrize("semantic", [{}, {"options": {"evaluations_semantic": "permit_on_first_permit"}}])
@pytest.mark.parametrize("evaluations", [{}, {"evaluations": []}, {"evaluations": None}])
def test_without_items_the_answer_is_that_of_one_evaluation(client: Door, evaluations: Json, semantic: Json) -> None:
    malformed = asking("leo", "edit", "quiz", account="a/b")
    for request in (ALLOWED, DENIED, malformed, {}, {"subject": SUBJECT}, {**ALLOWED, "action": "edit"}):
        whole, one = client.post(EVALUATIONS, {**request, **evaluations, **semantic}), client.post(EVALUATION, request)
        assert (whole.status, whole.body) == (one.status, one.body)


@pytest.mark.parametrize("evaluations", [{}, {"0": {}}, "text", 0, 1, True, False], ids=repr)
def test_evaluations_that_are_no_list_are_a_400(client: Door, evaluations: object) -> None:
    answer = client.post(EVALUATIONS, {**ALLOWED, "evaluations": evaluations})
    assert (answer.status, answer.message) == (400, "evaluations is not a list; send one")


def test_execute_all_answers_every_item_in_order_and_is_the_default(client: Door) -> None:
    items = [ALLOWED, DENIED, "faulty", ALLOWED, DENIED]
    told = client.evaluate_all({"evaluations": items})
    assert [item["decision"] for item in told] == [True, False, False, True, False]
    for options in ({"evaluations_semantic": "execute_all"}, {}, {"else": 1}):
        assert client.evaluate_all({"evaluations": items, "options": options}) == told


@pytest.mark.parametrize(
    ("semantic", "items", "expected"),
    [
        ("deny_on_first_deny", [ALLOWED, ALLOWED, DENIED, ALLOWED], [True, True, False]),
        ("deny_on_first_deny", [ALLOWED, ALLOWED], [True, True]),
        ("deny_on_first_deny", [DENIED, ALLOWED], [False]),
        ("deny_on_first_deny", [ALLOWED, {}, ALLOWED], [True, False]),
        ("deny_on_first_deny", [ALLOWED, asking("leo", "edit", "quiz", account=""), ALLOWED], [True, False]),
        ("permit_on_first_permit", [DENIED, DENIED, ALLOWED, DENIED], [False, False, True]),
        ("permit_on_first_permit", [DENIED, DENIED], [False, False]),
        ("permit_on_first_permit", [ALLOWED, DENIED], [True]),
        ("permit_on_first_permit", [{}, 12, ALLOWED, ALLOWED], [False, False, True]),
    ],
)
def test_the_answer_of_a_semantic_that_stops_ends_with_the_item_it_stopped_at(
    client: Door, semantic: str, items: list[object], expected: list[bool]
) -> None:
    options = {"evaluations_semantic": semantic}
    assert client.decisions({"evaluations": items, "options": options}) == expected


@pytest.mark.parametrize(
    "semantic",
    ["", "EXECUTE_ALL", "execute_all ", "first", 1, True, [], ["execute_all"], {}, {"execute_all": 1}],
    ids=repr,
)
def test_another_semantic_is_a_400(client: Door, semantic: object) -> None:
    for request in ({"evaluations": [ALLOWED]}, {**ALLOWED, "evaluations": []}, ALLOWED):
        answer = client.post(EVALUATIONS, {**request, "options": {"evaluations_semantic": semantic}})
        assert answer.status == 400
        assert all(known in answer.message for known in SEMANTICS)


@pytest.mark.parametrize("options", [1, "execute_all", [], True], ids=repr)
def test_options_that_are_no_object_are_a_400(client: Door, options: object) -> None:
    assert client.post(EVALUATIONS, {"evaluations": [ALLOWED], "options": options}).status == 400


def test_other_options_are_ignored(client: Door) -> None:
    options = {"evaluation_semantic": "first", "explain": True, "timeout": -1, "evaluations_semantics": None}
    assert client.decisions({"evaluations": [DENIED, ALLOWED], "options": options}) == [False, True]


def test_a_single_evaluation_looks_at_no_options(client: Door) -> None:
    assert client.allows({**ALLOWED, "options": {"evaluations_semantic": "none"}, "evaluations": 12})


@pytest.mark.parametrize("item", FAULTY)
def test_a_faulty_item_is_a_deny_with_its_error_and_the_others_are_answered(client: Door, item: str) -> None:
    told = client.evaluate_all({**ALLOWED, "evaluations": [{}, FAULTY[item], {}]})
    assert [one["decision"] for one in told] == [True, False, True]
    assert told[1].keys() == {"decision", "context"}
    assert told[1]["context"].keys() == {"error"}
    error = told[1]["context"]["error"]
    assert error.keys() == {"status", "message"}
    assert error["status"] == 400
    assert error["message"]


def test_a_partial_default_is_no_error_of_the_whole(client: Door) -> None:
    told = client.evaluate_all({"subject": {}, "evaluations": [{}, ALLOWED]})
    assert [one["decision"] for one in told] == [False, True]
    assert told[0]["context"]["error"]["message"] == "subject.type is missing; send a string"


def test_a_malformed_item_has_its_reason(client: Door) -> None:
    told = client.evaluate_all({**ALLOWED, "evaluations": [{}, {"resource": {"type": "account", "id": "a/b"}}]})
    assert told == [{"decision": True}, {"decision": False, "context": {"reason": 'the account contains "/"'}}]


def test_unknown_fields_of_items_are_ignored(client: Door) -> None:
    item = {"decision": False, "options": {"evaluations_semantic": 1}, "evaluations": [DENIED], "roles": ["admin"]}
    assert client.decisions({**ALLOWED, "evaluations": [item, {**item, "action": DELETE}]}) == [True, False]


def test_a_batch_of_the_largest_size_is_answered_and_a_larger_one_is_a_400(client: Door) -> None:
    for size in (999, 1000):
        assert client.decisions({**ALLOWED, "evaluations": [{}] * size}) == [True] * size
    for semantic in SEMANTICS:
        options = {"evaluations_semantic": semantic}
        answer = client.post(EVALUATIONS, {**DENIED, "evaluations": [{}] * 1001, "options": options})
        assert answer.status == 400
        assert "1000" in answer.message


def test_the_largest_batch_is_a_setting(opened: Callable[..., Doors], door_name: str) -> None:
    doors = opened(max_batch=2)
    grant(doors.service, demo_people())
    door = doors.named(door_name)
    assert door.decisions({**ALLOWED, "evaluations": [{}, {}]}) == [True, True]
    assert door.post(EVALUATIONS, {**ALLOWED, "evaluations": [{}, {}, {}]}).status == 400


def test_a_batch_is_bounded_by_the_bytes_of_its_defaults_in_its_items(
    opened: Callable[..., Doors], door_name: str, tmp_path: Path
) -> None:
    log = tmp_path / "decisions.jsonl"
    doors = opened(max_batch_bytes=100_000, decision_log=str(log))
    grant(doors.service, demo_people())
    door = doors.named(door_name)
    large = with_subject(ALLOWED, properties={"notes": ["x" * 1000] * 10})
    assert door.decisions({**large, "evaluations": [{}] * 5}) == [True] * 5
    refused = door.post(EVALUATIONS, {**large, "evaluations": [{}] * 100})
    assert refused.status == 413
    assert "100 items" in refused.message
    # Items that bring all themselves take nothing from the defaults.
    assert door.decisions({**large, "evaluations": [ALLOWED] * 100}) == [True] * 100
    assert doors.service.decision_log is not None
    doors.service.decision_log.close()
    assert log.stat().st_size < 300_000


def test_large_defaults_of_a_batch_are_recorded_once(opened: Callable[..., Doors], door_name: str, tmp_path: Path) -> None:
    log = tmp_path / "decisions.jsonl"
    doors = opened(decision_log=str(log))
    grant(doors.service, demo_people())
    large = with_subject(ALLOWED, properties={"notes": ["x" * 1000] * 10})
    assert doors.named(door_name).decisions({**large, "evaluations": [{}] * 500}) == [True] * 500
    assert doors.service.decision_log is not None
    doors.service.decision_log.close()
    assert doors.service.decision_log.counts().written == 500
    assert log.stat().st_size < 500_000
    found = [record for _, record in records_in(Block("log", 1, log.read_bytes()))]
    assert len(found) == 500
    for record in found:
        assert isinstance(record, Recorded)
        assert record.allowed
        assert record.request is not None
        assert record.request.subject.properties == {"notes": ["x" * 1000] * 10}


def test_a_batch_answers_as_its_items_would_one_by_one(client: Door) -> None:
    items = [
        asking(user, action, "quiz", "q1", account="acme", workspace=workspace, status="published", creator="leo")
        for user in ("ada", "max", "mia", "leo", "rosa", "ann", "greg", "nobody")
        for action in ("create", "take", "edit", "delete")
        for workspace in ("support", "sales", "none", "a/b")
    ]
    assert client.evaluate_all({"evaluations": items}) == [client.evaluate(item) for item in items]
