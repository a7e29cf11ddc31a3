"""Stored role assignments that a policy set does not know are never locked out in silence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from serving import Served
from versions import ANSWERS

from klausel.core.policy.orphans import StoredRole
from klausel.core.terms.problem import PolicyError
from klausel.service import policy_in_force
from klausel.storage.assignments.store import Assignment, AssignmentStore
from klausel.storage.assignments.stored_roles import stored_roles


@pytest.fixture(autouse=True)
def counted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_in_force, "SECONDS_PER_COUNT", -1)
    monkeypatch.setattr(policy_in_force, "LEAST_PAUSE_PER_COUNT", 0)


def replace_in(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def rename_agent(policies: Path) -> None:
    replace_in(policies / "roles.yaml", "agent", "clerk")
    replace_in(policies / "features" / "quizzes.yaml", "agent", "clerk")


ORPHANED = (
    '1 stored role assignment has the role "agent", which no policy file declares, so whoever holds it would be locked out'
)


def test_a_set_that_renames_a_held_role_is_refused_and_the_last_good_set_answers(served: Served, policies: Path) -> None:
    rename_agent(policies)
    assert served.live.refresh() == "refused"
    (problem,) = served.live.refusal.problems
    assert (problem.id, problem.message) == ("orphaned-assignments", ORPHANED)
    assert problem.place.file.endswith("policies/roles.yaml")
    assert served.decisions() == ANSWERS["A"]


def test_a_set_that_moves_a_held_role_to_another_level_is_refused(served: Served, policies: Path) -> None:
    replace_in(policies / "roles.yaml", "agent: {level: workspace}", "agent: {level: account}")
    replace_in(policies / "roles.yaml", ", contains: agent}", "}")
    replace_in(policies / "features" / "quizzes.yaml", "any agent", "agent")
    assert served.live.refresh() == "refused"
    assert "which is of level account now" in served.live.refusal.problems[0].message


def test_a_role_that_nobody_holds_may_go(served: Served, policies: Path) -> None:
    replace_in(policies / "roles.yaml", "  guest: {level: workspace}\n", "")
    assert served.live.refresh() == "taken"
    assert served.get("/v1/policy")["orphaned_assignments"] == {"count": 0, "roles": []}


def test_the_refused_set_is_taken_once_the_assignments_are_gone_although_its_files_stay(
    served: Served, policies: Path
) -> None:
    rename_agent(policies)
    assert served.live.refresh() == "refused"
    roles = served.service.policy.compiled.policy.roles
    served.service.store.write(roles, [], [Assignment("user:ann", "agent", "acme/support")])
    assert served.live.refresh() == "taken"


def test_a_set_that_orphans_is_refused_at_the_start(opened: Callable[..., Served], policies: Path) -> None:
    opened()
    rename_agent(policies)
    with pytest.raises(PolicyError) as caught:
        opened()
    assert [problem.id for problem in caught.value.problems] == ["orphaned-assignments"]


def test_with_warn_it_is_taken_logged_and_counted(
    opened: Callable[..., Served], policies: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = opened(orphaned_assignments="warn")
    rename_agent(policies)
    with caplog.at_level(logging.WARNING, "klausel"):
        assert served.live.refresh() == "taken"
    assert ORPHANED in caplog.messages
    assert served.get("/v1/policy")["orphaned_assignments"] == {"count": 1, "roles": [{"role": "agent", "count": 1}]}
    (line,) = [
        line
        for line in served.ask("GET", "/metrics").get_data(as_text=True).splitlines()
        if line.startswith("klausel_orphaned_assignments{")
    ]
    assert line.endswith(" 1.0")


def test_changes_that_leave_the_roles_alone_do_not_ask_the_database(served: Served, quizzes_file: Path) -> None:
    served.service.store.close()
    quizzes_file.write_text(quizzes_file.read_text() + "# a word\n")
    served.live._orphaned_in = lambda roles: pytest.fail("the database was asked")
    assert served.live.refresh() == "taken"


def test_stored_roles_are_told_by_the_depth_of_their_domains(
    store: AssignmentStore, put_behind_the_back: Callable[..., None]
) -> None:
    assert stored_roles(store.engine) == ()
    rows = [("ann", "user", "acme"), ("bob", "user", "acme"), ("bob", "user", "acme/x"), ("eve", "gone", "a/b/c")]
    put_behind_the_back(*(Assignment(f"user:{name}", role, domain) for name, role, domain in rows))
    assert stored_roles(store.engine) == (StoredRole("gone", 3, 1), StoredRole("user", 1, 2), StoredRole("user", 2, 1))


def test_a_role_that_says_what_it_was_keeps_its_holders(served: Served, policies: Path) -> None:
    rename_agent(policies)
    replace_in(policies / "roles.yaml", "clerk: {level: workspace}", "clerk: {level: workspace, was: agent}")
    before = served.live.in_force.policy.compiled.meaning_digest
    assert served.live.refresh() == "taken"
    assert served.live.in_force.policy.compiled.meaning_digest != before
    assert served.decisions() == ANSWERS["A"]
    assert served.get("/v1/policy")["orphaned_assignments"]["count"] == 0
    asked = {
        "subject": {"type": "user", "id": "ann"},
        "action": {"name": "view"},
        "resource": {"type": "quiz", "id": "1", "properties": {"account": "acme", "workspace": "support"}},
    }
    told = served.ask("POST", "/v1/explain", asked).get_json()
    assert told["decision"] is True
    assert told["renamed"] == [{"stored_as": "agent", "role": "clerk", "domain": "acme/support"}]
