"""The playground in a real browser: an error typed, seen and fixed, the difference read, the patch downloaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from chromium import WIDE, chromium, faults_of_page, look, serious_findings, text_of, until
from doors import ROOT, open_doors
from git_in_tests import MODEL, Repository
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from served_apps import served

from klausel.app import create_flask_app

MOST_BYTES = 100_000
NAME = "policies/features/quizzes.yaml"
PICTURES = Path(os.environ["KLAUSEL_TEST_PICTURES"]).absolute() if "KLAUSEL_TEST_PICTURES" in os.environ else None


def test_a_change_is_tried_in_the_browser_and_taken_along_as_a_patch(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    shipped = [path for end in ("yaml", "csv") for path in (ROOT / "policies").rglob(f"*.{end}")]
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in shipped}
    repository.commit({**texts, "model.conf": MODEL}, "Policies of the demo")
    (tmp_path / "taken").mkdir()
    here = Path.cwd()
    os.chdir(repository.folder)
    try:
        with (
            open_doors(tmp_path / "klausel.db", policies="policies", model="model.conf") as doors,
            served(create_flask_app(doors.service)) as address,
            chromium() as browser,
        ):
            _use(browser, address, tmp_path / "taken")
    finally:
        os.chdir(here)
    repository.git("apply", "--check", str(tmp_path / "taken" / "policies.patch"))


def _use(browser: Chrome, address: str, taken: Path) -> None:
    look(browser, WIDE, "light")
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(taken)})
    browser.get(f"{address}/console/playground?file={NAME}")
    until(browser, lambda _: browser.find_elements(By.CSS_SELECTOR, ".editor") and _text(browser))
    sizes = "return performance.getEntries().map((one) => one.transferSize || 0).reduce((sum, one) => sum + one, 0)"
    assert 50_000 < browser.execute_script(sizes) < MOST_BYTES
    assert faults_of_page(browser, address, "playground.js", "editor.js") == []
    look(browser, WIDE, "light")
    _type_with_offers(browser)
    _press(browser, "  - {allow: agnt, to: delete, resource: quiz}")
    until(browser, lambda _: 'unknown role "agnt"' in text_of(browser, "result"))
    until(browser, lambda _: _within(browser, ".sign-error"))
    # The place of a problem leads to its line.
    browser.find_element(By.CSS_SELECTOR, "#result li button").click()
    _press(browser, Keys.DELETE * 4 + "agent")
    until(browser, lambda _: "no errors" in text_of(browser, "said"))
    result = text_of(browser, "result")
    assert "agent" in result and "What changes" in result and "holds" in result
    if PICTURES is not None:
        look(browser, (1280, 1400), "light")
        browser.execute_script("scrollTo(0, 0)")
        assert browser.save_screenshot(str(PICTURES / "console-playground.png"))
        look(browser, WIDE, "light")
    _turn_files_over(browser)
    browser.find_element(By.CSS_SELECTOR, "button[value=patch]").click()
    until(browser, lambda _: (taken / "policies.patch").exists())
    patch = (taken / "policies.patch").read_text(encoding="utf-8")
    assert "+  - {allow: agent, to: delete, resource: quiz}" in patch
    assert "deleted file mode" in patch and "+++ b/policies/features/letters.yaml" in patch
    assert serious_findings(browser) == []
    assert [one for one in browser.get_log("browser") if "Content Security Policy" in one["message"]] == []


def _type_with_offers(browser: Chrome) -> None:
    """What may be written is offered as one types, taken by keyboard, told by what it means, and undone."""
    _editor(browser).click()
    _control(browser, Keys.HOME)
    _press(browser, Keys.ARROW_DOWN)
    _control(browser, "i")
    until(browser, lambda _: [one for one in _within(browser, ".about") if "description: " in one])
    _press(browser, Keys.ESCAPE)
    until(browser, lambda _: not _within(browser, ".about"))
    _control(browser, Keys.END)
    _press(browser, "  - {allow: rev")
    until(browser, lambda _: [one for one in _within(browser, ".offers li") if "reviewer" in one])
    assert _editor(browser).get_attribute("aria-activedescendant") == "offer0"
    assert serious_findings(browser) == []
    _press(browser, Keys.ENTER)
    until(browser, lambda _: _text(browser).endswith("- {allow: reviewer"))
    _undo(browser, lambda: "{allow" in _text(browser))


def _turn_files_over(browser: Chrome) -> None:
    """A file is added, renamed, deleted and brought back, and each keeps what can be undone."""
    browser.find_element(By.ID, "new").send_keys("features/notes.yaml" + Keys.ENTER)
    until(browser, lambda _: "features/notes.yaml new" in _files(browser))
    _press(browser, "resource_types: {}\ngrants: []")
    browser.find_element(By.ID, "new").send_keys("features/letters.yaml")
    browser.find_element(By.CSS_SELECTOR, "button[value=rename]").click()
    until(browser, lambda _: "features/letters.yaml new" in _files(browser) and "notes" not in _files(browser))
    assert "resource_types" in _text(browser)
    browser.find_element(By.ID, "new").send_keys("../up.yaml" + Keys.ENTER)
    until(browser, lambda _: "is no name of a policy file" in text_of(browser, "fault"))
    _open(browser, "billing.yaml")
    browser.find_element(By.CSS_SELECTOR, "button[value=delete]").click()
    until(browser, lambda _: "billing.yaml deleted" in _files(browser))
    browser.find_element(By.CSS_SELECTOR, "button[name=back]").click()
    until(browser, lambda _: "deleted" not in _files(browser))
    browser.find_element(By.CSS_SELECTOR, "button[value=delete]").click()
    until(browser, lambda _: "billing.yaml deleted" in _files(browser))
    _open(browser, NAME)
    until(browser, lambda _: "to: delete" in _text(browser))
    _editor(browser).click()
    _undo(browser, lambda: "agent, to: delete" in _text(browser))
    _control(browser, "y")
    until(browser, lambda _: "agent, to: delete" in _text(browser))
    until(browser, lambda _: text_of(browser, "result") != "")


def _undo(browser: Chrome, is_there: Callable[[], bool]) -> None:
    for _ in range(9):
        if not is_there():
            return
        _control(browser, "z")
    assert not is_there()


def _open(browser: Chrome, name: str) -> None:
    browser.find_element(By.XPATH, f"//*[@class='files']//li/button[contains(., '{name}')]").click()
    until(browser, lambda _: name in _shown(browser, ".files [aria-current]"))


def _files(browser: Chrome) -> str:
    return _shown(browser, ".files ul")


def _shown(browser: Chrome, selector: str) -> str:
    """The text of an element, read at once: it may be replaced at any time."""
    found: str = browser.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)
    return " ".join(found.split())


def _within(browser: Chrome, selector: str) -> list[str]:
    """The texts of what the editor shows, read at once."""
    inside = "document.querySelector('.editor').shadowRoot.querySelectorAll(arguments[0])"
    script = f"return Array.from({inside}, (one) => one.innerText)"
    found: list[str] = browser.execute_script(script, selector)
    return found


def _text(browser: Chrome) -> str:
    return "".join(_within(browser, ".cm-content"))


def _editor(browser: Chrome) -> WebElement:
    host = browser.find_element(By.CSS_SELECTOR, ".editor")
    return host.shadow_root.find_element(By.CSS_SELECTOR, ".cm-content")


def _press(browser: Chrome, keys: str) -> None:
    ActionChains(browser).send_keys(keys).perform()


def _control(browser: Chrome, key: str) -> None:
    ActionChains(browser).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()
