"""What every route shares: strict JSON in, JSON out, one shape of errors, request ids, and who may be addressed."""

from __future__ import annotations

import json
import logging
import re
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import ClientDisconnected, HTTPException

from klausel.api.access import CONSOLE, PROVISIONING, admit, cookie_of_sign_in, scopes_of_request
from klausel.api.errors import SCIM_TYPE, ApiError, scim_body, unavailable
from klausel.api.json_body import BodyError, BodyLimits, check_content_type, read_json_object
from klausel.api.request_metrics import RequestMetrics
from klausel.api.service_log import current
from klausel.api.shapes import Json
from klausel.service.authentication import Authentication
from klausel.service.decision_service import PoliciesTooOld
from klausel.service.recording import GIVEN_RECORD_ID, RECORD_ID
from klausel.service.sign_in import SignIns
from klausel.settings import LOOPBACK_NAMES, Settings
from klausel.storage.sql.database import StorageError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_BEGAN = "klausel.began"
_log = logging.getLogger(__name__)
_OF_READINGS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What an answer to a GET has, where it has no other: nobody keeps it, no browser guesses what it is, no other page has it."""
_NOT_IN_A_HOST = re.compile(r"[@/\\?#\s]")


def json_answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer; members keep their order."""
    return Response(to_json(body), status, headers, mimetype="application/json")


def to_json(body: object) -> bytes:
    """JSON text; integers of any size."""
    try:
        return orjson.dumps(body)
    except TypeError:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def body_limits(settings: Settings) -> BodyLimits:
    """The bounds of request bodies that the settings ask for."""
    return BodyLimits(settings.max_body_bytes, settings.max_nesting_depth, settings.max_string_characters)


def read_body(limits: BodyLimits, batch: str | None = None) -> Json:
    """The JSON object in the body of the current request, as `read_json_object` gives it; raises `BodyError`."""
    check_content_type(request.headers.get("Content-Type"))
    if request.content_length is not None and request.content_length > limits.body_bytes:
        raise BodyError(413, f"the body is larger than {limits.body_bytes} bytes")
    try:
        body = request.stream.read(limits.body_bytes + 1)
    except ClientDisconnected:
        # A length was announced, and nothing came.
        body = b""
    return read_json_object(body, limits, batch)


def query_parameters(*known: str) -> dict[str, str]:
    """The parameters of the current request's query; raises `ApiError` (400) for unknown and repeated ones."""
    found = {}
    for name, values in request.args.lists():
        if name not in known:
            raise ApiError(400, f'unknown parameter "{name}"; there are {", ".join(known)}')
        if len(values) > 1:
            raise ApiError(400, f'parameter "{name}" is repeated; give it once')
        found[name] = values[0]
    return found


def drop_odd_request_id(environ: WSGIEnvironment, most: int) -> str | None:
    """The X-Request-ID of a request, None without a usable one; an unusable one leaves the environment, and so the logs.

    Any text is legal, and none may fail a request. An empty or overlong one, or one with others than printable ASCII, is not
    sent back: headers cannot carry it back as it came.
    """
    value: str | None = environ.get("HTTP_X_REQUEST_ID")
    if value is None or (0 < len(value) <= most and value.isascii() and value.isprintable()):
        return value
    del environ["HTTP_X_REQUEST_ID"]
    return None


def fault_in_host(environ: WSGIEnvironment, settings: Settings) -> str | None:
    """Why a Host header is refused, as a sentence: on loopback, a page of another site may not address the service.

    The host of the public URL and the allowed hosts are good ones: a proxy in front may keep them.

    HTTP/1.0, which no browser speaks, needs no Host; Granian calls it HTTP/1 and shows none as an empty one.
    """
    value: str | None = environ.get("HTTP_HOST")
    is_old = environ.get("SERVER_PROTOCOL") in ("HTTP/1.0", "HTTP/1")
    if not settings.is_loopback or value is None or (value == "" and is_old):
        return None
    try:
        name = None if _NOT_IN_A_HOST.search(value) else urlsplit(f"//{value}").hostname
    except ValueError:
        name = None
    if name is not None and (
        name in LOOPBACK_NAMES or name in (settings.host, settings.public_host) or name in settings.allowed_hosts
    ):
        return None
    return (
        "the Host header names no loopback address; call the service by localhost or 127.0.0.1, by its public URL, "
        "or start it with --allowed-host"
    )


def http_error(error: HTTPException) -> ApiError:
    """What Flask refused, in our words."""
    status = error.code or 500
    messages = {404: f"there is nothing at {request.path}", 405: f"{request.method} is not allowed here"}
    allowed = getattr(error, "valid_methods", None)
    headers = {"Allow": ", ".join(sorted(allowed))} if allowed else {}
    return ApiError(status, messages.get(status, error.description or error.name), headers)


def share(
    app: Flask,
    settings: Settings,
    authentication: Authentication | None = None,
    sign_ins: SignIns | None = None,
    metrics: RequestMetrics | None = None,
) -> None:
    """Gives every route of an app the checks before and the headers after, and every error its one shape."""

    session_cookie = cookie_of_sign_in(settings)

    # Flask would answer `//` in a path with a redirect, in HTML.
    app.url_map.merge_slashes = False

    metrics = metrics or RequestMetrics()

    @app.before_request
    def check_request() -> None:
        request.environ[_BEGAN] = perf_counter()
        current.request_id = drop_odd_request_id(request.environ, settings.max_request_id_characters)
        fault = fault_in_host(request.environ, settings)
        if fault:
            raise ApiError(403, fault)
        if request.environ["PATH_INFO"].startswith("//"):
            # Flask reads it as one slash, while a proxy in front that protects by path may have read it as another path.
            raise ApiError(404, f"there is nothing at /{request.path}")
        rule, scopes = request.url_rule, scopes_of_request(request)
        if authentication is not None and scopes:
            # A sign-in counts for the pages alone: no other route reads a cookie, which browsers send for any page's forms.
            is_page = rule is not None and rule.rule.startswith(CONSOLE)
            session = request.cookies.get(session_cookie) if is_page else None
            admit(authentication, request.environ, scopes, sign_ins, session)

    @app.after_request
    def send_request_id_back(response: Response) -> Response:
        request_id = drop_odd_request_id(request.environ, settings.max_request_id_characters)
        if request_id is not None:
            response.headers["X-Request-ID"] = request_id
        if GIVEN_RECORD_ID in request.environ and response.status_code == 200:
            response.headers[RECORD_ID] = request.environ[GIVEN_RECORD_ID]
        if request.method in ("GET", "HEAD"):
            for name, value in _OF_READINGS.items():
                response.headers.setdefault(name, value)
        rule, began = request.url_rule, request.environ.get(_BEGAN)
        if began is not None:
            metrics.count("other" if rule is None else rule.rule, response.status_code, perf_counter() - began)
            if request.path.startswith(f"{PROVISIONING}/"):
                metrics.count_provisioning(request.method, response.status_code)
        return response

    @app.errorhandler(ApiError)
    def answer_api_error(error: ApiError) -> Response:
        return answer_of_error(error)

    @app.errorhandler(BodyError)
    def answer_body_error(error: BodyError) -> Response:
        return answer_of_error(ApiError(error.status, error.message))

    @app.errorhandler(HTTPException)
    def answer_http_error(error: HTTPException) -> Response:
        return answer_of_error(http_error(error))

    @app.errorhandler(StorageError)
    @app.errorhandler(PoliciesTooOld)
    def answer_unavailable(error: StorageError | PoliciesTooOld) -> Response:
        return answer_of_error(unavailable(error))

    @app.errorhandler(Exception)
    def answer_unexpected_error(error: Exception) -> Response:
        _log.error("a request failed", exc_info=error)
        return answer_of_error(ApiError(500, "the service failed; its log says why"))


def answer_of_error(error: ApiError) -> Response:
    """The answer, in the form that identity providers read where one asks."""
    if request.path.startswith(f"{PROVISIONING}/"):
        return Response(to_json(scim_body(error)), error.status, error.headers, mimetype=SCIM_TYPE)
    return json_answer(error.body(), error.status, error.headers)
