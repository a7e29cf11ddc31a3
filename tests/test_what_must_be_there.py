"""What continuous integration says must be there fails the tests that are skipped without it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from klausel.settings import fault_in_environment

ROOT = Path(__file__).parents[1]
CONFTEST = Path(__file__).with_name("conftest.py")
REQUIRED = dict(re.findall(r'^    "(.+)": "(KLAUSEL_REQUIRE_\w+)",$', CONFTEST.read_text(encoding="utf-8"), re.MULTILINE))


def test_continuous_integration_requires_all_that_can_be_required() -> None:
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\b(KLAUSEL_REQUIRE_\w+)=1", run)) == sorted(REQUIRED.values())


def test_services_start_under_what_runs_of_tests_set() -> None:
    runs = [ROOT / ".ci" / "run", ROOT / "scripts" / "nightly", *(ROOT / "tests").rglob("*.py")]
    setting = re.compile(r"\b(KLAUSEL_\w+)=|\benviron(?:\.get\(|\[)\"(KLAUSEL_\w+)")
    found = [pair for file in runs for pair in setting.findall(file.read_text(encoding="utf-8"))]
    names = {exported or read for exported, read in found}
    assert {"KLAUSEL_REQUIRE_NODE", "KLAUSEL_TEST_WORLDS", "KLAUSEL_TEST_SCHEMATHESIS_SEEDS"} <= names
    assert fault_in_environment(names) is None


@pytest.mark.parametrize("wanted", REQUIRED)
def test_some_test_is_skipped_for_want_of_it(wanted: str) -> None:
    skipping = re.compile(rf"(?:skip\(|TO_GET_\w+ = )\(?\s*f?\"[^\"]*{wanted}")
    assert any(skipping.search(file.read_text(encoding="utf-8")) for file in (ROOT / "tests").rglob("*.py"))


def test_what_is_required_and_not_there_fails(tmp_path: Path) -> None:
    skipped = "\n".join(
        f"def test_{number}(): pytest.skip('{wanted} is not installed')" for number, wanted in enumerate(REQUIRED)
    )
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text(encoding="utf-8").replace("storage_fixtures", "json"))
    (tmp_path / "test_all.py").write_text(f"import pytest\n\n{skipped}\n")

    def told(**variables: str) -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(tmp_path)]
        # Without the plugins of others, which nothing here needs and which take a second to load.
        environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
        return subprocess.run(command, env=environment, capture_output=True, text=True).stdout

    assert f"{len(REQUIRED)} skipped" in told()
    for variable in REQUIRED.values():
        assert f"1 failed, {len(REQUIRED) - 1} skipped" in told(**{variable: "1"})
