"""Giving and taking a role, or a place in a group, by the form of a person's page: the same write as over HTTP."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Response, request

from klausel.api.access import caller_in, person_in
from klausel.api.assignments import change_assignments, sender_of_request
from klausel.api.console.cookies import Cookies
from klausel.api.console.fields import in_utc, read_domain
from klausel.api.console.forms import read_form
from klausel.api.console.pages import HEADERS, answer, format_asked, twin_answer, way_up
from klausel.api.console.person_page import is_told, person_page
from klausel.api.errors import ApiError
from klausel.api.shapes import Json
from klausel.core.policy.assignment import Assignment
from klausel.core.terms.caller import Caller
from klausel.core.terms.identifiers import fault_in_subject_key
from klausel.service.decision_service import Service
from klausel.service.sent_by_provider import sent_by_provider

FIELDS = ("token", "change", "subject", "view", "role", "domain", "group", "from", "until", "reason", "ticket")
_DONE = {"grant": "granted", "revoke": "revoked"}


def change_person(service: Service, cookies: Cookies) -> Response:
    """Makes the change that the form asks for and leads back to the page, or shows it again with what was wrong.

    The twin answers as `POST /v1/assignments` does. Raises `ApiError` (400, 403, 409) and `StorageError`.
    """
    is_twin = format_asked("html", "json") == "json"
    fields = read_form(*FIELDS)
    cookies.check_change(fields["token"])
    caller = caller_in(request.environ)
    if caller is None:
        raise ApiError(403, "nobody has signed in, so nothing is changed here; start the service with --authentication keys")
    if fields["change"] not in _DONE:
        raise ApiError(400, f"the field change is none of {', '.join(_DONE)}")
    try:
        _refuse_what_a_provider_decides(service, fields, caller)
        body = {**_body(fields), "on_behalf_of": person_in(request.environ)}
        told = change_assignments(service, body, sender_of_request())
    except ApiError as error:
        if is_twin or error.status not in (400, 403, 409):
            raise
        view = {"subject": fields["subject"], "domain": _view(service, fields) or fields["domain"]}
        return answer(person_page(service, view, caller, _faults(error), fields, error.status))
    if is_twin:
        return twin_answer(told)
    query = {"subject": fields["subject"], "domain": fields["view"], "done": _DONE[fields["change"]]}
    address = f"{way_up()}console/person?{urlencode({name: text for name, text in query.items() if text})}"
    return Response(b"", 303, {**HEADERS, "Location": address})


def _refuse_what_a_provider_decides(service: Service, fields: dict[str, str], caller: Caller) -> None:
    """Raises `ApiError` (409) where the change is the provider's; who may not make it anyway is told so by the write."""
    row = Assignment(fields["subject"], fields["group"] or fields["role"], "" if fields["group"] else fields["domain"])
    named = [one for one in (row.subject, row.role if not row.domain else "") if one]
    if not is_told(row, caller) or any(fault_in_subject_key(one) for one in named):
        return
    provided = sent_by_provider(service.store.engine, named, row.subject)
    why = provided.why_not_given(row) if fields["change"] == "grant" else provided.why_not_taken(row)
    if why:
        raise ApiError(409, why)


def _body(fields: dict[str, str]) -> Json:
    # What does not belong to such a change is sent, too: its readers refuse it in their words.
    what = {name: fields[name] for name in ("role", "domain", "group") if fields[name]}
    times = {name: in_utc(fields[name]) for name in ("from", "until") if fields[name]}
    claims = {name: fields[name] for name in ("reason", "ticket") if fields[name]}
    return {fields["change"]: [{"subject": fields["subject"], **what, **times}], **claims}


def _view(service: Service, fields: dict[str, str]) -> str:
    """The domain that is to be shown, empty for what is none: what was wrong with the change is told all the same."""
    try:
        return read_domain(service.policy.compiled.policy.roles, fields["view"]) or ""
    except ApiError:
        return ""


def _faults(error: ApiError) -> tuple[str, ...]:
    """Each thing that is wrong, as a sentence."""
    violations = error.further.get("violations")
    if isinstance(violations, list):
        return tuple(str(one["message"]) for one in violations)
    return (error.message.removeprefix("grant[0]").removeprefix("revoke[0]").lstrip(":. "),)
