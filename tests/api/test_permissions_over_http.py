"""`POST /v1/permissions`: menus agree with evaluations about every action of every resource."""

from __future__ import annotations

import pytest
from doors import PERMISSIONS, Door, Json

PLACE = {"account": "acme", "workspace": "support"}
LEO: Json = {"type": "user", "id": "leo"}
RESOURCES: list[Json] = [
    {"type": "quiz", "id": "q1", "properties": {**PLACE, "status": "published"}},
    {"type": "quiz", "id": "q2", "properties": {**PLACE, "status": "draft", "creator": "leo"}},
    {"type": "quiz", "id": "q3", "properties": {"account": "acme", "workspace": "sales", "status": "published"}},
    {"type": "workspace", "id": "support", "properties": {"account": "acme"}},
    {"type": "account", "id": "acme"},
    {"type": "nothing", "id": "x"},
    {"type": "quiz", "id": "q4", "properties": {"workspace": "support"}},
]
ACTIONS = {
    "quiz": ["create", "take", "edit", "view_draft", "publish", "archive", "delete"],
    "workspace": ["create", "view_settings", "edit_settings", "delete"],
    "account": ["view_settings", "edit_settings", "delete"],
}


@pytest.mark.parametrize("user", ["leo", "ada", "max", "ann", "mia", "nobody", ""])
def test_menus_hold_what_evaluations_allow(client: Door, user: str) -> None:
    subject = {"type": "user", "id": user}
    told = client.post(PERMISSIONS, {"subject": subject, "resources": RESOURCES}).json["permissions"]
    wanted = [
        [
            action
            for action in ACTIONS.get(resource["type"], [])
            if client.allows({"subject": subject, "action": {"name": action}, "resource": resource})
        ]
        for resource in RESOURCES
    ]
    assert [one["actions"] for one in told] == wanted
    assert any(wanted) is (user not in ("nobody", ""))


def test_what_is_not_said_may_be_a_condition(client: Door) -> None:
    resource = {"type": "quiz", "id": "q", "properties": {**PLACE, "creator": "ann"}}
    body = {"subject": LEO, "resources": [resource], "conditions": True}
    (told,) = client.post(PERMISSIONS, body).json["permissions"]
    published = {"operator": "==", "left": {"property": ["status"]}, "right": {"value": "published"}}
    assert told["conditional"] == [{"action": action, "condition": published} for action in ("take", "edit")]
    settled = {**resource, "properties": {**resource["properties"], "status": None}}
    (told,) = client.post(PERMISSIONS, {**body, "resources": [settled]}).json["permissions"]
    assert told["conditional"] == []


def test_no_resources_are_no_menus(client: Door) -> None:
    assert client.post(PERMISSIONS, {"subject": LEO, "resources": []}).json == {"permissions": []}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subject": {"type": "user"}}, "subject.id is missing; send a string"),
        ({"resources": None}, "resources is missing; send a list"),
        ({"resources": {}}, "resources is not a list; send one"),
        ({"resources": [5]}, "resources[0] is not an object; send one"),
        ({"resources": [{"type": "quiz"}]}, "resources[0].id is missing; send a string"),
        (
            {"resources": [{"type": "quiz", "id": "q", "properties": 5}]},
            "resources[0].properties is not an object; send one",
        ),
        ({"conditions": 1}, "conditions is neither true nor false"),
        ({"context": {"now": 1}}, "context.now is the clock of the service, which no caller may set; leave it out"),
        (
            {"resources": [{"type": "a", "id": "b"}] * 1001},
            "resources has 1001 items, more than 1000; send several requests",
        ),
    ],
)
def test_a_fault_is_named(client: Door, change: Json, message: str) -> None:
    answer = client.post(PERMISSIONS, {"subject": LEO, "resources": RESOURCES, **change})
    assert (answer.status, answer.message) == (400, message)
