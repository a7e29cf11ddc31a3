"""The routes: AuthZEN evaluation, searches and discovery, explanations, role assignments, the policy in force, health."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from flask import Blueprint, Response, request

from klausel.api import request_shapes
from klausel.api.access import caller_in, check_reach_of_stored, may_know_names
from klausel.api.assignment_log import list_changes, list_entity_changes
from klausel.api.assignments import change_assignments, list_assignments, remove_subject, sender_of_request
from klausel.api.authzen_requests import read_evaluation
from klausel.api.casbin_js import answer_casbin_js
from klausel.api.entities import change_entities, list_entities, remove_entity
from klausel.api.errors import ApiError, hand_over
from klausel.api.evaluations import answer_evaluation, answer_evaluations
from klausel.api.http import body_limits, json_answer, query_parameters, read_body
from klausel.api.metrics import Metrics
from klausel.api.openapi import Description
from klausel.api.permissions import answer_filter, answer_permissions
from klausel.api.policy_state import answer_reload, describe_policy, describe_readiness, describe_types
from klausel.api.questions import Open
from klausel.api.searches import SEARCH_PATHS, Searches
from klausel.api.shapes import Json, Shape
from klausel.core.decisions.explanation_format import explanation_as_json
from klausel.core.terms.caller import Caller
from klausel.service.decision_service import Service
from klausel.service.recording import Recording

EVALUATION_PATH = "/access/v1/evaluation"
EVALUATIONS_PATH = "/access/v1/evaluations"
DESCRIPTION_PATH = "/openapi.json"
PERMISSIONS_PATH = "/v1/permissions"
DISCOVERY_PATH = "/.well-known/authzen-configuration"
DESCRIPTION_CACHING = {"Cache-Control": "private, no-cache"}
"""It is another one under other policies, and for who is told no names: each use is asked for, with the tag of what is kept."""
DISCOVERY_CACHING = {"Cache-Control": "public, max-age=3600"}

_OTHER_SITES = ("cross-site", "same-site")

Who = TypeVar("Who")


def _caller() -> Caller | None:
    return caller_in(request.environ)


def authzen_routes(service: Service) -> Blueprint:
    """The routes of the AuthZEN Authorization API 1.0."""
    blueprint = Blueprint("authzen", __name__)
    limits = body_limits(service.settings)

    def recording(route: str) -> Recording | None:
        return service.recording(route, request.environ)

    @blueprint.post(EVALUATION_PATH, provide_automatic_options=False)
    def evaluation() -> Response:
        return json_answer(answer_evaluation(service, read_body(limits), recording("evaluation"), _caller()))

    @blueprint.post(EVALUATIONS_PATH, provide_automatic_options=False)
    def evaluations() -> Response:
        return json_answer(
            answer_evaluations(service, read_body(limits, request_shapes.BATCH), recording("evaluations"), _caller())
        )

    searches = Searches(service)

    def search(open_: Open) -> Response:
        return json_answer(searches.answer(open_, read_body(limits), _caller()))

    for open_, path in SEARCH_PATHS.items():
        blueprint.post(path, endpoint=f"search_{open_}", provide_automatic_options=False)(partial(search, open_))

    @blueprint.get(DISCOVERY_PATH, provide_automatic_options=False)
    @blueprint.get(DISCOVERY_PATH + "/<path:tenant>", provide_automatic_options=False)
    def discovery(tenant: str = "") -> Response:
        base = service.settings.base_url
        if unquote(urlsplit(base).path) != (f"/{tenant}" if tenant else ""):
            raise ApiError(404, f"the metadata of this service is at {_discovery_url(base)}")
        metadata = {
            "policy_decision_point": base,
            "access_evaluation_endpoint": base + EVALUATION_PATH,
            "access_evaluations_endpoint": base + EVALUATIONS_PATH,
            **{f"search_{part}_endpoint": base + path for part, path in SEARCH_PATHS.items()},
        }
        return json_answer(metadata, headers=DISCOVERY_CACHING)

    return blueprint


def _discovery_url(base: str) -> str:
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}{DISCOVERY_PATH}{parts.path}"


def klausel_routes(service: Service, metrics: Metrics) -> Blueprint:
    """The routes of Klausel itself, under `/v1/`, and those for operators."""
    blueprint = Blueprint("klausel", __name__)
    limits = body_limits(service.settings)

    @blueprint.post("/v1/explain", provide_automatic_options=False)
    def explain() -> Response:
        question = read_evaluation(read_body(limits))
        recording = service.recording("explain", request.environ)
        caller = _caller()
        explanation = service.explain(question, recording, caller=caller)
        check_reach_of_stored(caller, [explanation.decision.domain])
        hand_over(recording)
        other_model = service.live.in_force.policy.compiled.other_model
        about_model = {} if other_model is None else {"not_for_model": other_model}
        return json_answer({**explanation_as_json(explanation), **about_model})

    @blueprint.get("/v1/casbin-js", provide_automatic_options=False)
    @blueprint.get("/v1/casbin-js/<path:domain>", provide_automatic_options=False)
    def casbin_js(domain: str | None = None) -> Response:
        subject = query_parameters(*request_shapes.WHOM).get("subject")
        return json_answer(answer_casbin_js(service, subject, domain, _caller()))

    @blueprint.get("/v1/policy", provide_automatic_options=False)
    def policy() -> Response:
        return json_answer(describe_policy(service.live, _caller()))

    @blueprint.get("/v1/policy/types", provide_automatic_options=False)
    def policy_types() -> Response:
        return json_answer(describe_types(service.live))

    @blueprint.post("/v1/policy:reload", provide_automatic_options=False)
    def reload_policy() -> Response:
        # Without a body, browsers would let a page of any site send it. Old ones tell the site of the page alone.
        if request.headers.get("Sec-Fetch-Site", "cross-site" if "Origin" in request.headers else "none") in _OTHER_SITES:
            raise ApiError(403, "a page of another site may not reload the policies")
        if request.content_length and read_body(limits):
            raise ApiError(400, "a reload takes no members; send no body, or {}")
        return json_answer(answer_reload(service, _caller()))

    def of_body(path: str, answer: Callable[[Service, Json, Who], Json], who: Callable[[], Who]) -> None:
        @blueprint.post(path, endpoint=answer.__name__, provide_automatic_options=False)
        def answer_to_body() -> Response:
            return json_answer(answer(service, read_body(limits), who()))

    of_body(PERMISSIONS_PATH, answer_permissions, _caller)
    of_body("/v1/filter", answer_filter, _caller)
    of_body("/v1/assignments", change_assignments, sender_of_request)
    of_body("/v1/entities", change_entities, sender_of_request)

    def of_query(
        route: Callable[..., Callable[[Callable[[], Response]], object]],
        path: str,
        answer: Callable[[Service, dict[str, str], Who], Json],
        known: Mapping[str, Shape],
        who: Callable[[], Who],
    ) -> None:
        @route(path, endpoint=answer.__name__, provide_automatic_options=False)
        def answer_to_query() -> Response:
            return json_answer(answer(service, query_parameters(*known), who()))

    get, delete = blueprint.get, blueprint.delete
    of_query(get, "/v1/assignments", list_assignments, request_shapes.ASSIGNMENT_FILTERS, _caller)
    of_query(delete, "/v1/assignments", remove_subject, request_shapes.LEAVER, sender_of_request)
    of_query(get, "/v1/entities", list_entities, request_shapes.ENTITY_FILTERS, _caller)
    of_query(delete, "/v1/entities", remove_entity, request_shapes.ENTITY_KEY, sender_of_request)
    of_query(get, "/v1/assignment-log", list_changes, request_shapes.LOG_FILTERS, _caller)
    of_query(get, "/v1/entity-log", list_entity_changes, request_shapes.ENTITY_LOG_FILTERS, _caller)

    described = Description(service.settings.base_url)

    @blueprint.get(DESCRIPTION_PATH, provide_automatic_options=False)
    def description() -> Response:
        is_told = may_know_names(service.authentication, request.environ)
        body, tag = described.of(service.policy.compiled.policy if is_told else None)
        answer = Response(body, headers=DESCRIPTION_CACHING, mimetype="application/json")
        answer.set_etag(tag)
        answer.make_conditional(request)
        # The server dates all answers.
        answer.headers.pop("Date", None)
        return answer

    @blueprint.get("/healthz", provide_automatic_options=False)
    def health() -> Response:
        return json_answer({"status": "ok"})

    @blueprint.get("/readyz", provide_automatic_options=False)
    def readiness() -> Response:
        return json_answer(describe_readiness(service))

    @blueprint.get("/metrics", provide_automatic_options=False)
    def show_metrics() -> Response:
        return Response(*metrics.answer())

    return blueprint
