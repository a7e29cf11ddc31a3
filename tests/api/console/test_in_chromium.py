"""The console in a real browser: looked at wide and narrow, light and dark, used by keyboard, with and without its script."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from chromium import WIDE, chromium, faults_of_page, look, text_of, until
from doors import ROOT, demo_people, grant, open_doors
from git_in_tests import MODEL, Repository
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from served_apps import served

from klausel.api.lane import EvaluationLane
from klausel.app import create_flask_app

TRIED = {
    "subject": "user:leo",
    "action": "edit",
    "type": "quiz",
    "id": "q1",
    "domain": "acme/support",
    "resource.status": "published",
}
PAGES = {
    "matrix": "/console",
    "matrix-of-one": "/console?subject=user:leo&domain=acme/support",
    "roles": "/console/roles",
    "try": f"/console/try?{urlencode(TRIED)}",
    "try-denied": f"/console/try?{urlencode({**TRIED, 'action': 'delete'})}",
    "who-can": "/console/who-can?action=edit&type=quiz&domain=acme/support",
    "a-long-name": f"/console/what-can?subject=user:{'x' * 200}&domain={'y' * 100}",
    "what-can": "/console/what-can?subject=user:leo&domain=acme/support",
    "changes": "/console/changes",
    "fault-in-a-form": "/console/try?subject=leo&action=edit&type=quiz",
    "error": "/console?page=0",
}
KEPT = ("matrix", "roles", "try", "who-can", "what-can", "changes")
PICTURED = (840, 560)
PICTURES = Path(os.environ["KLAUSEL_TEST_PICTURES"]).absolute() if "KLAUSEL_TEST_PICTURES" in os.environ else None
"""A folder that the pictures of the documentation are written to; none are, unless it is named."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("console")
    repository = Repository(folder / "repository")
    shipped = [path for end in ("yaml", "csv") for path in (ROOT / "policies").rglob(f"*.{end}")]
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in shipped}
    repository.commit({**texts, "model.conf": MODEL}, "Policies of the demo")
    features = {"policies/features/quizzes.yaml": texts["policies/features/quizzes.yaml"]}
    more = "  - {allow: agent, to: delete, resource: quiz, because: an experiment}\n"
    repository.commit({name: text + more for name, text in features.items()}, "Agents may delete quizzes")
    repository.commit(features, "Agents may delete no quizzes again")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repository.folder)
        with open_doors(folder / "klausel.db", policies="policies", model="model.conf") as doors:
            grant(doors.service, demo_people())
            with served(EvaluationLane(doors.service, create_flask_app(doors.service).wsgi_app)) as found:
                yield found


@pytest.fixture(scope="module")
def shared(address: str) -> Iterator[Chrome]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def browser(shared: Chrome) -> Chrome:
    look(shared, WIDE, "light")
    return shared


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_readable_on_every_screen_and_asks_no_other_host(browser: Chrome, address: str, name: str) -> None:
    browser.get(address + PAGES[name])
    assert faults_of_page(browser, address) == []
    if PICTURES is not None and name in KEPT:
        look(browser, PICTURED, "light")
        assert browser.save_screenshot(str(PICTURES / f"console-{name}.png"))


def test_the_matrix_is_filtered_while_one_types(browser: Chrome, address: str) -> None:
    browser.get(f"{address}/console")
    assert "billing edit" in text_of(browser, "result")
    field = browser.find_element(By.ID, "feature")
    field.send_keys("quiz ed")
    until(browser, lambda _: "billing" not in text_of(browser, "result"))
    assert "quiz edit" in text_of(browser, "result")
    assert "feature=quiz+ed" in browser.current_url
    assert browser.switch_to.active_element == field
    until(browser, lambda _: "of 2" in text_of(browser, "said") or "of 1" in text_of(browser, "said"))


def test_a_note_is_shown_where_it_is_named_and_escape_hides_it(browser: Chrome, address: str) -> None:
    browser.get(f"{address}/console?feature=quiz")
    link = browser.find_element(By.CSS_SELECTOR, ".when a")
    browser.execute_script("arguments[0].focus()", link)
    note = browser.find_element(By.ID, "note")
    until(browser, lambda _: note.is_displayed())
    listed = link.get_attribute("href").rpartition("#")[2]
    assert note.text.split() == browser.find_element(By.ID, listed).text.split()
    assert link.get_attribute("aria-describedby") == "note"
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    until(browser, lambda _: not note.is_displayed())


def test_the_grants_of_a_row_are_shown_with_their_last_commit(browser: Chrome, address: str) -> None:
    browser.get(f"{address}/console?feature=quiz")
    summary = browser.find_element(By.CSS_SELECTOR, ".grants summary")
    browser.execute_script("arguments[0].focus()", summary)
    note = browser.find_element(By.ID, "note")
    until(browser, lambda _: note.is_displayed())
    assert "policies/features/quizzes.yaml:" in note.text
    assert re.search(r"last changed \d{4}-\d\d-\d\d by .*, [0-9a-f]{12}: Policies of the demo", note.text)
    assert summary.get_attribute("aria-describedby") == "note"


def test_a_question_is_tried_by_keyboard_alone(browser: Chrome, address: str) -> None:
    browser.get(f"{address}/console/try")

    def press(*keys: str) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    def focused() -> str:
        found: str = browser.execute_script("return document.activeElement.name || document.activeElement.textContent")
        return found

    press(Keys.TAB)
    assert focused() == "To the content"
    for _ in range(20):
        if focused() == "subject":
            break
        press(Keys.TAB)
    for name in ("subject", "action", "type"):
        assert focused() == name
        press(TRIED[name], Keys.TAB)
    press(TRIED["id"], Keys.TAB, TRIED["domain"])
    # Its fields come when the type is known.
    until(browser, lambda _: browser.find_elements(By.NAME, "resource.status"))
    until(browser, lambda _: "asks for edit on quiz q1 in acme/support" in text_of(browser, "result"))
    status = browser.find_element(By.NAME, "resource.status")
    status.send_keys("published")
    until(browser, lambda _: "Role assignment" in text_of(browser, "result"))
    assert "resource.status=published" in browser.current_url
    until(browser, lambda _: text_of(browser, "said") == "Allowed")


def test_the_pages_lead_from_who_to_what_to_the_matrix(browser: Chrome, address: str) -> None:
    browser.get(address + PAGES["who-can"])
    browser.find_element(By.LINK_TEXT, "user:leo").click()
    until(browser, lambda _: "user:leo in acme/support" in text_of(browser, "result"))
    browser.find_element(By.LINK_TEXT, "Matrix of this subject here").click()
    until(browser, lambda _: "What user:leo may do" in browser.title)


def test_everything_works_without_the_script(address: str) -> None:
    with chromium("--blink-settings=scriptEnabled=false") as browser:
        browser.get(f"{address}/console")
        browser.find_element(By.ID, "feature").send_keys("quiz edit")
        browser.find_element(By.TAG_NAME, "button").click()
        until(browser, lambda _: "feature=quiz+edit" in browser.current_url)
        assert [one.text for one in browser.find_elements(By.CSS_SELECTOR, "tbody th")] == [
            "quiz edit",
            "quiz edit_settings",
        ][:1]
        assert not browser.find_elements(By.ID, "note")


def test_a_hostile_name_runs_nothing(browser: Chrome, address: str) -> None:
    hostile = "user:<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    for path, given in (("try", {**TRIED, "subject": hostile}), ("what-can", {"subject": hostile, "domain": "acme"})):
        browser.get(f"{address}/console/{path}")
        for name, text in given.items():
            for field in browser.find_elements(By.CSS_SELECTOR, f"input[name='{name}']"):
                field.send_keys(text)
        until(browser, lambda _: "<img src=x" in text_of(browser, "result"))
        assert browser.title != "owned"
        assert not browser.find_elements(By.TAG_NAME, "img")
