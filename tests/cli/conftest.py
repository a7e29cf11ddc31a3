"""The command line in a folder of its own: the shipped policies beside their model, and a database of the demo people."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from command_line import DEMO, ROOT, Change, Klausel, run


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("KLAUSEL_"):
            monkeypatch.delenv(name)
    shutil.copytree(ROOT / "policies", tmp_path / "policies", ignore=shutil.ignore_patterns("tests"))
    shutil.copy(ROOT / "model.conf", tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def klausel() -> Klausel:
    return run


@pytest.fixture(scope="session")
def demo_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; tests get copies of it."""
    file = tmp_path_factory.mktemp("demo") / "klausel.db"
    policies = ROOT / "policies"
    done = run("assignments", "import", DEMO, "--policies", policies, "--database", f"sqlite:///{file}")
    assert done.exit_code == 0, done.output
    return file


@pytest.fixture
def demo_people(demo_database: Path, tmp_path: Path) -> None:
    """The demo people in the default database."""
    shutil.copy(demo_database, tmp_path / "klausel.db")


@pytest.fixture
def change(tmp_path: Path) -> Change:
    """Replaces a text, which must be there, in a file."""

    def replace(name: str, old: str, new: str) -> None:
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return replace
