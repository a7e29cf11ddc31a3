"""Pages of their own are whole at 1,280 pixels and on printed A4 landscape: no column is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("selenium")
from chromium import chromium
from command_line import run

PAPER = 1032
"""A4 landscape without its margins, in CSS pixels."""


@pytest.mark.usefixtures("demo_people")
def test_no_column_is_cut_on_a_screen_and_on_paper(tmp_path: Path) -> None:
    pages = {"matrix": ["matrix", "--format", "html"], "findings": ["findings", "--format", "html"]}
    for name, command in pages.items():
        (tmp_path / f"{name}.html").write_text(run(*command).stdout, encoding="utf-8")
    with chromium() as browser:
        for name in pages:
            browser.get((tmp_path / f"{name}.html").as_uri())
            for media, width in (("screen", 1280), ("print", PAPER)):
                browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})
                metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
                assert browser.execute_script("return document.documentElement.scrollWidth") <= width, (name, media)
