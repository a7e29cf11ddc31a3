"""A menu of 50 resources with eight actions beside a batch of 50 evaluations, in processor time, through the whole application.

Needs no database that is filled: `scripts/python -m benchmarks.sections.menus`.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

from werkzeug.test import Client

from klausel.api.lane import EvaluationLane
from klausel.app import create_flask_app, create_service
from klausel.core.policy.assignment import Assignment
from klausel.core.policy.entity import Entity
from klausel.settings import Settings

ROOT = Path(__file__).parents[3]
RESOURCES = 50
ROUNDS = 300
ACTIONS = tuple(f"do{number}" for number in range(8))
ROLES = """
levels:
  company: {named_by: company, identified_by: company}
  team: {named_by: team, identified_by: team}
roles:
  worker: {level: team}
"""
GRANTS = {
    "grants without conditions": [f"{{allow: worker, to: {action}, resource: todo}}" for action in ACTIONS],
    "conditions on all": [
        f"{{allow: worker, to: {action}, resource: todo, when: resource.owner == subject.id or resource.size < {number}}}"
        for number, action in enumerate(ACTIONS)
    ],
    "conditions on what is stored": [
        f"{{allow: worker, to: {action}, resource: todo, when: subject.email == resource.owner}}" for action in ACTIONS
    ],
}


def main() -> None:
    """Prints the two and their ratio, for grants of each sort."""
    for what, grants in GRANTS.items():
        with tempfile.TemporaryDirectory() as name:
            one, other = _measured(Path(name), grants, is_stored="stored" in what)
        print(f"{what}: a menu {one:.2f} ms, a batch {other:.2f} ms; {one / other:.2f} times")


def _measured(folder: Path, grants: list[str], is_stored: bool) -> tuple[float, float]:
    types = f"company: {{actions: [close]}}\n  team: {{actions: [close]}}\n  todo: {{actions: [{', '.join(ACTIONS)}]}}"
    files = {
        "roles.yaml": ROLES,
        "features/todos.yaml": f"resource_types:\n  {types}\ngrants:\n" + "".join(f"  - {grant}\n" for grant in grants),
    }
    if is_stored:
        files["properties.yaml"] = "stored: {subjects: user, resources: todo}\n"
    for file, text in files.items():
        path = folder / "policies" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    database = f"sqlite:///{folder / 'some.db'}"
    service = create_service(Settings(policies=str(folder / "policies"), model=str(ROOT / "model.conf"), database=database))
    policy = service.policy.compiled.policy
    service.store.write(policy.roles, [Assignment("user:ann", "worker", f"acme/t{number}") for number in range(5)], [])
    owners = ["ann" if number % 3 else "bob" for number in range(RESOURCES)]
    if is_stored:
        todos = [Entity("resource", "todo", f"r{n}", f"acme/t{n % 6}", {"owner": owner}) for n, owner in enumerate(owners)]
        service.entities.write(policy, [Entity("subject", "user", "ann", "", {"email": "ann"}), *todos])
    resources = []
    for number, owner in enumerate(owners):
        sent = {"company": "acme", "team": f"t{number % 6}", "owner": owner, "size": number % 9}
        resources.append({"type": "todo", "id": f"r{number}", "properties": {} if is_stored else sent})
    subject = {"type": "user", "id": "ann"}
    evaluations = [{"resource": one} for one in resources]
    batch = json.dumps({"subject": subject, "action": {"name": ACTIONS[0]}, "evaluations": evaluations})
    menu = json.dumps({"subject": subject, "resources": resources})
    client = Client(EvaluationLane(service, create_flask_app(service)))

    def post(path: str, body: str) -> float:
        start = time.process_time()
        answer = client.post(path, data=body, headers={"Content-Type": "application/json", "Host": "localhost"})
        took = time.process_time() - start
        assert answer.status_code == 200, answer.get_data()
        return took * 1_000

    pairs = [(post("/v1/permissions", menu), post("/access/v1/evaluations", batch)) for _ in range(ROUNDS)]
    service.store.close()
    menus, batches = zip(*pairs, strict=True)
    return statistics.median(menus), statistics.median(batches)


if __name__ == "__main__":
    main()
