"""Traces: what an OTLP receiver gets of a service, and that one that is away slows and breaks nothing."""

from __future__ import annotations

import json
import logging
import os
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from policy_sets import ROOT
from ports import free_port
from running_service import QUESTION, running
from werkzeug.test import Client

from klausel.api.tracing import TracedRequests, open_tracer
from klausel.app import create_app
from klausel.settings import Settings

TRACE, CALLING_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
UNSAMPLED = "11111111111111111111111111111111"
EVALUATION, EVALUATIONS = "POST /access/v1/evaluation", "POST /access/v1/evaluations"


class Receiver(ThreadingHTTPServer):
    """Takes spans as the OTLP over HTTP says, and keeps them."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        spans, services = self.spans, self.services

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
                for resource in sent.resource_spans:
                    services.update(
                        one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
                    )
                    for scope in resource.scope_spans:
                        spans.extend(scope.spans)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def named(self, name: str, trace: str = TRACE) -> list[Any]:
        """The spans of a name in a trace, in the order of their beginnings."""
        found = [span for span in self.spans if span.name == name and span.trace_id.hex() == trace]
        return sorted(found, key=lambda span: span.start_time_unix_nano)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.shutdown()
    server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def ask(port: int, path: str, body: object, trace: str = TRACE, sampled: str = "01") -> None:
    headers = {"Content-Type": "application/json", "traceparent": f"00-{trace}-{CALLING_SPAN}-{sampled}"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {**headers, "X-Request-ID": "r7"}
    )
    urllib.request.urlopen(request, timeout=20).close()


def test_each_request_is_a_span_of_its_callers_trace_that_tells_what_was_decided(tmp_path: Path, receiver: Receiver) -> None:
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_port}"}
    with running(tmp_path, "--demo", "--traces", environment=environment) as (_, port):
        for _ in range(2):
            ask(port, "/access/v1/evaluation", QUESTION)
        denied = {"type": "report", "id": "r1", "properties": {"account": "acme"}}
        ask(port, "/access/v1/evaluations", {**QUESTION, "evaluations": [{}, {"resource": denied}]})
        ask(port, "/v1/explain", QUESTION)
        ask(port, "/access/v1/evaluation", QUESTION, UNSAMPLED, sampled="00")
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
    # What waited is sent before a worker ends.
    first, second = receiver.named(EVALUATION)
    assert first.parent_span_id.hex() == CALLING_SPAN
    policy = {name: value for name, value in attributes(first).items() if name.startswith("klausel.policy.")}
    assert policy["klausel.policy.digest"].startswith("sha256:")
    told = {
        "http.request.method": "POST",
        "http.route": "/access/v1/evaluation",
        "http.response.status_code": 200,
        "klausel.decision": True,
        "klausel.subject.type": "user",
        "klausel.action": "create",
        "klausel.resource.type": "quiz",
        **policy,
        "klausel.request_id": "r7",
    }
    assert attributes(first) == {**told, "klausel.cache_hit": False}
    assert attributes(second) == {**told, "klausel.cache_hit": True}
    (reading,) = receiver.named("database held_by")
    assert reading.parent_span_id == first.span_id
    assert attributes(reading) == {"db.system.name": "sqlite"}
    (batch,) = receiver.named(EVALUATIONS)
    assert attributes(batch)["klausel.decisions.allowed"] == attributes(batch)["klausel.decisions.denied"] == 1
    (event,) = batch.events
    assert attributes(event)["klausel.resource.type"] == "report"
    (explained,) = receiver.named("POST /v1/explain")
    assert attributes(explained)["klausel.decision"] is True
    assert not any(span.trace_id.hex() == UNSAMPLED or "healthz" in span.name for span in receiver.spans)
    assert receiver.services == {"klausel"}
    assert not any(b"max" in span.SerializeToString() for span in receiver.spans), "ids of people are in no span"


def test_a_receiver_that_is_away_fails_no_decision_and_takes_a_bounded_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "20")
    app = create_app(
        Settings(policies=str(ROOT / "policies"), model=str(ROOT / "model.conf"), database="sqlite://", traces=True)
    )
    client = Client(app)
    answers = [client.post("/access/v1/evaluation", json=QUESTION).get_json() for _ in range(100)]
    assert answers == [{"decision": False}] * 100
    assert any("Queue full" in record.getMessage() for record in caplog.records)


def test_a_line_of_the_log_names_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    log = logging.getLogger("klausel.of_this_test")

    def application(environ: Any, start_response: Any) -> list[bytes]:
        from klausel.api.service_log import JsonLines

        lines.append(json.loads(JsonLines().format(log.makeRecord(log.name, logging.INFO, "", 0, "said", (), None))))
        start_response("200 OK", [])
        return []

    lines: list[dict[str, Any]] = []
    traced = Client(TracedRequests(application, open_tracer()))
    traced.get("/v1/policy", headers={"traceparent": f"00-{TRACE}-{CALLING_SPAN}-01"})
    traced.get("/v1/policy")
    assert lines[0]["trace_id"] == TRACE
    assert lines[1]["trace_id"] not in (TRACE, "0" * 32)
