"""A service in this process, asked over WSGI, with and without the lane in front of Flask."""

from __future__ import annotations

from typing import Any

from versions import PEOPLE, batch
from werkzeug.test import Client, TestResponse

from klausel.api.lane import EvaluationLane
from klausel.app import create_flask_app, create_service
from klausel.core.policy.assignment import Assignment
from klausel.service.decision_service import Service
from klausel.settings import Settings


class Served:
    """A service with ann in its database. May be asked from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.service: Service = create_service(settings)
        people = [Assignment(*row) for row in PEOPLE]
        self.service.store.write(self.service.policy.compiled.policy.roles, people, [])
        flask = create_flask_app(self.service)
        self.applications: dict[str, Any] = {"flask": flask, "lane": EvaluationLane(self.service, flask.wsgi_app)}

    @property
    def live(self) -> Any:
        return self.service.live

    def ask(self, method: str, path: str, body: object = None, door: str = "lane") -> TestResponse:
        return Client(self.applications[door]).open(path, method=method, json=body)

    def get(self, path: str) -> Any:
        return self.ask("GET", path).get_json()

    def decisions(self, door: str = "lane") -> list[bool]:
        """The answers to all questions, in one batch."""
        answer = self.ask("POST", "/access/v1/evaluations", batch(), door)
        assert answer.status_code == 200, answer.get_data()
        return [told["decision"] for told in answer.get_json()["evaluations"]]

    def close(self) -> None:
        self.live.close()
        self.service.store.close()
