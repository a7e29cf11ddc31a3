"""The addresses of the example."""

from django.contrib.auth.views import LoginView
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from school import views

router = SimpleRouter(trailing_slash=False)
router.register("dashboards", views.DashboardSet)
router.register("quizzes", views.QuizSet)

urlpatterns = [
    path("login", LoginView.as_view(), name="login"),
    path("dashboards", views.Dashboards.as_view()),
    path("dashboards/<int:pk>", views.ShowDashboard.as_view()),
    path("quizzes/new", views.CreateQuiz.as_view()),
    path("quizzes/<int:pk>/edit", views.EditQuiz.as_view()),
    path("quizzes/<int:quiz_id>/people", views.people),
    path("menu", views.menu),
    path("forgotten", views.forgotten),
    path("asks-nobody", views.asks_nobody),
    path("api/", include(router.urls)),
]
