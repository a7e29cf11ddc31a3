"""Puts rows in, and people with the password `demo`."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand

from school.models import Dashboard, Quiz


class Command(BaseCommand):
    """python manage.py seed."""

    def handle(self, *_arguments: Any, **_options: Any) -> None:
        """Puts in what is not there yet."""
        if Quiz.objects.exists():
            return
        for name in ("leo", "ann", "max", "greg", "sam", "stranger"):
            User.objects.create_user(name, password="demo")
        for workspace in ("support", "sales"):
            for status in ("published", "draft"):
                Quiz.objects.create(title=status, account="acme", workspace=workspace, status=status, creator="sam")
            for owner in ("leo", "ann"):
                Dashboard.objects.create(owner=owner, account="acme", workspace=workspace)
        Dashboard.objects.create(owner="greg", account="globex", workspace="support")
