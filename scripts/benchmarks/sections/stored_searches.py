"""How long searches take among a million role assignments and a million stored entities, asked through the whole application.

Fills an empty database first: `scripts/python -m benchmarks.sections.stored_searches postgresql://… [REPETITIONS]`.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from werkzeug.test import Client

from klausel.api.lane import EvaluationLane
from klausel.app import create_flask_app, create_service
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import Entity
from klausel.service.decision_service import Service
from klausel.settings import Settings

ROOT = Path(__file__).parents[3]
REPETITIONS = 1_000
ENTITIES_A_WRITE = 10_000
BIG_TEAMS, BIG_PEOPLE, BIG_TODOS = 200, 200_000, 400_000
COMPANIES, TEAMS, PEOPLE, TODOS = 400, 10, 2_000, 1_000
EDITORS = 100
"""One in so many people of the big company is one of its editors; as many see all of it."""
POLICIES = {
    "roles.yaml": """
levels:
  company: {named_by: company, identified_by: company}
  team: {named_by: team, identified_by: team}
roles:
  owner: {level: company}
  editor: {level: company}
  worker: {level: team}
""",
    "properties.yaml": """
subject: {email: text, grade: number, tags: list of text}
stored: {subjects: user, resources: todo}
""",
    "features/todos.yaml": """
resource_types:
  company: {actions: [close]}
  team: {actions: [close]}
  todo:
    actions: [read, update, delete, archive, comment]
    properties: {owner: text, title: text, size: number, done: boolean, labels: list of text, watchers: list of text}
grants:
  - {allow: editor, to: update, resource: todo, when: subject.email == resource.owner}
  - {allow: owner, to: [read, update, delete], resource: todo}
  - {allow: worker, to: read, resource: todo, when: resource.size < subject.grade}
  - {allow: worker, to: archive, resource: todo, when: resource.done or subject.tags overlaps resource.labels}
  - {deny: anyone, to: delete, resource: todo, when: resource.done}
  - {allow: anyone, to: comment, resource: todo, when: subject.email in resource.watchers}
""",
}
Json = dict[str, Any]


def role_assignments() -> Iterator[Assignment]:
    """One company with 200,000 people in 200 teams, and 400 companies of 2,000 people in ten."""
    for number in range(BIG_PEOPLE):
        yield Assignment(f"user:big-{number}", "worker", f"big/t{number % BIG_TEAMS}")
        if number % EDITORS == 0:
            yield Assignment(f"user:big-{number}", "editor", "big")
    yield Assignment("user:big-boss", "owner", "big")
    for company in range(COMPANIES):
        for number in range(PEOPLE):
            yield Assignment(f"user:c{company}-{number}", "worker", f"c{company}/t{number % TEAMS}")


def entities(random: Random) -> Iterator[Entity]:
    """Properties of the people of the big company, 400,000 todos there, and 1,000 in each other company."""
    for number in range(BIG_PEOPLE):
        properties = {"email": f"{number}@big", "grade": number % 10, "tags": [f"tag{number % 50}"]}
        yield Entity("subject", "user", f"big-{number}", "", properties)
    for number in range(BIG_TODOS):
        yield _todo(random, f"{random.getrandbits(48):012x}", f"big/t{number % BIG_TEAMS}", BIG_PEOPLE, "big")
    for company in range(COMPANIES):
        for number in range(TODOS):
            id_ = f"{random.getrandbits(48):012x}"
            yield _todo(random, id_, f"c{company}/t{number % TEAMS}", PEOPLE, f"c{company}")


def _todo(random: Random, id_: str, domain: str, people: int, company: str) -> Entity:
    return Entity(
        "resource",
        "todo",
        id_,
        domain,
        {
            "owner": f"{random.randrange(people)}@{company}",
            "title": "Call them back about what they asked for last week",
            "size": random.randrange(10),
            "done": random.random() < 0.2,
            "labels": [f"tag{random.randrange(1_000)}"],
            "watchers": [f"{random.randrange(people)}@{company}" for _ in range(2)],
        },
    )


def _resources(who: str, action: str) -> tuple[str, Json]:
    body = {"subject": {"type": "user", "id": who}, "action": {"name": action}, "resource": {"type": "todo"}}
    return "resource", body | {"page": {"limit": 100}}


def _subjects(action: str, **properties: object) -> tuple[str, Json]:
    resource = {"type": "todo", "id": "not stored", "properties": properties}
    body = {"subject": {"type": "user"}, "action": {"name": action}, "resource": resource, "page": {"limit": 100}}
    return "subject", body


def _actions(who: str, id_: str) -> tuple[str, Json]:
    return "action", {"subject": {"type": "user", "id": who}, "resource": {"type": "todo", "id": id_}}


SEARCHES: dict[str, Callable[[int, str], tuple[str, Json]]] = {
    "resources: an editor's own todos among all of a large company": lambda n, _: _resources(
        f"big-{n % (BIG_PEOPLE // EDITORS) * EDITORS}", "update"
    ),
    "resources: what anybody watches, in all companies": lambda n, _: _resources(f"big-{n * 7 % BIG_PEOPLE}", "comment"),
    "resources: a worker's, smaller than their grade, in a large company": lambda n, _: _resources(f"big-{n * 7}", "read"),
    "resources: a worker's with their tag, or done": lambda n, _: _resources(f"big-{n * 7}", "archive"),
    "resources: all of a large company, for its owner": lambda n, _: _resources("big-boss", "read"),
    "resources: for who is in a small company": lambda n, _: _resources(f"c{n % COMPANIES}-{n % PEOPLE}", "archive"),
    "resources: for nobody known": lambda n, _: _resources(f"nobody-{n}", "read"),
    "subjects: who may update a todo (its owner, if an editor)": lambda n, _: _subjects(
        "update", company="big", team=f"t{n % BIG_TEAMS}", owner=f"{n % (BIG_PEOPLE // EDITORS) * EDITORS}@big"
    ),
    "subjects: who may comment (its watchers)": lambda n, _: _subjects(
        "comment", company="big", team="t1", watchers=[f"{n * 7}@big", f"{n * 11}@big"]
    ),
    "subjects: who may read a small one in one team of a large company": lambda n, _: _subjects(
        "read", company="big", team=f"t{n % BIG_TEAMS}", size=n % 10 - 1
    ),
    "subjects: who may archive in a small company": lambda n, _: _subjects(
        "archive", company=f"c{n % COMPANIES}", team=f"t{n % TEAMS}", done=True
    ),
    "actions: on a stored todo": lambda n, id_: _actions(f"big-{n * 7}", id_),
}


def main(url: str, repetitions: int = REPETITIONS) -> None:
    """Fills the database if it is empty, and prints how long each first page takes, and the hundredth of a listing."""
    with tempfile.TemporaryDirectory() as name:
        for file, text in POLICIES.items():
            path = Path(name) / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        service = create_service(Settings(policies=name, model=str(ROOT / "model.conf"), database=url))
        if service.store.is_empty():
            _fill(service)
        # As a worker does that `klausel serve` starts.
        gc.collect()
        gc.freeze()
        client = Client(EvaluationLane(service, create_flask_app(service)))

        def post(part: str, body: Json) -> tuple[Json, float]:
            start = time.perf_counter()
            headers = {"Content-Type": "application/json", "Host": "localhost"}
            answer = client.post(f"/access/v1/search/{part}", data=json.dumps(body), headers=headers)
            took = (time.perf_counter() - start) * 1_000
            assert answer.status_code == 200, answer.get_data()
            return answer.get_json(), took

        _measure(post, repetitions)
        service.store.close()


def _measure(post: Callable[[str, Json], tuple[Json, float]], repetitions: int) -> None:
    told, _ = post(*_resources("big-boss", "read"))
    ids = [one["id"] for one in told["results"]]
    for what, ask in SEARCHES.items():
        times, found, began = [], 0, time.process_time()
        for number in range(repetitions):
            told, took = post(*ask(number, ids[number % len(ids)]))
            found = max(found, len(told["results"]))
            times.append(took)
        of_its_own = (time.process_time() - began) * 1_000 / repetitions
        print(f"{what}: up to {found}, {_figures(times)}; processor {of_its_own:.1f} ms each", flush=True)
    pages: list[list[float]] = []
    for _ in range(max(1, repetitions // 100)):
        part, body = _resources("big-boss", "read")
        pages.append([])
        for _ in range(100):
            told, took = post(part, body)
            body["page"]["token"] = told["page"]["next_token"]
            pages[-1].append(took)
    print(f"a listing, its hundredth page: {_figures([one[-1] for one in pages])}")
    print(f"a listing, each of its pages 1 to 100: {_figures([took for one in pages for took in one])}")


def _figures(times: list[float]) -> str:
    ordered = sorted(times)
    near = ordered[int(len(ordered) * 0.99)]
    return f"median {statistics.median(times):.1f} ms, 99% {near:.1f}, worst of {len(times):,} {ordered[-1]:.1f}"


def _fill(service: Service) -> None:
    policy = service.policy.compiled.policy
    start = time.perf_counter()
    service.store.import_rows(policy.roles, role_assignments())
    print(f"{service.store.count():,} role assignments imported in {time.perf_counter() - start:.1f} s", flush=True)
    start, count = time.perf_counter(), 0
    waiting = entities(Random(1))
    while some := list(islice(waiting, ENTITIES_A_WRITE)):
        service.entities.write(policy, some)
        count += len(some)
    print(f"{count:,} entities written in {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
