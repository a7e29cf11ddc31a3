"""However often the policies change, nothing of those before stays in memory."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

from werkzeug.test import Client

from klausel.app import create_app
from klausel.core.policy.policy_set import Grant
from klausel.settings import Settings

ROOT = Path(__file__).parents[2]
QUESTION = {"subject": {"type": "user", "id": "ann"}, "action": {"name": "create"}, "resource": {"type": "quiz", "id": "1"}}


def test_no_grant_of_policies_of_before_is_kept(tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", policies)
    shutil.copy(ROOT / "model.conf", tmp_path)
    settings = Settings(
        policies=str(policies),
        model=str(tmp_path / "model.conf"),
        database=f"sqlite:///{tmp_path}/people.db",
        decision_log=str(tmp_path / "decisions.jsonl"),
    )
    client = Client(create_app(settings))
    row = {"subject": "user:ann", "role": "admin", "domain": "acme"}
    assert client.post("/v1/assignments", json={"grant": [row]}).status_code == 200
    question = {**QUESTION, "resource": {"type": "quiz", "id": "1", "properties": {"account": "acme"}}}
    conditions = policies / "conditions.yaml"
    text = conditions.read_text()
    counts = []
    for edition in range(6):
        for _ in range(120):
            assert client.post("/access/v1/evaluation", json=question).get_json() == {"decision": True}
            client.post("/access/v1/evaluations", json={**question, "evaluations": [{}, {"action": {"name": "delete"}}]})
        gc.collect()
        counts.append(sum(isinstance(one, Grant) for one in gc.get_objects()))
        conditions.write_text(f"{text}\n# edition {edition}\n")
        assert client.post("/v1/policy:reload").get_json()["result"] == "taken"
    assert counts[2:] == [counts[1]] * 4
