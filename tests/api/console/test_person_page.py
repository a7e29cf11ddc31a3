"""People in the console: found by name, given and taken roles under the same rules as over HTTP, and told about."""

from __future__ import annotations

import re

from console_pages import Browser, Html, calling, signed_in
from doors import Doors, grant
from sqlalchemy import text

from klausel.core.policy.assignment import Assignment

PERSON = "/console/person"
ALL = ("assign", "audit")
GIVEN = {"change": "grant", "role": "lead", "domain": "acme/support", "reason": "covers for ann", "ticket": "T-1"}


def change(browser: Browser, subject: str, fields: dict[str, str], **query: str) -> tuple[int, Html]:
    """Sends the form of a person's page; the status, and the page that is shown then."""
    page = browser.page(PERSON, subject=subject, **query)
    token = next(one["value"] or "" for one in page.all("input") if one.get("name") == "token")
    answer = browser.send(PERSON, {"token": token, "subject": subject, **fields})
    if answer.status == 303:
        return 303, Html(browser.get(answer.headers["Location"].replace("../", "/")).body.decode())
    return answer.status, Html(answer.body.decode())


def test_people_are_found_by_how_their_name_begins(guarded: Doors) -> None:
    many = [(f"user:zoe{number:03}", "user", "acme") for number in range(120)]
    grant(guarded.service, [*many, ("bot:zoe", "user", "acme"), ("user:far", "admin", "other")])
    browser = signed_in(guarded, *ALL)
    assert "user:leo" in browser.twin("/console/people")["people"]
    first = browser.twin("/console/people", name="zoe")
    assert first["people"] == ["bot:zoe", *(f"user:zoe{number:03}" for number in range(49))]
    found, after = list(first["people"]), first["next"]
    while after:
        page = browser.twin("/console/people", name="zoe", after=after)
        found, after = [*found, *page["people"]], page["next"]
    assert found == ["bot:zoe", *(row[0] for row in many)]
    assert browser.twin("/console/people", name="user:zoe11")["people"] == [row[0] for row in many[110:]]
    assert "user:new holds nothing yet" in browser.page("/console/people", name="user:new").text
    for odd in ("\0", "%", "_", "<b>", "user:\udcff".encode("utf-8", "replace").decode()):
        assert browser.twin("/console/people", name=odd)["people"] == []
    limited = signed_in(guarded, *ALL, accounts=frozenset({"other"}))
    assert limited.twin("/console/people")["people"] == ["user:far"]


def test_a_role_is_given_with_reason_ticket_and_end_and_stands_in_the_log(guarded: Doors) -> None:
    browser = signed_in(guarded, *ALL)
    grant(guarded.service, [("user:new", "user", "acme")])
    status, page = change(
        browser, "user:new", {**GIVEN, "until": "2099-01-31T18:00", "view": "acme/support"}, domain="acme/support"
    )
    assert (status, "Done: it is granted" in page.text) == (303, True)
    told = browser.twin(PERSON, subject="user:new")
    assert told["rows"][0] == {
        "subject": "user:new", "role": "lead", "domain": "acme/support", "until": "2099-01-31T18:00:00Z", "taken_away": True,
    }  # fmt: skip
    newest = told["changes"][0]
    assert [newest[name] for name in ("change", "role", "reason", "ticket", "caller", "channel", "by")] == [
        "granted", "lead", "covers for ann", "T-1", "caller:shop", "http", None,
    ]  # fmt: skip
    assert "covers for ann" in page.text
    away = {"change": "revoke", "role": "lead", "domain": "acme/support"}
    assert change(browser, "user:new", away)[0] == 303
    assert [row["role"] for row in browser.twin(PERSON, subject="user:new")["rows"]] == ["user"]


def test_only_what_can_be_given_is_offered_and_the_rest_says_why(guarded: Doors) -> None:
    browser = signed_in(guarded, *ALL)
    before = guarded.service.store.revision()
    told = browser.twin(PERSON, subject="user:new", domain="acme/support")
    offers = {one["role"]: one for one in told["offers"]}
    assert offers["admin"] == {"role": "admin", "level": "account", "given": False, "why": "it is of level account"}
    assert "without a role of level account in acme" in offers["lead"]["why"]
    page = browser.page(PERSON, subject="user:new", domain="acme/support")
    radios = {one["value"]: one for one in page.all("input") if one.get("type") == "radio"}
    assert all("disabled" in one and one["aria-describedby"] for one in radios.values())
    told = browser.twin(PERSON, subject="user:new", domain="acme")
    assert [one["role"] for one in told["offers"] if one["given"]] == ["admin", "account_manager", "user"]
    # Nothing was stored by trying, and what was told holds for the write.
    assert guarded.service.store.revision() == before
    status, page = change(browser, "user:new", GIVEN, domain="acme/support")
    assert (status, offers["lead"]["why"] in page.text, "Nothing was changed" in page.text) == (409, True, True)
    assert next(one for one in page.all("input") if one.get("name") == "reason")["value"] == "covers for ann"


def test_the_rules_stand_there_in_sentences_before_the_click(guarded: Doors) -> None:
    browser = signed_in(guarded, *ALL)
    grant(guarded.service, [("user:one", "admin", "solo")])
    told = browser.twin(PERSON, subject="user:one")
    assert told["rules"] == [
        "Who gets a role of level workspace needs one of level account first, and keeps one as long as the other counts.",
        "Each account with people in it keeps one admin without an end date, so the last one stays.",
    ]
    grant(guarded.service, [("user:two", "user", "solo")])
    (row,) = browser.twin(PERSON, subject="user:one")["rows"]
    assert (row["taken_away"], "keep one" in row["why"]) == (False, True)
    page = browser.page(PERSON, subject="user:one")
    assert all(rule in page.text for rule in told["rules"])
    assert "Not possible: solo would have people in it but no admin" in page.text
    status, page = change(browser, "user:one", {"change": "revoke", "role": "admin", "domain": "solo"})
    assert (status, "solo would have people in it but no admin" in page.text) == (409, True)


def test_members_of_groups_come_and_go(guarded: Doors) -> None:
    browser = signed_in(guarded, *ALL)
    grant(guarded.service, [("group:desk", "user", "acme"), ("group:desk", "agent", "acme/support")])
    assert change(browser, "user:new", {"change": "grant", "group": "group:desk", "reason": "joined"})[0] == 303
    told = browser.twin(PERSON, subject="user:new")
    assert told["rows"] == [{"subject": "user:new", "group": "group:desk", "taken_away": True}]
    assert {"role": "agent", "domain": "acme/support", "through": ["group:desk"]} in told["through_groups"]
    status, page = change(browser, "user:new", {"change": "grant", "group": "desk"})
    assert (status, "is no group" in page.text) == (400, True)
    assert change(browser, "user:new", {"change": "revoke", "group": "group:desk"})[0] == 303
    assert browser.twin(PERSON, subject="user:new")["rows"] == []


def test_what_does_not_belong_to_a_change_is_refused(guarded: Doors) -> None:
    browser = signed_in(guarded, *ALL)
    grant(guarded.service, [("user:new", "user", "acme"), ("user:new", "lead", "acme/support")])
    away = {"change": "revoke", "role": "lead", "domain": "acme/support"}
    for beside, why in (
        ({"until": "2099-01-31T18:00"}, "a row to revoke has no times"),
        ({"from": "0" * 300}, "a row to revoke has no times"),
        ({"group": "group:desk"}, "unknown"),
    ):
        status, page = change(browser, "user:new", {**away, **beside})
        assert (status, why in page.text) == (400, True), page.text
    assert change(browser, "user:new", away)[0] == 303


def test_what_ends_soon_and_what_is_wrong_is_told(guarded: Doors) -> None:
    store = guarded.service.store
    soon = "2026-03-10T00:00:00Z"
    store.clock = lambda: 1_769_904_000.0  # 2026-02-01, before any end
    roles = guarded.service.policy.compiled.policy.roles
    store.write(
        roles,
        [
            Assignment("user:new", "user", "acme", None, soon),
            Assignment("user:new", "agent", "acme/support", None, "2026-02-02T00:00:00Z"),
        ],
        [],
    )
    store.clock = lambda: 1_772_323_200.0  # 2026-03-01
    told = signed_in(guarded, *ALL).twin(PERSON, subject="user:new")
    assert [(one["kind"], one["role"]) for one in told["findings"]] == [("ended", "agent"), ("ending", "user")]
    page = signed_in(guarded, *ALL).page(PERSON, subject="user:new")
    assert re.search(r"Ends within 30 days user:new user in acme until .*, which ends in 9 days", page.text)


def test_places_that_only_this_person_keeps_or_nobody_does_are_told(guarded: Doors) -> None:
    chiefs = [("group:chiefs", "admin", "dual"), ("user:one", "group:chiefs", ""), ("user:two", "admin", "dual")]
    grant(guarded.service, [("user:one", "admin", "solo"), ("user:two", "user", "solo"), *chiefs])
    browser = signed_in(guarded, *ALL)

    def found(subject: str) -> list[tuple[str, str | None, str]]:
        told = browser.twin(PERSON, subject=subject)["findings"]
        return [
            (one["kind"], one["subject"], one["domain"]) for one in told if "keep" in one["kind"] or "only" in one["kind"]
        ]

    # Each of two keeps the other place, one of them as a member of a group.
    assert found("user:one") == [("only-one-holder", "user:one", "solo")]
    assert found("user:two") == []
    with guarded.service.store.engine.begin() as connection:
        connection.execute(text("DELETE FROM casbin_rule WHERE v0 = 'user:one'"))
    assert found("user:one") == []
    assert found("user:two") == [("only-one-holder", "user:two", "dual"), ("keep-one", None, "solo")]
    assert "solo has people in it but no admin whose role has no end" in browser.page(PERSON, subject="user:two").text


def test_a_person_changes_nothing_beyond_scopes_and_accounts(guarded: Doors, browser: Browser) -> None:
    reader = signed_in(guarded, "audit")
    assert "lacks the scope assign" in reader.page(PERSON, subject="user:leo").text
    assert reader.send(PERSON, {"subject": "user:leo", **GIVEN}).status == 403
    writer = signed_in(guarded, "assign")
    assert "lacks the scope audit" in writer.page(PERSON, subject="user:leo").text
    assert writer.twin(PERSON, subject="user:leo")["changes"] is None
    grant(guarded.service, [("user:leo", "admin", "other"), ("group:desk", "user", "acme"), ("user:leo", "group:desk", "")])
    limited = signed_in(guarded, *ALL, accounts=frozenset({"other"}))
    told = limited.twin(PERSON, subject="user:leo")
    assert [(row["role"], row["domain"]) for row in told["rows"]] == [("admin", "other")]
    assert {one["domain"] for one in told["changes"]} == {"other"}
    assert not told["through_groups"]
    assert all(not one["given"] for one in limited.twin(PERSON, subject="user:leo", domain="acme")["offers"])
    assert change(limited, "user:leo", GIVEN)[0] == 403
    assert change(limited, "user:leo", {"change": "grant", "group": "group:desk"})[0] == 403
    assert signed_in(guarded, "policy").get(PERSON, subject="user:leo").status == 403
    # Without sign-in it only reads, also on loopback.
    page = browser.page(PERSON, subject="user:leo", domain="acme")
    assert "asks nobody to sign in" in page.text
    assert [one.get("method") for one in page.all("form")] == []
    assert browser.send(PERSON, {"subject": "user:leo", **GIVEN}).status == 403


def test_a_form_from_elsewhere_changes_nothing(guarded: Doors) -> None:
    browser = signed_in(guarded, *ALL)
    before = guarded.service.store.revision()
    for token in ("", "x"):
        assert browser.send(PERSON, {"subject": "user:leo", "token": token, **GIVEN}).status == 403
    assert browser.send(PERSON, {"subject": "user:leo", "change": "delete"}).status in (400, 403)
    assert guarded.service.store.revision() == before
    # A program proves itself with each request, and needs no token.
    program = calling(guarded, *ALL)
    answer = program.send(f"{PERSON}?format=json", {"subject": "user:leo", **GIVEN})
    assert (answer.status, list(answer.json)) == (200, ["version", "revision"])
    assert program.send(PERSON, {"subject": "user:leo", "change": "delete"}).status == 400


def test_hostile_names_stay_text(guarded: Doors) -> None:
    evil = "user:<script>alert(1)</script>\"'><img src=x>\u202e"
    grant(guarded.service, [(evil, "user", "acme"), (evil, "group:<b>", "")])
    browser = signed_in(guarded, *ALL)
    for page in (browser.page("/console/people", name="<scr"), browser.page(PERSON, subject=evil, domain="acme")):
        assert not [tag for tag, _ in page.tags if tag in ("img", "b")]
        assert len(list(page.all("script"))) == 1
        assert "⟨U+202E⟩" in page.text
    status, page = change(browser, evil, {**GIVEN, "reason": "<img src=y>\x07"})
    assert (status, "reason is empty or contains a control character" in page.text) == (400, True)
    assert not list(page.all("img"))
