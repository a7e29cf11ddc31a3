"""requirements.lock: exact versions with hashes of all that setup.cfg asks for, and the bill of materials that is made of it."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bill_of_materials import LOCK, bill_of_materials, read_lock
from command_line import ROOT
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TEXT = (ROOT / LOCK).read_text(encoding="utf-8")
LOCKED = {canonicalize_name(one.name): one for one in read_lock(TEXT)}


EXTRAS_OF_THE_SERVICE = ("oauth", "oidc", "scim", "opentelemetry")


def required() -> list[Requirement]:
    """What the service is made of, with all that it can do."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    extras = [parser["options.extras_require"][name] for name in EXTRAS_OF_THE_SERVICE]
    lines = {line for text in (parser["options"]["install_requires"], *extras) for line in text.split("\n") if line.strip()}
    return [Requirement(line) for line in sorted(lines)]


@pytest.mark.parametrize("requirement", required(), ids=lambda one: one.name)
def test_the_lock_satisfies_setup_cfg(requirement: Requirement) -> None:
    locked = LOCKED[canonicalize_name(requirement.name)]
    assert locked.version in requirement.specifier, "scripts/lock writes it"
    for extra in requirement.extras:
        assert any(f"{requirement.name}-{extra}" in name for name in LOCKED)


def test_every_package_has_hashes_and_a_marker_that_can_be_read_and_no_place_where_it_comes_from() -> None:
    assert "://" not in TEXT
    for one in LOCKED.values():
        assert one.hashes, one.name
        assert not one.marker or Marker(one.marker)


def test_everything_in_the_lock_is_needed_by_klausel_or_by_something_else_in_it() -> None:
    asked = {canonicalize_name(one.name) for one in required()}
    for name, one in LOCKED.items():
        assert one.needed_by, name
        assert ("klausel" in one.needed_by) == (name in asked), name
        assert {canonicalize_name(other) for other in one.needed_by} <= {*LOCKED, "klausel"}, name


def test_pip_takes_the_lock_and_asks_for_no_more_than_its_files(tmp_path: Path) -> None:
    """Without a network: pip reads every line, requires every hash, and stops only where the first file would be fetched."""
    command = [sys.executable, "-m", "pip", "install", "--isolated", "--dry-run", "--no-index", "--require-hashes"]
    done = subprocess.run(
        [*command, "--target", str(tmp_path), "-r", str(ROOT / LOCK)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    first = next(iter(LOCKED.values()))
    assert f"No matching distribution found for {first.name}=={first.version}" in done.stderr
    assert "HASH" not in done.stderr


def test_the_bill_of_materials_names_every_package_once_with_what_needs_it() -> None:
    text = bill_of_materials(TEXT, "1.2.3")
    assert text == bill_of_materials(TEXT, "1.2.3")
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["metadata"]["component"]["version"]) == ("CycloneDX", "1.2.3")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    assert [one["purl"] for one in bill["components"]] == [one.url for one in LOCKED.values()]
    needs = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    assert len(needs) == len(LOCKED) + 1
    direct = needs[bill["metadata"]["component"]["bom-ref"]]
    assert {url.split("/")[1].split("@")[0] for url in direct} == {canonicalize_name(one.name) for one in required()}


def test_a_line_without_an_exact_version_is_refused() -> None:
    with pytest.raises(ValueError, match="names no exact version: flask>=3"):
        read_lock("flask>=3\n")
