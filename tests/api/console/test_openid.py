"""Signing in to the console by an OpenID provider: a real one, and one that says what it must not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
import pytest
from console_pages import Browser, Html
from doors import Answer, Doors, demo_people, grant, policies_alone
from joserfc.jwk import OctKey, RSAKey
from openid_provider import Provider, openid_provider

from klausel.app import open_provider, open_sign_ins
from klausel.core.terms.caller import Caller
from klausel.service import openid
from klausel.service.authentication import Unauthenticated
from klausel.service.openid import OpenIdFault
from klausel.service.steady_clock import SteadyClock
from klausel.settings import Settings
from klausel.storage.callers.sessions import SignIn

START, BACK = "/console/sign-in/openid", "/console/sign-in/callback"
WIRE = httpx.Client(verify=False)
ALLOW = ("groups=support:search,policy,audit,assign_on_behalf@acme", "groups=lead:policy,assign")


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    with openid_provider() as provider:
        yield provider


@pytest.fixture
def provider(running: Provider) -> Iterator[Provider]:
    kept = dict(vars(running))
    yield running
    vars(running).update(kept, users={"ann": {"sub": "ann", "groups": ["support"]}})


@pytest.fixture
def signing_in(provider: Provider, opened: Callable[..., Doors]) -> Callable[..., Browser]:
    """A browser at a service whose people sign in by the provider."""

    def open_one(**settings: Any) -> Browser:
        known = {
            "authentication": "keys",
            "oidc_issuer": provider.issuer,
            "oidc_client_id": "klausel",
            "oidc_client_secret": provider.client.secret,
            "oidc_allow": ALLOW,
        }
        doors = opened(**{**known, **settings})
        provider.client.redirect_uris = [f"{doors.service.settings.base_url}{BACK}"]
        grant(doors.service, demo_people())
        return Browser(doors.service)

    return open_one


def answer_of(browser: Browser, name: str = "ann", **query: str) -> str:
    """Begins to sign in and proves at the provider to be somebody; the query that it sends back."""
    began = browser.get(START, **query)
    assert began.status == 303, began.body
    told = WIRE.post(began.headers["Location"], data={"name": name})
    assert told.status_code == 302, told.text
    return urlsplit(told.headers["Location"]).query


def come_back(browser: Browser, query: str) -> Answer:
    return browser.get(BACK, **dict(parse_qsl(query)))


def fault_of(answer: Answer) -> str:
    assert answer.status == 403, answer.body
    return Html(answer.body.decode()).text


def test_somebody_signs_in_and_sees_what_the_claims_allow(provider: Provider, signing_in: Callable[..., Browser]) -> None:
    browser = signing_in()
    page = browser.page("/console/sign-in", next="console/roles")
    assert any("sign-in/openid?next=" in str(one.get("href")) for one in page.all("a"))
    began = browser.get(START, next="console/roles")
    asked = dict(parse_qsl(urlsplit(began.headers["Location"]).query))
    assert (asked["response_type"], asked["code_challenge_method"], asked["scope"]) == ("code", "S256", "openid")
    assert len(asked["state"]) == len(asked["nonce"]) == len(asked["code_challenge"]) == 43
    back = come_back(browser, answer_of(browser, next="console/roles"))
    assert (back.status, back.headers["Location"]) == (303, "../../console/roles")
    page = browser.page("/console/roles")
    assert "Signed in as oidc:ann" in page.text
    assert browser.get("/console/try").status == 403
    assert browser.get("/console/what-can", subject="user:leo", domain="other").status == 403
    assert browser.cookie("klausel-8080-openid") is None


@pytest.mark.parametrize("secret", ["s3cret", None])
def test_with_and_without_a_secret_of_the_client(
    provider: Provider, signing_in: Callable[..., Browser], secret: str | None
) -> None:
    provider.client.secret = secret
    browser = signing_in()
    assert come_back(browser, answer_of(browser)).status == 303
    provider.client.secret = "another"
    browser = signing_in(oidc_client_secret="s3cret")
    assert "the provider gave no token" in fault_of(come_back(browser, answer_of(browser))).lower()


def test_an_answer_counts_once_and_in_the_browser_that_asked(signing_in: Callable[..., Browser]) -> None:
    browser = signing_in()
    query = answer_of(browser)
    other = signing_in()
    assert "another browser" in fault_of(come_back(other, query))
    other.get(START)
    assert "belongs to no sign-in of this browser" in fault_of(come_back(other, query))
    assert "belongs to no sign-in" in fault_of(come_back(browser, urlencode({**dict(parse_qsl(query)), "state": "x"})))
    assert "another browser" in fault_of(come_back(browser, query))
    assert browser.get("/console").status == 303
    query = answer_of(browser)
    assert come_back(browser, query).status == 303
    assert "another browser" in fault_of(come_back(browser, query))
    for error in ("access_denied", "<script>alert(1)</script>"):
        state = dict(parse_qsl(urlsplit(browser.get(START).headers["Location"]).query))["state"]
        answer = browser.get(BACK, state=state, error=error)
        assert f"The provider refused: {error}" in fault_of(answer)
        assert b"<script>alert" not in answer.body


def test_an_answer_in_the_name_of_another_provider_is_refused(
    provider: Provider, signing_in: Callable[..., Browser]
) -> None:
    browser = signing_in()
    assert "of another provider" in fault_of(come_back(browser, f"{answer_of(browser)}&iss=https%3A%2F%2Fevil.example"))
    provider.about = {"authorization_response_iss_parameter_supported": True}
    browser = signing_in()
    assert "does not say which provider" in fault_of(come_back(browser, answer_of(browser)))
    assert come_back(browser, f"{answer_of(browser)}&{urlencode({'iss': provider.issuer})}").status == 303


def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    provider: Provider, signing_in: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the provider says of itself stays the same here.
    monkeypatch.setattr(openid, "read_key_set", lru_cache(openid.read_key_set))
    browser = signing_in()
    now = int(time.time())
    spoils: list[tuple[dict[str, Any], str]] = [
        ({"nonce": "another"}, "belongs to another sign-in"),
        ({"nonce": None}, "belongs to another sign-in"),
        ({"nonce": "\ud800"}, "belongs to another sign-in"),
        ({"iss": "https://evil.example"}, "of another provider"),
        ({"aud": ["other"]}, "for another service"),
        ({"aud": ["klausel", "other"]}, "given to another service"),
        ({"azp": "other"}, "given to another service"),
        ({"exp": now - 60}, "has ended"),
        ({"iat": now + 120}, "begins later"),
        ({"exp": None}, "when it ends"),
        ({"header": {"kid": "two"}}, "not signed by a key"),
        ({"sub": None}, "no claim sub"),
        ({"sub": "a\nb"}, "cannot name a subject"),
        ({"sub": "an\u200bn"}, "characters that do not show"),
        ({"groups": ["nobody"]}, "none of the rules"),
    ]
    for spoilt, told in spoils:
        provider.spoil = lambda claims, spoilt=spoilt: {  # type: ignore[misc]
            name: value for name, value in {**claims, **spoilt}.items() if value is not None
        }
        assert told in fault_of(come_back(browser, answer_of(browser))), spoilt
        assert browser.get("/console").status == 303
    provider.spoil = dict
    provider.key = RSAKey.generate_key(2048, {"kid": "one"})
    assert "not signed by a key" in fault_of(come_back(browser, answer_of(browser)))


def test_what_is_there_twice_is_refused(provider: Provider, signing_in: Callable[..., Browser]) -> None:
    browser = signing_in()
    for more in ("code=x", "state=x", "iss=x"):
        query = answer_of(browser)
        query += f"&iss={quote(provider.issuer)}" if more == "iss=x" else ""
        assert "says something twice" in fault_of(browser.get(f"{BACK}?{query}&{more}")), more
        assert browser.get("/console").status == 303
    provider.write = lambda claims: b'{"sub": "root", ' + json.dumps(claims).encode()[1:]
    assert "cannot be read" in fault_of(come_back(browser, answer_of(browser)))


def test_who_signed_in_by_other_settings_signs_in_again(opened: Callable[..., Doors]) -> None:
    known = {"oidc_issuer": "https://login.example", "oidc_client_id": "klausel", "oidc_allow": ALLOW}
    service = opened(authentication="keys", policies=policies_alone(), **known).service
    assert service.sign_ins is not None
    kept = service.sign_ins.with_proof(SignIn(Caller("oidc:ann", frozenset({"policy"})), "user:ann"))
    for changed, counts in (
        ({}, True),
        ({"oidc_allow": ALLOW[:1]}, False),
        ({"oidc_issuer": None, "oidc_client_id": None, "oidc_allow": ()}, False),
        ({"oidc_person_type": "person"}, False),
        ({"session_hours": 1.0}, True),
    ):
        settings = replace(service.settings, **changed)
        others = open_sign_ins(settings, service.store.engine, service.authentication, SteadyClock())
        assert others is not None
        if counts:
            assert others.who(kept).person == "user:ann"
        else:
            with pytest.raises(Unauthenticated):
                others.who(kept)


def test_an_id_token_signed_with_a_shared_secret_is_refused(provider: Provider, signing_in: Callable[..., Browser]) -> None:
    browser = signing_in()
    provider.key = OctKey.import_key(provider.client.secret * 8)  # type: ignore[assignment]
    provider.spoil = lambda claims: {**claims, "header": {"alg": "HS256"}}
    assert "signed in a way that is not taken" in fault_of(come_back(browser, answer_of(browser)))


def test_what_only_the_user_info_tells_is_asked_for(provider: Provider, signing_in: Callable[..., Browser]) -> None:
    provider.users["ann"] |= {"email": "ann@acme.example", "email_verified": True, "realm": {"roles": ["lead"]}}
    provider.only_in_user_info = {"groups", "email", "email_verified", "realm"}
    browser = signing_in(oidc_person_claim="email", oidc_allow=("realm.roles=lead:policy",))
    assert come_back(browser, answer_of(browser)).status == 303
    assert "Signed in as oidc:ann@acme.example" in browser.page("/console").text
    provider.users["ann"] |= {"email_verified": False}
    assert "not verified the mail address" in fault_of(come_back(browser, answer_of(browser)))
    # The address of one is not the one that the other has verified.
    provider.users["ann"] |= {"email_verified": True}
    provider.spoil = lambda claims: {**claims, "email": "boss@acme.example"}
    assert "not verified the mail address" in fault_of(come_back(browser, answer_of(browser)))


def test_what_is_no_token_signs_nobody_in(
    provider: Provider, signing_in: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = signing_in()
    for body in (b"5", b"[]", b'{"expires_in": []}', b'{"error": 5}', b"[" * 9000, b"<html>"):
        query = answer_of(browser)
        with monkeypatch.context() as patched:
            told = httpx.Response(200, content=body, request=httpx.Request("POST", provider.issuer))
            patched.setattr(openid, "ask", lambda *_, told=told: told)
            assert "token" in fault_of(come_back(browser, query)), body
    state = dict(parse_qsl(answer_of(browser)))["state"]
    assert "sent no code" in fault_of(come_back(browser, f"state={state}"))


@pytest.mark.parametrize("place", ["http://127.0.0.1:5432/", "http://localhost/", "https://login.example:x/", "file:///etc"])
def test_a_provider_elsewhere_leads_to_nothing_on_this_machine(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    issuer = "https://login.example"
    about = {"issuer": issuer, "authorization_endpoint": f"{issuer}/a", "token_endpoint": place, "jwks_uri": f"{issuer}/k"}
    monkeypatch.setattr(openid, "read_key_set", lambda _: json.dumps(about).encode())
    provider = open_provider(Settings(oidc_issuer=issuer, oidc_client_id="klausel"), SteadyClock())
    assert provider is not None
    with pytest.raises(OpenIdFault, match="no https address as its token_endpoint"):
        provider.begin()


def test_roles_are_changed_on_behalf_of_the_person(provider: Provider, signing_in: Callable[..., Browser]) -> None:
    """The policies of the demo let nobody give roles, so it says what they lack, before and after the click."""
    provider.users["ann"]["groups"] = ["lead"]
    browser = signing_in(oidc_allow=("groups=lead:assign,audit",))
    assert come_back(browser, answer_of(browser)).status == 303
    told = browser.twin("/console/person", subject="user:new", domain="acme")
    assert told["rules"][-1] == "Nobody gives themselves a role that they do not hold."
    assert not any(one["given"] for one in told["offers"])
    page = browser.page("/console/person", subject="user:new", domain="acme")
    token = next(one["value"] or "" for one in page.all("input") if one.get("name") == "token")
    fields = {"token": token, "change": "grant", "subject": "user:new", "role": "user", "domain": "acme"}
    assert fault_of(browser.send("/console/person", fields))
    assert browser.twin("/console/person", subject="user:new")["rows"] == []


def test_a_provider_that_cannot_be_had_is_told_of(
    provider: Provider, signing_in: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid, "SECONDS_KEPT", -1.0)
    browser = signing_in(oidc_issuer="http://127.0.0.1:9")
    answer = browser.get(START)
    assert (answer.status, "cannot be reached" in answer.body.decode()) == (503, True)
    browser = signing_in(oidc_issuer=f"{provider.issuer}/")
    assert "calls itself by another name" in browser.get(START).body.decode()
    provider.about = {}
    browser = signing_in()
    query = answer_of(browser)
    provider.published = RSAKey.generate_key(2048, {"kid": "three"})
    assert "not signed by a key" in fault_of(come_back(browser, query))


def test_without_a_provider_there_is_no_such_page(opened: Callable[..., Doors]) -> None:
    doors = opened(authentication="keys")
    assert open_provider(doors.service.settings, SteadyClock()) is None
    assert Browser(doors.service).get(START).status == 404
    assert Browser(doors.service).get(BACK).status == 404
