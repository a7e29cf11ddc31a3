"""Each line of a decision log, of whatever form, is as the schema says that `klausel schema --output` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from decision_logs import head_of
from jsonschema import Draft202012Validator, ValidationError

from klausel.core.decisions.decide import Decision
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.policy.policy_set import Grant
from klausel.core.policy.scope import Scope
from klausel.core.records.batch_record import Noted
from klausel.core.terms.problem import Place
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.storage.decision_log.queue import FEWEST_IN_A_TABLE, DecisionLog
from klausel.storage.decision_log.sinks import open_sink

GRANT = Grant("allow", "lead", "view", "doc", Scope(), None, "", "", Place("features/docs.yaml", 3, 5))
HELD = EffectiveRoles((("lead", "acme/support"),), {})
ALLOW, DENY = Decision(True, GRANT, "acme/support"), Decision(False, None, None)


def noted(number: int, index: int | None = None) -> Noted:
    asked = Request(Subject("user", f"u{number % 2}", {"size": 1}), Action("view"), Resource("doc", f"d{number}"))
    return index, asked, ALLOW if number % 2 else DENY, HELD, 1000


def write(path: Path, singles: int, batches: list[list[Noted]], masks: tuple[str, ...] = ()) -> None:
    log = DecisionLog(open_sink(str(path), "", 10_000_000, 0), masks=masks, makes_tables=not masks)
    for number in range(singles):
        log.record_single((noted(number), 10**18 + number, None, "evaluation", "::1", b'{"digest":"sha256:0"}', "a-1", None))
    for items in batches:
        log.record(log.lines_of_batch(head_of(log, "evaluations"), items))
    log.close()


@pytest.fixture
def lines(tmp_path: Path) -> list[dict[str, Any]]:
    batch = [noted(number, number) for number in range(4)]
    no_question: Noted = (4, None, Decision(False, None, None, "no question"), None, 0)
    write(tmp_path / "tables.jsonl", 3 * FEWEST_IN_A_TABLE, [batch])
    write(tmp_path / "alone.jsonl", 1, [[*batch, no_question]])
    write(tmp_path / "masked.jsonl", 2, [batch], ("/subject/properties/size",))
    dropped = open_sink(str(tmp_path / "dropped.jsonl"), "", 10_000_000, 0)
    dropped.write([b'{"time":"2026-03-01T12:00:00.000000Z","dropped":3}\n'])
    dropped.close()
    return [json.loads(line) for path in sorted(tmp_path.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def test_lines_of_every_form_are_as_the_schema_says(lines: list[dict[str, Any]]) -> None:
    schema = json.loads(run("schema", "--output", "serve --decision-log").stdout)
    forms = {
        "table of singles": [one for one in lines if "request_id" in one.get("columns", ())],
        "table of a batch": [one for one in lines if "index" in one.get("columns", ())],
        "objects": [one for one in lines if "decisions" in one and "columns" not in one],
        "one record": [one for one in lines if "decision" in one],
        "dropped": [one for one in lines if "dropped" in one],
        "sealed": [one for one in lines if "sealed" in one],
    }
    assert all(forms.values()), {name: len(found) for name, found in forms.items()}
    for line in lines:
        Draft202012Validator(schema).validate(line)
        assert not set(line) - set(schema["properties"])
    with pytest.raises(ValidationError):
        Draft202012Validator(schema).validate({**lines[0], "caller": 1})
