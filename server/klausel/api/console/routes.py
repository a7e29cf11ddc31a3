"""The routes of the console, under `/console`."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from klausel.api.access import caller_in, check_reach, check_scope
from klausel.api.console.assets import asset_routes
from klausel.api.console.changes_page import FIELDS as FIELDS_OF_CHANGES
from klausel.api.console.changes_page import ChangesPage
from klausel.api.console.cookies import Cookies
from klausel.api.console.decisions_page import FIELDS as FIELDS_OF_DECISIONS
from klausel.api.console.decisions_page import DecisionPages
from klausel.api.console.fields import FIELDS_OF_TRY, is_property_field, read_domain, read_page_number
from klausel.api.console.matrix_page import FIELDS as FIELDS_OF_MATRIX
from klausel.api.console.matrix_page import MatrixPage
from klausel.api.console.pages import COOKIES, FORMATS, Page, answer, compressed, error_answer, format_asked
from klausel.api.console.person_change import change_person
from klausel.api.console.person_page import FIELDS as FIELDS_OF_PEOPLE
from klausel.api.console.person_page import VIEW, people_page, person_page
from klausel.api.console.playground_page import PlaygroundPage, playground_of, playground_routes
from klausel.api.console.roles_page import roles_page
from klausel.api.console.sign_in_page import SignInPages, to_sign_in
from klausel.api.console.try_page import try_page
from klausel.api.console.what_can_page import FIELDS as FIELDS_OF_WHAT_CAN
from klausel.api.console.what_can_page import what_can_csv, what_can_page
from klausel.api.console.who_can_page import FIELDS, who_can_csv, who_can_page
from klausel.api.errors import ApiError, unavailable
from klausel.api.http import answer_of_error, http_error, query_parameters
from klausel.core.terms.caller import Caller
from klausel.service.decision_service import PoliciesTooOld, Service
from klausel.storage.sql.database import StorageError

_Listed = Callable[[Service, dict[str, str], Caller | None, bool], Page]
_Csv = Callable[[Service, dict[str, str], Caller | None], Response]


def is_served(service: Service) -> bool:
    """Whether there is a console: where callers prove who they are, or only this machine can call."""
    return service.authentication is not None or service.settings.is_loopback


def console_routes(service: Service) -> Blueprint:
    """The pages of the console; all of them only read."""
    blueprint = Blueprint("console", __name__)
    matrix = MatrixPage(service)
    changes = ChangesPage(service)
    decisions = DecisionPages(service)

    cookies = Cookies(service.settings)
    sign_ins = service.sign_ins
    pages = None if sign_ins is None else SignInPages(sign_ins, service.openid, cookies, service.settings)
    blueprint.record_once(lambda state: state.app.extensions.__setitem__(COOKIES, cookies))

    @blueprint.get("/console/sign-in", provide_automatic_options=False)
    def show_sign_in() -> Response:
        return _pages(pages).show(query_parameters("next"))

    @blueprint.post("/console/sign-in", provide_automatic_options=False)
    def sign_in() -> Response:
        return _pages(pages).sign_in()

    @blueprint.get("/console/sign-in/openid", provide_automatic_options=False)
    def begin_openid() -> Response:
        return _pages(pages).begin_openid(query_parameters("next"))

    @blueprint.get("/console/sign-in/callback", provide_automatic_options=False)
    def finish_openid() -> Response:
        return _pages(pages).finish_openid()

    @blueprint.post("/console/sign-out", provide_automatic_options=False)
    def sign_out() -> Response:
        return _pages(pages).sign_out()

    @blueprint.get("/console", provide_automatic_options=False)
    def show_matrix() -> Response:
        given = query_parameters(*FIELDS_OF_MATRIX, "page", "format")
        format_asked(*FORMATS)
        if given.get("subject"):
            # A row about a subject tells what is stored of it, which the matrix of roles does not.
            caller = caller_in(request.environ)
            check_scope(caller, "search")
            check_reach(caller, [read_domain(service.policy.compiled.policy.roles, given.get("domain", ""))])
        return answer(matrix.page(given, read_page_number(given.get("page", ""))))

    @blueprint.get("/console/roles", provide_automatic_options=False)
    def show_roles() -> Response:
        query_parameters("format")
        format_asked(*FORMATS)
        return answer(roles_page(service, caller_in(request.environ)))

    @blueprint.get("/console/try", provide_automatic_options=False)
    def show_try() -> Response:
        given = query_parameters(*FIELDS_OF_TRY, *filter(is_property_field, request.args), "format")
        is_twin = format_asked(*FORMATS) == "json"
        given.pop("format", None)
        return answer(try_page(service, given, is_twin))

    def listed(page: _Listed, csv: _Csv, *fields: str) -> Response:
        given = query_parameters(*fields, "format")
        format_ = format_asked(*FORMATS, "csv")
        given.pop("format", None)
        caller = caller_in(request.environ)
        if format_ == "csv":
            return csv(service, given, caller)
        return answer(page(service, given, caller, format_ == "json"))

    @blueprint.get("/console/who-can", provide_automatic_options=False)
    def show_who_can() -> Response:
        return listed(who_can_page, who_can_csv, *FIELDS, "after")

    @blueprint.get("/console/what-can", provide_automatic_options=False)
    def show_what_can() -> Response:
        return listed(what_can_page, what_can_csv, *FIELDS_OF_WHAT_CAN, "page")

    @blueprint.get("/console/changes", provide_automatic_options=False)
    def show_changes() -> Response:
        given = query_parameters(*FIELDS_OF_CHANGES, "page", "format")
        return answer(changes.page(given, format_asked(*FORMATS) == "json"))

    @blueprint.get("/console/people", provide_automatic_options=False)
    def show_people() -> Response:
        given = query_parameters(*FIELDS_OF_PEOPLE, "format")
        format_asked(*FORMATS)
        return answer(people_page(service, given, caller_in(request.environ)))

    @blueprint.get("/console/person", provide_automatic_options=False)
    def show_person() -> Response:
        given = query_parameters(*VIEW, "format")
        format_asked(*FORMATS)
        return answer(person_page(service, given, caller_in(request.environ)))

    @blueprint.post("/console/person", provide_automatic_options=False)
    def change() -> Response:
        return change_person(service, cookies)

    @blueprint.get("/console/decisions", provide_automatic_options=False)
    def show_decisions() -> Response:
        given = query_parameters(*FIELDS_OF_DECISIONS, "before", "format")
        return answer(decisions.search(given, caller_in(request.environ), format_asked(*FORMATS) == "json"))

    @blueprint.get("/console/decision", provide_automatic_options=False)
    def show_decision() -> Response:
        given = query_parameters("id", "at", "format")
        format_asked(*FORMATS)
        return answer(decisions.one(given, caller_in(request.environ)))

    playground_routes(blueprint, PlaygroundPage(playground_of(service), cookies))
    asset_routes(blueprint)

    @blueprint.after_request
    def compress(response: Response) -> Response:
        return compressed(response, request.accept_encodings)

    @blueprint.errorhandler(ApiError)
    def answer_error(error: ApiError) -> Response:
        is_page = request.args.get("format", "html") == "html" and "HTTP_AUTHORIZATION" not in request.environ
        return to_sign_in() if error.status == 401 and is_page else error_answer(error)

    @blueprint.app_errorhandler(404)
    def answer_nothing_here(error: HTTPException) -> Response:
        told = http_error(error)
        is_page = request.path.startswith("/console/") and "text/html" in request.headers.get("Accept", "")
        return error_answer(told) if is_page else answer_of_error(told)

    @blueprint.errorhandler(StorageError)
    @blueprint.errorhandler(PoliciesTooOld)
    def answer_unavailable(error: StorageError | PoliciesTooOld) -> Response:
        return error_answer(unavailable(error))

    return blueprint


def _pages(pages: SignInPages | None) -> SignInPages:
    if pages is None:
        raise ApiError(404, "nobody signs in here: the service takes neither API keys nor people of an OpenID provider")
    return pages
