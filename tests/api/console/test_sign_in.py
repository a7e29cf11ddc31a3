"""Signing in to the console by an API key: who may see what, for how long, and that no other site can send a form."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from console_pages import Browser, Html, new_key, signed_in
from doors import EVALUATION, Doors, policies_alone
from sqlalchemy import text
from werkzeug.test import Client

from klausel.app import create_flask_app
from klausel.service.authentication import RateLimit
from klausel.service.sign_in import SignIns
from klausel.storage.callers import sessions
from klausel.storage.callers.keys import KeyStore
from klausel.storage.callers.sessions import SessionStore

COOKIE = "__Host-klausel"
SIGN_IN = "/console/sign-in"


def test_who_has_not_signed_in_is_led_to_the_form_and_back_to_the_page(guarded: Doors) -> None:
    browser = Browser(guarded.service)
    led = browser.get("/console/what-can", subject="user:leo", domain="acme/support")
    assert (led.status, led.body) == (303, b"")
    address, query = urlsplit(led.headers["Location"])[2:4]
    assert address == "../console/sign-in"
    wanted = parse_qs(query)["next"][0]
    page = browser.page(SIGN_IN, next=wanted)
    hidden = {str(one["name"]): one["value"] or "" for one in page.all("input") if one.get("type") == "hidden"}
    back = browser.send(SIGN_IN, {**hidden, "key": f" {new_key(guarded, 'search')}\n"})
    assert (back.status, back.headers["Location"]) == (303, f"../{wanted}")
    assert "user:leo in acme/support" in browser.page(f"/{wanted}").text
    assert browser.get("/console").status == 403
    assert Browser(guarded.service).get("/console", format="json").status == 401
    assert Browser(guarded.service).get("/console").headers["Location"] == "console/sign-in"


def test_the_cookie_is_kept_from_scripts_and_other_hosts(guarded: Doors, opened: Callable[..., Doors]) -> None:
    browser = Browser(guarded.service)
    told = browser.sign_in(new_key(guarded, "policy"))
    cookie = next(one for one in told.headers.getlist("Set-Cookie") if one.startswith(f"{COOKIE}="))  # type: ignore[union-attr]
    rules = {"Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=28800"}
    assert {part.strip() for part in cookie.split(";")[1:]} >= rules
    assert "Domain" not in cookie
    doors = opened(authentication="keys")
    told = Browser(doors.service).sign_in(new_key(doors, "policy"))
    cookie = next(one for one in told.headers.getlist("Set-Cookie") if one.startswith("klausel-8080="))  # type: ignore[union-attr]
    assert "Secure" not in cookie
    assert "HttpOnly" in cookie


def test_a_person_sees_the_pages_of_the_key_and_may_leave(guarded: Doors) -> None:
    browser = signed_in(guarded, "policy", "explain")
    page = browser.page("/console")
    links = {str(one["href"]) for one in page.all("a")}
    assert {"console/roles", "console/try", "console/changes"} <= links
    assert not {"console/who-can", "console/what-can"} & links
    assert "Signed in as shop" in page.text
    denied = browser.get("/console/who-can")
    assert (denied.status, "scope search" in Html(denied.body.decode()).text) == (403, True)
    secret = browser.cookie(COOKIE)
    out = browser.fill_in("/console", "/console/sign-out", {})
    assert (out.status, out.headers["Location"], browser.cookie(COOKIE)) == (303, "../console/sign-in", None)
    assert browser.get("/console").status == 303
    assert Browser(guarded.service).keep(COOKIE, secret).get("/console").status == 303


def test_a_person_is_limited_to_the_accounts_of_the_key(guarded: Doors) -> None:
    browser = signed_in(guarded, "search", accounts=frozenset({"other"}))
    assert browser.get("/console/what-can", subject="user:leo", domain="acme/support").status == 403
    assert browser.get("/console/what-can", subject="user:leo", domain="other").status == 200


def test_a_key_that_is_revoked_ends_its_sign_ins_in_every_process_at_once(guarded: Doors) -> None:
    key = new_key(guarded, "policy")
    browser = Browser(guarded.service)
    browser.sign_in(key)
    other = Browser(guarded.service).keep(COOKIE, browser.cookie(COOKIE))
    assert (browser.get("/console").status, other.get("/console").status) == (200, 200)
    assert KeyStore(guarded.service.store.engine).revoke(key.split("_")[1])
    assert (browser.get("/console").status, other.get("/console").status) == (303, 303)
    assert "Your sign-in has ended" in browser.page(SIGN_IN).text
    assert browser.get("/console", format="json").message == "this sign-in has ended; sign in again"


def test_a_sign_in_ends_by_time(guarded: Doors) -> None:
    browser = signed_in(guarded, "policy")
    with guarded.service.store.engine.begin() as connection:
        (kept,) = connection.execute(text("SELECT hash, expires FROM klausel_session")).all()
        assert abs(kept.expires - time.time() - 8 * 3600) < 60
        assert browser.cookie(COOKIE) not in str(kept)
        connection.execute(text("UPDATE klausel_session SET expires = :now"), {"now": int(time.time())})
    assert browser.get("/console").status == 303
    signed_in(guarded, "policy")
    with guarded.service.store.engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM klausel_session")).scalar_one() == 1


def test_a_key_that_does_not_count_signs_nobody_in(guarded: Doors) -> None:
    revoked = new_key(guarded, "policy")
    KeyStore(guarded.service.store.engine).revoke(revoked.split("_")[1])
    unknown = "klausel_0123456789ab_" + "x" * 43
    browser = Browser(guarded.service)
    for key in ("", unknown, "<script>alert(1)</script>", "\ufffd", new_key(guarded, "policy", expires=1), revoked):
        answer = browser.sign_in(key)
        assert answer.status == 403
        assert "API key" in Html(answer.body.decode()).text
        assert b"<script>alert" not in answer.body
        assert (browser.cookie(COOKIE), browser.get("/console").status) == (None, 303)


def test_nobody_fills_the_table_of_sign_ins(opened: Callable[..., Doors], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_OF_ONE", 2)
    doors = opened(authentication="keys", policies=policies_alone())
    key = new_key(doors, "policy")
    browsers = [Browser(doors.service) for _ in "123"]
    for browser in [Browser(doors.service), *browsers]:
        assert browser.sign_in(key if browser in browsers else new_key(doors, "policy")).status == 303
    assert sorted(one.get("/console").status for one in browsers) == [200, 200, 303]
    with doors.service.store.engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM klausel_session")).scalar_one() == 3
    # A rate counts signing in, and where keys are taken no more, nobody is signed in by one.
    store = doors.service.store.engine
    limited = SignIns(SessionStore(store), KeyStore(store), 60, RateLimit(1.0))
    browser = Browser(replace(doors.service, sign_ins=limited))
    told = [browser.sign_in(key) for _ in "12"]
    assert [(one.status, one.headers.get("Retry-After")) for one in told] == [(303, None), (429, "1")]
    kept = browser.cookie("klausel-8080") or ""
    assert SessionStore(store).find(kept, time.time()) is not None
    assert SessionStore(store, takes_keys=False).find(kept, time.time()) is None


def test_a_form_that_was_not_made_here_is_refused(guarded: Doors) -> None:
    key = new_key(guarded, "policy")
    browser, other = Browser(guarded.service), Browser(guarded.service)
    foreign = next(one["value"] or "" for one in other.page(SIGN_IN).all("input") if one["name"] == "token")
    browser.page(SIGN_IN)
    for token in ("", "x", "é", "A" * 86 + "==", foreign):
        assert browser.send(SIGN_IN, {"key": key, "token": token}).status == 403
    assert browser.cookie(COOKIE) is None
    assert browser.fill_in(SIGN_IN, SIGN_IN, {"key": key}, **{"Sec-Fetch-Site": "cross-site"}).status == 403
    browser.sign_in(key)
    for token in ("", foreign):
        assert browser.send("/console/sign-out", {"token": token}).status == 403
    assert browser.get("/console").status == 200
    # The same proof looks otherwise on every page, so that a compressed one tells nothing of it.
    pages = [browser.page("/console").all("input") for _ in "12"]
    assert len({next(one["value"] for one in page if one.get("name") == "token") for page in pages}) == 2


def test_a_page_of_another_site_changes_nothing_by_the_key_of_a_proxy(guarded: Doors) -> None:
    browser = Browser(guarded.service, new_key(guarded, "assign", "policy"))
    change = {"change": "grant", "subject": "user:new", "role": "user", "domain": "acme"}
    for path, fields, status in (("/console/person", change, 303), ("/console/playground", {"changes": "{}"}, 200)):
        for site in ("cross-site", "same-site"):
            assert browser.send(path, fields, headers={"Sec-Fetch-Site": site}).status == 403, path
        assert browser.send(path, fields).status == status, path


def test_signing_in_leads_to_no_other_address(guarded: Doors) -> None:
    key = new_key(guarded, "explain")
    foreign = ["https://evil.example/console", "//evil.example/console", "/\\evil.example", "console\\..\\x"]
    for wanted in [*foreign, "consolex", "javascript:1", "é", "console/sign-in", "console/style.css\r\nX: y"]:
        answer = Browser(guarded.service).fill_in(SIGN_IN, SIGN_IN, {"key": key, "next": wanted})
        assert (answer.status, answer.headers["Location"]) == (303, "../console/try"), wanted


def test_a_body_that_is_no_such_form_is_refused(guarded: Doors) -> None:
    door = Client(create_flask_app(guarded.service))
    form = "application/x-www-form-urlencoded"
    for status, body, kind in (
        (415, b"{}", "application/json"),
        (400, b"key=%ff", form),
        (400, b"key=a&key=b", form),
        (400, b"role=admin", form),
        (400, b"&".join([b"key=a"] * 9), form),
        (413, b"key=" + b"x" * 100_000, form),
    ):
        answer = door.post(SIGN_IN, data=body, content_type=kind, headers={"Host": "localhost"})
        assert answer.status_code == status, body[:20]


def test_no_key_is_asked_for_where_others_can_read_it(opened: Callable[..., Doors]) -> None:
    doors = opened(authentication="keys", host="0.0.0.0")
    browser = Browser(doors.service)
    page = browser.page(SIGN_IN)
    assert "--public-url" in page.text
    assert not list(page.all("form"))
    assert Browser(doors.service, new_key(doors, "policy")).get("/console").status == 200


def test_nobody_signs_in_where_nobody_is_asked(browser: Browser) -> None:
    assert browser.get(SIGN_IN).status == 404
    assert browser.get("/console").status == 200


def test_a_sign_in_counts_for_no_other_route(guarded: Doors) -> None:
    browser = signed_in(guarded, "check", "policy")
    assert browser.get("/v1/policy").status == 401
    assert browser.send(EVALUATION, {}).status == 401


def test_who_says_who_calls_is_that_caller_and_not_the_one_who_signed_in(guarded: Doors) -> None:
    browser = signed_in(guarded, "policy")
    assert browser.get("/console").status == 200
    lesser = {"Authorization": f"Bearer {new_key(guarded, 'check')}"}
    assert browser.get("/console", headers=lesser).status == 403
    assert browser.get("/console", headers={"Authorization": "Bearer klausel_x"}).status in (303, 401)


def test_a_secret_that_is_odd_or_long_is_no_sign_in(guarded: Doors) -> None:
    client = Client(create_flask_app(guarded.service), use_cookies=False)
    good = signed_in(guarded, "policy").cookie(COOKIE)
    for secret in (good, "", "x", "x" * 43, "x" * 100_000, "\xe2\x98\x83"):
        answer = client.get("/console", headers={"Host": "localhost", "Cookie": f"{COOKIE}={secret}"})
        assert answer.status_code == (200 if secret == good else 303)
