"""The guard for Django REST framework: a permission class, a filter for lists, and a mixin that asks before it saves.

class Documents(GuardedMixin, ModelViewSet):
    queryset = Document.objects.all()
    serializer_class = DocumentSerializer
    klausel_actions = {**ACTIONS, "retrieve": "read", "list": "read"}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import router, transaction
from django.db.models import Model
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.filters import BaseFilterBackend
from rest_framework.permissions import BasePermission

from klausel.django.guards import check_order, guard_of, is_decided, is_watched, note
from klausel.guarding import MARK, Refusal, undecided

__all__ = ["ACTIONS", "GuardedMixin", "KlauselPermission", "ListFilter", "NoDecision"]

ACTIONS: Mapping[str, str] = {
    "list": "view",
    "retrieve": "view",
    "create": "create",
    "update": "edit",
    "partial_update": "edit",
    "destroy": "delete",
}
"""What the usual actions of a view are called in the policies, where its `klausel_actions` does not say."""
_BY_METHOD = {"POST": "create", "PUT": "update", "PATCH": "partial_update", "DELETE": "destroy"}


class NoDecision(APIException):  # type: ignore[misc]
    """No decision could be made (503)."""

    status_code = 503


class KlauselPermission(BasePermission):  # type: ignore[misc]
    """Asks the policies about each object; lists need `ListFilter` and creations need `GuardedMixin`, or are refused."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether somebody is logged in, and the view asks about what it does."""
        if asked(request, view) is None:
            return False
        try:
            guard_of(view).subject(request)
        except Refusal:
            return False
        if request.method == "OPTIONS":
            note(request)  # what may be sent is told to who is logged in
            return True
        name = _name(request, view)
        if name == "create" and not isinstance(view, GuardedMixin):
            raise PermissionDenied("the view creates without asking; GuardedMixin asks")
        if name == "list" and not any(issubclass(one, ListFilter) for one in getattr(view, "filter_backends", ())):
            raise PermissionDenied("the list is not filtered; add ListFilter to filter_backends")
        if name not in ACTIONS and not isinstance(view, GuardedMixin):
            raise PermissionDenied("nobody sees to it that the view asks; GuardedMixin does")
        if not is_watched(request) and not isinstance(view, GuardedMixin):
            raise PermissionDenied(
                "nobody sees to it that the view asks; GuardedMixin does, or RefuseUndecided in MIDDLEWARE"
            )
        return True

    def has_object_permission(self, request: Any, view: Any, thing: Any) -> bool:
        """Whether the action is allowed on the object."""
        if isinstance(view, GuardedMixin):
            view.ask_about(thing)
        else:
            require(view, request, thing)
        return True


setattr(KlauselPermission, MARK, True)


class ListFilter(BaseFilterBackend):  # type: ignore[misc]
    """Leaves in a list the rows that the action is allowed on."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        """The rows of a list; for a single object all, as it is asked about."""
        if view.is_finding if isinstance(view, GuardedMixin) else _is_for_one(view):
            return queryset
        try:
            return queryset.filter(guard_of(view).where(request, asked(request, view) or "", queryset.model))
        except Refusal as refusal:
            raise _as_api_error(refusal) from None


class GuardedMixin:
    """For generic views and view sets, left of them: objects are asked about, lists filtered, and what is saved asked about.

    What is saved is asked about as it stands then, in a transaction that is rolled back at a no. Who overrides
    `perform_create` calls this one, with what is to be saved besides: `super().perform_create(serializer, owner=…)`.
    It asks whatever `permission_classes` and `get_object` of the view are.
    """

    permission_classes: Any = (KlauselPermission,)
    filter_backends: Any = (ListFilter,)
    klausel_actions: Mapping[str, str] = ACTIONS
    request: Any
    is_finding = False
    """Whether the view looks for the one object that it is about; all other rows that it filters are a list."""
    _asked_about: tuple[str | None, object] | None = None

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        check_order(cls, GuardedMixin, "rest_framework.")

    def initial(self, request: Any, *arguments: Any, **named: Any) -> None:
        """What comes before each view; from then on it gets no object that is not asked about."""
        finding = getattr(self, "get_object", None)

        def get_object(*given: Any, **by_name: Any) -> Any:
            self.is_finding = True
            try:
                found = finding(*given, **by_name)  # type: ignore[misc]
            finally:
                self.is_finding = False
            if isinstance(found, Model):
                self.ask_about(found)
            return found

        if finding is not None:
            self.get_object = get_object
        super().initial(request, *arguments, **named)  # type: ignore[misc]

    def check_permissions(self, request: Any) -> None:
        """Refuses whom the view's permissions do, and who does not get past `KlauselPermission`."""
        super().check_permissions(request)  # type: ignore[misc]
        if not KlauselPermission().has_permission(request, self):
            self.permission_denied(request)  # type: ignore[attr-defined]

    def check_object_permissions(self, request: Any, thing: Any) -> None:
        """Refuses what the view's permissions do, and what the policies do."""
        super().check_object_permissions(request, thing)  # type: ignore[misc]
        self.ask_about(thing)

    def finalize_response(self, request: Any, response: Any, *arguments: Any, **named: Any) -> Any:
        """The answer, refused where the view ended well without having asked."""
        if response.status_code < 400 and request.method != "OPTIONS" and not is_decided(request):
            refusal = undecided(f'"{type(self).__name__}.{getattr(self, "action", None) or request.method}"')
            response = self.handle_exception(PermissionDenied(refusal.message))  # type: ignore[attr-defined]
        return super().finalize_response(request, response, *arguments, **named)  # type: ignore[misc]

    def perform_create(self, serializer: Any, **besides: Any) -> None:
        """Saves what may be created."""
        self._save(serializer, besides)

    def perform_update(self, serializer: Any, **besides: Any) -> None:
        """Saves what may be changed, and may be as it is then."""
        if serializer.instance is not None:
            self.ask_about(serializer.instance)
        self._save(serializer, besides)

    def perform_destroy(self, instance: Any) -> None:
        """Deletes what may be deleted."""
        self.ask_about(instance)
        super().perform_destroy(instance)  # type: ignore[misc]

    def ask_about(self, thing: Any) -> None:
        """Asks about an object as it is stored, once; raises as `require`."""
        action = asked(self.request, self)
        if self._asked_about is None or self._asked_about[0] != action or self._asked_about[1] is not thing:
            require(self, self.request, thing)
            self._asked_about = (action, thing)

    def _save(self, serializer: Any, besides: Mapping[str, Any]) -> None:
        with transaction.atomic(using=router.db_for_write(self.get_queryset().model)):  # type: ignore[attr-defined]
            require(self, self.request, serializer.save(**besides))


def asked(request: Any, view: Any) -> str | None:
    """The action that a request asks of a view, in the words of the policies; None where the view does not say."""
    found: str | None = getattr(view, "klausel_actions", ACTIONS).get(_name(request, view))
    return found


def require(view: Any, request: Any, thing: Any) -> None:
    """Raises `PermissionDenied` or `NoDecision` unless the action is allowed on the object."""
    action = asked(request, view)
    if action is None:
        raise PermissionDenied("the view says no action for this")
    try:
        guard_of(view).require(request, action, thing)
    except Refusal as refusal:
        raise _as_api_error(refusal) from None


def _as_api_error(refusal: Refusal) -> APIException:
    return NoDecision(refusal.message) if refusal.status == 503 else PermissionDenied(refusal.message)


def _is_for_one(view: Any) -> bool:
    named = getattr(view, "lookup_url_kwarg", None) or getattr(view, "lookup_field", None)
    return named in view.kwargs


def _name(request: Any, view: Any) -> str:
    named: str | None = getattr(view, "action", None)
    if named and named != "metadata":
        return named
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return "retrieve" if _is_for_one(view) else "list"
    return _BY_METHOD.get(request.method, "")
