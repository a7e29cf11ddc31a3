"""Packages of Node, installed once into a folder of the checkout that git ignores."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "build" / "node"
PACKAGES = {"axe-core": "4.10.3", "casbin": "5.51.1", "casbin.js": "1.1.0"}
SECONDS = 120


def run_in_node(script: str, question: Any) -> Any:
    """What a script prints as JSON, with the question in `input`; skips where there is no Node, or no package."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    _install()
    code = f"const input = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n{script}"
    done = subprocess.run(
        [node, "-e", code], cwd=FOLDER, input=json.dumps(question), capture_output=True, encoding="utf-8", timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def package_file(package: str, name: str) -> Path:
    """A file of a package; skips where there is no Node, or no package."""
    if shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    _install()
    return FOLDER / "node_modules" / package / name


def _install() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = json.dumps({"private": True, "dependencies": PACKAGES})
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed = FOLDER / "installed.json"
        if installed.is_file() and installed.read_text(encoding="utf-8") == wanted:
            return
        (FOLDER / "package.json").write_text(wanted, encoding="utf-8")
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, encoding="utf-8", timeout=SECONDS)
        if done.returncode != 0:
            pytest.skip(f"Node has no packages: {done.stderr[-300:]}")
        installed.write_text(wanted, encoding="utf-8")
