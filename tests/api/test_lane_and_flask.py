"""The lane in front of Flask gives the same answers as the routes behind it, whatever the request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from doors import ALLOWED, DENIED, EVALUATION, EVALUATIONS, Doors, asking
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, run_wsgi_app

from klausel.api.lane import EvaluationLane
from klausel.app import create_flask_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

BODY = json.dumps(ALLOWED).encode()
BATCH = json.dumps({**ALLOWED, "evaluations": [{}, DENIED, asking("leo", "edit", "quiz", account="a/b"), 1]}).encode()

paths = st.sampled_from(
    [EVALUATION, EVALUATION, EVALUATIONS, EVALUATIONS, EVALUATION + "/", "/access/v1", "//access/v1/evaluation"]
)
methods = st.sampled_from(["POST", "POST", "POST", "POST", "GET", "PUT", "HEAD", "OPTIONS", "post"])
bodies = st.one_of(
    st.sampled_from(
        [BODY, BATCH, BODY, BATCH, b"", b"{}", b"[]", b" ", BODY + b" ", BODY[:-1], b"\xff", b'{"a":NaN}', BODY * 20_000]
    ),
    st.binary(max_size=20),
    st.builds(
        lambda body, place, new: body[:place] + new + body[place + 1 :],
        st.sampled_from([BODY, BATCH]),
        st.integers(0, 600),
        st.binary(max_size=2),
    ),
)
content_types = st.sampled_from(
    [
        "application/json",
        "application/json",
        "application/json;charset=utf-8",
        "APPLICATION/JSON",
        "text/plain",
        "",
        None,
        "application/json;charset=x",
    ]
)
hosts = st.sampled_from(
    [
        "localhost",
        "localhost:8080",
        "127.0.0.1:8080",
        "127.0.0.1",
        "[::1]",
        "evil.example",
        "",
        "localhost.evil.example:8080",
        "a b",
        None,
    ]
)
request_ids = st.one_of(
    st.none(),
    st.sampled_from(["abc", "x" * 1024, "x" * 1025, "", "é", "a\tb", " a "]),
    st.text(st.characters(codec="ascii"), max_size=5),
)
lengths = st.sampled_from(
    [
        "right",
        "right",
        "right",
        "right",
        "none",
        "short",
        "long",
        "0",
        "-1",
        "+5",
        "1e2",
        "x",
        "٣",
        "00000000000000000000009",
        "9" * 30,
    ]
)
protocols = st.sampled_from(["HTTP/1.1", "HTTP/1", "HTTP/1.0", "HTTP/2"])


@pytest.fixture(scope="module")
def applications(demo: Doors) -> list[WSGIApplication]:
    flask_app = create_flask_app(demo.service)
    return [flask_app, EvaluationLane(demo.service, flask_app.wsgi_app)]


@settings(max_examples=300, deadline=None)
@example(
    path=EVALUATION,
    method="POST",
    body=b"",
    content_type="application/json",
    host="localhost",
    request_id=None,
    length="long",
    protocol="HTTP/1.1",
)
@given(
    path=paths,
    method=methods,
    body=bodies,
    content_type=content_types,
    host=hosts,
    request_id=request_ids,
    length=lengths,
    protocol=protocols,
)
def test_every_request_gets_the_same_answer_at_both_doors(
    applications: list[WSGIApplication],
    path: str,
    method: str,
    body: bytes,
    content_type: str | None,
    host: str | None,
    request_id: str | None,
    length: str,
    protocol: str,
) -> None:
    answers = []
    for application in applications:
        environ = EnvironBuilder(path=path, method=method, data=body).get_environ()
        for name, value in {"CONTENT_TYPE": content_type, "HTTP_HOST": host, "HTTP_X_REQUEST_ID": request_id}.items():
            environ.pop(name, None)
            if value is not None:
                environ[name] = value
        environ["SERVER_PROTOCOL"] = protocol
        announced = {"right": str(len(body)), "short": str(len(body) // 2), "long": str(len(body) + 9)}.get(length, length)
        environ.pop("CONTENT_LENGTH", None)
        if length != "none":
            environ["CONTENT_LENGTH"] = announced
        told, status, headers = run_wsgi_app(application, environ)
        answers.append((status.partition(" ")[0], sorted((name.lower(), value) for name, value in headers), b"".join(told)))
    assert answers[0] == answers[1]
    assert answers[0][0] != "500"
