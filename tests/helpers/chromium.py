"""A real browser for tests: Debian's Chromium, driven by Selenium, with axe-core to judge what it shows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from node_packages import package_file
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb"),
)
SECONDS = 20
WIDE, NARROW = (1280, 900), (360, 740)
MOST_SHIFT = 0.01


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


def look(browser: Chrome, size: tuple[int, int], scheme: str, zoom: int = 1) -> None:
    """Sets the size of what is shown, light or dark, and how many times larger everything is."""
    width, height = size
    metrics = {"width": width // zoom, "height": height // zoom, "deviceScaleFactor": zoom, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def until(browser: Chrome, holds: Callable[[Chrome], Any]) -> Any:
    return WebDriverWait(browser, SECONDS, poll_frequency=0.05).until(holds)


def text_of(browser: Chrome, id_: str) -> str:
    """The text of an element, empty while there is none; it may be replaced at any time."""
    found: str = browser.execute_script("return document.getElementById(arguments[0])?.textContent ?? ''", id_)
    return " ".join(found.split())


def faults_of_page(browser: Chrome, address: str, *further: str) -> list[str]:
    """What is wrong with the page that is shown: found by axe-core, too wide, shifting, or asking other hosts.

    Looked at wide and light, narrow and dark, and at 200 %. `further` are the scripts that this page alone fetches.
    """
    found = serious_findings(browser)
    shift = browser.execute_async_script(SHIFT)
    if shift > MOST_SHIFT:
        found.append(f"it shifts by {shift}")
    asked = browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    own = [f"{address}/console/{name}" for name in ("style.css", "console.js", *further)]
    found += [f"it asks for {one}" for one in asked if one not in own and not one.endswith("favicon.ico")]
    for size, zoom in ((NARROW, 1), (WIDE, 2)):
        look(browser, size, "dark", zoom)
        if size == NARROW:
            found += serious_findings(browser)
        found += [f"at {size}, {zoom} times: {one}" for one in browser.execute_script(CUT_OFF)]
    said = [one["message"] for one in browser.get_log("browser") if "favicon.ico" not in one["message"]]
    found += [one for one in said if "Content Security Policy" in one or "Error" in one]
    return found


SHIFT = """
const done = arguments[arguments.length - 1];
let sum = 0;
new PerformanceObserver((list) => { for (const one of list.getEntries()) if (!one.hadRecentInput) sum += one.value; })
  .observe({ type: "layout-shift", buffered: true });
setTimeout(() => done(sum), 50);
"""
CUT_OFF = """
const wide = document.documentElement.scrollWidth - window.innerWidth;
const found = wide > 0 ? [`the page is ${wide} pixels too wide`] : [];
for (const one of document.querySelectorAll("main *, header *")) {
  const style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  if (one.closest(".scroll, pre, .said, .skip") || box.width === 0 || one.matches("input, select, textarea")) continue;
  if (box.right > window.innerWidth + 1 || (style.overflowX === "hidden" && one.scrollWidth > one.clientWidth + 1))
    found.push(`${one.tagName} is cut off: ${one.textContent.slice(0, 40)}`);
}
return found;
"""
