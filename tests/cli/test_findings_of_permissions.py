"""`klausel findings` on what roles give: people who may do two things kept apart, what is privileged, and what nobody uses."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import Klausel

Record = Callable[..., None]
pytestmark = pytest.mark.usefixtures("demo_people")


def add(tmp_path: Path, text: str, name: str = "invariants.yaml") -> None:
    with (tmp_path / "policies" / name).open("a", encoding="utf-8") as file:
        file.write(text)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Writes a decision of so many days ago into a log."""

    def write(days: int, subject: str, action: str, type_: str, domain: str, allowed: bool = True, **more: object) -> None:
        time = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        told = {
            "time": time,
            "request_id": "r",
            "route": "evaluation",
            "subject": {"type": "user", "id": subject},
            "action": {"name": action},
            "resource": {"type": type_, "id": "1"},
            "domain": domain,
            "roles": [],
            "decision": allowed,
            "grant": None,
            **more,
        }
        with (tmp_path / "decisions.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(told, separators=(",", ":")) + "\n")

    return write


def found(klausel: Klausel, *arguments: str) -> list[tuple[str, str | None, str, str | None]]:
    document = json.loads(klausel("findings", "--format", "json", *arguments).stdout)
    return [(one["kind"], one["subject"], one["role"], one["domain"]) for one in document["findings"]]


def test_people_who_may_do_both_of_two_things_are_named_through_groups_too(klausel: Klausel, tmp_path: Path) -> None:
    add(
        tmp_path,
        "\n  - name: Nobody who edits takes\n    toxic: [{to: take, resource: quiz}, {to: edit, resource: quiz}]\n"
        "    in: acme/sales\n",
    )
    with closing(sqlite3.connect(tmp_path / "klausel.db")) as connection, connection:
        statement = "INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES (?, ?, ?, ?)"
        rows = [("gm", "user:rosa", "group:night", ""), ("g", "group:night", "manager", "acme/sales")]
        connection.executemany(statement, rows)
    kinds = [one for one in found(klausel) if one[0] == "toxic-permissions"]
    assert [one[1] for one in kinds] == [f"user:{name}" for name in ("ada", "leo", "max", "rosa", "sam")]
    text = klausel("findings", "--in", "acme/sales").stdout
    assert "user:rosa may in acme/sales both take quiz as manager in acme/sales through group:night" in text
    assert "take user:rosa out of the group: klausel assignments revoke user:rosa group:night" in text
    assert "user:leo may in acme/sales both take quiz as agent in acme/sales and edit quiz as lead in acme/support" in text
    assert klausel("findings", "--fail-on", "toxic-permissions").exit_code == 1


def test_holders_of_what_is_privileged_are_listed(klausel: Klausel, tmp_path: Path) -> None:
    assert not any(one[0] == "privileged" for one in found(klausel))
    roles, feature = tmp_path / "policies" / "roles.yaml", tmp_path / "policies" / "features" / "workspaces.yaml"
    roles.write_text(roles.read_text().replace("    keep_one: true", "    keep_one: true\n    privileged: true"))
    asked = "    asked_in: {create: account}\n"
    feature.write_text(feature.read_text().replace(asked, f"{asked}    privileged: delete\n"))
    lines = [line for line in klausel("findings", "--in", "acme").stdout.splitlines() if line.startswith("privileged")]
    assert lines == [
        "privileged  user:ada is admin in acme: admin is privileged and it gives what is privileged: delete workspace",
        "privileged  user:max is account_manager in acme: it gives what is privileged: delete workspace",
    ]


def test_what_was_not_used_is_found_by_person_and_place(klausel: Klausel, record: Record) -> None:
    record(200, "sam", "edit", "quiz", "acme/sales")
    record(3, "leo", "take", "quiz", "acme/sales")
    record(3, "leo", "create", "quiz", "acme")
    record(2, "ann", "take", "quiz", "acme/support", allowed=False)
    record(1, "mia", "take", "quiz", "acme/support", route="explain")
    document = json.loads(klausel("findings", "--decisions", "decisions.jsonl", "--in", "acme", "--format", "json").stdout)
    told = {(one["kind"], one["subject"], one["domain"]): one["message"] for one in document["findings"]}
    idle = {subject for kind, subject, _ in told if kind == "no-decision"}
    # An explanation is no decision; a deny is, but no use.
    assert idle == {f"user:{name}" for name in ("ada", "max", "mia", "paula", "rosa", "sam")}
    assert "used none of its" in told["unused-permissions", "user:ann", "acme/support"]
    assert "take quiz" not in told["unused-permissions", "user:leo", "acme/sales"]
    assert "leo is agent in acme/sales, and did not use" in told["unused-permissions", "user:leo", "acme/sales"]
    of_lead = told["unused-permissions", "user:leo", "acme/support"]
    assert "edit quiz" in of_lead and "take quiz" in of_lead and "create quiz" not in of_lead
    assert document["warnings"] == [] and document["decisions_since"] is not None
    longer = found(klausel, "--decisions", "decisions.jsonl", "--in", "acme", "--unused-for", "300d")
    assert ("no-decision", "user:sam") not in {one[:2] for one in longer}


def test_a_log_that_reaches_back_behind_the_period_covers_it(klausel: Klausel, record: Record) -> None:
    record(2, "leo", "edit", "quiz", "acme/support")
    asked = ("findings", "--decisions", "decisions.jsonl", "--unused-for", "30d", "--format", "json")
    assert "the log starts at" in json.loads(klausel(*asked).stdout)["warnings"][0]
    Path("later.jsonl").write_bytes(Path("decisions.jsonl").read_bytes())
    Path("decisions.jsonl").unlink()
    record(40, "leo", "edit", "quiz", "acme/support")
    assert json.loads(klausel(*asked, "--decisions", "later.jsonl").stdout)["warnings"] == []


def test_decisions_of_a_batch_that_are_written_once_count_each(klausel: Klausel, tmp_path: Path) -> None:
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    own = {"resource": {"type": "quiz", "id": "1"}, "domain": "acme/sales", "decision": True, "shared": {"subject": 0}}
    line = {
        "time": time,
        "route": "evaluations",
        "shared": [{"type": "user", "id": "sam"}],
        "decisions": [{**own, "action": {"name": name}} for name in ("take", "edit")],
    }
    (tmp_path / "decisions.jsonl").write_text(json.dumps(line) + "\nno record\n")
    done = klausel("findings", "--decisions", "decisions.jsonl", "--in", "acme/sales", "--format", "csv")
    (sam,) = [one for one in done.stdout.splitlines() if "user:sam" in one]
    assert "take quiz" not in sam
    assert "delete quiz" in sam
    assert "decisions.jsonl:2: error: the line is not JSON" in done.stderr


def test_kinds_that_need_a_log_say_so(klausel: Klausel) -> None:
    done = klausel("findings", "--fail-on", "no-decision")
    assert done.exit_code == 2
    assert "name one with --decisions" in done.stderr


def test_one_kind_alone_is_listed_when_asked(klausel: Klausel) -> None:
    kinds = {kind for kind, *_ in found(klausel)}
    assert "only-one-holder" in kinds
    assert {kind for kind, *_ in found(klausel, "--only", "only-one-holder")} == {"only-one-holder"}
    assert found(klausel, "--only", "ended", "--fail-on", "any") == []
    refused = klausel("findings", "--only", "ended", "--fail-on", "keep-one")
    assert refused.exit_code == 2
    assert "add --only keep-one" in refused.stderr
    assert klausel("findings", "--only", "no-decision").exit_code == 2
