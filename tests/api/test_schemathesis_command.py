"""`schemathesis run` as others run it, against a service that listens: all its checks, and nothing found.

In every run what is the same each time; with KLAUSEL_TEST_SCHEMATHESIS_SEEDS=1,2 all phases, once a seed, with and
without an API key, on SQLite and PostgreSQL.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import INSTALLED
from doors import ROOT
from running_service import running
from storage_fixtures import own_schema_url

SEEDS = tuple(filter(None, os.environ.get("KLAUSEL_TEST_SCHEMATHESIS_SEEDS", "").split(",")))
SCOPES = ("check", "search", "explain", "policy", "assign", "audit", "entities", "provision")
MANY_WAYS = "POST /v1/entities"
"""A stored value may be nested in more than 6,000 ways, three quarters of all that is asked; here thirty are drawn."""
A_WHOLE_CHECK = "POST /console/playground"
"""Each is a check, a run of all tests and a difference; those without a key are asked in every run."""
STORED = """
stored: {resources: quiz, subjects: user}
"""


def findings(port: int, *options: str) -> str:
    """What the command found; nothing where it found nothing."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"http://127.0.0.1:{port}/openapi.json"]
    told = subprocess.run(
        [
            *command,
            "--continue-on-failure",
            "--wait-for-schema",
            "60",
            "--request-timeout",
            "60",
            "--suppress-health-check",
            "all",
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if told.returncode == 0 else told.stdout


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """The shipped policies, with stored properties besides."""
    folder = tmp_path / "policies"
    subprocess.run(["cp", "-r", str(ROOT / "policies"), str(folder)], check=True)
    (folder / "properties.yaml").write_text(STORED)
    return folder


def test_it_finds_nothing(tmp_path: Path) -> None:
    with running(tmp_path, "--demo", "--decision-log", "database") as (_, port):
        assert findings(port, "--phases", "examples,coverage") == ""


def test_it_finds_nothing_with_a_key_where_properties_are_stored(tmp_path: Path, policies: Path) -> None:
    key = key_of(tmp_path, "sqlite:///klausel.db")
    options = ("--policies", str(policies), "--authentication", "keys", "--decision-log", "database")
    header = ("--header", f"Authorization: Bearer {key}")
    with running(tmp_path, *options) as (_, port):
        left_out = ("--exclude-name", MANY_WAYS, "--exclude-name", A_WHOLE_CHECK)
        assert findings(port, "--phases", "examples,coverage", *left_out, *header) == ""
        assert (
            findings(
                port, "--phases", "fuzzing", "--seed", "1", "--max-examples", "30", "--include-name", MANY_WAYS, *header
            )
            == ""
        )


@pytest.mark.parametrize("with_key", [False, True])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("seed", SEEDS)
def test_it_finds_nothing_by_any_seed(tmp_path: Path, policies: Path, seed: str, kind: str, with_key: bool) -> None:
    if kind == "sqlite":
        everything(tmp_path, policies, seed, "sqlite:///klausel.db", with_key)
        return
    with own_schema_url() as url:
        everything(tmp_path, policies, seed, url, with_key)


def everything(folder: Path, policies: Path, seed: str, database: str, with_key: bool) -> None:
    options = ["--policies", str(policies), "--database", database, "--decision-log", "database"]
    asked = ["--seed", seed]
    if with_key:
        asked += ["--header", f"Authorization: Bearer {key_of(folder, database)}"]
        options += ["--authentication", "keys"]
    with running(folder, *options) as (_, port):
        assert findings(port, *asked) == ""


def key_of(folder: Path, database: str) -> str:
    """A new API key that may do everything."""
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    told = subprocess.run(
        [INSTALLED, "keys", "new", "tests", *scopes, "--database", database],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()
