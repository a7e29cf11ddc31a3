"""Traces of what the service answers, by OpenTelemetry: a span for each request, and in it one for each reading of the database.

Nothing here is imported where traces are off. Where they go, how many, and under which name stands in the environment
variables of OpenTelemetry (`OTEL_…`).
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable
from functools import wraps
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any

from opentelemetry.context import attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, get_current_span, set_span_in_context

from klausel import __version__
from klausel.api.access import caller_in
from klausel.api.request_metrics import RequestMetrics
from klausel.api.service_log import current
from klausel.core.decisions.decide import Decision
from klausel.core.decisions.explain import Explanation
from klausel.core.terms.caller import Caller
from klausel.core.terms.request import Request
from klausel.service.decision_service import Service, status_of_failure
from klausel.service.recording import Decide, Recording

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
"""What probes and scrapes ask, again and again."""
SECONDS_TO_END = 2.0
"""How long a worker that ends waits for its last spans to be taken."""
_READINGS = ("held_by", "entities")


class _Request(threading.local):
    readings = 0


_request = _Request()
"""Of this thread: how often the request that it answers read the database."""


def open_tracer() -> Any:
    """What makes the spans of this process; to be called after a fork. They wait in a bounded queue, and are lost beyond it."""
    resource = Resource.create({"service.name": "klausel", "service.version": __version__})
    provider = TracerProvider(resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    # A worker process runs no `atexit`.
    Finalize(None, _end, args=(provider,), exitpriority=1)
    return provider.get_tracer("klausel", __version__)


def _end(provider: Any) -> None:
    ending = threading.Thread(target=provider.shutdown, daemon=True)
    ending.start()
    ending.join(SECONDS_TO_END)


class TracedRequests:
    """A WSGI application that answers as another does, each request within a span that goes on with the trace of its caller."""

    def __init__(self, otherwise: WSGIApplication, tracer: Any) -> None:
        self._otherwise = otherwise
        self._tracer = tracer

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        if environ["PATH_INFO"] in UNTRACED:
            return self._otherwise(environ, start_response)
        span = self._tracer.start_span(
            environ["REQUEST_METHOD"],
            extract(environ, getter=_HEADERS),
            SpanKind.SERVER,
            {"http.request.method": environ["REQUEST_METHOD"]},
        )
        token = attach(set_span_in_context(span))
        current.trace_id = f"{span.get_span_context().trace_id:032x}"
        _request.readings = 0
        try:
            return self._otherwise(environ, start_response)
        finally:
            caller = caller_in(environ)
            if caller is not None:
                span.set_attribute("klausel.caller", caller.logged_as)
            if current.request_id:
                span.set_attribute("klausel.request_id", current.request_id)
            current.trace_id = None
            detach(token)
            span.end()


class TracedRequestMetrics(RequestMetrics):
    """Counts as all do, and names the span of each request by its route."""

    def count(self, route: str, status: int, seconds: float) -> None:
        """Counts one request."""
        super().count(route, status, seconds)
        span = get_current_span()
        if not span.is_recording():
            return
        if route != "other":
            span.update_name(f"{span.name} {route}")
            span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(StatusCode.ERROR)


class TracedService(Service):
    """Decides as a service does, and notes in the span of the request what was decided: types and names, nobody's id."""

    __slots__ = ()

    def decider(self, recording: Recording | None = None, caller: Caller | None = None) -> Decide:
        """As that of a service; a batch has an event for each decision after the first."""
        decide, span = Service.decider(self, recording, caller), get_current_span()
        if not span.is_recording():
            return decide
        self._name_policy(span)
        allowed = denied = 0

        def traced(request: Request) -> Decision:
            nonlocal allowed, denied
            decision = decide(request)
            allowed, denied = allowed + decision.allowed, denied + (not decision.allowed)
            attributes = _attributes(request, decision)
            if allowed + denied == 1:
                span.set_attributes(attributes)
            else:
                span.add_event("decision", attributes)
                span.set_attributes({"klausel.decisions.allowed": allowed, "klausel.decisions.denied": denied})
            span.set_attribute("klausel.cache_hit", not _request.readings)
            if status_of_failure(decision) is not None:
                span.set_status(StatusCode.ERROR, decision.failure)
            return decision

        return traced

    def explain(self, request: Request, *more: Any, **named: Any) -> Explanation:
        """As that of a service."""
        span = get_current_span()
        explanation = Service.explain(self, request, *more, **named)
        if span.is_recording():
            self._name_policy(span)
            span.set_attributes(_attributes(request, explanation.decision))
        return explanation

    def _name_policy(self, span: Any) -> None:
        policy = self.policy
        span.set_attribute("klausel.policy.digest", policy.files_digest)
        if policy.commit is not None:
            span.set_attribute("klausel.policy.commit", policy.commit.id)


def traced_service(service: Service, tracer: Any) -> TracedService:
    """The same service with spans of what it decides and reads."""
    reader: Any = service.store.reader
    for name in _READINGS:
        setattr(reader, name, _traced_reading(getattr(reader, name), tracer, service.store.engine.dialect.name))
    return TracedService(**{one.name: getattr(service, one.name) for one in dataclasses.fields(service)})


def _traced_reading(read: Callable[[Any], Any], tracer: Any, system: str) -> Callable[[Any], Any]:
    name = f"database {read.__name__}"

    @wraps(read)
    def traced(what: Any) -> Any:
        _request.readings += 1
        with tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes={"db.system.name": system}):
            return read(what)

    return traced


def _attributes(request: Request, decision: Decision) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {
        "klausel.decision": decision.allowed,
        "klausel.subject.type": request.subject.type,
        "klausel.action": request.action.name,
        "klausel.resource.type": request.resource.type,
    }
    return found if decision.failure is None else {**found, "klausel.failure": decision.failure}


class _Headers:
    """Finds the headers of a request in its environment."""

    def get(self, carrier: WSGIEnvironment, key: str) -> list[str] | None:
        value = carrier.get(f"HTTP_{key.upper().replace('-', '_')}")
        return None if value is None else [value]

    def keys(self, carrier: WSGIEnvironment) -> list[str]:
        return [name[5:].lower().replace("_", "-") for name in carrier if name.startswith("HTTP_")]


_HEADERS: Any = _Headers()
