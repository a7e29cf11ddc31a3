"""`DELETE /v1/assignments`: all goes that a leaver has in one account, and nothing else."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from assignment_requests import remove, row, rows_of
from doors import ASSIGNMENTS, EVALUATION, Door, Doors, asking, new_account
from sqlalchemy import text


def test_a_leaver_is_removed_from_the_account_and_its_workspaces_alone(service: Door, account: str) -> None:
    elsewhere = new_account()
    rows = [row("ann", "user", account), row("ann", "agent", f"{account}/w"), row("ann", "lead", f"{account}/v")]
    others = [row("ann", "admin", elsewhere), row("ann", "admin", f"{account}2"), row("ann.x", "user", account)]
    assert service.post(ASSIGNMENTS, {"grant": rows + others}).status == 200
    answer = remove(service, "user:ann", account)
    assert answer.status == 200
    assert answer.json.keys() == {"revision", "removed"}
    assert answer.json["removed"] == 3
    left = rows_of(service, subject="user:ann")
    assert others[0] in left and others[1] in left
    assert not any(one in left for one in rows)
    assert rows_of(service, subject="user:ann.x") == [others[2]]


def test_removing_a_leaver_again_changes_nothing(service: Door, account: str) -> None:
    assert service.post(ASSIGNMENTS, {"grant": [row("ann", "user", account)]}).status == 200
    first, second = remove(service, "user:ann", account), remove(service, "user:ann", account)
    assert (first.json["removed"], second.json["removed"]) == (1, 0)
    assert first.json["revision"] == second.json["revision"]


def test_the_last_admin_of_others_is_not_removed(service: Door, account: str) -> None:
    assert (
        service.post(ASSIGNMENTS, {"grant": [row("ann", "user", account), row("boss", "lead", f"{account}/w")]}).status
        == 200
    )
    answer = remove(service, "user:boss", account)
    assert answer.status == 409
    assert answer.json["violations"][0].keys() == {"role", "domain", "rule", "message"}
    assert len(rows_of(service, subject="user:boss", domain=account)) == 1
    assert len(rows_of(service, subject="user:boss", domain=f"{account}/w")) == 1
    assert remove(service, "user:ann", account).status == 200
    assert remove(service, "user:boss", account).json["removed"] == 2


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"subject": "user:ann"},
        {"account": "acme"},
        {"subject": "", "account": "acme"},
        {"subject": "user:ann", "account": ""},
        {"subject": "user:ann", "account": "acme/support"},
        {"subject": "user:ann", "account": "ac\nme"},
        {"subject": "user:ann", "account": "a" * 256},
    ],
    ids=repr,
)
def test_a_removal_that_does_not_name_one_subject_and_account_is_a_400(
    demo: Doors, service: Door, parameters: dict[str, str]
) -> None:
    before = demo.service.store.revision()
    assert service.ask("DELETE", f"{ASSIGNMENTS}?{urlencode(parameters)}").status == 400
    assert demo.service.store.revision() == before


def test_an_odd_subject_is_removed_from_nowhere(service: Door) -> None:
    without_type = remove(service, "ann", "acme")
    assert without_type.status == 400
    for subject in ("user:", ":", "user:a\x00b", "user:" + "x" * 500, "robot:ann", "USER:ann", "user:ann "):
        assert remove(service, subject, "acme").json["removed"] == 0


def test_a_row_found_with_a_role_no_longer_declared_can_be_taken_away(demo: Doors, service: Door, account: str) -> None:
    with demo.service.store.engine.begin() as connection:
        connection.execution_options(klausel_writes=True).execute(
            text("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES ('g', 'user:old', 'retired', :domain)"),
            {"domain": account},
        )
    stray: dict[str, Any] = {"subject": "user:old", "role": "retired", "domain": account}
    assert rows_of(service, subject="user:old") == [stray]
    assert service.post(ASSIGNMENTS, {"revoke": [stray]}).status == 200
    assert rows_of(service, subject="user:old") == []
    assert service.post(ASSIGNMENTS, {"revoke": [stray]}).status == 400
    assert service.post(EVALUATION, asking("old", "edit", "quiz", account=account)).status == 200
