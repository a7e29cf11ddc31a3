"""The guard for Flask, put on wrongly in every way that comes to mind: no request passes that nobody decided about."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, redirect, request

from klausel.client import AsyncKlausel, Resource
from klausel.flask import Guard
from klausel.guarding import GuardError
from klausel.in_process import InProcess

QUIZ = Resource("quiz", "q1", {"account": "acme", "workspace": "support", "status": "published"})
LEO = {"X-User": "leo"}


@pytest.fixture
def guard(klausel: InProcess) -> Guard:
    return Guard(klausel, subject=lambda: f"user:{request.headers['X-User']}" if "X-User" in request.headers else None)


@pytest.fixture
def app(guard: Guard) -> Flask:
    app = Flask(__name__)
    guard.init_app(app)
    return app


def remembered(view: Callable[..., Any]) -> Callable[..., Any]:
    """As caches of answers do: it passes for the view, and asks it once for all."""
    kept: list[Any] = []

    @functools.wraps(view)
    def answering(**named: Any) -> Any:
        if not kept:
            kept.append(view(**named))
        return kept[0]

    return answering


def test_an_answer_out_of_a_cache_above_the_guard_is_refused(app: Flask, guard: Guard) -> None:
    @app.get("/quiz")
    @remembered
    @guard.requires("take", lambda: QUIZ)
    def show(quiz: Resource) -> str:
        return quiz.id

    browser = app.test_client()
    assert browser.get("/quiz", headers=LEO).text == "q1"
    for headers in ({}, {"X-User": "stranger"}, LEO):
        assert browser.get("/quiz", headers=headers).status_code == 403


def test_a_guard_above_the_route_is_none(app: Flask, guard: Guard) -> None:
    @guard.requires("take", lambda: QUIZ)
    @app.get("/quiz")
    def show() -> str:
        return "reached"

    assert app.test_client().get("/quiz", headers=LEO).status_code == 403


def test_the_decision_about_one_request_is_none_about_the_next(app: Flask, guard: Guard) -> None:
    """An application context that is open around both, as in tests and commands, has one `g` for both."""

    @app.get("/quiz")
    @guard.requires("take", lambda: QUIZ)
    def show(quiz: Resource) -> str:
        return quiz.id

    @app.get("/forgot")
    @guard.decides
    def forgot() -> str:
        return "reached"

    with app.app_context():
        browser = app.test_client()
        assert browser.get("/quiz", headers=LEO).status_code == 200
        assert browser.get("/forgot", headers=LEO).status_code == 403


def test_a_stream_that_would_ask_later_is_refused(app: Flask, guard: Guard) -> None:
    @app.get("/stream")
    @guard.decides
    def stream() -> Any:
        def rows() -> Iterator[str]:
            yield "a row"
            guard.require("take", QUIZ)

        return rows()

    answer = app.test_client().get("/stream", headers=LEO)
    assert (answer.status_code, "a row" in answer.text) == (403, False)


def test_the_page_of_the_application_tells_of_a_refusal(app: Flask, guard: Guard) -> None:
    app.register_error_handler(403, lambda error: (f"sorry: {error.description}", 403))

    @app.get("/quiz")
    @remembered
    @guard.requires("take", lambda: QUIZ)
    def show(quiz: Resource) -> str:
        return quiz.id

    browser = app.test_client()
    browser.get("/quiz", headers=LEO)
    assert browser.get("/quiz").text == "sorry: no decision was asked for here"


def test_who_is_led_to_log_in_is_led_there(app: Flask, guard: Guard) -> None:
    app.register_error_handler(401, lambda _error: redirect("/login"))

    @app.get("/quiz")
    @guard.requires("take", lambda: QUIZ)
    def show(quiz: Resource) -> str:
        return quiz.id

    @app.get("/login")
    @guard.public
    async def login() -> str:
        return "who are you?"

    browser = app.test_client()
    assert browser.get("/quiz").location == "/login"
    assert browser.get("/login").text == "who are you?"
    assert browser.options("/quiz").status_code == 200


def test_async_views_and_finds_are_awaited(app: Flask, guard: Guard) -> None:
    async def find(quiz_id: str) -> Resource | None:
        return QUIZ if quiz_id == "q1" else None

    @app.get("/quiz/<quiz_id>")
    @guard.requires("take", find)
    async def show(quiz: Resource) -> str:
        return quiz.id

    @app.get("/all")
    @guard.decides
    async def show_all() -> str:
        guard.require("take", QUIZ)
        return "all"

    browser = app.test_client()
    assert browser.get("/quiz/q1", headers=LEO).text == "q1"
    assert browser.get("/quiz/q2", headers=LEO).status_code == 404
    assert browser.get("/quiz/q1", headers={"X-User": "stranger"}).status_code == 403
    assert browser.get("/all", headers=LEO).text == "all"
    assert browser.get("/all", headers={"X-User": "stranger"}).status_code == 403


def test_what_is_no_subject_is_an_error(app: Flask, klausel: InProcess) -> None:
    class User:
        name = "leo"

    guard = Guard(klausel, subject=lambda: User())  # type: ignore[arg-type, return-value]

    @app.get("/quiz")
    @guard.requires("take", lambda: QUIZ)
    def show(quiz: Resource) -> str:
        return quiz.id

    app.testing = True
    with pytest.raises(GuardError, match=r"subject gave a User; give a Subject, a text type:id, or None for nobody"):
        app.test_client().get("/quiz")


def test_a_client_that_must_be_awaited_is_an_error() -> None:
    with pytest.raises(GuardError, match="instead of AsyncKlausel"):
        Guard(AsyncKlausel("http://127.0.0.1:1"), subject=lambda: "user:leo")  # type: ignore[arg-type]


def test_open_endpoints_are_a_list_of_names(guard: Guard) -> None:
    with pytest.raises(GuardError, match=r'public is the text "login"; write a list of names, \["login"\]'):
        guard.init_app(Flask(__name__), public="login")
