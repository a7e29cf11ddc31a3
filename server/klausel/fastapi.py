"""The guard for FastAPI: dependencies that give an endpoint what it may work on, or refuse the request.

guard = Guard(klausel, subject=current_subject)
guard.describe(Document, "document", ["account", "owner"])

@app.get("/documents/{document_id}")
def show(document: Annotated[Document, Depends(guard.requires("read", find_document))]): ...
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Depends, HTTPException
from fastapi.params import Depends as Dependence
from fastapi.requests import HTTPConnection
from sqlalchemy import ColumnElement

from klausel.client import Action, AsyncKlausel, Decision, FilterAnswer, Klausel, Menu, Resource, Subject
from klausel.guarding import (
    Guarded,
    GuardError,
    Refusal,
    Who,
    check_decision,
    check_subject,
    names_of,
    refused_without_answer,
    undecided,
)
from klausel.sqlalchemy import where

__all__ = ["Guard", "RefuseUndecided"]

_NOTE = "klausel.decided"
_OPENS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
_NO_DECORATOR = "what a guard for FastAPI gives is a dependency, no decorator; write Depends(…) of it among the parameters"
Dependency = Callable[..., Any]


class Guard(Guarded):
    """Makes dependencies that ask the policies, and refuse with 401, 403 or 503.

    `klausel` is a client to wait for (`Klausel`, or one in process) or to await (`AsyncKlausel`); `subject` is a dependency that
    gives who is logged in, None for nobody.
    """

    def __init__(self, klausel: Klausel | AsyncKlausel, subject: Callable[..., Who | Any]) -> None:
        super().__init__()
        self.klausel = klausel
        self._subject = subject

    def requires(self, action: Action | str, find: Callable[..., Any]) -> Dependency:
        """A dependency that gives what `find` gave, where the action is allowed on it.

        `find` is a dependency too: it takes what it needs from the path, the body and other dependencies, and gives an object
        of a described class or a `Resource`; None is answered with 404.
        """

        def ask(who: Subject | str, thing: Any) -> Any:
            if thing is None:
                raise HTTPException(404)
            return self.klausel.evaluate(who, action, self.resource(thing), denies=True)

        def take(decision: Decision, thing: Any) -> Any:
            check_decision(decision)
            return thing

        return self._dependency(find, ask, take)

    def where(self, action: Action | str, model: type[Any], domain: str | None = None) -> Dependency:
        """A dependency that gives the condition on the rows that the action is allowed on, for `select(Model).where(…)`."""
        described = self.described(model)
        kind = Resource(described.type)

        def ask(who: Subject | str, _: None) -> Any:
            return self.klausel.filter(who, action, kind, domain=domain)

        def take(answer: FilterAnswer, _: None) -> ColumnElement[bool]:
            return where(answer.as_json, model, described.columns())

        return self._dependency(_nothing, ask, take)

    def menu(self, find: Callable[..., Any]) -> Dependency:
        """A dependency that gives all that is allowed on each of the objects in the list that `find` gives, in their places."""

        def ask(who: Subject | str, things: Any) -> Any:
            return self.klausel.permissions(who, [self.resource(thing) for thing in things])

        def take(menus: list[Menu], _: Any) -> list[tuple[str, ...]]:
            return [menu.actions for menu in menus]

        return self._dependency(find, ask, take)

    def public(self, request: HTTPConnection) -> None:
        """A dependency for endpoints that everybody may reach."""
        if not isinstance(request, HTTPConnection):
            raise GuardError(_NO_DECORATOR)
        self._note(request)

    def _note(self, request: HTTPConnection) -> None:
        """Notes that this request has its decision."""
        decided = request.scope.get(_NOTE)
        if decided is None:
            self.tell_unwatched("add_middleware(RefuseUndecided)")
        else:
            decided.append(True)

    def _dependency(
        self, find: Callable[..., Any], ask: Callable[[Any, Any], Any], take: Callable[[Any, Any], Any]
    ) -> Dependency:
        """A dependency that asks the client about what was found, and gives what is taken of the answer."""
        who_asks, found = Depends(self._subject), Depends(find)

        async def awaiting(request: HTTPConnection, subject: Any = who_asks, thing: Any = found) -> Any:
            with _refusals_answered(), refused_without_answer():
                taken = take(await ask(_checked(subject), thing), thing)
            self._note(request)
            return taken

        def asking(request: HTTPConnection, subject: Any = who_asks, thing: Any = found) -> Any:
            with _refusals_answered(), refused_without_answer():
                taken = take(ask(_checked(subject), thing), thing)
            self._note(request)
            return taken

        return _Asking(awaiting if isinstance(self.klausel, AsyncKlausel) else asking)


class RefuseUndecided:
    """Middleware that refuses (403) every answer, errors apart, of an endpoint that no decision was asked for.

    `public` names paths that are open. It sees an answer when the endpoint has run: what that did is done.
    """

    def __init__(self, app: Any, public: Iterable[str] = ()) -> None:
        self._app = app
        self._public = names_of(public, "public")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI wants it."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._public:
            await self._app(scope, receive, send)
            return
        decided: list[bool] = []
        inner = {**scope, _NOTE: decided}
        refused = False

        async def checked(message: Any) -> None:
            nonlocal refused
            if refused:
                return
            status = message.get("status", 200)
            if message["type"] in _OPENS and not decided and status < 400 and not _is_to_another_path(inner, status):
                refused = True
                await _refuse(scope, send)
                return
            await send(message)

        await self._app(inner, receive, checked)


def _is_to_another_path(scope: Any, status: int) -> bool:
    """Whether the router answers by itself that the path is another, with or without a slash at its end."""
    return status == 307 and "router" in scope and "endpoint" not in scope


async def _refuse(scope: Any, send: Any) -> None:
    message = undecided(f'{scope.get("method", "websocket")} "{scope["path"]}"').message
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": message})
        return
    body = json.dumps({"detail": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _nothing() -> None:
    """Stands for what is found where nothing is."""


class _Asking(Dependence):
    """A dependency that is an error where `Depends(…)` of it was forgotten, which FastAPI would pass over."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def __init__(self, ask: Dependency) -> None:
        # What FastAPI reads of the function behind a callable object.
        vars(self).update(__wrapped__=ask, __call__=ask, __globals__=ask.__globals__)

    def __call__(self, *given: Any, **named: Any) -> Any:
        return vars(self)["__wrapped__"](*given, **named)

    @property
    def dependency(self) -> Any:
        """What FastAPI takes of the `Depends(…)` that this is not."""
        raise GuardError(_NO_DECORATOR)


def _checked(subject: Who) -> Any:
    if isinstance(subject, Dependence):
        raise GuardError(_NO_DECORATOR)
    return check_subject(subject)


@contextmanager
def _refusals_answered() -> Iterator[None]:
    """Answers the request with a refusal that is raised inside."""
    try:
        yield
    except Refusal as refusal:
        raise HTTPException(refusal.status, refusal.message) from None
