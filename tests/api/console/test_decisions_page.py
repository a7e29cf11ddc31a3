"""Recorded decisions in the console: found by those who may read them, and explained as of then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from console_pages import Browser, new_key, signed_in
from doors import ALLOWED, DENIED, EVALUATION, EVALUATIONS, Doors, asking, demo_people, grant
from git_in_tests import MODEL, Repository
from small_policies import PAYMENTS, ROLES

from klausel.service import recorded_decisions

DECISIONS, DECISION = "/console/decisions", "/console/decision"
SUPPORT = {"account": "acme", "workspace": "support"}


@pytest.fixture
def recorded(opened: Callable[..., Doors], tmp_path: Path) -> Doors:
    doors = opened(decision_log=str(tmp_path / "decisions.jsonl"), decision_log_strict=True)
    grant(doors.service, demo_people())
    return doors


def ask(doors: Doors, body: object, path: str = EVALUATION, **headers: str) -> str | None:
    """Asks, and gives the id of the record."""
    sent = {"X-Klausel-Record": "yes", **headers}
    answer = doors.lane.ask("POST", path, json.dumps(body).encode(), headers=sent)
    assert answer.status == 200
    return answer.headers.get("X-Klausel-Record")


def found(browser: Browser, **given: str) -> list[tuple[str, str, bool]]:
    records = browser.twin(DECISIONS, **given)["records"]
    return [(one["subject"]["id"], one["action"]["name"], one["decision"]) for one in records]


def test_records_are_found_by_every_field_newest_first(recorded: Doors) -> None:
    browser = Browser(recorded.service)
    ask(recorded, ALLOWED, **{"X-Request-ID": "march-1"})
    ask(recorded, {"evaluations": [DENIED, asking("max", "view", "quiz", "q2", **SUPPORT)]}, EVALUATIONS)
    everything = found(browser)
    assert everything[-1] == ("leo", "edit", True)
    assert {one[:2] for one in everything} == {("leo", "edit"), ("leo", "delete"), ("max", "view")}
    assert found(browser, person="user:leo", outcome="deny") == [("leo", "delete", False)]
    assert found(browser, action="edit") == found(browser, request_id="march-1") == [("leo", "edit", True)]
    assert [one[0] for one in found(browser, resource="quiz:q2")] == ["max"]
    assert len(found(browser, since="2020-01-01", until="2099-01-01T00:00")) == 3
    assert found(browser, until="2020-01-01") == []
    page = browser.page(DECISIONS, person="user:leo")
    assert "user:leo delete quiz:q1 in acme/support" in page.text
    for given in ({"since": "yesterday"}, {"outcome": "maybe"}, {"person": "leo"}, {"before": "x"}):
        assert browser.get(DECISIONS, **given, format="json").status == 400
        assert 'role="alert"' in browser.get(DECISIONS, **given).body.decode()


def test_pages_lead_to_the_beginning_of_the_log_and_a_slow_search_goes_on(
    recorded: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(recorded.service)
    for number in range(7):
        ask(recorded, asking("leo", "edit", "quiz", f"q{number}", **SUPPORT))
    monkeypatch.setattr("klausel.api.console.decisions_page.ON_A_PAGE", 3)
    ids, before = [], ""
    while before is not None:
        told = browser.twin(DECISIONS, **({"before": before} if before else {}))
        ids += [one["resource"]["id"] for one in told["records"]]
        before = told["next"]
    assert ids == [f"q{number}" for number in reversed(range(7))]
    monkeypatch.setattr(recorded_decisions, "SECONDS_OF_A_SEARCH", -1.0)
    told = browser.twin(DECISIONS, person="user:nobody")
    assert (told["whole"], told["records"], bool(told["next"])) == (False, [], True)
    assert "Search on" in browser.page(DECISIONS, person="user:nobody").text
    assert browser.get(DECISION, id="unknown", format="json").status == 404


def test_a_why_denied_link_explains_the_record(recorded: Doors) -> None:
    browser = Browser(recorded.service)
    id_ = ask(recorded, DENIED)
    assert id_
    told = browser.twin(DECISION, id=id_)
    assert (told["record"]["id"], told["explanation"]["decision"], told["remarks"]) == (id_, False, [])
    page = browser.page(DECISION, id=id_)
    assert "Nearest grants, and what each lacks" in page.text
    assert "resource.status" in page.text
    at = browser.twin(DECISIONS)["records"][0]["at"]
    assert browser.twin(DECISION, at=at)["record"] == told["record"]
    for given in ({"id": "unknown"}, {"at": "1.1.1"}, {"at": "x"}, {"at": f"{at[:-1]}9"}):
        assert browser.get(DECISION, **given, format="json").status == 404
    assert browser.get(DECISION, format="json").status == 404


def test_it_is_explained_by_the_roles_and_the_policies_of_then(
    opened: Callable[..., Doors], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(tmp_path / "repository")
    files = {"policies/roles.yaml": ROLES, "policies/features/payments.yaml": PAYMENTS, "model.conf": MODEL}
    repository.commit(files, "Before")
    monkeypatch.chdir(repository.folder)
    doors = opened(policies="policies", model="model.conf", decision_log=str(tmp_path / "log"), decision_log_strict=True)
    grant(doors.service, [("user:wil", "member", "acme")])
    question = asking("wil", "approve", "payment", "p", company="acme", amount=1, frozen=False)
    id_ = ask(doors, question)
    browser = Browser(doors.service)
    then = browser.twin(DECISION, id=id_ or "")
    repository.commit(
        {"policies/features/payments.yaml": PAYMENTS + "  - {deny: anyone, to: approve, resource: payment}\n"}, "After"
    )
    doors.service.live.refresh()
    doors.service.store.remove_subject(doors.service.policy.compiled.policy.roles, "user:wil", "acme")
    assert browser.twin(DECISION, id=id_ or "") == then
    assert then["explanation"] is not None
    # Files that were never committed cannot be had again.
    path = repository.folder / "policies/features/payments.yaml"
    for text in ("# one\n", "# two\n"):
        path.write_text(PAYMENTS + text, encoding="utf-8")
        doors.service.live.refresh()
        id_ = ask(doors, question) if text == "# one\n" else id_
    told = browser.twin(DECISION, id=id_ or "")
    assert (told["explanation"], "not those in force" in told["remarks"][0]) == (None, True)
    assert "stands without an explanation" in browser.page(DECISION, id=id_ or "").text


def test_only_those_who_may_read_the_log_open_a_link(opened: Callable[..., Doors], tmp_path: Path) -> None:
    doors = opened(authentication="keys", decision_log="database", decision_log_strict=True)
    grant(doors.service, demo_people())
    sent = {"Authorization": f"Bearer {new_key(doors, 'check')}"}
    id_ = ask(doors, {**DENIED, "subject": {**DENIED["subject"], "properties": {"email": "leo@example.com"}}}, **sent)
    assert Browser(doors.service).get(DECISION, id=id_ or "").status == 303
    assert signed_in(doors, "policy", "explain").get(DECISION, id=id_ or "").status == 403
    nowhere = {**DENIED, "resource": {"type": "quiz", "id": "q1"}}
    assert ask(doors, nowhere, **sent)
    # Both are named by their places, too, which anybody may guess.
    in_none, at = (one["at"] for one in signed_in(doors, "audit").twin(DECISIONS)["records"])
    for account, status in (("other", 404), ("acme", 200)):
        browser = signed_in(doors, "audit", accounts=frozenset({account}))
        assert [browser.get(DECISION, **given).status for given in ({"id": id_ or ""}, {"at": at})] == [status] * 2
        assert browser.get(DECISION, at=in_none).status == 404
    assert signed_in(doors, "audit", accounts=frozenset({"other"})).twin(DECISIONS)["records"] == []
    page = signed_in(doors, "audit", accounts=frozenset({"acme"})).page(DECISION, id=id_ or "")
    assert "sent by caller:shop" in page.text
    # Who is limited to accounts is told no properties of people: what is stored of them belongs to no account.
    assert "leo@example.com" not in page.text
    assert "leo@example.com" in signed_in(doors, "audit").page(DECISION, id=id_ or "").text


def test_where_nothing_can_be_read_it_says_so(opened: Callable[..., Doors]) -> None:
    browser = Browser(opened().service)
    told = browser.get(DECISIONS, format="json")
    assert (told.status, "--decision-log" in told.message) == (404, True)
    page = browser.page(DECISIONS)
    assert ("--decision-log" in page.text, list(page.all("form"))) == (True, [])


def test_hostile_values_stay_text(recorded: Doors) -> None:
    evil = "<script>alert(1)</script>\u202e"
    ask(recorded, asking(evil, "edit", "quiz", evil, **SUPPORT, status=evil))
    browser = Browser(recorded.service)
    at = browser.twin(DECISIONS)["records"][0]["at"]
    for page in (browser.page(DECISIONS), browser.page(DECISION, at=at)):
        assert len(list(page.all("script"))) == 1
        assert "\u202e" not in page.text
        assert "<script>alert(1)</script>" in page.text
