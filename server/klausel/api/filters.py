"""The route of list filters: which resources of a type a subject may act on, for a database to run."""

from __future__ import annotations

from klausel.api.authzen_requests import Json
from klausel.api.errors import ApiError
from klausel.api.questions import read_question
from klausel.core.filters.json_form import filter_as_json
from klausel.core.terms.identifiers import fault_in_domain
from klausel.service.decision_service import Service


def answer_filter(service: Service, body: Json) -> Json:
    """The answer to `POST /v1/filter`; raises `ApiError` (400), `PoliciesTooOld` and `StorageError`.

    Under a model with a matcher of its own, which no filter can speak for, it raises `ApiError` with 501.
    """
    other_model = service.live.in_force.policy.compiled.other_model
    if other_model is not None:
        raise ApiError(501, f"the matcher of the model in force is not Klausel's ({other_model}), so no filter can be told")
    question = read_question(body, "resource")
    domain = body.get("domain")
    if domain is not None:
        if not isinstance(domain, str):
            raise ApiError(400, "domain is not a string")
        fault = fault_in_domain(domain)
        if fault:
            raise ApiError(400, f"domain {fault}")
    return filter_as_json(service.filter(question, domain))
