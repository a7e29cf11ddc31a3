"""What Klausel's service is compared with under the same server: a plain Flask route and a bare WSGI function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, jsonify, request
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from klausel.cli.serve import BACKLOG, MORE_CONNECTIONS, THREADS_PER_WORKER
from klausel.settings import Settings

PATH = "/decide"


def flask_app() -> Flask:
    """One route that reads a JSON body, looks at two of its members, and answers with JSON; it decides nothing."""
    app = Flask("plain")

    @app.post(PATH)
    def decide() -> Response:
        body = request.get_json()
        return jsonify(decision=bool(body["subject"]["id"]) and bool(body["resource"]["id"]))

    return app


def bare_app() -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The least a WSGI application can do with a body: read it, answer always the same."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "17")])
        return [b'{"decision":true}']

    return answer


def serve() -> None:
    """Serves one of them with the settings of `klausel serve`; the arguments are its name, the port and the workers."""
    Granian(
        f"benchmarks.sections.plain_apps:{sys.argv[1]}_app",
        factory=True,
        address="127.0.0.1",
        port=int(sys.argv[2]),
        interface=Interfaces.WSGI,
        workers=int(sys.argv[3]),
        blocking_threads=THREADS_PER_WORKER,
        backpressure=Settings().max_connections + MORE_CONNECTIONS,
        backlog=BACKLOG,
        log_level=LogLevels.warning,
        log_access=False,
        websockets=False,
    ).serve()
