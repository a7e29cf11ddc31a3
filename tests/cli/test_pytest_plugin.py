"""`pytest policies` runs the policy tests, and other test runs do not notice the plugin."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from small_policies import ROOT

PLUGIN = "klausel.cli.pytest_plugin"


@pytest.fixture(autouse=True)
def own_folder() -> None:
    """These tests bring policies of their own."""


def run_pytest(folder: Path, *arguments: str) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KLAUSEL_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", "-W", "error", *arguments],
        cwd=folder,
        env={**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    shutil.copy(ROOT / "model.conf", tmp_path)
    return tmp_path


def test_every_test_of_every_file_is_run_and_named(folder: Path) -> None:
    code, output = run_pytest(folder, "-v", "policies")
    assert code == 0, output
    assert "policies/tests/pins_test.yaml::All members of the account create pins PASSED" in output
    assert "53 passed" in output


def test_one_test_is_run_by_its_name(folder: Path) -> None:
    code, output = run_pytest(folder, "policies/tests/pins_test.yaml::All members of the account create pins")
    assert (code, "1 passed" in output) == (0, True), output


def test_a_failure_reads_as_in_klausel_test(folder: Path) -> None:
    path = folder / "policies" / "tests" / "pins_test.yaml"
    path.write_text(path.read_text().replace("      ann: create\n", ""))
    code, output = run_pytest(folder, "policies")
    assert code == 1
    assert "policies/tests/pins_test.yaml:15: ann create pin in acme\n  expected: denied\n  got:      allowed\n" in output
    assert "1 failed, 52 passed" in output


def test_policies_with_a_problem_are_an_error_with_its_place(folder: Path) -> None:
    path = folder / "policies" / "tests" / "pins_test.yaml"
    path.write_text(path.read_text().replace("acme: user", "acme: usr"))
    code, output = run_pytest(folder, "policies/tests/pins_test.yaml")
    assert code != 0
    assert 'policies/tests/pins_test.yaml:6:25: error: unknown role "usr"' in output
    assert "Traceback" not in output


def test_files_that_are_of_no_policy_set_are_left_alone(tmp_path: Path) -> None:
    for name in ("tests/x_test.yaml", "x_test.yaml", "policies/tests/x.yaml", "policies/tests/deep/x_test.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("not: ours\n")
    (tmp_path / "policies" / "roles.yaml").write_text("")
    (tmp_path / "test_x.py").write_text(
        f"import sys\ndef test_x():\n    assert '{PLUGIN}' in sys.modules and 'klausel.core' not in sys.modules\n"
    )
    code, output = run_pytest(tmp_path)
    assert (code, "1 passed" in output) == (0, True), output


def test_the_plugin_is_installed_with_the_package() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options.entry_points"]["pytest11"].strip() == f"klausel_policies = {PLUGIN}"
