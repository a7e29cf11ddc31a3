"""The guard for Django: a view is reached only where the policies say yes, and a list shows only what they allow.

# shop/permissions.py, named by the setting KLAUSEL = {"GUARD": "shop.permissions.guard"}
guard = Guard(klausel, subject=lambda request: f"user:{request.user}" if request.user.is_authenticated else None)
guard.describe(Document, "document", {"account": "place__account", "owner": "owner"})

class Show(PermissionMixin, DetailView):
    model = Document
    action = "read"
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.db.models import Model, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.module_loading import import_string
from django.views.generic.list import MultipleObjectMixin

from klausel.client import Action, Klausel, Resource, Subject
from klausel.django.lists import q
from klausel.guarding import (
    MARK,
    Guarded,
    GuardError,
    Refusal,
    Who,
    check_decision,
    check_subject,
    check_waits,
    names_of,
    refused_without_answer,
    undecided,
)

__all__ = ["Denied", "Guard", "PermissionMixin", "RefuseUndecided", "guard_of"]

View = Callable[..., Any]
_DECIDED, _REFUSED, _WATCHED = "_klausel_decided", "_klausel_refused", "_klausel_watched"


class Denied(Refusal, PermissionDenied):  # type: ignore[misc]
    """A refusal that Django answers with 403 by itself."""


class Guard(Guarded):
    """Asks the policies about the requests of a Django project; refusals are `Denied`, or `Refusal` (503).

    `klausel` is a client, over HTTP or in process; `subject` tells who sends a request, None for nobody. Async views await
    `arequire`, `awhere` and `amenu`, which ask in a thread, where the database may be read.
    """

    def __init__(self, klausel: Klausel, subject: Callable[[Any], Who]) -> None:
        super().__init__()
        check_waits(klausel)
        self.klausel = klausel
        self._subject = subject

    def subject(self, request: HttpRequest) -> Subject | str:
        """Who sends the request; raises `Denied` (401) for nobody."""
        try:
            return check_subject(self._subject(request))
        except Refusal as refusal:
            raise Denied(refusal.status, refusal.message) from None

    def require(
        self, request: HttpRequest, action: Action | str, thing: object, context: Mapping[str, Any] | None = None
    ) -> None:
        """Raises `Denied`, or `Refusal` (503), unless the action is allowed on an object of a described class or a `Resource`."""
        subject = self.subject(request)
        decision = self.klausel.evaluate(subject, action, self.resource(thing), context, denies=True)
        try:
            check_decision(decision)
        except Refusal as refusal:
            raise refusal if refusal.status == 503 else Denied(refusal.status, refusal.message) from None
        self._note(request)

    def where(self, request: HttpRequest, action: Action | str, model: type[Model], domain: str | None = None) -> Q:
        """The condition on the rows that the action is allowed on, for `Model.objects.filter(…)`; raises as `require`."""
        subject, described = self.subject(request), self.described(model)
        with refused_without_answer():
            answer = self.klausel.filter(subject, action, Resource(described.type), domain=domain)
        condition = q(answer.as_json, model, described.columns())
        self._note(request)
        return condition

    def menu(self, request: HttpRequest, things: Sequence[object]) -> list[tuple[str, ...]]:
        """All that is allowed on each of some objects, in their places; raises as `require`."""
        subject = self.subject(request)
        with refused_without_answer():
            found = self.klausel.permissions(subject, [self.resource(thing) for thing in things])
        self._note(request)
        return [one.actions for one in found]

    async def arequire(
        self, request: HttpRequest, action: Action | str, thing: object, context: Mapping[str, Any] | None = None
    ) -> None:
        """`require`, for async views."""
        await sync_to_async(self.require)(request, action, thing, context)

    async def awhere(self, request: HttpRequest, action: Action | str, model: type[Model], domain: str | None = None) -> Q:
        """`where`, for async views."""
        return await sync_to_async(self.where)(request, action, model, domain)

    async def amenu(self, request: HttpRequest, things: Sequence[object]) -> list[tuple[str, ...]]:
        """`menu`, for async views."""
        found: list[tuple[str, ...]] = await sync_to_async(self.menu)(request, things)
        return found

    def requires(self, action: Action | str, find: Callable[..., Any]) -> Callable[[View], View]:
        """Lets a view be reached where the action is allowed on what `find` gives for the request and the route's arguments.

        The view gets the request and what was found. None is answered with 404. View and `find` may be async.
        """

        def check(request: HttpRequest, thing: Any) -> None:
            if thing is None:
                self.subject(request)  # who is not logged in learns nothing about what is there
                raise Http404
            self.require(request, action, thing)

        def guarded(view: View) -> View:
            if iscoroutinefunction(view):

                @functools.wraps(view)
                async def awaiting(request: HttpRequest, *arguments: Any, **named: Any) -> Any:
                    finding = find if iscoroutinefunction(find) else sync_to_async(find)
                    thing = await finding(request, *arguments, **named)
                    await sync_to_async(check)(request, thing)
                    return await view(request, thing)

                return self.decides(awaiting)

            @functools.wraps(view)
            def asking(request: HttpRequest, *arguments: Any, **named: Any) -> Any:
                thing = find(request, *arguments, **named)
                check(request, thing)
                return view(request, thing)

            return self.decides(asking)

        return guarded

    def decides(self, view: View) -> View:
        """For a view that asks by itself, with `require` or `where`; its answer is refused where it did not ask."""
        if iscoroutinefunction(view):

            @functools.wraps(view)
            async def awaiting(request: HttpRequest, *arguments: Any, **named: Any) -> Any:
                check_request(request)
                return await _checked_later(request, view(request, *arguments, **named))

            setattr(awaiting, MARK, True)
            return awaiting

        @functools.wraps(view)
        def asking(request: HttpRequest, *arguments: Any, **named: Any) -> Any:
            check_request(request)
            try:
                answer = view(request, *arguments, **named)
            except Refusal as refusal:
                return refused(request, refusal)
            check_decided(request)
            return answer

        setattr(asking, MARK, True)
        return asking

    def public(self, view: View) -> View:
        """For a view that everybody may reach."""
        if iscoroutinefunction(view):

            @functools.wraps(view)
            async def awaited(request: HttpRequest, *arguments: Any, **named: Any) -> Any:
                check_request(request)
                note(request)
                return await view(request, *arguments, **named)

            setattr(awaited, MARK, True)
            return awaited

        @functools.wraps(view)
        def open_view(request: HttpRequest, *arguments: Any, **named: Any) -> Any:
            check_request(request)
            note(request)
            return view(request, *arguments, **named)

        setattr(open_view, MARK, True)
        return open_view

    def _note(self, request: Any) -> None:
        note(request)
        if not is_watched(request):
            self.tell_unwatched("add klausel.django.guards.RefuseUndecided to MIDDLEWARE")


async def _checked_later(request: HttpRequest, answering: Awaitable[Any]) -> Any:
    """The answer of an async view, or the refusal."""
    try:
        answer = await answering
    except Refusal as refusal:
        return refused(request, refusal)
    check_decided(request)
    return answer


class PermissionMixin:
    """For the generic views of Django, left of them: objects are asked about, lists are filtered, forms before they save.

    `action` is what the view does, or by method of HTTP (`{"GET": "read", "POST": "edit"}`, HEAD as GET). `guard` is that of
    the setting `KLAUSEL`, where the view names none. A form is asked about as it would be saved, so nothing is moved to
    where it may not be. What a `get_object` of the view's own gives is asked about too, and what a `form_valid` of its own
    saves it has to ask about. An answer without a decision is refused.
    """

    action: str | Mapping[str, str] = ""
    guard: Guard | None = None
    request: Any
    _asked_about: tuple[str, object] | None = None

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        check_order(cls, PermissionMixin, "django.views.")

    def setup(self, request: HttpRequest, *arguments: Any, **named: Any) -> None:
        """What Django does with a view first; from then on it gets no object that is not asked about."""
        super().setup(request, *arguments, **named)  # type: ignore[misc]
        finding = getattr(self, "get_object", None)
        if finding is None:
            return

        def get_object(*given: Any, **by_name: Any) -> Any:
            guard_of(self).subject(self.request)  # who is not logged in learns nothing about what is there
            found = finding(*given, **by_name)
            if isinstance(found, Model):
                self._ask_about(found)
            return found

        self.get_object = get_object

    def dispatch(self, request: HttpRequest, *arguments: Any, **named: Any) -> Any:
        """The answer of the view, or the refusal."""
        try:
            answer = super().dispatch(request, *arguments, **named)  # type: ignore[misc]
            if inspect.isawaitable(answer):
                return self._answer_later(answer)
            return self._checked(answer)
        except Refusal as refusal:
            return self.refused(refusal)

    async def _answer_later(self, answering: Awaitable[Any]) -> Any:
        try:
            return self._checked(await answering)
        except Refusal as refusal:
            return self.refused(refusal)

    def _checked(self, answer: Any) -> Any:
        if answer.status_code < 400:
            check_decided(self.request)
        return answer

    def refused(self, refusal: Refusal) -> HttpResponseBase:
        """The answer to a refusal: to the page for logging in, Django's 403, or a 503."""
        return refused(self.request, refusal)

    def get_queryset(self) -> Any:
        """For a list, the rows that the action is allowed on."""
        rows = super().get_queryset()  # type: ignore[misc]
        if not isinstance(self, MultipleObjectMixin):
            return rows
        return rows.filter(guard_of(self).where(self.request, self.asked(), rows.model))

    def get_form(self, form_class: Any = None) -> Any:
        """The form; one for an object shows nothing that was not asked about, and is asked about before it saves."""
        form = super().get_form(form_class)  # type: ignore[misc]
        instance = getattr(form, "instance", None)
        if isinstance(instance, Model):
            guard_of(self).subject(self.request)
            if not instance._state.adding:
                self._ask_about(instance)
            # What is sent is asked about as it would be saved; that it may be shown is no answer to that.
            note(self.request, is_decided=self.request.method in ("GET", "HEAD"))
        return form

    def form_invalid(self, form: Any) -> Any:
        """The form again, with what is wrong; nothing is saved."""
        if isinstance(getattr(form, "instance", None), Model):
            note(self.request)
        return super().form_invalid(form)  # type: ignore[misc]

    def form_valid(self, form: Any) -> Any:
        """Saves, where the action is allowed on what would be saved."""
        instance = getattr(form, "instance", None)
        if not isinstance(instance, Model):
            return super().form_valid(form)  # type: ignore[misc]
        if form.cleaned_data.keys().isdisjoint(field.name for field in instance._meta.many_to_many):
            guard_of(self).require(self.request, self.asked(), instance)
            return super().form_valid(form)  # type: ignore[misc]
        # Which rows it leads to is known when they are saved; a no takes that back.
        with transaction.atomic(using=router.db_for_write(type(instance))):
            answer = super().form_valid(form)  # type: ignore[misc]
            guard_of(self).require(self.request, self.asked(), instance)
        return answer

    def asked(self) -> str:
        """The action that this request asks for; raises `GuardError` where the view names none."""
        method = "GET" if self.request.method == "HEAD" else self.request.method
        action = self.action if isinstance(self.action, str) else self.action.get(method, "")
        if not action:
            raise GuardError(f"{type(self).__name__} names no action for {method}; set the attribute action")
        return action

    def _ask_about(self, thing: Model) -> None:
        """Asks about an object as it is stored, once."""
        action = self.asked()
        if self._asked_about is None or self._asked_about[0] != action or self._asked_about[1] is not thing:
            guard_of(self).require(self.request, action, thing)
            self._asked_about = (action, thing)


setattr(PermissionMixin, MARK, True)


class RefuseUndecided:
    """Middleware that refuses (403) views that no decision is asked for, before they run.

    A view says that it asks by `requires`, `decides`, `public`, `PermissionMixin` or the permission class of
    `klausel.django.rest`. Open besides are the names of views, and the namespaces, under `PUBLIC` in the setting `KLAUSEL`.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """The answer, refused where the view ended well without having asked."""
        setattr(request, _WATCHED, True)
        if iscoroutinefunction(self):
            return self._answer_later(request)
        return self._checked(request, self._get_response(request))

    async def _answer_later(self, request: HttpRequest) -> Any:
        return self._checked(request, await self._get_response(request))

    def _checked(self, request: HttpRequest, answer: Any) -> Any:
        # The way to the page for logging in is a refusal already.
        if answer.status_code >= 400 or is_decided(request) or getattr(request, _REFUSED, False):
            return answer
        if request.resolver_match is None and not _answers_for_a_view(request, answer):
            return answer
        return answer if _is_open(request) else answer_to(undecided(_view_of(request)))

    def process_view(self, request: HttpRequest, view: View, _arguments: Any, _named: Any) -> Any:
        """Refuses a view that does not say that it asks."""
        return None if _is_open(request) or is_guarded(view) else answer_to(undecided(_view_of(request)))

    def process_exception(self, request: HttpRequest, error: Exception) -> Any:
        """The answer to a refusal that a view let through."""
        return refused(request, error) if isinstance(error, Refusal) and error.status != 403 else None


def check_request(request: object) -> None:
    """Raises `GuardError` for what is no request, such as the view whose method was decorated like a function."""
    if not hasattr(request, "META"):
        name = type(request).__name__
        raise GuardError(
            f'a guard for functions stands above a method of {name}; write method_decorator(…, name="dispatch")'
        )


def guard_of(view: Any) -> Guard:
    """The guard that a view names, or the one under `GUARD` in the setting `KLAUSEL`; raises `GuardError`."""
    found = getattr(view, "guard", None)
    if found is None:
        named = _settings().get("GUARD")
        found = import_string(named) if isinstance(named, str) else named
    if not isinstance(found, Guard):
        raise GuardError('no guard is named; set KLAUSEL = {"GUARD": "shop.permissions.guard"}, to where yours stands')
    return found


def check_order(class_: type, mixin: type, framework: str) -> None:
    """Raises `GuardError` where a mixin stands right of the framework's view, whose methods then go first and never ask it."""
    order = class_.__mro__
    for before in order[: order.index(mixin)]:
        if before.__module__.startswith(framework) and not mixin.__dict__.keys().isdisjoint(
            name for name, part in vars(before).items() if inspect.isfunction(part)
        ):
            base = next(one for one in class_.__bases__ if issubclass(one, before)).__name__
            raise GuardError(
                f"{class_.__name__} has {mixin.__name__} to the right of {base}, where it asks nobody;"
                f" write class {class_.__name__}({mixin.__name__}, {base})"
            )


def is_guarded(view: Any) -> bool:
    """Whether a view says that it asks by itself, or is open on purpose."""
    class_ = getattr(view, "view_class", None) or getattr(view, "cls", None)
    permissions = getattr(class_, "permission_classes", ())
    return any(getattr(one, MARK, False) for one in (view, class_, *permissions))


def note(request: Any, is_decided: bool = True) -> None:
    """Notes that this request has its decision, or has to ask once more."""
    setattr(getattr(request, "_request", request), _DECIDED, is_decided)


def is_watched(request: Any) -> bool:
    """Whether `RefuseUndecided` sees the answer to this request."""
    return bool(getattr(getattr(request, "_request", request), _WATCHED, False))


def is_decided(request: Any) -> bool:
    """Whether this request has its decision."""
    return bool(getattr(getattr(request, "_request", request), _DECIDED, False))


def check_decided(request: Any) -> None:
    """Raises `Denied` where no decision was asked for."""
    if not is_decided(request):
        refusal = undecided(_view_of(request))
        raise Denied(refusal.status, refusal.message)


def refused(request: HttpRequest, refusal: Refusal) -> HttpResponseBase:
    """The answer to a refusal: to the page for logging in, for who takes pages; a plain one, or Django's own 403 (raised)."""
    if refusal.status == 403:
        raise refusal
    if refusal.status == 401 and request.accepts("text/html"):
        setattr(request, _REFUSED, True)
        return redirect_to_login(request.get_full_path())
    return answer_to(refusal)


def answer_to(refusal: Refusal) -> HttpResponse:
    """A refusal as a plain answer."""
    return HttpResponse(refusal.message, status=refusal.status, content_type="text/plain; charset=utf-8")


def _view_of(request: Any) -> str:
    """The view that answers a request, in words."""
    match = request.resolver_match
    return f'the view "{request.path if match is None else match._func_path}"'


def _settings() -> Mapping[str, Any]:
    return getattr(settings, "KLAUSEL", {})


def _is_open(request: Any) -> bool:
    match = request.resolver_match
    public = names_of(_settings().get("PUBLIC", ()), "PUBLIC of the setting KLAUSEL")
    return match.view_name in public or not public.isdisjoint(match.namespaces)


def _answers_for_a_view(request: Any, answer: Any) -> bool:
    """Whether a middleware, such as a cache, answered in the place of a view; notes which one."""
    if answer.status_code >= 300 or request.method == "OPTIONS":
        return False
    try:
        request.resolver_match = resolve(request.path_info, getattr(request, "urlconf", None))
    except Resolver404:
        return False
    return True
