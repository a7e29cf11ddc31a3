"""A real browser for tests: Debian's Chromium, driven by Selenium, with axe-core to judge what it shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from node_packages import package_file
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb"),
)
SECONDS = 20


@contextmanager
def chromium(*arguments: str) -> Iterator[Chrome]:
    """A browser of its own; skips where there is none."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("Chromium is not installed; apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = browser
    for argument in (*ARGUMENTS, *arguments):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = Chrome(options=options, service=Service(driver))
    try:
        found.set_page_load_timeout(SECONDS)
        yield found
    finally:
        found.quit()


def serious_findings(browser: Chrome) -> list[str]:
    """What axe-core finds on the page that is shown and calls serious or critical."""
    browser.execute_script(package_file("axe-core", "axe.min.js").read_text(encoding="utf-8"))
    told: Any = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1]);")
    assert told["passes"], "axe-core looked at nothing"
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]}"
        for one in told["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
