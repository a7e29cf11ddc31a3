"""A Django project in one file, whose views have their guards put on wrongly or in odd ways; run as a process of its own.

    python wrongly_guarded_django.py FOLDER

It asks each view once with the middleware and once without, as users of the demo, and prints as JSON what came of it.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import django
from django.conf import settings

FOLDER = Path(sys.argv[1])
ROOT = Path(__file__).parents[2]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
WATCHED = [MIDDLEWARE[0], MIDDLEWARE[1], "klausel.django.guards.RefuseUndecided"]
settings.configure(
    SECRET_KEY="for tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(FOLDER / "views.db")}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "rest_framework"],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"a.html": "{{ object.title }} {{ form }}"})]},
        }
    ],
    MIDDLEWARE=WATCHED,
    KLAUSEL={},
    LOGIN_URL="/login",
    # Version 4.2 warns of its own way to show a form, and later ones have no other.
    **({"FORM_RENDERER": "django.forms.renderers.DjangoDivFormRenderer"} if django.VERSION < (5,) else {}),
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.shortcuts import redirect  # noqa: E402
from django.test import AsyncClient, Client, override_settings  # noqa: E402
from django.urls import include, path  # noqa: E402
from django.utils.decorators import method_decorator  # noqa: E402
from django.views.decorators.cache import cache_page  # noqa: E402
from django.views.generic import CreateView, DeleteView, DetailView, ListView, UpdateView, View  # noqa: E402
from rest_framework.decorators import action  # noqa: E402
from rest_framework.generics import ListAPIView, RetrieveAPIView  # noqa: E402
from rest_framework.mixins import CreateModelMixin  # noqa: E402
from rest_framework.permissions import AllowAny  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.routers import SimpleRouter  # noqa: E402
from rest_framework.serializers import ModelSerializer  # noqa: E402
from rest_framework.viewsets import GenericViewSet, ModelViewSet  # noqa: E402

from klausel.client import AsyncKlausel  # noqa: E402
from klausel.django.guards import Guard, PermissionMixin, guard_of  # noqa: E402
from klausel.django.rest import ACTIONS, GuardedMixin, KlauselPermission, ListFilter  # noqa: E402
from klausel.guarding import GuardError  # noqa: E402
from klausel.in_process import open_policies  # noqa: E402


class Quiz(models.Model):
    title = models.CharField(max_length=100)
    account = models.CharField(max_length=50, default="acme")
    workspace = models.CharField(max_length=50)
    status = models.CharField(max_length=20, default="published")
    creator = models.CharField(max_length=50, default="sam")

    class Meta:
        app_label = "auth"


klausel = open_policies(ROOT / "policies", database=f"sqlite:///{FOLDER}/klausel.db", follows=False)
with (ROOT / "policies" / "demo" / "assignments.csv").open(encoding="utf-8") as people:
    klausel.assign(list(csv.DictReader(people)))
guard = Guard(klausel, subject=lambda request: f"user:{request.user}" if request.user.is_authenticated else None)
guard.describe(Quiz, "quiz", ["account", "workspace", "status", "creator"])
settings.KLAUSEL["GUARD"] = guard
settings.KLAUSEL["PUBLIC"] = ["login"]


def find(_request: HttpRequest, pk: int) -> Quiz | None:
    return Quiz.objects.filter(pk=pk).first()


async def find_async(_request: HttpRequest, pk: int) -> Quiz | None:
    return await Quiz.objects.filter(pk=pk).afirst()


@cache_page(60)
@guard.requires("edit", find)
def cached(_request: HttpRequest, quiz: Quiz) -> HttpResponse:
    return HttpResponse(quiz.title)


@guard.requires("edit", find)
async def async_requires(_request: HttpRequest, quiz: Quiz) -> HttpResponse:
    return HttpResponse(quiz.title)


@guard.requires("edit", find_async)
async def async_finds(_request: HttpRequest, quiz: Quiz) -> HttpResponse:
    return HttpResponse(quiz.title)


@guard.decides
async def async_decides(request: HttpRequest, pk: int) -> HttpResponse:
    quiz = await find_async(request, pk)
    await guard.arequire(request, "edit", quiz)
    rows = Quiz.objects.filter(await guard.awhere(request, "edit", Quiz)).order_by("pk")
    (menu,) = await guard.amenu(request, [quiz])
    return HttpResponse(f"{[row.title async for row in rows]} {'delete' in menu}")


@guard.decides
async def async_forgets(_request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse(f"reached {pk}")


async def async_unguarded(_request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse(f"reached {pk}")


@guard.public
async def async_public(_request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse(f"open {pk}")


class AsyncClass(PermissionMixin, View):
    action = "edit"

    async def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        quiz = await find_async(request, pk)
        await guard.arequire(request, self.asked(), quiz)
        return HttpResponse(quiz.title)


class AsyncForgets(PermissionMixin, View):
    action = "edit"

    async def get(self, _request: HttpRequest, pk: int) -> HttpResponse:
        return HttpResponse(f"reached {pk}")


class Methods(View):
    @guard.decides
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return HttpResponse(f"reached {pk}")


@method_decorator(guard.requires("edit", find), name="dispatch")
class ByDispatch(View):
    def get(self, _request: HttpRequest, quiz: Quiz) -> HttpResponse:
        return HttpResponse(quiz.title)


class OwnFinder:
    """A `get_object` that does not call the one above it, as so many are."""

    model = Quiz
    template_name = "a.html"
    success_url = "/done"

    def get_object(self, queryset: Any = None) -> Quiz:
        return Quiz.objects.get(pk=self.kwargs["pk"])  # type: ignore[attr-defined]


class OwnDetail(OwnFinder, PermissionMixin, DetailView):
    action = "edit"


class OwnUpdate(OwnFinder, PermissionMixin, UpdateView):
    action = "edit"
    fields = ("title", "creator")


class OwnDelete(OwnFinder, PermissionMixin, DeleteView):
    action = "delete"


class Update(PermissionMixin, UpdateView):
    model = Quiz
    template_name = "a.html"
    success_url = "/done"
    action = "edit"
    fields = ("title", "workspace", "creator")


class SavesByItself(PermissionMixin, CreateView):
    model = Quiz
    template_name = "a.html"
    action = "create"
    fields = ("title", "workspace")

    def form_valid(self, form: Any) -> Any:
        form.save()
        return redirect("/done")


class UpdatesByItself(PermissionMixin, UpdateView):
    model = Quiz
    template_name = "a.html"
    action = "edit"
    fields = ("title", "workspace", "creator")

    def form_valid(self, form: Any) -> Any:
        form.save()
        return redirect("/done")


class AsksByItself(PermissionMixin, UpdateView):
    model = Quiz
    template_name = "a.html"
    action = "edit"
    fields = ("title", "workspace", "creator")

    def form_valid(self, form: Any) -> Any:
        guard_of(self).require(self.request, "edit", form.instance)
        form.save()
        return redirect("/done")


class OwnList(PermissionMixin, ListView):
    template_name = "a.html"
    action = "edit"

    def get_queryset(self) -> Any:
        return Quiz.objects.all()


class QuizSerializer(ModelSerializer):
    class Meta:
        model = Quiz
        fields = ("id", "title", "account", "workspace", "creator")


class Base(ModelViewSet):
    queryset = Quiz.objects.order_by("pk")
    serializer_class = QuizSerializer


class Plain(GuardedMixin, Base):
    klausel_actions: ClassVar = {**ACTIONS, **dict.fromkeys(("list", "retrieve", "siblings", "rename", "all"), "edit")}

    @action(detail=True)
    def siblings(self, _request: Any, pk: str) -> Response:
        """Asks about one, and lists others."""
        quiz = self.get_object()
        rows = self.filter_queryset(Quiz.objects.filter(account=quiz.account).order_by("pk"))
        return Response([row.title for row in rows])

    @action(detail=True, methods=["post"], permission_classes=[AllowAny])
    def rename(self, _request: Any, pk: str) -> Response:
        quiz = self.get_object()
        quiz.title = "renamed"
        quiz.save()
        return Response(quiz.title)

    @action(detail=False)
    def all(self, _request: Any) -> Response:
        return Response([row.title for row in self.get_queryset()])

    @action(detail=True)
    def unnamed(self, _request: Any, pk: str) -> Response:
        return Response(self.get_object().title)


class OtherPermissions(GuardedMixin, Base):
    permission_classes = (AllowAny,)
    klausel_actions: ClassVar = {**ACTIONS, "list": "edit", "retrieve": "edit"}


class OtherFinder(GuardedMixin, Base):
    klausel_actions: ClassVar = {**ACTIONS, "list": "edit", "retrieve": "edit"}

    def get_object(self) -> Quiz:
        return Quiz.objects.get(pk=self.kwargs["pk"])


class OtherDestroyer(GuardedMixin, Base):
    def destroy(self, request: Any, *_arguments: Any, **named: Any) -> Response:
        self.perform_destroy(Quiz.objects.get(pk=named["pk"]))
        return Response(status=204)


class OtherUpdater(GuardedMixin, Base):
    def update(self, request: Any, *_arguments: Any, **named: Any) -> Response:
        serializer = self.get_serializer(Quiz.objects.get(pk=named["pk"]), data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        self.perform_update(serializer)
        return Response(serializer.data)


class PermissionAlone(RetrieveAPIView):
    permission_classes = (KlauselPermission,)
    klausel_actions: ClassVar = {"retrieve": "edit"}
    queryset = Quiz.objects.all()

    def get(self, _request: Any, pk: int) -> Response:
        return Response(f"reached {pk}")


class FilterAlone(ListAPIView):
    """Its address has the name by which single objects are found."""

    permission_classes = (KlauselPermission,)
    filter_backends = (ListFilter,)
    klausel_actions: ClassVar = {"list": "edit", "retrieve": "edit"}
    serializer_class = QuizSerializer
    queryset = Quiz.objects.all()


router = SimpleRouter()
for view_set in (Plain, OtherPermissions, OtherFinder, OtherDestroyer, OtherUpdater):
    router.register(view_set.__name__, view_set, basename=view_set.__name__)
FUNCTIONS = (cached, async_requires, async_finds, async_decides, async_forgets, async_unguarded, async_public)
CLASSES = (
    *(
        AsyncClass,
        AsyncForgets,
        Methods,
        ByDispatch,
        OwnDetail,
        OwnUpdate,
        OwnDelete,
        Update,
        SavesByItself,
        UpdatesByItself,
    ),
    *(AsksByItself, OwnList, PermissionAlone, FilterAlone),
)
urlpatterns = [
    *(path(f"{view.__name__}/<int:pk>", view) for view in FUNCTIONS),
    *(path(f"{view.__name__}/<int:pk>", view.as_view()) for view in CLASSES),
    path("api/", include(router.urls)),
]
ROWS = {1: ("mine", "support", "leo"), 2: ("theirs", "sales", "sam")}
"""Leo leads in support: the first is his to edit, the second he may not even see."""


def refill() -> None:
    Quiz.objects.all().delete()
    for key, (title, workspace, creator) in ROWS.items():
        Quiz.objects.create(pk=key, title=title, workspace=workspace, creator=creator)


def state() -> list[list[Any]]:
    """The rows that are not as they were."""
    now = {one.pk: (one.title, one.workspace, one.creator) for one in Quiz.objects.all()}
    return sorted([key, *row] for key, row in now.items() if ROWS.get(key) != row) + [
        [key, "gone"] for key in sorted(ROWS.keys() - now.keys())
    ]


def ask(method: str, address: str, who: str | None, sent: dict[str, Any]) -> list[Any]:
    refill()
    client = Client(raise_request_exception=False)
    if who:
        client.force_login(User.objects.get(username=who))
    more = {"data": sent, "content_type": "application/json"} if address.startswith("/api") else {"data": sent}
    answer = client.generic(method, address) if method == "DELETE" else getattr(client, method.lower())(address, **more)
    return [answer.status_code, answer.content.decode()[:200], state()]


def await_answer(method: str, address: str, who: str | None, _sent: dict[str, Any]) -> list[Any]:
    """As under a server for ASGI."""
    refill()
    client = AsyncClient(raise_request_exception=False)
    if who:
        client.force_login(User.objects.get(username=who))
    answer = asyncio.run(getattr(client, method.lower())(address, headers={"accept": "application/json"}))
    return [answer.status_code, answer.content.decode()[:200], state()]


def errors() -> dict[str, str]:
    """What Python says of classes that stand in the wrong order, and of clients that must be awaited."""

    def told(make: Any) -> str:
        try:
            make()
        except GuardError as error:
            return str(error)
        return "nothing"

    return {
        "list": told(lambda: type("X", (ListView, PermissionMixin), {})),
        "through another": told(lambda: type("X", (type("Own", (UpdateView,), {}), PermissionMixin), {})),
        "rest": told(lambda: type("X", (ModelViewSet, GuardedMixin), {})),
        "creates": told(lambda: type("X", (CreateModelMixin, GuardedMixin, GenericViewSet), {})),
        "awaited": told(lambda: Guard(AsyncKlausel("http://127.0.0.1:1"), subject=lambda _request: None)),  # type: ignore[arg-type]
    }


def right_orders() -> str:
    """Classes that stand as they should, with mixins of Django before and after."""
    from django.contrib.auth.mixins import LoginRequiredMixin

    class Logged(LoginRequiredMixin, PermissionMixin, ListView): ...

    class Own(View):
        def dispatch(self, request: HttpRequest, *arguments: Any, **named: Any) -> Any:
            return super().dispatch(request, *arguments, **named)

    class Left(Own, PermissionMixin, ListView): ...

    return "fine"


def main() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Quiz)
    for name in ("leo", "stranger"):
        User.objects.create_user(name)
    found: dict[str, Any] = {"errors": errors(), "right orders": right_orders()}
    for line in json.load(sys.stdin):
        method, address, who, sent, *awaited = line
        asking = await_answer if awaited else ask
        with override_settings(MIDDLEWARE=WATCHED):
            watched = asking(method, address, who, sent)
        with override_settings(MIDDLEWARE=MIDDLEWARE):
            alone = asking(method, address, who, sent)
        found[json.dumps(line)] = {"watched": watched, "alone": alone}
    with override_settings(KLAUSEL={**settings.KLAUSEL, "PUBLIC": "login"}):
        found["a text for a list"] = ask("GET", "/ByDispatch/1", "leo", {})[0]
    # One whose answer a cache in front of all views remembers.
    in_front = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    watched_cache = [WATCHED[2], *in_front]
    with override_settings(MIDDLEWARE=watched_cache):
        refill()
        client = Client(raise_request_exception=False)
        client.force_login(User.objects.get(username="leo"))
        found["cache of the site"] = [client.get("/ByDispatch/1").status_code for _ in range(2)]
    with override_settings(MIDDLEWARE=WATCHED):
        refill()
        client = Client(raise_request_exception=False)
        client.force_login(User.objects.get(username="leo"))
        found["cache of a view"] = [client.get("/cached/1").status_code for _ in range(2)]
    json.dump(found, sys.stdout)


main()
