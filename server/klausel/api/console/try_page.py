"""The page on which one question is asked, with its answer drawn step by step, and the question as lines to copy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from flask import request

from klausel.api.access import caller_in, check_reach, check_reach_of_stored
from klausel.api.authzen_requests import read_evaluation
from klausel.api.console.fields import FIELDS_OF_TRY, as_local, fields_shown, read_body_of_try, read_domain, read_time_of_try
from klausel.api.console.pages import Page, visible
from klausel.api.errors import ApiError, hand_over
from klausel.api.http import body_limits
from klausel.api.json_body import BodyError, read_json_object
from klausel.api.shapes import Json
from klausel.core.decisions.explanation_format import explanation_as_json
from klausel.core.policy.policy_set import PolicySet
from klausel.core.policy.roles import RoleModel
from klausel.service.decision_service import Service


def try_page(service: Service, given: dict[str, str], is_twin: bool) -> Page:
    """The form, and below it the answer to the question in it, or what keeps it from being one.

    The twin is the question and its explanation, and raises `ApiError` (400) where the page shows a fault. Both raise
    `ApiError` (403, 503) and `StorageError`.
    """
    policy = service.policy.compiled.policy
    shown: Json = {
        "given": {name: given.get(name, "") for name in FIELDS_OF_TRY},
        "fields": fields_shown(policy, given),
        "as_local": as_local,
        "types": list(policy.resource_types),
        "actions": sorted({action for declared in policy.resource_types.values() for action in declared.actions}),
        "fault": None,
        "told": None,
    }
    if not is_twin and {name for name, text in given.items() if text} <= {"type"}:
        return Page("try.html", "Try it", shown)
    try:
        question = _question(service, policy, given)
        moment = read_time_of_try(given.get("time", ""))
    except ApiError as error:
        if is_twin or error.status not in (400, 404):
            raise
        return Page("try.html", "Try it", {**shown, "fault": error.message}, status=error.status)
    told = _explanation(service, question, moment)
    query = urlencode({name: value for name, value in given.items() if value})
    at = {} if moment is None else {"time": given["time"]}
    twin = {"question": question, **at, "explanation": told}
    lines = {
        # No route takes a time from its caller.
        "From a shell": None if at else curl_line(service, question),
        "From Python": None if at else client_line(service, question),
        "On the command line": command_line(policy.roles, question, given),
    }
    shown |= {"told": told, "query": query, "lines": lines, "question": question}
    return Page("try.html", "Try it", shown, twin)


def _question(service: Service, policy: PolicySet, given: dict[str, str]) -> Json:
    limits = body_limits(service.settings)
    body = read_body_of_try(policy, given, limits)
    # The same reader as for bodies, so that the same bounds hold.
    try:
        return read_json_object(json.dumps(body).encode(), limits)
    except BodyError as error:
        raise ApiError(400, error.message) from None


def _explanation(service: Service, question: Json, moment: datetime | None) -> Json:
    # A question about another time than now is no decision that anybody could act on.
    recording = service.recording("explain", request.environ) if moment is None else None
    caller = caller_in(request.environ)
    explanation = service.explain(read_evaluation(question), recording, moment, caller)
    check_reach_of_stored(caller, [explanation.decision.domain])
    check_reach(caller, [explanation.decision.domain])
    hand_over(recording)
    other_model = service.policy.compiled.other_model
    about_model = {} if other_model is None else {"not_for_model": other_model}
    return {**explanation_as_json(explanation), **about_model}


def curl_line(service: Service, question: Json) -> str:
    """The `curl` that asks `POST /v1/explain`; in ASCII, so that no terminal is told anything by the texts in it."""
    key = "" if service.authentication is None else ' -H "Authorization: Bearer $KEY"'
    address = shlex.quote(service.settings.base_url + "/v1/explain")
    return f"curl -sS{key} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(question))} {address}"


def client_line(service: Service, question: Json) -> str:
    """The expression by which a program asks with `klausel.client`, in ASCII."""
    key = "" if service.authentication is None else ", key=key"
    subject, action, resource = question["subject"], question["action"], question["resource"]
    asked = [
        _made("Subject", subject["type"], subject["id"], subject.get("properties")),
        _made("Action", action["name"], action.get("properties")),
        _made("Resource", resource["type"], resource["id"], resource.get("properties")),
        *([ascii(question["context"])] if question.get("context") else []),
    ]
    return f"Klausel({service.settings.base_url!a}{key}).allows({', '.join(asked)})"


def _made(name: str, *values: object) -> str:
    return f"{name}({', '.join(ascii(value) for value in values if value is not None)})"


def command_line(roles: RoleModel, question: Json, given: Mapping[str, str]) -> str | None:
    """The `klausel explain` that asks the same of files and database; None where a text in it cannot stand in a line."""
    resource = question["resource"]
    domain = read_domain(roles, given.get("domain", ""))
    levels = list(zip(roles.levels, domain.split("/") if domain else (), strict=False))
    place = "/".join(part for level, part in levels if level.constant is None)
    by_place = {level.named_by for level, _ in levels if level.constant is None}
    words = ["klausel", "explain", *(["--in", place] if place else [])]
    if given.get("time"):
        words += ["--now", given["time"]]
    entities = {**{name: question[name].get("properties", {}) for name in ("subject", "action", "resource")}}
    for entity, properties in {**entities, "context": question.get("context", {})}.items():
        for name, value in properties.items():
            if not (entity == "resource" and name in by_place):
                words += ["--set", f"{entity}.{name}={json.dumps(value)}"]
    id_ = resource["id"]
    words += ["--", given["subject"], given["action"], f"{resource['type']}:{id_}" if id_ else resource["type"]]
    is_clear = all(word == visible(word) for word in words) and ":" not in resource["type"]
    return shlex.join(words) if is_clear else None
