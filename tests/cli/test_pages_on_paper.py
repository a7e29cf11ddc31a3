"""Pages that are files are whole at 1,280 pixels and on printed A4 landscape, are filtered as one types, and show the roles."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from chromium import chromium
from command_line import ROOT, run
from git_in_tests import Repository
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from klausel.api.console import assets
from klausel.core.analysis.page_style import PAGE_STYLE, TOKENS
from klausel.core.analysis.table import Sheet, as_html

PAPER = 1032
"""A4 landscape without its margins, in CSS pixels."""
PAGE = 703
"""Its height without margins."""
PAGES = {
    "matrix": ["matrix"],
    "findings": ["findings"],
    "review": ["review", "--since", "HEAD~1"],
    "diff": ["diff", "HEAD~1", "HEAD"],
    "log": ["log"],
}


LONG_IDS = """subject,role,domain
user:chief@hospital.example.org,admin,northern-regional-hospital
user:maria.hernandez-lopez@hospital.example.org,user,northern-regional-hospital
user:maria.hernandez-lopez@hospital.example.org,manager,northern-regional-hospital/intensive_care_unit_2
service:nightly-appointment-reminder.europe-west-1,user,northern-regional-hospital
service:nightly-appointment-reminder.europe-west-1,agent,northern-regional-hospital/intensive_care_unit_2
"""
BREAKS_WITHIN = """
// Each text of a cell with its places: what stands before a line end must be a blank, or a sign between parts of an id.
const broken = [], range = document.createRange();
for (const cell of document.querySelectorAll("td")) {
  const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  let before = "", bottom = null;
  for (let node; (node = walk.nextNode()); ) {
    for (let at = 0; at < node.data.length; at++) {
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      const box = range.getBoundingClientRect();
      if (box.width && bottom !== null && box.top >= bottom - 1 && !/[\\s@./_:-]/.test(before)) broken.push(cell.textContent);
      before = node.data[at];
      bottom = box.width ? box.bottom : bottom;
    }
    if (node.parentElement !== cell && getComputedStyle(node.parentElement).display === "block") bottom = null;
  }
}
return [...new Set(broken)];
"""

ROWS_LEFT = """
const box = document.querySelector("#filter input");
box.value = arguments[0];
box.dispatchEvent(new Event("input"));
return [...document.querySelectorAll("tbody tr")].filter(row => row.checkVisibility()).map(row => row.textContent);
"""

BROKEN_WORDS = """
const broken = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = document.createRange();
for (let node; (node = walk.nextNode()); ) {
  if (!node.parentElement.closest("table")) continue;
  for (const word of node.data.matchAll(/\\d{4}-\\d\\d-\\d\\d|[\\p{L}\\p{N}_]+/gu)) {
    if (node.parentElement.matches(".long")) continue;
    range.setStart(node, word.index);
    range.setEnd(node, word.index + word[0].length);
    if (new Set([...range.getClientRects()].map(box => `${box.top} ${box.left}`)).size > 1) broken.push(word[0]);
  }
}
return broken;
"""


def is_filtered(browser: WebDriver) -> bool:
    """Whether there is a filter, and only rows with what was typed are left."""
    assert browser.find_element(By.CSS_SELECTOR, "#filter input").is_displayed()
    wanted = browser.execute_script(ROWS_LEFT, "")[-1].split()[0]
    left = browser.execute_script(ROWS_LEFT, f"{wanted.upper()} ")
    fits = bool(left) and all(wanted.lower() in text.lower() for text in left)
    return fits and browser.execute_script(ROWS_LEFT, "nothing-is-called-so") == []


@pytest.mark.usefixtures("demo_people")
def test_each_page_is_whole_on_a_screen_and_on_paper_is_filtered_and_shows_the_roles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Repository(tmp_path / "desk")
    texts = {str(file.relative_to(ROOT)): file.read_text() for file in (ROOT / "policies").rglob("*.*") if file.is_file()}
    made.commit({**texts, "model.conf": (ROOT / "model.conf").read_text()}, "Before")
    made.replace(
        "policies/features/quizzes.yaml", "  - allow: lead\n    to: edit", "  - allow: reviewer\n    to: edit", "After"
    )
    monkeypatch.chdir(made.folder)
    monkeypatch.setenv("KLAUSEL_DATABASE", f"sqlite:///{tmp_path}/klausel.db")
    for name, command in PAGES.items():
        done = run(*command, "--format", "html")
        assert done.exit_code == 0, (name, done.stderr)
        assert done.stdout.count("<svg") == 1, name
        assert "\\u{a}" not in done.stdout, name
        (tmp_path / f"{name}.html").write_text(done.stdout, encoding="utf-8")
    roles = made.folder / "policies" / "roles.yaml"
    more = "".join(f"\n  role_of_team_{number}:\n    level: workspace\n" for number in range(30))
    roles.write_text(roles.read_text(encoding="utf-8") + more, encoding="utf-8")
    (tmp_path / "wide.html").write_text(run("matrix", "--format", "html").stdout, encoding="utf-8")
    with chromium() as browser:
        for name in (*PAGES, "wide"):
            browser.get((tmp_path / f"{name}.html").as_uri())
            for media, width in (("screen", 1280), ("print", PAPER)):
                browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})
                metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
                assert browser.execute_script("return document.documentElement.scrollWidth") <= width, (name, media)
                assert browser.execute_script(BROKEN_WORDS) == [], (name, media)
            if name not in ("diff", "wide"):
                # A picture that began a page of its own would leave the first one empty.
                assert (
                    browser.execute_script("return document.querySelector('svg').getBoundingClientRect().bottom") < PAGE
                ), name
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen"})
            printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
            pdf = base64.b64decode(printed["data"])
            # 842 by 595 points are A4 landscape; a page that is too wide would be printed smaller.
            assert b"/MediaBox [0 0 841.9" in pdf, name
            assert is_filtered(browser), name


def test_pages_that_are_files_and_the_console_have_one_set_of_colours_spaces_and_type() -> None:
    own = (Path(assets.__file__).parent / "style.css").read_text(encoding="utf-8")
    for style in (own, PAGE_STYLE.removeprefix(TOKENS)):
        used = [word.partition(")")[0] for word in style.split("var(")[1:]]
        assert used and all(f"{name}: " in TOKENS for name in used)
    assert PAGE_STYLE.startswith(TOKENS)
    assert ":root" not in own
    assert assets.TOKENS is TOKENS


def test_long_ids_break_between_their_parts_alone_and_are_copied_and_found_whole(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(LONG_IDS, encoding="utf-8")
    done = run("assignments", "import", "people.csv")
    assert done.exit_code == 0, done.output
    where = "northern-regional-hospital/intensive_care_unit_2"
    pages = {
        "findings": run("findings", "--ending-within", "30d", "--format", "html").stdout,
        "matrix": run("matrix", "--by", "person", "--in", where, "--format", "html").stdout,
        "narrow": "\n".join(as_html(NARROW)),
    }
    with chromium() as browser:
        for name, page in pages.items():
            (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
            browser.get((tmp_path / f"{name}.html").as_uri())
            for width in (1280, PAPER):
                metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
                assert browser.execute_script("return document.documentElement.scrollWidth") <= width, name
                assert browser.execute_script(BREAKS_WITHIN) == [], (name, width)
        copied = browser.execute_script(
            "const all = getSelection(); all.selectAllChildren(document.body); return all.toString()"
        )
        assert copied.count(LONG_ID) == 8
        assert len(browser.execute_script(ROWS_LEFT, LONG_ID.upper())) == 1


def test_a_name_without_any_blank_stays_on_the_page_wherever_it_stands(tmp_path: Path) -> None:
    rows = [(name,) * 8 for name in (UNBROKEN, RIGHT_TO_LEFT)]
    names = tuple(UNBROKEN[:60] + sign for sign in "abcdefgh")
    sheet = Sheet(
        UNBROKEN, ((UNBROKEN, UNBROKEN),), (UNBROKEN,), names, [(UNBROKEN, rows)], lambda notes: [(UNBROKEN, UNBROKEN)]
    )
    (tmp_path / "unbroken.html").write_text("\n".join(as_html(sheet)), encoding="utf-8")
    with chromium() as browser:
        browser.get((tmp_path / "unbroken.html").as_uri())
        for media, width in (("screen", 1280), ("print", PAPER)):
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})
            metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, media


UNBROKEN = "user:" + "n" * 120
RIGHT_TO_LEFT = "user:" + "\u05de\u05e9\u05d4" * 40
LONG_ID = "user:maria.hernandez-lopez@hospital.example.org"
NARROW = Sheet("Narrow", (), (), tuple("abcdefgh"), [("", [(LONG_ID,) * 8])], lambda notes: ())


def test_a_table_with_very_many_columns_scrolls_within_itself_and_keeps_its_names_in_sight(tmp_path: Path) -> None:
    roles = tuple(f"role_with_a_name_{number}" for number in range(45))
    rows = [(f"thing_{number}", "edit", *("yes" for _ in roles)) for number in range(60)]
    page = tmp_path / "page.html"
    sheet = Sheet("Who may do what", (), (), ("resource type", "action", *roles), [("", rows)], lambda _: ())
    page.write_text("\n".join(as_html(sheet)), encoding="utf-8")
    with chromium() as browser:
        browser.set_window_size(1280, 900)
        browser.get(page.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        seen = browser.execute_script("""
            const table = document.querySelector("table"), box = () => table.getBoundingClientRect();
            table.scrollTo(200, 400);
            const at = selector => document.querySelector(selector).getBoundingClientRect();
            return [table.scrollLeft, at("tbody td:nth-child(1)").left - box().left, at("tbody td:nth-child(2)").left
              - at("tbody td:nth-child(1)").right, at("thead th").top - box().top];
        """)
    assert seen[0] == 200
    assert [abs(round(one)) for one in seen[1:]] == [0, 0, 0]
