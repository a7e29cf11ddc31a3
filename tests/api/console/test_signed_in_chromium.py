"""The console in a real browser for somebody who signs in: by key or provider, giving a role, reading why it was denied."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import WIDE, chromium, faults_of_page, look, text_of, until
from console_pages import new_key
from doors import DENIED, EVALUATION, Doors, demo_people, grant, open_doors
from openid_provider import Provider, openid_provider
from ports import free_port
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from served_apps import served

from klausel.api.lane import EvaluationLane
from klausel.app import create_flask_app

EVIL = "user:<img src=x onerror=document.title='owned'>"
PERSON = "/console/person?subject=user:leo&domain=acme/support"
PICTURED = (840, 620)
PICTURES = Path(os.environ["KLAUSEL_TEST_PICTURES"]).absolute() if "KLAUSEL_TEST_PICTURES" in os.environ else None


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with openid_provider() as found:
        yield found


@pytest.fixture(scope="module")
def port() -> int:
    """One at which the service answers, as a provider sends people back to its address."""
    return free_port()


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory, provider: Provider, port: int) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("signed-in")
    with open_doors(
        folder / "klausel.db",
        authentication="keys",
        port=port,
        decision_log="database",
        decision_log_strict=True,
        oidc_issuer=provider.issuer,
        oidc_client_id="klausel",
        oidc_client_secret=provider.client.secret,
        oidc_allow=("groups=support:policy,search,assign_on_behalf,audit",),
    ) as found:
        grant(found.service, [*demo_people(), ("group:desk", "user", "acme")])
        yield found


@pytest.fixture(scope="module")
def address(doors: Doors, port: int) -> Iterator[str]:
    with served(EvaluationLane(doors.service, create_flask_app(doors.service).wsgi_app), port) as found:
        yield found


@pytest.fixture(scope="module")
def shared() -> Iterator[Chrome]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def browser(shared: Chrome, address: str, doors: Doors) -> Chrome:
    """A browser in which somebody has signed in by a key."""
    look(shared, WIDE, "light")
    shared.delete_all_cookies()
    shared.get(f"{address}/console/person?subject=user:leo&domain=acme")
    until(shared, lambda _: "sign-in" in shared.current_url)
    key = new_key(doors, "policy", "search", "explain", "assign", "audit")
    shared.find_element(By.ID, "key").send_keys(key, Keys.ENTER)
    until(shared, lambda _: "person" in shared.current_url)
    return shared


def keep_picture(browser: Chrome, name: str) -> None:
    if PICTURES is not None:
        look(browser, PICTURED, "light")
        assert browser.save_screenshot(str(PICTURES / f"console-{name}.png"))


def test_every_page_is_readable_on_every_screen(browser: Chrome, address: str, doors: Doors) -> None:
    proof = {"Authorization": f"Bearer {new_key(doors, 'check')}", "X-Klausel-Record": "yes"}
    assert doors.lane.ask("POST", EVALUATION, json.dumps(DENIED).encode(), headers=proof).status == 200
    pages = {
        "people": "/console/people",
        "person": PERSON,
        "evil-person": f"/console/person?subject={EVIL}&domain=acme",
        "decisions": "/console/decisions",
    }
    for name, path in pages.items():
        look(browser, WIDE, "light")
        if name == "evil-person":
            grant(doors.service, [(EVIL, "user", "acme")])
        browser.get(address + path)
        assert faults_of_page(browser, address) == [], name
        assert (browser.title == "owned", browser.find_elements(By.TAG_NAME, "img")) == (False, [])
        if name != "evil-person":
            keep_picture(browser, name)
    look(browser, WIDE, "light")
    browser.find_element(By.CSS_SELECTOR, "tbody a").click()
    until(browser, lambda _: "Nearest grants" in browser.page_source)
    assert faults_of_page(browser, address) == []
    keep_picture(browser, "decision")
    look(browser, WIDE, "light")
    browser.find_element(By.CSS_SELECTOR, ".who button").click()
    until(browser, lambda _: browser.find_elements(By.ID, "key"))
    assert faults_of_page(browser, address) == []
    keep_picture(browser, "sign-in")
    browser.get(address + PERSON)
    assert browser.find_elements(By.ID, "key")


def test_a_role_is_given_and_taken_by_keyboard(browser: Chrome, address: str) -> None:
    browser.get(f"{address}/console/people")
    browser.find_element(By.ID, "name").send_keys("mia")
    until(browser, lambda _: "1 found" in text_of(browser, "said") or "Nobody" in text_of(browser, "said"))
    browser.get(f"{address}/console/person?subject=user:new&domain=acme")
    choice = next(
        one for one in browser.find_elements(By.CSS_SELECTOR, "[type=radio]") if one.get_attribute("value") == "user"
    )
    choice.send_keys(Keys.SPACE)
    browser.find_element(By.ID, "g-reason").send_keys("new colleague")
    browser.find_element(By.ID, "g-ticket").send_keys("T-7", Keys.ENTER)
    until(browser, lambda _: "Done: it is granted" in browser.page_source)
    browser.find_element(By.CSS_SELECTOR, "summary").send_keys(Keys.ENTER)
    reason = browser.find_element(By.ID, "r1-reason")
    until(browser, lambda _: reason.is_displayed())
    reason.send_keys("left", Keys.ENTER)
    until(browser, lambda _: "Done: it is revoked" in browser.page_source)
    assert "new colleague" in browser.page_source


def test_a_key_that_does_not_count_is_said_to_the_reader_of_the_screen(browser: Chrome, address: str) -> None:
    browser.delete_all_cookies()
    browser.get(f"{address}/console/sign-in")
    browser.find_element(By.ID, "key").send_keys("klausel_wrong", Keys.ENTER)
    until(browser, lambda _: browser.find_elements(By.CSS_SELECTOR, "[role=alert]"))
    assert "There is no such API key" in text_of(browser, "fault")
    assert browser.find_element(By.ID, "key").get_attribute("aria-describedby") == "fault"
    assert faults_of_page(browser, address) == []


def test_somebody_signs_in_by_the_provider(shared: Chrome, address: str, provider: Provider) -> None:
    provider.client.redirect_uris = [f"{address}/console/sign-in/callback"]
    shared.delete_all_cookies()
    look(shared, WIDE, "light")
    shared.get(f"{address}{PERSON}")
    shared.find_element(By.CSS_SELECTOR, "a.button").click()
    until(shared, lambda _: shared.title == "Provider")
    shared.find_element(By.TAG_NAME, "button").click()
    until(shared, lambda _: "Signed in as oidc:ann" in shared.page_source)
    assert shared.current_url == address + PERSON
