"""The views of the example: pages with the mixin, functions with decorators, REST with the permission class."""

from typing import ClassVar

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.generic import CreateView, DetailView, ListView, UpdateView
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from klausel.django.guards import PermissionMixin
from klausel.django.rest import ACTIONS, GuardedMixin
from school.models import Dashboard, Quiz
from school.permissions import guard


class Dashboards(PermissionMixin, ListView):
    """The dashboards that one may view."""

    model = Dashboard
    ordering = "id"
    action = "view"


class ShowDashboard(PermissionMixin, DetailView):
    """One dashboard."""

    model = Dashboard
    action = "view"


class CreateQuiz(PermissionMixin, CreateView):
    """A form for a new quiz."""

    model = Quiz
    fields = ("title", "account", "workspace")
    action = "create"
    success_url = "/dashboards"

    def form_valid(self, form):
        """Whoever makes a quiz is its creator."""
        form.instance.creator = self.request.user.username
        return super().form_valid(form)


class EditQuiz(PermissionMixin, UpdateView):
    """A form for a quiz that is there."""

    model = Quiz
    fields = ("title", "workspace")
    action = "edit"
    success_url = "/dashboards"


def find_quiz(_request: HttpRequest, quiz_id: int) -> Quiz | None:
    """The quiz of a route; None where there is none."""
    return Quiz.objects.filter(pk=quiz_id).first()


@guard.decides
def menu(request: HttpRequest) -> HttpResponse:
    """All that one may do to each quiz."""
    quizzes = list(Quiz.objects.order_by("pk"))
    return JsonResponse({quiz.pk: actions for quiz, actions in zip(quizzes, guard.menu(request, quizzes), strict=True)})


@guard.requires("edit", find_quiz)
def people(_request: HttpRequest, quiz: Quiz) -> HttpResponse:
    """Who may edit a quiz, too."""
    found = guard.klausel.search_subjects("user", "edit", guard.resource(quiz))
    return JsonResponse(sorted(person.id for person in found), safe=False)


def forgotten(_request: HttpRequest) -> HttpResponse:
    """A view that asks nobody; the middleware refuses it."""
    return HttpResponse("nobody was asked about this")


@guard.decides
def asks_nobody(_request: HttpRequest) -> HttpResponse:
    """A view that says that it asks, and does not."""
    return HttpResponse("nobody was asked about this")


class DashboardSerializer(ModelSerializer):
    """All of a dashboard."""

    class Meta:
        """As Django REST framework wants it."""

        model = Dashboard
        fields = ("id", "owner", "account", "workspace")


class QuizSerializer(ModelSerializer):
    """What of a quiz is sent."""

    class Meta:
        """As Django REST framework wants it."""

        model = Quiz
        fields = ("id", "title", "account", "workspace")


class DashboardSet(GuardedMixin, ModelViewSet):
    """Dashboards over REST."""

    queryset = Dashboard.objects.order_by("pk")
    serializer_class = DashboardSerializer
    klausel_actions: ClassVar = {"list": "view", "retrieve": "view", "latest": "view"}

    @action(detail=False)
    def latest(self, _request):
        """A route that forgets to ask."""
        return Response({"id": Dashboard.objects.latest("pk").pk})


class QuizSet(GuardedMixin, ModelViewSet):
    """Quizzes over REST."""

    queryset = Quiz.objects.order_by("pk")
    serializer_class = QuizSerializer
    klausel_actions: ClassVar = {**ACTIONS, "list": "take", "retrieve": "take"}

    def perform_create(self, serializer):
        """Whoever makes a quiz is its creator."""
        super().perform_create(serializer, creator=self.request.user.username)
