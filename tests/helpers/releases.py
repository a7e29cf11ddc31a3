"""What releases are built from in tests."""

from __future__ import annotations

import shutil
from pathlib import Path

from bill_of_materials import LOCK
from command_line import ROOT

MADE_AT = 1_767_225_600
_SOURCES = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md", LOCK)
_LEFT_BY_TOOLS = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")

Environment = tuple[Path, dict[str, str]]
"""The folder of a virtual environment, and the variables of a shell in it."""


def copy_of_sources(folder: Path) -> Path:
    """What packages are built from, in a folder of its own."""
    folder.mkdir()
    for name in _SOURCES:
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "server", folder / "server", ignore=_LEFT_BY_TOOLS)
    return folder
