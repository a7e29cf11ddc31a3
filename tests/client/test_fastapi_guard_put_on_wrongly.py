"""The guard for FastAPI, on routers, mounts and websockets, and put on wrongly: no request passes that nobody decided about."""

import asyncio
import logging
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, WebSocket
from fastapi.responses import PlainTextResponse

from klausel.client import AsyncKlausel, Resource
from klausel.fastapi import Guard, RefuseUndecided
from klausel.guarding import GuardError
from klausel.in_process import InProcess

QUIZ = Resource("quiz", "q1", {"account": "acme", "workspace": "support", "status": "published"})
LEO, STRANGER = {"X-User": "leo"}, {"X-User": "stranger"}


def who(x_user: Annotated[str | None, Header()] = None) -> str | None:
    return f"user:{x_user}" if x_user else None


def find() -> Resource:
    return QUIZ


@pytest.fixture
def guard(klausel: InProcess) -> Guard:
    return Guard(klausel, subject=who)


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(RefuseUndecided)
    return app


def browse(app: FastAPI, method: str, path: str, headers: dict[str, str], **more: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as browser:
            return await browser.request(method, path, headers=headers, **more)

    return asyncio.run(send())


def asked(app: FastAPI, path: str = "/quiz", headers: dict[str, str] = STRANGER) -> int:
    return browse(app, "GET", path, headers).status_code


def connect(app: FastAPI, path: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    """All that the application sends to a websocket that is opened and says nothing, by the protocol of ASGI."""
    told: list[dict[str, Any]] = []
    scope = {
        "type": "websocket",
        "path": path,
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "query_string": b"",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    messages = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return told


def test_a_guard_of_a_router_stands_before_all_its_endpoints(app: FastAPI, guard: Guard) -> None:
    router = APIRouter(dependencies=[Depends(guard.requires("take", find))])
    inner = APIRouter()

    @inner.get("/deep")
    @router.get("/quiz")
    def show() -> str:
        return "reached"

    router.include_router(inner)
    app.include_router(router)
    app.include_router(inner, prefix="/also", dependencies=[Depends(guard.requires("take", find))])
    mounted = FastAPI()
    mounted.include_router(inner)
    app.mount("/mounted", mounted)

    for path in ("/quiz", "/deep", "/also/deep"):
        assert [asked(app, path, headers) for headers in (LEO, STRANGER, {})] == [200, 403, 401], path
    assert asked(app, "/mounted/deep", LEO) == 403, "its router has no guard there"


def test_websockets_are_guarded_before_they_open(app: FastAPI, guard: Guard) -> None:
    @app.websocket("/talk")
    async def talk(socket: WebSocket, quiz: Annotated[Any, Depends(guard.requires("take", find))]) -> None:
        await socket.accept()
        await socket.send_text(quiz.id)
        await socket.close()

    @app.websocket("/forgotten")
    async def forgotten(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("a secret")

    @app.websocket("/talks-while-it-refuses")
    async def talks(socket: WebSocket) -> None:
        await socket.send_denial_response(PlainTextResponse("a secret"))

    assert [one.get("text") for one in connect(app, "/talk", LEO)] == [None, "q1", None]
    for headers, status in ((STRANGER, 403), ({}, 401)):
        first, *rest = connect(app, "/talk", headers)
        assert (first["type"], first["status"]) == ("websocket.http.response.start", status)
        assert {one["type"] for one in rest} == {"websocket.http.response.body"}
    for path in ("/forgotten", "/talks-while-it-refuses"):
        (told,) = connect(app, path, LEO)
        assert told == {"type": "websocket.close", "code": 1008, "reason": "no decision was asked for here"}


def test_who_only_names_the_caller_has_asked_nobody(app: FastAPI) -> None:
    @app.get("/quiz", dependencies=[Depends(who)])
    def show() -> str:
        return "reached"

    assert asked(app, headers=LEO) == 403


@pytest.mark.parametrize("way", ["default", "annotated", "route", "router", "application"])
@pytest.mark.parametrize("awaited", [False, True])
def test_a_guard_without_depends_is_an_error(guard: Guard, way: str, awaited: bool) -> None:
    """Also where nothing refuses what asks nobody; that of a whole application is one when it is asked."""
    asks = Guard(AsyncKlausel("http://127.0.0.1:1"), subject=who) if awaited else guard
    forgotten: Any = asks.requires("take", find)

    def by_default(quiz: Any = forgotten) -> str:
        return "reached"

    def by_annotation(quiz: Annotated[Any, forgotten]) -> str:
        return "reached"

    def plain() -> str:
        return "reached"

    endpoint = {"default": by_default, "annotated": by_annotation}.get(way, plain)
    with pytest.raises(GuardError, match=r"is a dependency, no decorator; write Depends\(…\) of it"):
        app = FastAPI(dependencies=[forgotten] if way == "application" else [])
        router = APIRouter(dependencies=[forgotten] if way == "router" else [])
        router.get("/quiz", dependencies=[forgotten] if way == "route" else [])(endpoint)
        app.include_router(router)
        asked(app)


@pytest.mark.parametrize("way", ["requires", "where", "menu", "public"])
def test_a_guard_in_an_annotation_or_above_an_endpoint_is_an_error(app: FastAPI, guard: Guard, way: str) -> None:
    class Quiz: ...

    guard.describe(Quiz, "quiz", ["account"])
    made = {
        "requires": lambda: guard.requires("take", find),
        "where": lambda: guard.where("take", Quiz),
        "menu": lambda: guard.menu(find),
        "public": lambda: guard.public,
    }[way]()
    with pytest.raises(GuardError, match=r"is a dependency, no decorator; write Depends\(…\) of it"):

        @app.get("/above")
        @made
        def above() -> str:
            return "reached"

    if way == "public":
        return
    with pytest.raises(GuardError, match=r"is a dependency, no decorator; write Depends\(…\) of it"):

        @app.get("/annotated")
        def annotated(quiz: Annotated[str, made] = "") -> str:
            return "reached"


@pytest.mark.parametrize("way", ["requires", "menu"])
def test_a_method_of_the_guard_is_no_dependency(guard: Guard, way: str) -> None:
    """FastAPI has the caller send its arguments then, which nobody can."""
    app = FastAPI()

    @app.post("/quiz", dependencies=[Depends(getattr(guard, way))])
    def show() -> str:
        return "reached"

    assert browse(app, "POST", "/quiz", {}, params={"find": "x"}, json="take").status_code == 422


def test_a_client_that_is_awaited_is_no_decorator_either(app: FastAPI) -> None:
    guard = Guard(AsyncKlausel("http://127.0.0.1:1"), subject=who)

    @app.get("/quiz")
    def show(quiz: Annotated[Any, Depends(guard.requires("take", find))]) -> str:
        return "reached"

    assert asked(app, headers=LEO) == 503
    assert asked(app, headers={}) == 401


def test_a_path_with_another_slash_is_led_to_its_own(app: FastAPI, guard: Guard) -> None:
    @app.get("/quiz")
    def show(quiz: Annotated[Any, Depends(guard.requires("take", find))]) -> str:
        return quiz.id

    assert asked(app, "/quiz/") == 307
    assert browse(app, "GET", "/quiz/", STRANGER, follow_redirects=True).status_code == 403
    assert browse(app, "GET", "/quiz/", LEO, follow_redirects=True).json() == "q1"


def test_open_paths_are_a_list(app: FastAPI) -> None:
    with pytest.raises(GuardError, match=r'public is the text "/docs"; write a list of names, \["/docs"\]'):
        RefuseUndecided(app, public="/docs")


def test_the_log_tells_once_that_nothing_refuses_what_was_forgotten(guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()

    @app.get("/quiz")
    def show(quiz: Annotated[Any, Depends(guard.requires("take", find))]) -> str:
        return quiz.id

    with caplog.at_level(logging.WARNING, "klausel.guarding"):
        assert [asked(app, headers=LEO) for _ in range(2)] == [200, 200]
    (told,) = (record.getMessage() for record in caplog.records if record.name == "klausel.guarding")
    assert "add_middleware(RefuseUndecided)" in told
