"""The console tells what an identity provider decides, and does not let people change that by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from console_pages import Browser, Html, new_key, signed_in
from doors import ROOT, Doors
from identity_provider import LETTERS, MAPPING, ROLES, Provider

from klausel.core.policy.assignment import Assignment
from klausel.service import authentication

PERSON = "/console/person"
HOSTILE = "<img src=x>\u202ehelpers"


@pytest.fixture
def provided(tmp_path: Path, opened: Callable[..., Doors], monkeypatch: pytest.MonkeyPatch) -> Doors:
    """A service to which a provider sent bea as a boss and joe in a group with a hostile name; ann was made by hand."""
    monkeypatch.setattr(authentication, "SECONDS_KEPT", 0.0)
    policies = tmp_path / "policies"
    (policies / "features").mkdir(parents=True)
    (policies / "roles.yaml").write_text(ROLES)
    (policies / "features" / "letters.yaml").write_text(LETTERS)
    (policies / "provisioning.yaml").write_text(MAPPING)
    doors = opened(
        policies=str(policies),
        model=str(ROOT / "model.conf"),
        authentication="keys",
        host="0.0.0.0",
        public_url="https://klausel.example",
    )
    provider = Provider(doors.service, policies, new_key(doors, "provision"))
    provider.group("Bosses", provider.person("bea"))
    provider.group(HOSTILE, provider.person("joe"))
    roles = doors.service.policy.compiled.policy.roles
    by_hand = [("user:ann", "boss", "north"), ("user:ann", "group:desk", ""), ("user:ann", "group:Bosses", "")]
    doors.service.store.write(
        roles, [Assignment(*row) for row in [*by_hand, ("group:desk", "clerk", "north"), ("user:sue", "boss", "south")]], []
    )
    return doors


def send(browser: Browser, subject: str, **fields: str) -> tuple[int, str]:
    """Sends the form of a person's page; the status, and what is read then."""
    token = next(
        one["value"] or "" for one in browser.page(PERSON, subject=subject).all("input") if one.get("name") == "token"
    )
    answer = browser.send(PERSON, {"token": token, "subject": subject, **fields})
    return answer.status, Html(answer.body.decode()).text


def test_the_pages_tell_who_and_what_came_from_a_provider(provided: Doors) -> None:
    browser = signed_in(provided, "assign", "audit")
    found = browser.twin("/console/people")
    assert found["from_provider"] == ["group:Bosses", "user:bea", "user:joe"]
    assert {"user:ann", "group:desk"} <= set(found["people"])
    assert "user:bea from an identity provider" in browser.page("/console/people").text
    told = browser.twin(PERSON, subject="user:bea")
    assert (told["from_provider"], told["rows"][0]["from_provider"]) == (True, True)
    assert told["through_groups"] == [
        {"role": "boss", "domain": "north", "through": ["group:Bosses"], "from_provider": ["group:Bosses"]}
    ]
    ann = browser.twin(PERSON, subject="user:ann")
    assert (ann["from_provider"], [row.get("from_provider") for row in ann["rows"]]) == (False, [None] * 3)
    # Who may only read is told, too; a name from a provider stays text.
    page = signed_in(provided, "audit").page(PERSON, subject="user:joe")
    assert "user:joe comes from an identity provider." in page.text
    assert "caller:shop, an identity provider" in page.text, "in the log of changes"
    assert "an identity provider" not in signed_in(provided, "audit").page(PERSON, subject="user:sue").text
    assert "<img src=x>⟨U+202E⟩helpers from an identity provider" in page.text
    assert not list(page.all("img"))


def test_what_a_provider_decides_is_refused_before_and_after_the_click(provided: Doors) -> None:
    browser = signed_in(provided, "assign")
    before = provided.service.store.revision()
    put = "an identity provider put user:bea into group:Bosses; change it there"
    (row,) = browser.twin(PERSON, subject="user:bea")["rows"]
    assert (row["taken_away"], row["why"]) == (False, put)
    assert f"Not possible: {put}." in browser.page(PERSON, subject="user:bea").text
    status, told = send(browser, "user:bea", change="revoke", group="group:Bosses")
    assert (status, put in told) == (409, True)
    given = "group:Bosses comes from an identity provider, and provisioning.yaml gives it this role; change it there"
    assert given in browser.page(PERSON, subject="group:Bosses").text
    status, told = send(browser, "group:Bosses", change="revoke", role="boss", domain="north")
    assert (status, given in told) == (409, True)
    page = browser.page(PERSON, subject="user:ann")
    assert "Not possible for group:Bosses: an identity provider says who is in it; add user:ann there." in page.text
    assert [one["value"] for one in page.all("option") if str(one["value"]).startswith("group:")] == ["group:desk"]
    status, told = send(browser, "user:joe", change="grant", group="group:Bosses")
    assert (status, "an identity provider says who is in group:Bosses; add user:joe there" in told) == (409, True)
    assert provided.service.store.revision() == before


def test_what_was_given_by_hand_is_still_changed_by_hand(provided: Doors) -> None:
    browser = signed_in(provided, "assign")
    # Also a member that a group from a provider got by hand, and a role of such a group.
    assert send(browser, "user:ann", change="revoke", group="group:Bosses")[0] == 303
    assert send(browser, "group:Bosses", change="grant", role="clerk", domain="south")[0] == 303
    assert send(browser, "group:Bosses", change="revoke", role="clerk", domain="south")[0] == 303
    assert send(browser, "user:bea", change="grant", group="group:desk")[0] == 303


def test_who_is_limited_to_accounts_learns_nothing_more(provided: Doors) -> None:
    browser = signed_in(provided, "assign", accounts=frozenset({"south"}))
    assert browser.twin("/console/people") == {"version": 1, "people": ["user:sue"], "from_provider": [], "next": None}
    page = browser.page(PERSON, subject="user:bea")
    assert "north" not in page.source and "Bosses" not in page.source
    status, told = send(browser, "user:bea", change="revoke", group="group:Bosses")
    assert (status, "identity provider put" in told, "north" in told) == (403, False, False)
