"""Advisories in the OSV format against the lock: which versions they speak of, as their specification says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bill_of_materials import LOCK, read_lock
from command_line import ROOT
from lock_audit import licence_of, speaks_of


def advisory(
    *events: dict[str, str], versions: tuple[str, ...] = (), name: str = "Some.Package", **more: Any
) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": "PyPI", "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}, {"type": "GIT", "events": [{"introduced": "abc"}]}],
        "versions": list(versions),
    }
    return {"id": "GHSA-1", "summary": "is bad", "affected": [affected], **more}


@pytest.mark.parametrize(
    ("found", "affected", "fine"),
    [
        (advisory({"introduced": "0"}, {"fixed": "1.10"}), ["0.1", "1.9", "1.10rc1"], ["1.10", "2"]),
        (advisory({"introduced": "1.2"}, {"last_affected": "1.4"}), ["1.2", "1.4"], ["1.1", "1.4.1"]),
        (
            advisory({"introduced": "2"}, {"fixed": "2.1"}, {"introduced": "0"}, {"fixed": "1"}),
            ["0.5", "2.0"],
            ["1.0", "1.5", "2.1"],
        ),
        (advisory({"introduced": "3"}), ["3", "99"], ["2"]),
        (advisory(versions=("1.0", "1.1")), ["1.0", "1.1"], ["1.2"]),
        (advisory({"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z"), [], ["1"]),
        (advisory({"introduced": "0"}, name="other"), [], ["1"]),
    ],
)
def test_an_advisory_speaks_of_the_versions_between_its_events(
    found: dict[str, Any], affected: list[str], fine: list[str]
) -> None:
    assert all(speaks_of(found, "some-package", version) for version in affected)
    assert not any(speaks_of(found, "some-package", version) for version in fine)


def test_the_command_names_what_is_known_and_fails_where_nothing_was_checked(tmp_path: Path) -> None:
    flask = next(one for one in read_lock((ROOT / LOCK).read_text()) if one.name == "flask")

    def run() -> tuple[int, str]:
        command = [sys.executable, str(ROOT / "scripts" / "lock_audit.py"), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout

    assert run() == (2, f"{tmp_path} holds no advisories, so nothing was checked\n")
    (tmp_path / "fine.json").write_text(json.dumps(advisory({"introduced": "0"}, {"fixed": "0.1"}, name="Flask")))
    assert run()[0] == 0
    (tmp_path / "bad.json").write_text(json.dumps(advisory({"introduced": "0"}, name="Flask")))
    code, told = run()
    assert (code, told.splitlines()[0]) == (1, f"flask {flask.version}: GHSA-1 is bad")


def test_every_package_that_is_installed_says_its_licence() -> None:
    licences = {one.name: licence_of(one.name) for one in read_lock((ROOT / LOCK).read_text())}
    assert [name for name, licence in licences.items() if licence == "says none"] == []
    assert licences["flask"] == "BSD-3-Clause"
