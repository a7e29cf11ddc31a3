"""Packages that are written for Casbin, in a folder that git ignores: what they bring would spoil an environment."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "build"
PACKAGES = (
    "flask-authz==2.9.0",
    "fastapi-authz==1.0.0",
    "django-authorization==1.4.0",
    "casbin-redis-watcher==1.3.0",
    "redis==4.6.0",
    "pyjwt>=2",
)
RETIRED = ("casbin==1.43.0",)
SECONDS = 120


def run_beside(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a script of Python that finds the packages of a folder first, and what is installed here after them."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
    )


def installed(name: str, packages: tuple[str, ...]) -> Path:
    """The folder `build/NAME` with these packages, without what they need; skips where they cannot be had."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    done_mark = folder / "installed.txt"
    with (BUILD / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done_mark.is_file() or done_mark.read_text(encoding="utf-8") != " ".join(packages):
            command = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps"]
            command += ["--upgrade", "--target", str(folder), *packages]
            done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=SECONDS)
            if done.returncode != 0:
                pytest.skip(f"packages for Casbin cannot be installed: {done.stderr[-300:]}")
            done_mark.write_text(" ".join(packages), encoding="utf-8")
    return folder
