"""A short way through for evaluations and menus: the same checks and answers as their Flask routes, without Flask's dispatch.

Dispatching takes about eight times as long as deciding, so the routes that applications call thousands of times a second
are answered in front of Flask. Whatever is unusual about a request goes to Flask.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING

from klausel.api.access import SCOPES_OF_ROUTES, admit
from klausel.api.connections import BodyInput, RequestsInProgress
from klausel.api.errors import ApiError, unavailable
from klausel.api.evaluations import answer_evaluation, answer_evaluations
from klausel.api.freshness import AT_LEAST_IN_ENVIRONMENT, check_freshness
from klausel.api.http import body_limits, drop_odd_request_id, fault_in_host, to_json
from klausel.api.json_body import BodyError, check_content_type, read_json_object
from klausel.api.permissions import answer_permissions
from klausel.api.request_metrics import RequestMetrics
from klausel.api.request_shapes import BATCH
from klausel.api.routes import EVALUATION_PATH, EVALUATIONS_PATH, PERMISSIONS_PATH
from klausel.api.service_log import current
from klausel.api.shapes import Json
from klausel.core.terms.caller import Caller
from klausel.service.decision_service import PoliciesTooOld, Service
from klausel.service.recording import GIVEN_RECORD_ID, RECORD_ID, Recording
from klausel.storage.sql.database import StorageError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class EvaluationLane:
    """A WSGI application that answers evaluations itself and hands everything else on."""

    def __init__(
        self,
        service: Service,
        otherwise: WSGIApplication,
        requests: RequestsInProgress | None = None,
        metrics: RequestMetrics | None = None,
    ) -> None:
        self._service = service
        self._otherwise = otherwise
        self._settings = service.settings
        self._requests = requests or RequestsInProgress()
        self._limits = body_limits(service.settings)
        self._good_hosts: frozenset[str] = frozenset(
            f"{name}:{service.settings.port}" for name in ("127.0.0.1", "localhost", service.settings.host)
        )
        self._authentication = service.authentication
        self._metrics = metrics or RequestMetrics()
        self._answers: dict[str, tuple[str, Callable[[Service, Json, Recording | None, Caller | None], Json]]] = {
            EVALUATION_PATH: ("evaluation", answer_evaluation),
            EVALUATIONS_PATH: ("evaluations", answer_evaluations),
            # Menus are no decisions that are recorded.
            PERMISSIONS_PATH: ("permissions", lambda service, body, _, caller: answer_permissions(service, body, caller)),
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        current.request_id = drop_odd_request_id(environ, self._settings.max_request_id_characters)
        try:
            return self._answer(environ, start_response)
        finally:
            self._requests.end()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found = self._answers.get(environ["PATH_INFO"])
        length = environ.get("CONTENT_LENGTH", "")
        if found is None or environ["REQUEST_METHOD"] != "POST" or not _is_number(length):
            self._requests.begin()
            environ["wsgi.input"] = BodyInput(self._requests, environ["wsgi.input"])
            return self._otherwise(environ, start_response)
        began = perf_counter()
        headers = [("Content-Type", "application/json")]
        if current.request_id is not None:
            headers.append(("X-Request-ID", current.request_id))
        try:
            if environ.get("HTTP_HOST") not in self._good_hosts:
                fault = fault_in_host(environ, self._settings)
                if fault:
                    raise ApiError(403, fault)
            caller = None
            if self._authentication is not None:
                caller = admit(self._authentication, environ, SCOPES_OF_ROUTES["POST", environ["PATH_INFO"]])
            at_least = environ.get(AT_LEAST_IN_ENVIRONMENT)
            if at_least is not None:
                check_freshness(self._service, at_least)
            route, answer = found
            recording = self._service.recording(route, environ)
            read = self._read(environ, length, BATCH if route == "evaluations" else None)
            body = to_json(answer(self._service, read, recording, caller))
            if GIVEN_RECORD_ID in environ:
                headers.append((RECORD_ID, environ[GIVEN_RECORD_ID]))
            status = 200
        except (ApiError, BodyError, StorageError, PoliciesTooOld) as error:
            if isinstance(error, BodyError):
                api_error = ApiError(error.status, error.message)
            else:
                api_error = error if isinstance(error, ApiError) else unavailable(error)
            status, body = api_error.status, to_json(api_error.body())
            headers += api_error.headers.items()
        except Exception:
            _log.exception("a request failed")
            status, body = 500, to_json(ApiError(500, "the service failed; its log says why").body())
        headers.append(("Content-Length", str(len(body))))
        self._metrics.count(environ["PATH_INFO"], status, perf_counter() - began)
        start_response(_STATUS_LINES[status], headers)
        # A list, which the server sends in one piece with the head.
        return [body]

    def _read(self, environ: WSGIEnvironment, length: str, batch: str | None) -> Json:
        content_type = environ.get("CONTENT_TYPE")
        if content_type != "application/json":
            check_content_type(content_type)
        most = self._limits.body_bytes
        announced = int(length)
        if announced > most:
            raise BodyError(413, f"the body is larger than {most} bytes")
        return read_json_object(self._requests.read(environ["wsgi.input"].read, announced), self._limits, batch)


def _is_number(length: str) -> bool:
    return length.isascii() and length.isdigit() and len(length) < 20
