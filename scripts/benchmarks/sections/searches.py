"""How long AuthZEN's searches and menus take among a million role assignments, asked through the whole application.

Fills an empty database first: `scripts/python -m benchmarks.sections.searches postgresql://…`.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from werkzeug.test import Client

from benchmarks.sections.search_pages import role_assignments
from klausel.api.lane import EvaluationLane
from klausel.app import create_flask_app, create_service
from klausel.settings import Settings

ROOT = Path(__file__).parents[3]
PAGE = {"limit": 100}
REPETITIONS = 40
MENU = 50
Json = dict[str, Any]


def subjects(action: str, type_: str, account: str, workspace: str | None = None, **properties: object) -> Json:
    """Who may do this to something in a place?"""
    place = {"account": account, **({} if workspace is None else {"workspace": workspace})}
    resource = {"type": type_, "id": "x", "properties": {**place, **properties}}
    return {"subject": {"type": "user"}, "action": {"name": action}, "resource": resource, "page": PAGE}


SEARCHES: dict[str, Callable[[int], tuple[str, Json]]] = {
    "who may view conversations of a large workspace": lambda n: (
        "subject",
        subjects("view", "conversation", "big", f"w{n}"),
    ),
    "who may view conversations of a small workspace": lambda n: (
        "subject",
        subjects("view", "conversation", f"a{n}", f"w{n % 12}"),
    ),
    "who may view coaching sessions of a large account": lambda n: ("subject", subjects("view", "coaching_session", "big")),
    "who may create quizzes in a large account (any lead)": lambda n: ("subject", subjects("create", "quiz", "big")),
    "who may create quizzes in a small account": lambda n: ("subject", subjects("create", "quiz", f"a{n}")),
    "who may reply to a review (its reviewee)": lambda n: (
        "subject",
        subjects("reply", "review", f"a{2 * n}", f"w{n % 12}", reviewee=f"a{2 * n}-{n}"),
    ),
    "which workspaces a large account's admin may see": lambda n: (
        "resource",
        {
            "subject": {"type": "user", "id": "big-root"},
            "action": {"name": "view_settings"},
            "resource": {"type": "workspace", "properties": {"account": "big"}},
            "page": PAGE,
        },
    ),
    "which workspaces one person may see": lambda n: (
        "resource",
        {
            "subject": {"type": "user", "id": f"a{2 * n}-{n}"},
            "action": {"name": "view_settings"},
            "resource": {"type": "workspace", "properties": {"account": f"a{2 * n}"}},
            "page": PAGE,
        },
    ),
    "which actions one person has on a quiz": lambda n: (
        "action",
        {
            "subject": {"type": "user", "id": f"a{2 * n}-{n}"},
            "resource": {"type": "quiz", "id": "q", "properties": {"account": f"a{2 * n}", "workspace": "w1"}},
        },
    ),
}


def main(url: str) -> None:
    """Fills the database if it is empty, and prints how long each first page takes, and a menu beside a batch."""
    settings = Settings(policies=str(ROOT / "policies"), model=str(ROOT / "model.conf"), database=url)
    service = create_service(settings)
    if service.store.is_empty():
        service.store.import_rows(service.policy.compiled.policy.roles, role_assignments(Random(1)))
    print(f"{service.store.count()} role assignments")
    client = Client(EvaluationLane(service, create_flask_app(service)))

    def post(path: str, body: Json) -> tuple[Json, float]:
        start = time.perf_counter()
        answer = client.post(path, data=json.dumps(body), headers={"Content-Type": "application/json", "Host": "localhost"})
        took = (time.perf_counter() - start) * 1_000
        assert answer.status_code == 200, answer.get_data()
        return answer.get_json(), took

    for what, ask in SEARCHES.items():
        times, found = [], 0
        for number in range(REPETITIONS):
            part, body = ask(number)
            told, took = post(f"/access/v1/search/{part}", body)
            found = max(found, len(told["results"]))
            times.append(took)
        print(f"{what}: up to {found} in {statistics.median(times):.1f} ms (worst {max(times):.1f})")
    _menu_beside_batch(post)
    service.store.close()


def _menu_beside_batch(post: Callable[[str, Json], tuple[Json, float]]) -> None:
    """A menu of 50 disputes, of six actions, beside a batch of 50 evaluations of one action."""
    subject = {"type": "user", "id": "a2-7"}
    resources = [
        {
            "type": type_,
            "id": f"d{number}",
            "properties": {
                "account": "a2",
                "workspace": f"w{number % 12}",
                "creator": f"a2-{number}",
                "status": "published",
            },
        }
        for number, type_ in zip(range(MENU), ["dispute", "quiz"] * MENU, strict=False)
    ]
    batch = {"subject": subject, "action": {"name": "edit"}, "evaluations": [{"resource": one} for one in resources]}
    menu = {"subject": subject, "resources": resources}
    menus, batches = [], []
    for _ in range(REPETITIONS):
        batches.append(post("/access/v1/evaluations", batch)[1])
        menus.append(post("/v1/permissions", menu)[1])
    one, other = statistics.median(menus), statistics.median(batches)
    print(
        f"a menu of {MENU} resources: {one:.2f} ms; a batch of {MENU} evaluations: {other:.2f} ms; {one / other:.2f} times"
    )


if __name__ == "__main__":
    main(sys.argv[1])
