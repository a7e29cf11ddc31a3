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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from flask import Flask, abort, current_app, g, request
from flask.views import MethodView
from sqlalchemy import ColumnElement

from klausel.client import Action, CallFailed, Klausel, Resource, Subject
from klausel.guarding import MARK, Guarded, Refusal, Who, check_decision, check_subject, no_answer, undecided
from klausel.sqlalchemy import where

__all__ = ["Guard"]

View = Callable[..., Any]
_DECIDED = "_klausel_decided"


class Guard(Guarded):
    """Asks the policies about the requests of a Flask application, and refuses with 401, 403 or 503.

    `klausel` is a client, over HTTP or in process; `subject` tells who is logged in at this request, None for nobody.
    """

    def __init__(self, klausel: Klausel, subject: Callable[[], Who]) -> None:
        super().__init__()
        self.klausel = klausel
        self._subject = subject

    def init_app(self, app: Flask, public: Iterable[str] = ("static",)) -> None:
        """Has the application refuse (403) every view that no decision is asked for, except the endpoints in `public`.

        A view says that it asks by `requires`, `decides` or `public`. One that `decides` and then answers without having asked
        is refused too.
        """
        open_ = frozenset(public)

        def check_view() -> None:
            rule = request.url_rule
            if rule is None or rule.endpoint in open_:
                return
            if request.method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
                return
            if not _says_that_it_asks(app.view_functions[rule.endpoint]):
                self._refuse(undecided(f'the view "{rule.endpoint}"'))

        app.before_request(check_view)

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
                thing = find(**arguments)
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
            if not g.get(_DECIDED, False):
                self._refuse(undecided(f'the view "{request.endpoint}"'))
            return answer

        setattr(asking, MARK, True)
        return asking

    def public(self, view: View) -> View:
        """For a view that everybody may reach."""
        setattr(view, MARK, True)
        return view

    def subject(self) -> Subject | str:
        """Who is logged in; refuses with 401 where nobody is."""
        try:
            return check_subject(self._subject())
        except Refusal as refusal:
            self._refuse(refusal)

    def require(self, action: Action | str, thing: object, context: Mapping[str, Any] | None = None) -> None:
        """Refuses the request unless the action is allowed on an object of a described class, or a `Resource`."""
        subject = self.subject()
        decision = self.klausel.evaluate(subject, action, self.resource(thing), context, denies=True)
        try:
            check_decision(decision)
        except Refusal as refusal:
            self._refuse(refusal)
        setattr(g, _DECIDED, True)

    def where(self, action: Action | str, model: type[Any], domain: str | None = None) -> ColumnElement[bool]:
        """The condition on the rows that the action is allowed on, for `select(Model).where(…)`."""
        subject, described = self.subject(), self.described(model)
        try:
            answer = self.klausel.filter(subject, action, Resource(described.type), domain=domain)
        except CallFailed as error:
            self._refuse(no_answer(error))
        condition = where(answer.as_json, model, described.columns())
        setattr(g, _DECIDED, True)
        return condition

    def menu(self, things: Sequence[object]) -> list[tuple[str, ...]]:
        """All that is allowed on each of some objects, in their places."""
        subject = self.subject()
        try:
            found = self.klausel.permissions(subject, [self.resource(thing) for thing in things])
        except CallFailed as error:
            self._refuse(no_answer(error))
        setattr(g, _DECIDED, True)
        return [one.actions for one in found]

    def _refuse(self, refusal: Refusal) -> NoReturn:
        abort(refusal.status, description=refusal.message)


def _says_that_it_asks(view: View) -> bool:
    """Whether a view, or the method of its class that answers this request, went through a guard."""
    if hasattr(view, MARK):
        return True
    of_class = getattr(view, "view_class", None)
    if not isinstance(of_class, type):
        return False
    names = (request.method.lower(), "get") if request.method == "HEAD" else (request.method.lower(),)
    methods = [getattr(of_class, name, None) for name in names] if issubclass(of_class, MethodView) else []
    answering = next(filter(None, methods), getattr(of_class, "dispatch_request", None))
    return hasattr(answering, MARK)
