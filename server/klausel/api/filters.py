"""The route of list filters: which resources of a type a subject may act on, for a database to run."""

from __future__ import annotations

from klausel.api.access import check_reach
from klausel.api.authzen_requests import request_of
from klausel.api.errors import ApiError
from klausel.api.questions import check_model
from klausel.api.request_shapes import FILTER
from klausel.api.shapes import Json
from klausel.core.filters.json_form import filter_as_json
from klausel.core.terms.caller import Caller
from klausel.core.terms.identifiers import fault_in_domain
from klausel.service.decision_service import Service


def answer_filter(service: Service, body: Json, caller: Caller | None) -> Json:
    """The answer to `POST /v1/filter`; raises `ApiError` (400), `PoliciesTooOld` and `StorageError`.

    Under a model with a matcher of its own, which no filter can speak for, it raises `ApiError` with 501.
    """
    check_model(service)
    read = FILTER.read(body, "")
    domain: str | None = read.get("domain")
    if domain is not None:
        fault = fault_in_domain(domain)
        if fault:
            raise ApiError(400, f"domain {fault}")
    check_reach(caller, [domain])
    return filter_as_json(service.filter(request_of(read), domain))
