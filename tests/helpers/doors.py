"""The service behind its doors, for tests: requests go in as bytes, every answer is held to the shape that all answers have."""

from __future__ import annotations

import atexit
import dataclasses
import http.client
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from csv import DictReader
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from werkzeug.datastructures import Headers
from werkzeug.test import Client

from klausel.api.lane import EvaluationLane
from klausel.app import create_flask_app, create_service
from klausel.core.policy.assignment import Assignment
from klausel.service.decision_service import Service
from klausel.settings import Settings

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "policies" / "demo" / "assignments.csv"
JSON_TYPE = "application/json"
SCIM_TYPE = "application/scim+json"
EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
DISCOVERY = "/.well-known/authzen-configuration"
EXPLAIN = "/v1/explain"
ASSIGNMENTS = "/v1/assignments"
POLICY = "/v1/policy"
FILTER = "/v1/filter"
PERMISSIONS = "/v1/permissions"
SEARCHES = {part: f"/access/v1/search/{part}" for part in ("subject", "resource", "action")}
JSON_ROUTES = (EVALUATION, EVALUATIONS, EXPLAIN, ASSIGNMENTS, FILTER, PERMISSIONS, *SEARCHES.values())

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What came back; `json` is the body."""

    status: int
    headers: Mapping[str, str] | Headers | http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return read_strictly(self.body)

    @property
    def message(self) -> str:
        """The message of an error."""
        told = self.json
        message: str = told["detail"] if "schemas" in told else told["error"]["message"]
        return message


def read_strictly(body: bytes) -> Any:
    """JSON without repeated names and without numbers that are none."""

    def distinct(members: list[tuple[str, object]]) -> object:
        assert len(dict(members)) == len(members), "a name is repeated"
        return dict(members)

    def no_number(text: str) -> object:
        raise AssertionError(f"{text} is no JSON")

    return json.loads(body.decode(), object_pairs_hook=distinct, parse_constant=no_number)


def check_shape(answer: Answer, method: str, path: str, request_id: str | None) -> Answer:
    """The answer, after everything that holds for every answer: JSON, one shape of errors, the request id sent back.

    `request_id` is the one sent, None when none or a faulty one was.
    """
    is_scim = path.startswith("/scim/")
    assert answer.headers["Content-Type"] == (SCIM_TYPE if is_scim else JSON_TYPE)
    if request_id is not None:
        assert answer.headers.get("X-Request-ID") == request_id
    else:
        assert "X-Request-ID" not in answer.headers
    if method == "HEAD":
        assert answer.body == b""
        return answer
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    told = answer.json
    assert isinstance(told, dict)
    if answer.status == 200:
        assert "error" not in told
        return answer
    assert answer.status >= 400
    if is_scim:
        assert (told.keys() - {"scimType"}, told["status"]) == ({"schemas", "status", "detail"}, str(answer.status))
        return answer
    further = {400: {"faults"}, 403: {"refused"}, 409: {"violations", "faults"}}.get(answer.status, set())
    assert set(told) - further == {"error"}
    assert told["error"].keys() == {"status", "message"}
    assert told["error"]["status"] == answer.status
    assert isinstance(told["error"]["message"], str)
    assert told["error"]["message"].strip()
    if answer.status == 405:
        assert answer.headers["Allow"]
    return answer


class Door:
    """One way to the service; `ask` sends anything, `post` sends a value as JSON."""

    longest_request_id = 1024

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        content_type: str | None = JSON_TYPE,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {"Host": "localhost", **(headers or {})}
        if content_type is not None and (body or method == "POST"):
            sent["Content-Type"] = content_type
        request_id = sent.get("X-Request-ID", "")
        is_good = 0 < len(request_id) <= self.longest_request_id and request_id.isascii() and request_id.isprintable()
        return check_shape(self._send(method, path, body, sent), method, path, request_id if is_good else None)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, value: object) -> Answer:
        return self.ask("POST", path, json.dumps(value).encode())

    def evaluate(self, value: object) -> Json:
        """The answer to one evaluation, which must be a 200."""
        answer = self.post(EVALUATION, value)
        assert answer.status == 200, answer.body
        assert answer.json.keys() <= {"decision", "context"}
        assert type(answer.json["decision"]) is bool
        told: Json = answer.json
        return told

    def evaluate_all(self, value: object) -> list[Json]:
        """The answers to a batch, which must be a 200."""
        answer = self.post(EVALUATIONS, value)
        assert answer.status == 200, answer.body
        assert answer.json.keys() == {"evaluations"}
        told: list[Json] = answer.json["evaluations"]
        return told

    def decisions(self, value: object) -> list[bool]:
        return [told["decision"] for told in self.evaluate_all(value)]

    def allows(self, value: object) -> bool:
        decision: bool = self.evaluate(value)["decision"]
        return decision

    def explain(self, value: object) -> Json:
        """The explanation, which must be a 200."""
        answer = self.post(EXPLAIN, value)
        assert answer.status == 200, answer.body
        told: Json = answer.json
        return told

    def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        raise NotImplementedError


class WsgiDoor(Door):
    """The application in this process, without a server in front."""

    def __init__(self, application: Any, longest_request_id: int = 1024) -> None:
        self._client = Client(application)
        self.longest_request_id = longest_request_id

    def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        response = self._client.open(path, method=method, data=body or None, headers=Headers(dict(headers)))
        return Answer(response.status_code, response.headers, response.get_data())


class HttpDoor(Door):
    """A running server, over a connection of its own for each request."""

    def __init__(self, port: int) -> None:
        self.port = port

    def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body or None, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


@dataclass(frozen=True)
class Doors:
    """One service over one database, with and without the lane in front of Flask."""

    service: Service
    flask: Door
    lane: Door

    def named(self, name: str) -> Door:
        door: Door = getattr(self, name)
        return door


@cache
def policies_alone() -> str:
    """A folder with the shipped policies without their tests, made once: for files of tests that open many services.

    Each start of a service reads the tests beside its policies and runs them all, which is half of the time that it takes.
    """
    folder = mkdtemp(prefix="klausel-tests-")
    atexit.register(shutil.rmtree, folder)
    return str(shutil.copytree(ROOT / "policies", Path(folder, "policies"), ignore=shutil.ignore_patterns("tests")))


@contextmanager
def open_doors(database: Path | str, clock: Callable[[], float] = time.time, **settings: Any) -> Iterator[Doors]:
    """The doors of a service over a database: an SQLite file that is made when it is not there, or a URL. It asks `clock`."""
    known = {"policies": str(ROOT / "policies"), "model": str(ROOT / "model.conf"), **settings}
    url = database if isinstance(database, str) else f"sqlite:///{database}"
    service = create_service(Settings(database=url, **known))
    service = dataclasses.replace(service, clock=lambda: datetime.fromtimestamp(clock(), UTC))
    service.store.clock = clock
    app = create_flask_app(service)
    longest = service.settings.max_request_id_characters
    try:
        yield Doors(service, WsgiDoor(app, longest), WsgiDoor(EvaluationLane(service, app.wsgi_app), longest))
    finally:
        service.store.close()


def grant(service: Service, rows: Iterable[tuple[str, str, str]]) -> None:
    """Grants (subject, role, domain) rows past the HTTP door."""
    service.store.write(service.policy.compiled.policy.roles, [Assignment(*row) for row in rows], [])


def demo_people() -> list[tuple[str, str, str]]:
    with DEMO.open(encoding="utf-8", newline="") as lines:
        return [(row["subject"], row["role"], row["domain"]) for row in DictReader(lines)]


# --- Requests -----------------------------------------------------------------------------------------------------

_NUMBERS = count(1)


def new_account() -> str:
    """An account that no other test uses."""
    return f"account{next(_NUMBERS)}"


def asking(user: str, action: str, type_: str, id_: str = "x", /, **properties: object) -> Json:
    """The body of an evaluation; `asking("leo", "edit", "quiz", account="acme")`."""
    resource: Json = {"type": type_, "id": id_}
    if properties:
        resource["properties"] = properties
    return {"subject": {"type": "user", "id": user}, "action": {"name": action}, "resource": resource}


def with_resource(request: Json, **members: object) -> Json:
    return {**request, "resource": {**request["resource"], **members}}


def with_subject(request: Json, **members: object) -> Json:
    return {**request, "subject": {**request["subject"], **members}}


ALLOWED = asking("leo", "edit", "quiz", "q1", account="acme", workspace="support", status="published")
DENIED = asking("leo", "delete", "quiz", "q1", account="acme", workspace="support", status="published")
