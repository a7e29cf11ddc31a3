"""Every page as somebody sees it who is limited to one account: no name of another account, no code in a page, no dead end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from console_pages import Browser, Html, new_key, signed_in
from doors import EVALUATION, Doors, asking, demo_people, grant

from klausel.service import authentication

FOREIGN = "zanzibar"
ALL = ("policy", "search", "explain", "assign", "audit")
ASKED = {"action": "edit", "type": "quiz"}
QUESTION = {**ASKED, "subject": "user:leo", "id": "q1", "domain": "acme/support", "resource.status": "published"}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


@pytest.fixture
def doors(opened: Callable[..., Doors], monkeypatch: pytest.MonkeyPatch) -> Doors:
    """A service in which leo has roles in acme and in another account, and both have decisions in the log."""
    monkeypatch.setattr(authentication, "SECONDS_KEPT", 0.0)
    found = opened(
        authentication="keys",
        host="0.0.0.0",
        public_url="https://klausel.example",
        decision_log="database",
        decision_log_strict=True,
    )
    there = [("user:kim", "admin", FOREIGN), ("user:leo", "user", FOREIGN), ("user:leo", "agent", f"{FOREIGN}/east")]
    # This group has no role in acme: one that has is named there, whatever its name.
    group = [(f"group:{FOREIGN}-staff", "user", FOREIGN), ("user:leo", f"group:{FOREIGN}-staff", "")]
    grant(found.service, [*demo_people(), *there, *group])
    return found


def decide(doors: Doors, user: str, account: str) -> str:
    """The id of the record of a decision in an account."""
    proof = {"Authorization": f"Bearer {new_key(doors, 'check')}", "X-Klausel-Record": "yes"}
    question = asking(user, "delete", "quiz", "q1", account=account, workspace="support", status="published")
    return doors.lane.ask("POST", EVALUATION, json.dumps(question).encode(), headers=proof).headers["X-Klausel-Record"]


def pages(own: str, foreign: str) -> Iterator[tuple[str, dict[str, str]]]:
    for path in ("", "/roles", "/try", "/who-can", "/what-can", "/people", "/person", "/decisions", "/decision"):
        yield f"/console{path}", {}
    for path in ("/changes", "/playground", "/nothing", "/sign-in"):
        yield f"/console{path}", {}
    for subject in ("user:leo", "user:kim"):
        for where in ({}, {"domain": "acme"}, {"domain": "acme/support"}, {"domain": "other"}):
            for path in ("", "/what-can", "/person"):
                yield f"/console{path}", {"subject": subject, **where}
        yield "/console/try", {**QUESTION, "subject": subject}
        yield "/console/people", {"name": subject}
    yield "/console/try", {**QUESTION, "action": "delete"}
    yield "/console/try", {**ASKED, "subject": "user:leo", "id": "q1"}
    yield "/console/who-can", {**ASKED, "domain": "acme/support"}
    yield "/console/who-can", ASKED
    yield "/console", {"page": "0"}
    for record in (own, foreign):
        yield "/console/decision", {"id": record}


def test_no_page_names_another_account_or_has_code_in_it(doors: Doors) -> None:
    own, foreign = decide(doors, "leo", "acme"), decide(doors, "kim", FOREIGN)
    browser = signed_in(doors, *ALL, accounts=frozenset({"acme"}))
    for path, given in pages(own, foreign):
        for format_ in ("html", "json", "csv"):
            asked = given if format_ == "html" else {**given, "format": format_}
            answer = browser.get(path, headers={"Accept": "text/html"}, **asked)
            told = answer.body.decode()
            assert FOREIGN not in told.lower(), (path, asked)
            assert answer.status in (200, 400, 403, 404), (path, asked, told)
            if answer.headers["Content-Type"].startswith("text/html"):
                assert answer.headers["Content-Security-Policy"] == POLICY, path
                assert not re.search(r"<script(?![^>]* src=)|<style|\s(on\w+|style)=|javascript:", told), path
    assert browser.get("/console/decision", id=foreign).status == 404
    assert browser.get("/console/decision", id=own).status == 200
    # The same pages do name it to whoever is not limited.
    everything = signed_in(doors, *ALL)
    for path, given in (("/console/person", {"subject": "user:leo"}), ("/console/decision", {"id": foreign})):
        assert FOREIGN in everything.page(path, **given).text


def test_who_may_see_no_page_is_told_so_on_each_and_may_leave(doors: Doors) -> None:
    browser = signed_in(doors, "check", accounts=frozenset({"acme"}))
    own = decide(doors, "leo", "acme")
    for path, given in pages(own, own):
        answer = browser.get(path, headers={"Accept": "text/html"}, **given)
        page = Html(answer.body.decode())
        assert "acme" not in page.text and "user:" not in page.text
        if path not in ("/console/nothing", "/console/sign-in"):
            assert answer.status == 403
            assert "None of the pages here is open to you; ask whoever made your key" in page.text
            assert [one["action"].rpartition("/")[2] for one in page.all("form") if one["action"]] == ["sign-out"]
    nothing = Html(browser.get("/console/nothing", headers={"Accept": "text/html"}).body.decode())
    assert "../console" in [one["href"] for one in nothing.all("a")]
    audit = Html(signed_in(doors, "audit").get("/console").body.decode())
    assert "The pages that you may see are above." in audit.text


def test_every_form_that_changes_something_carries_a_token_of_the_sign_in(doors: Doors) -> None:
    browser = signed_in(doors, *ALL)
    strange = Browser(doors.service)
    foreign = next(one["value"] for one in strange.page("/console/sign-in").all("input") if one["name"] == "token")
    forms = 0
    for path, given in (("/console", {}), ("/console/playground", {}), ("/console/person", QUESTION_OF_LEO)):
        page = browser.page(path, **given)
        posts = [one for one in page.all("form") if one.get("method") == "post"]
        assert sum(one.get("name") == "token" and bool(one.get("value")) for one in page.all("input")) == len(posts)
        forms += len(posts)
        for address in {str(one["action"]).replace("../", "/") for one in posts}:
            target = address if address.startswith("/") else f"/{address}"
            for token in ("", "x", str(foreign)):
                assert browser.send(target, {"token": token}).status == 403, target
    assert forms > 4
    assert browser.get("/console").status == 200, "nobody was signed out by that"


QUESTION_OF_LEO = {"subject": "user:leo", "domain": "acme/support"}
