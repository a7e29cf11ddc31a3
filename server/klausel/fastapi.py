"""The guard for FastAPI: dependencies that give an endpoint what it may work on, or refuse the request.

guard = Guard(klausel, subject=current_subject)
guard.describe(Document, "document", ["account", "owner"])

@app.get("/documents/{document_id}")
def show(document: Annotated[Document, Depends(guard.requires("read", find_document))]): ...
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import Depends, HTTPException
from fastapi.params import Depends as Dependence
from fastapi.requests import HTTPConnection
from sqlalchemy import ColumnElement

from klausel.client import Action, AsyncKlausel, CallFailed, Decision, FilterAnswer, Klausel, Resource
from klausel.guarding import (
    Guarded,
    GuardError,
    Refusal,
    Who,
    check_decision,
    check_subject,
    names_of,
    no_answer,
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
        klausel, who_asks, found = self.klausel, Depends(self._subject), Depends(find)

        if isinstance(klausel, AsyncKlausel):

            async def awaiting(request: HTTPConnection, subject: Any = who_asks, thing: Any = found) -> Any:
                who, resource = self._question(subject, thing)
                decision = await klausel.evaluate(who, action, resource, denies=True)
                return self._taken(request, decision, thing)

            return _dependency(awaiting)

        def asking(request: HTTPConnection, subject: Any = who_asks, thing: Any = found) -> Any:
            who, resource = self._question(subject, thing)
            return self._taken(request, klausel.evaluate(who, action, resource, denies=True), thing)

        return _dependency(asking)

    def where(self, action: Action | str, model: type[Any], domain: str | None = None) -> Dependency:
        """A dependency that gives the condition on the rows that the action is allowed on, for `select(Model).where(…)`."""
        klausel, who_asks, described = self.klausel, Depends(self._subject), self.described(model)
        kind = Resource(described.type)

        def condition(request: HTTPConnection, answer: FilterAnswer) -> ColumnElement[bool]:
            found = where(answer.as_json, model, described.columns())
            self._note(request)
            return found

        if isinstance(klausel, AsyncKlausel):

            async def awaiting(request: HTTPConnection, subject: Any = who_asks) -> ColumnElement[bool]:
                try:
                    answer = await klausel.filter(_checked(subject), action, kind, domain=domain)
                except CallFailed as error:
                    raise _as_answer(no_answer(error)) from None
                return condition(request, answer)

            return _dependency(awaiting)

        def asking(request: HTTPConnection, subject: Any = who_asks) -> ColumnElement[bool]:
            try:
                answer = klausel.filter(_checked(subject), action, kind, domain=domain)
            except CallFailed as error:
                raise _as_answer(no_answer(error)) from None
            return condition(request, answer)

        return _dependency(asking)

    def menu(self, find: Callable[..., Any]) -> Dependency:
        """A dependency that gives all that is allowed on each of the objects in the list that `find` gives, in their places."""
        klausel, who_asks, found = self.klausel, Depends(self._subject), Depends(find)

        if isinstance(klausel, AsyncKlausel):

            async def awaiting(request: HTTPConnection, subject: Any = who_asks, things: Any = found) -> Any:
                who = _checked(subject)
                try:
                    menus = await klausel.permissions(who, [self.resource(thing) for thing in things])
                except CallFailed as error:
                    raise _as_answer(no_answer(error)) from None
                self._note(request)
                return [menu.actions for menu in menus]

            return _dependency(awaiting)

        def asking(request: HTTPConnection, subject: Any = who_asks, things: Any = found) -> Any:
            who = _checked(subject)
            try:
                menus = klausel.permissions(who, [self.resource(thing) for thing in things])
            except CallFailed as error:
                raise _as_answer(no_answer(error)) from None
            self._note(request)
            return [menu.actions for menu in menus]

        return _dependency(asking)

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

    def _question(self, subject: Who, thing: Any) -> tuple[Any, Resource]:
        who = _checked(subject)
        if thing is None:
            raise HTTPException(404)
        return who, self.resource(thing)

    def _taken(self, request: HTTPConnection, decision: Decision, thing: Any) -> Any:
        try:
            check_decision(decision)
        except Refusal as refusal:
            raise _as_answer(refusal) from None
        self._note(request)
        return thing


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


def _dependency(asking: Dependency) -> Dependency:
    """A dependency that is an error in an annotation without Depends, where it would be passed over."""

    def refuse(*_asked: Any) -> None:
        raise GuardError(_NO_DECORATOR)

    asking.__get_pydantic_core_schema__ = refuse  # type: ignore[attr-defined]
    return asking


def _checked(subject: Who) -> Any:
    if isinstance(subject, Dependence):
        raise GuardError(_NO_DECORATOR)
    try:
        return check_subject(subject)
    except Refusal as refusal:
        raise _as_answer(refusal) from None


def _as_answer(refusal: Refusal) -> HTTPException:
    return HTTPException(refusal.status, refusal.message)
