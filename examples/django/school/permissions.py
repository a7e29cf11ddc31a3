"""The guard of the project: who asks, and what its objects are to the policies."""

import csv
import os
from pathlib import Path

from klausel.client import Klausel
from klausel.django.guards import Guard
from school.models import Dashboard, Quiz

ROOT = Path(__file__).parents[3]


def _open() -> Klausel:
    """The service at KLAUSEL_URL; without one the policies in this process, with the people of the demo."""
    if url := os.environ.get("KLAUSEL_URL"):
        return Klausel(url, key=os.environ.get("KLAUSEL_KEY"))
    from klausel.in_process import open_policies

    opened = open_policies(ROOT / "policies", database=os.environ.get("KLAUSEL_DATABASE", "sqlite:///klausel.db"))
    with (ROOT / "policies" / "demo" / "assignments.csv").open(encoding="utf-8") as file:
        opened.assign(list(csv.DictReader(file)))
    return opened


guard = Guard(_open(), subject=lambda request: f"user:{request.user}" if request.user.is_authenticated else None)
guard.describe(Quiz, "quiz", ["account", "workspace", "status", "creator"])
guard.describe(Dashboard, "dashboard", ["account", "workspace", "owner"])
