"""The guard for Flask: a view is reached only where the policies say yes, and a list shows only what they allow.

guard = Guard(klausel, subject=lambda: f"user:{session['name']}" if "name" in session else None)
guard.describe(Document, "document", ["account", "owner"])
guard.init_app(app)

@app.get("/documents/<int:document_id>")
@guard.requires("read", find_document)
def show(document): ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from flask import Flask, Response, abort, current_app, has_request_context, request
from flask.views import MethodView
from sqlalchemy import ColumnElement
from werkzeug.exceptions import HTTPException

from klausel.client import Action, Klausel, Resource, Subject
from klausel.guarding import (
    MARK,
    Guarded,
    Refusal,
    Who,
    check_decision,
    check_subject,
    check_waits,
    names_of,
    refused_without_answer,
    undecided,
)
from klausel.sqlalchemy import where

__all__ = ["Guard"]

View = Callable[..., Any]
_WATCHES = "klausel"
_DECIDED = "_klausel_decided"
"""The attribute of a request that has its decision; `g` lives longer than a request where an application context is open."""


class Guard(Guarded):
    """Asks the policies about the requests of a Flask application, and refuses with 401, 403 or 503.

    `klausel` is a client, over HTTP or in process; `subject` tells who is logged in at this request, None for nobody.
    """

    def __init__(self, klausel: Klausel, subject: Callable[[], Who]) -> None:
        super().__init__()
        check_waits(klausel)
        self.klausel = klausel
        self._subject = subject

    def init_app(self, app: Flask, public: Iterable[str] = ("static",)) -> None:
        """Has the application refuse (403) every view that no decision is asked for, except the endpoints in `public`.

        A view says that it asks by `requires`, `decides` or `public`. One that says so and then answers without having asked
        is refused too, such as one whose answer a cache gave.
        """
        open_ = names_of(public, "public")

        def is_open() -> bool:
            rule = request.url_rule
            if rule is None or rule.endpoint in open_:
                return True
            return request.method == "OPTIONS" and bool(getattr(rule, "provide_automatic_options", False))

        def check_view() -> None:
            if not is_open() and not _says_that_it_asks(app.view_functions[str(request.endpoint)]):
                raise _undecided()

        def check_answer(answer: Response) -> Response:
            # A way to the page for logging in shows nothing, so it needs no decision.
            if answer.status_code < 300 and not is_open() and not _is_decided():
                answer.close()
                return app.make_response(app.handle_user_exception(_undecided()))
            return answer

        app.extensions[_WATCHES] = self
        app.before_request(check_view)
        app.after_request(check_answer)

    def requires(self, action: Action | str, find: Callable[..., Any]) -> Callable[[View], View]:
        """Lets a view be reached where the action is allowed on what `find` gives for the arguments of the route.

        The view gets what was found instead of these arguments. `find` gives an object of a described class or a `Resource`;
        None is answered with 404. In a class of views it stands above a method, which gets it after `self`.
        """

        def guarded(view: View) -> View:
            @functools.wraps(view)
            def asking(*instance: Any, **arguments: Any) -> Any:
                if hasattr(asking, "view_class"):
                    name = asking.view_class.__name__
                    raise TypeError(f"{name}.decorators has a guard's requires; put it above each method of {name} instead")
                thing = current_app.ensure_sync(find)(**arguments)
                if thing is None:
                    self.subject()  # who is not logged in learns nothing about what is there
                    abort(404)
                self.require(action, thing)
                return current_app.ensure_sync(view)(*instance, thing)

            setattr(asking, MARK, True)
            return asking

        return guarded

    def decides(self, view: View) -> View:
        """For a view that asks by itself, with `require` or `where`; its answer is refused where it did not ask."""

        @functools.wraps(view)
        def asking(*arguments: Any, **named: Any) -> Any:
            answer = current_app.ensure_sync(view)(*arguments, **named)
            if not _is_decided():
                raise _undecided()
            return answer

        setattr(asking, MARK, True)
        return asking

    def public(self, view: View) -> View:
        """For a view that everybody may reach."""

        @functools.wraps(view)
        def open_view(*arguments: Any, **named: Any) -> Any:
            self._note()
            return current_app.ensure_sync(view)(*arguments, **named)

        setattr(open_view, MARK, True)
        return open_view

    def subject(self) -> Subject | str:
        """Who is logged in; refuses with 401 where nobody is."""
        with _refusals_answered():
            return check_subject(self._subject())

    def require(self, action: Action | str, thing: object, context: Mapping[str, Any] | None = None) -> None:
        """Refuses the request unless the action is allowed on an object of a described class, or a `Resource`."""
        subject = self.subject()
        decision = self.klausel.evaluate(subject, action, self.resource(thing), context, denies=True)
        with _refusals_answered():
            check_decision(decision)
        self._note()

    def where(self, action: Action | str, model: type[Any], domain: str | None = None) -> ColumnElement[bool]:
        """The condition on the rows that the action is allowed on, for `select(Model).where(…)`."""
        subject, described = self.subject(), self.described(model)
        with _refusals_answered(), refused_without_answer():
            answer = self.klausel.filter(subject, action, Resource(described.type), domain=domain)
        condition = where(answer.as_json, model, described.columns())
        self._note()
        return condition

    def menu(self, things: Sequence[object]) -> list[tuple[str, ...]]:
        """All that is allowed on each of some objects, in their places."""
        subject = self.subject()
        with _refusals_answered(), refused_without_answer():
            found = self.klausel.permissions(subject, [self.resource(thing) for thing in things])
        self._note()
        return [one.actions for one in found]

    def _note(self) -> None:
        """Notes that this request has its decision."""
        if has_request_context():
            setattr(request, _DECIDED, True)
            if _WATCHES not in current_app.extensions:
                self.tell_unwatched("call guard.init_app(app)")


@contextmanager
def _refusals_answered() -> Iterator[None]:
    """Answers the request with a refusal that is raised inside."""
    try:
        yield
    except Refusal as refusal:
        raise _refusal(refusal) from None


def _undecided() -> HTTPException:
    return _refusal(undecided(f'the view "{request.endpoint}"'))


def _refusal(refusal: Refusal) -> HTTPException:
    try:
        abort(refusal.status, description=refusal.message)
    except HTTPException as error:
        return error


def _is_decided() -> bool:
    return bool(getattr(request, _DECIDED, False))


def _says_that_it_asks(view: View) -> bool:
    """Whether a view, or the method of its class that answers this request, went through a guard."""
    if hasattr(view, MARK):
        return True
    of_class = getattr(view, "view_class", None)
    if not isinstance(of_class, type):
        return False
    dispatch = getattr(of_class, "dispatch_request", None)
    # What a class does with a request before one of its methods, or instead of it, nobody knows.
    if dispatch is not MethodView.dispatch_request:
        return hasattr(dispatch, MARK)
    names = (request.method.lower(), "get") if request.method == "HEAD" else (request.method.lower(),)
    methods = [getattr(of_class, name, None) for name in names]
    return hasattr(next(filter(None, methods), None), MARK)
