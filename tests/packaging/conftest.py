"""The files of a release, built once, and an environment that holds nothing but what they were installed into."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from release_files import build
from releases import MADE_AT, Environment, copy_of_sources
from workflow_steps import plain_environment


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheel, the source archive and their sums, of what stands in the work tree."""
    folder = tmp_path_factory.mktemp("release")
    return build(copy_of_sources(folder / "sources"), folder / "dist", MADE_AT)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A new virtual environment with its own pip, which finds what Klausel needs, but not Klausel; its folder and variables."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    found = subprocess.run(
        [str(folder / "bin" / "python"), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    own = Path(found.stdout.strip())
    # The folders are only searched: what makes the clone importable from them, a .pth file, is not read.
    (own / "needed.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}) + "\n")
    environment = plain_environment(folder, folder / "bin")
    return folder, {**environment, "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PYTHONNOUSERSITE": "1"}


@pytest.fixture(scope="session")
def installed(release: list[Path], empty: Environment) -> Environment:
    """The environment with the wheel installed."""
    folder, environment = empty
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", str(release[0])]
    subprocess.run(command, check=True, env=environment, timeout=120, stdin=subprocess.DEVNULL)
    assert os.access(folder / "bin" / "klausel", os.X_OK)
    return empty
