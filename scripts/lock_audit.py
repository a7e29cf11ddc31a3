"""Tells what is known against the packages of requirements.lock, from a folder of advisories in OSV format, without a network.

    scripts/python scripts/lock_audit.py ADVISORIES

The folder is what the file all.zip of osv.dev for the ecosystem PyPI unpacks to, from whichever day you fetched it.
Prints each advisory that speaks of a locked version, and the licences of those that are installed here. Exit code 1 when there is
one, 2 when nothing could be read. Not known here: what was found since that day, and which releases were yanked.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from bill_of_materials import LOCK, read_lock
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

Advisory = dict[str, Any]


def speaks_of(advisory: Advisory, name: str, version: str) -> bool:
    """Whether an advisory that still stands says that this version of a package is affected."""
    if "withdrawn" in advisory:
        return False
    for affected in advisory.get("affected", ()):
        package = affected.get("package", {})
        if package.get("ecosystem") != "PyPI" or canonicalize_name(package.get("name", "")) != canonicalize_name(name):
            continue
        ranges = [one for one in affected.get("ranges", ()) if one.get("type") == "ECOSYSTEM"]
        if version in affected.get("versions", ()) or any(_is_within(one["events"], version) for one in ranges):
            return True
    return False


def _is_within(events: list[dict[str, str]], version: str) -> bool:
    """Whether a version is affected by the events of a range, each of which holds from one version on."""
    at, is_affected = Version(version), False
    for event in sorted(events, key=_version_of):
        ((kind, _),) = event.items()
        reached = _version_of(event)
        if kind == "introduced" and at >= reached:
            is_affected = True
        elif (kind == "fixed" and at >= reached) or (kind == "last_affected" and at > reached):
            is_affected = False
    return is_affected


def _version_of(event: dict[str, str]) -> Version:
    ((_, text),) = event.items()
    try:
        return Version(text)
    except InvalidVersion:
        # What nobody can compare counts as if it were from the beginning, so that it is looked at.
        return Version("0")


def advisories_in(folder: Path) -> Iterator[Advisory]:
    """All advisories of a folder."""
    for file in sorted(folder.rglob("*.json")):
        yield json.loads(file.read_text(encoding="utf-8"))


def licence_of(name: str) -> str | None:
    """The licence that an installed package says it has; None where it is not installed here."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return None
    classifiers = [one.rpartition(" :: ")[2] for one in told.get_all("Classifier", []) if one.startswith("License ::")]
    text = told.get("License-Expression") or ", ".join(classifiers) or (told.get("License") or "").partition("\n")[0]
    return text or "says none"


def main() -> None:
    """Prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("advisories", type=Path)
    given = parser.parse_args()
    packages = read_lock((Path(__file__).parents[1] / LOCK).read_text(encoding="utf-8"))
    count, found = 0, list[str]()
    by_name = {canonicalize_name(one.name): one for one in packages}
    for advisory in advisories_in(given.advisories):
        count += 1
        names = {canonicalize_name(one.get("package", {}).get("name", "")) for one in advisory.get("affected", ())}
        for name in sorted(names & set(by_name)):
            if speaks_of(advisory, name, by_name[name].version):
                found.append(f"{name} {by_name[name].version}: {advisory['id']} {advisory.get('summary', '')}")
    if not count:
        print(f"{given.advisories} holds no advisories, so nothing was checked")
        raise SystemExit(2)
    for line in found:
        print(line)
    licences = Counter(licence_of(one.name) or "not installed here" for one in packages)
    print(f"{len(packages)} packages against {count} advisories: {len(found)} speak of a locked version")
    print("licences: " + ", ".join(f"{number} x {licence}" for licence, number in licences.most_common()))
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
