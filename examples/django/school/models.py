"""The tables of the example."""

from django.db import models


class Quiz(models.Model):
    """A quiz in a workspace."""

    title = models.CharField(max_length=100)
    account = models.CharField(max_length=50)
    workspace = models.CharField(max_length=50)
    status = models.CharField(max_length=20, default="draft")
    creator = models.CharField(max_length=50, null=True, blank=True)

    class Meta:
        """No plural is made of the name."""

        verbose_name_plural = "quizzes"


class Dashboard(models.Model):
    """A dashboard of one person in a workspace."""

    owner = models.CharField(max_length=50)
    account = models.CharField(max_length=50)
    workspace = models.CharField(max_length=50)
