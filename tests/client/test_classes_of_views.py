"""Classes of views in Flask: each method is guarded by itself, and one that asks nobody is refused."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from flask.views import MethodView, View

from klausel.client import Resource
from klausel.flask import Guard
from klausel.in_process import InProcess


@pytest.fixture
def browser(klausel: InProcess) -> FlaskClient:
    app = Flask(__name__)
    guard = Guard(klausel, subject=lambda: f"user:{request.headers['X-User']}" if "X-User" in request.headers else None)
    guard.init_app(app)

    def find(quiz_id: str) -> Resource | None:
        properties = {"account": "acme", "workspace": "support", "status": "published"}
        return Resource("quiz", quiz_id, properties) if quiz_id != "none" else None

    class Quiz(MethodView):
        @guard.requires("take", find)
        def get(self, quiz: Resource) -> str:
            return f"{type(self).__name__} {quiz.id}"

        @guard.requires("edit", find)
        def post(self, quiz: Resource) -> str:
            return f"changed {quiz.id}"

        @guard.decides
        def put(self, quiz_id: str) -> str:
            if quiz_id != "silent":
                guard.require("edit", find(quiz_id))
            return f"put {quiz_id}"

        def delete(self, quiz_id: str) -> str:
            return "gone"

    class Plain(View):
        @guard.requires("take", find)
        def dispatch_request(self, quiz: Resource) -> str:
            return quiz.id

    class Forgotten(View):
        def dispatch_request(self, quiz_id: str) -> str:
            return quiz_id

    class AsAWhole(MethodView):
        decorators = (guard.requires("take", find),)

        def get(self, quiz: Resource) -> str:
            return quiz.id

    class OfItsOwn(MethodView):
        def dispatch_request(self, quiz_id: str) -> str:
            return f"{quiz_id} by {request.method}"

        @guard.requires("take", find)
        def get(self, quiz: Resource) -> str:
            return quiz.id

    class Timed(MethodView):
        decorators = (guard.decides,)

        def dispatch_request(self, **named: Any) -> Any:
            return super().dispatch_request(**named)

        @guard.requires("take", find)
        def get(self, quiz: Resource) -> str:
            return quiz.id

        def post(self, quiz_id: str) -> str:
            return quiz_id

    for view in (Quiz, Plain, Forgotten, AsAWhole, OfItsOwn, Timed):
        app.add_url_rule(f"/{view.__name__.lower()}/<quiz_id>", view_func=view.as_view(view.__name__))
    return app.test_client()


@pytest.mark.parametrize(
    ("method", "path", "who", "status", "text"),
    [
        ("GET", "/quiz/q1", "ann", 200, "Quiz q1"),
        ("HEAD", "/quiz/q1", "ann", 200, ""),
        ("GET", "/quiz/none", "ann", 404, None),
        ("GET", "/quiz/q1", None, 401, None),
        ("POST", "/quiz/q1", "leo", 200, "changed q1"),
        ("POST", "/quiz/q1", "ann", 403, None),
        ("PUT", "/quiz/q1", "leo", 200, "put q1"),
        ("PUT", "/quiz/silent", "leo", 403, None),
        ("DELETE", "/quiz/q1", "leo", 403, None),
        ("PATCH", "/quiz/q1", "leo", 405, None),
        ("OPTIONS", "/quiz/q1", None, 200, None),
        ("GET", "/plain/q1", "ann", 200, "q1"),
        ("GET", "/forgotten/q1", "leo", 403, None),
        ("GET", "/ofitsown/q1", "ann", 403, None),
        ("GET", "/timed/q1", "ann", 200, "q1"),
        ("GET", "/timed/q1", "stranger", 403, None),
        ("POST", "/timed/q1", "leo", 403, None),
    ],
)
def test_each_method_of_a_class_asks(
    browser: FlaskClient, method: str, path: str, who: str | None, status: int, text: str | None
) -> None:
    answer = browser.open(path, method=method, headers={"X-User": who} if who else {})
    assert answer.status_code == status
    assert text is None or answer.text == text


def test_a_guard_for_a_whole_class_says_where_it_belongs(browser: FlaskClient) -> None:
    browser.application.testing = True
    with pytest.raises(TypeError, match="put it above each method of AsAWhole instead"):
        browser.get("/asawhole/q1", headers={"X-User": "ann"})


def test_the_log_names_the_view_that_asks_nobody(browser: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    assert browser.get("/forgotten/q1", headers={"X-User": "leo"}).status_code == 403
    (told,) = (record.getMessage() for record in caplog.records if record.name == "klausel.guarding")
    assert told.startswith('the view "Forgotten" was refused')
    assert told.endswith("let a guard stand before it, or say that it is public")
