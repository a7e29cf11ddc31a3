"""Reasons of a deny, for those who ask for them: the sentence of the explanation, and no more than a caller may learn."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from doors import ALLOWED, DENIED, EVALUATION, EVALUATIONS, Door, Doors, Json, asking, demo_people, grant

from klausel.core.terms.caller import Caller
from klausel.storage.callers.keys import KeyStore

ASKED: Json = {"options": {"reasons": True}}


def test_a_deny_is_bare_unless_its_reasons_are_asked_for(client: Door) -> None:
    for options in ({}, {"options": {"reasons": False}}, {"options": {"reasons": None}}, {"options": {}}):
        assert client.post(EVALUATION, {**DENIED, **options}).json == {"decision": False}
        assert client.evaluate_all({**options, "evaluations": [DENIED]}) == [{"decision": False}]


def test_the_reasons_of_a_deny_are_those_of_its_explanation(client: Door) -> None:
    why = client.explain(DENIED)["reason"]
    told = client.post(EVALUATION, {**DENIED, **ASKED}).json
    assert told["decision"] is False
    assert told["context"]["reasons"] == [why]
    assert told["context"]["reason_admin"] == {"en": why}
    assert "leo" not in told["context"]["reason_user"]["en"]
    assert client.post(EVALUATIONS, {**DENIED, **ASKED}).json == told
    assert client.evaluate_all({**ASKED, "evaluations": [ALLOWED, DENIED]}) == [{"decision": True}, told]


def test_a_request_that_cannot_be_judged_has_its_reason_as_one(client: Door) -> None:
    malformed = asking("leo", "edit", "quiz", account="a/b")
    context = client.post(EVALUATION, {**malformed, **ASKED}).json["context"]
    assert context["reasons"] == [context["reason"]]
    assert "reason_user" in context


@pytest.mark.parametrize("value", [1, "true", [], {}])
def test_reasons_that_are_neither_true_nor_false_are_a_400(client: Door, value: object) -> None:
    for path in (EVALUATION, EVALUATIONS):
        answer = client.post(path, {**ALLOWED, "options": {"reasons": value}})
        assert (answer.status, answer.message) == (400, "options.reasons is neither true nor false")


def test_the_service_may_give_reasons_to_all(opened: Callable[..., Doors], door_name: str) -> None:
    doors = opened(reasons=True)
    grant(doors.service, demo_people())
    door = doors.named(door_name)
    assert door.post(EVALUATION, DENIED).json["context"]["reasons"]
    assert door.post(EVALUATION, {**DENIED, "options": {"reasons": False}}).json == {"decision": False}
    assert door.post(EVALUATION, ALLOWED).json == {"decision": True}


def test_a_caller_that_may_not_explain_learns_no_more_than_the_person(opened: Callable[..., Doors], door_name: str) -> None:
    doors = opened(authentication="keys")
    grant(doors.service, demo_people())
    keys = KeyStore(doors.service.store.engine)
    told = []
    for scopes in (frozenset({"check"}), frozenset({"check", "explain"})):
        key = keys.new(Caller("app" + str(len(scopes)), scopes), None)[1]
        body = {**DENIED, **ASKED}
        answer = doors.named(door_name).ask(
            "POST", EVALUATION, json.dumps(body).encode(), headers={"Authorization": f"Bearer {key}"}
        )
        told.append(set(answer.json["context"]))
    assert told == [{"reason_user"}, {"reasons", "reason_admin", "reason_user"}]
