"""The playground in a real browser: an error typed, seen and fixed, the difference read, the patch downloaded."""

from __future__ import annotations

import os
from pathlib import Path

from chromium import WIDE, chromium, faults_of_page, look, serious_findings, text_of, until
from doors import ROOT, open_doors
from git_in_tests import MODEL, Repository
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from served_apps import served

from klausel.app import create_flask_app

NAME = "policies/features/quizzes.yaml"
PICTURES = Path(os.environ["KLAUSEL_PICTURES"]).absolute() if "KLAUSEL_PICTURES" in os.environ else None


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
    until(browser, lambda _: _editor(browser).text)
    assert faults_of_page(browser, address, "playground.js", "editor.js") == []
    look(browser, WIDE, "light")
    _editor(browser).click()
    ActionChains(browser).key_down(Keys.CONTROL).send_keys(Keys.END).key_up(Keys.CONTROL).perform()
    _press(browser, "  - {allow: agnt, to: delete, resource: quiz}")
    until(browser, lambda _: 'unknown role "agnt"' in text_of(browser, "result"))
    host = browser.find_element(By.CSS_SELECTOR, ".editor").shadow_root
    until(browser, lambda _: host.find_elements(By.CSS_SELECTOR, ".cm-lint-marker-error"))
    # The place of a problem leads to its line.
    browser.find_element(By.CSS_SELECTOR, "#result li button").click()
    _press(browser, Keys.DELETE * 4 + "agent")
    until(browser, lambda _: "no errors" in text_of(browser, "said"))
    result = text_of(browser, "result")
    assert "agent" in result and "What changes" in result and "holds" in result
    if PICTURES is not None:
        look(browser, (840, 560), "light")
        assert browser.save_screenshot(str(PICTURES / "console-playground.png"))
        look(browser, WIDE, "light")
    browser.find_element(By.CSS_SELECTOR, "button[value=patch]").click()
    until(browser, lambda _: (taken / "policies.patch").exists())
    assert "+  - {allow: agent, to: delete, resource: quiz}" in (taken / "policies.patch").read_text(encoding="utf-8")
    assert serious_findings(browser) == []
    assert [one for one in browser.get_log("browser") if "Content Security Policy" in one["message"]] == []


def _editor(browser: Chrome) -> WebElement:
    host = browser.find_element(By.CSS_SELECTOR, ".editor")
    return host.shadow_root.find_element(By.CSS_SELECTOR, ".cm-content")


def _press(browser: Chrome, keys: str) -> None:
    ActionChains(browser).send_keys(keys).perform()
