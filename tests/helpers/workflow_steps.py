"""Runs the steps of a workflow, or of a composite action, as a code host does, but without one."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")
_PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")
LONGEST_SECONDS = 120


def read_workflow(path: Path) -> dict[str, Any]:
    """A workflow as its host reads it, except that `on` is a text and not true."""
    read: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
    return read


def is_pinned(step: Mapping[str, Any]) -> bool:
    """Whether a step that uses an action names its commit."""
    return "uses" not in step or _PINNED.fullmatch(step["uses"]) is not None


def run_step(
    step: Mapping[str, Any], folder: Path, environment: Mapping[str, str], values: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs the script of a step in a folder; `values` are those of its `${{ … }}`, and each that it uses must be there."""
    assert not _EXPRESSION.search(step["run"]), "what others wrote may stand in the environment of a script only"
    own = {name: _EXPRESSION.sub(lambda found: values[found[1]], text) for name, text in step.get("env", {}).items()}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={**environment, **own},
        capture_output=True,
        encoding="utf-8",
        timeout=LONGEST_SECONDS,
    )


def plain_environment(folder: Path, *first_on_path: Path) -> dict[str, str]:
    """Of a runner: nothing of the developer's settings, and files in `folder` for what steps hand to their host."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KLAUSEL_", "GIT_", "GITHUB_")) and name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    handed = {f"GITHUB_{name}": str(folder / name.lower()) for name in ("STEP_SUMMARY", "OUTPUT")}
    handed["RUNNER_TEMP"] = str(folder)
    git = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return {**kept, **handed, **git, "PATH": os.pathsep.join([*map(str, first_on_path), kept["PATH"]]), "LC_ALL": "C.UTF-8"}
