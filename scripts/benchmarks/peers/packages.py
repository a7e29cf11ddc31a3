"""Where the peers live and how they are got: a folder outside git, filled from the package registries when it is empty."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.workload import ROOT

FOLDER = ROOT / ".bench"
SETUP_SECONDS = 120
_PIP_PATIENCE = ("--retries", "1", "--timeout", "10")
_NPM_QUIET = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock")
_NPM_PATIENCE = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000")
_failed: set[str] = set()


class Missing(Exception):
    """A peer that cannot be had here; the text says why."""


def cache_folder() -> Path:
    """The folder of the peers, which tells git to leave it alone."""
    if not FOLDER.is_dir():
        FOLDER.mkdir()
        (FOLDER / ".gitignore").write_text("*\n", encoding="utf-8")
    return FOLDER


def python_peer(name: str) -> None:
    """Makes a package importable that is a peer, not a dependency; raises `Missing`."""
    folder = cache_folder() / "python"
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    if not (folder / name).is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PIP_PATIENCE]
        _run([*command, "--target", str(folder), "--upgrade", name], FOLDER, f"pip cannot install {name}")
        importlib.invalidate_caches()


def python_version(name: str) -> str:
    """The version of an importable package."""
    return importlib.metadata.version(name)


def npm_package(name: str) -> Path:
    """The folder of a package from npm; raises `Missing`."""
    root = cache_folder() / "npm"
    found = root / "node_modules" / name
    if not (found / "package.json").is_file():
        if shutil.which("npm") is None:
            raise Missing("there is no npm on this machine")
        root.mkdir(exist_ok=True)
        if not (root / "package.json").is_file():
            (root / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        command = ["npm", "install", *_NPM_QUIET, *_NPM_PATIENCE, name]
        _run(command, root, f"npm cannot install {name}")
    return found


def npm_version(name: str) -> str:
    """The version of an installed package from npm."""
    manifest = json.loads((npm_package(name) / "package.json").read_text(encoding="utf-8"))
    return str(manifest["version"])


def cerbos_binary() -> Path:
    """The Cerbos server for this platform, out of its npm package; raises `Missing`."""
    system = {"Linux": "linux", "Darwin": "darwin"}.get(platform.system())
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine().lower())
    if system is None or machine is None:
        raise Missing(f"Cerbos has no package for {platform.system()} on {platform.machine()}")
    name = f"cerbos-{system}-{machine}"
    binary = npm_package(f"@cerbos/{name}") / name
    if not binary.is_file():
        raise Missing(f"the package @cerbos/{name} holds no program")
    return binary


def cerbos_version() -> str:
    """The version of the Cerbos server."""
    return npm_version(f"@cerbos/{cerbos_binary().name}")


def node_program() -> str:
    """The path of node; raises `Missing`."""
    found = shutil.which("node")
    if found is None:
        raise Missing("there is no node on this machine")
    return found


def _run(command: list[str], folder: Path, failure: str) -> None:
    """Runs pip or npm; after one failure the same program is not asked again in this run."""
    program = Path(command[0]).name
    if program in _failed:
        raise Missing(failure)
    try:
        subprocess.run(command, cwd=folder, check=True, timeout=SETUP_SECONDS, stdin=subprocess.DEVNULL, capture_output=True)
    except subprocess.TimeoutExpired:
        _failed.add(program)
        raise Missing(f"{failure} within {SETUP_SECONDS} s") from None
    except (OSError, subprocess.CalledProcessError):
        _failed.add(program)
        raise Missing(f"{failure} (is its registry reached from here?)") from None
