"""The page on which one question is asked, with the explanation of its answer drawn step by step."""

from __future__ import annotations

import json
import shlex
from urllib.parse import urlencode

from flask import request

from klausel.api.access import caller_in, check_reach
from klausel.api.authzen_requests import read_evaluation
from klausel.api.console.fields import FIELDS_OF_TRY, read_body_of_try
from klausel.api.console.pages import Page
from klausel.api.errors import ApiError, hand_over
from klausel.api.http import body_limits
from klausel.api.json_body import BodyError, read_json_object
from klausel.api.shapes import Json
from klausel.core.decisions.explanation_format import explanation_as_json
from klausel.core.policy.policy_set import PolicySet
from klausel.service.decision_service import Service


def try_page(service: Service, given: dict[str, str], is_twin: bool) -> Page:
    """The form, and below it the answer to the question in it, or what keeps it from being one.

    The twin is the question and its explanation, and raises `ApiError` (400) where the page shows a fault. Both raise
    `ApiError` (403, 503) and `StorageError`.
    """
    policy = service.policy.compiled.policy
    shown: Json = {
        "given": {name: given.get(name, "") for name in FIELDS_OF_TRY},
        "types": list(policy.resource_types),
        "actions": sorted({action for declared in policy.resource_types.values() for action in declared.actions}),
        "fault": None,
        "told": None,
    }
    if not given and not is_twin:
        return Page("try.html", "Try it", shown)
    try:
        question = _question(service, policy, given)
    except ApiError as error:
        if is_twin or error.status != 400:
            raise
        return Page("try.html", "Try it", {**shown, "fault": error.message}, status=400)
    told = _explanation(service, question)
    query = urlencode({name: value for name, value in given.items() if value})
    twin = {"question": question, "explanation": told}
    shown |= {"told": told, "query": query, "curl": _curl(service, question), "question": question}
    return Page("try.html", "Try it", shown, twin)


def _question(service: Service, policy: PolicySet, given: dict[str, str]) -> Json:
    limits = body_limits(service.settings)
    body = read_body_of_try(policy.roles, given, limits)
    # The same reader as for bodies, so that the same bounds hold.
    try:
        return read_json_object(json.dumps(body).encode(), limits)
    except BodyError as error:
        raise ApiError(400, error.message) from None


def _explanation(service: Service, question: Json) -> Json:
    recording = service.recording("explain", request.environ)
    explanation = service.explain(read_evaluation(question), recording)
    check_reach(caller_in(request.environ), [explanation.decision.domain])
    hand_over(recording)
    other_model = service.policy.compiled.other_model
    about_model = {} if other_model is None else {"not_for_model": other_model}
    return {**explanation_as_json(explanation), **about_model}


def _curl(service: Service, question: Json) -> str:
    key = "" if service.authentication is None else ' -H "Authorization: Bearer $KEY"'
    address = shlex.quote(service.settings.base_url + "/v1/explain")
    # In ASCII, so that no terminal is told anything by the texts in it.
    return f"curl -sS{key} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(question))} {address}"
