"""Writes what Klausel is made of, as CycloneDX 1.5 in JSON, from requirements.lock: the same text from the same lock."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

LOCK = "requirements.lock"
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]+?))? \\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of the lock; `marker` says where it is needed, empty for everywhere, and `needed_by` by which packages."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    needed_by: tuple[str, ...]

    @property
    def url(self) -> str:
        """Its package URL."""
        return f"pkg:pypi/{self.name}@{self.version}"


def read_lock(text: str) -> list[Locked]:
    """The packages of a lock, in its order."""
    found = []
    for block in re.split(r"\n(?=\w)", text.strip()):
        first, *lines = block.splitlines()
        match = _REQUIREMENT.match(first)
        if match is None:
            raise ValueError(f"{LOCK}: this line names no exact version: {first}")
        needed_by = [line.strip(" #").removeprefix("via").strip() for line in lines if line.lstrip().startswith("#")]
        found.append(
            Locked(
                match["name"],
                match["version"],
                match["marker"] or "",
                tuple(_HASH.findall(block)),
                tuple(name.partition(" ")[0] for name in needed_by if name),
            )
        )
    return found


def bill_of_materials(lock: str, version: str) -> str:
    """The bill of a version of Klausel that is made of what a lock names."""
    packages = read_lock(lock)
    itself = f"pkg:generic/klausel@{version}"
    needs: dict[str, list[str]] = {itself: [], **{one.url: [] for one in packages}}
    urls = {"klausel": itself, **{one.name: one.url for one in packages}}
    for one in packages:
        for name in one.needed_by:
            needs[urls[name]].append(one.url)
    licence = {"license": {"id": "Apache-2.0"}}
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, itself + lock)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": itself,
                "name": "klausel",
                "version": version,
                "licenses": [licence],
            }
        },
        "components": [_component(one) for one in packages],
        "dependencies": [{"ref": url, "dependsOn": sorted(needed)} for url, needed in needs.items()],
    }
    return json.dumps(bill, indent=1) + "\n"


def _component(one: Locked) -> dict[str, object]:
    # Each hash is that of one file of the package, of which an installation takes one.
    files = [
        {"type": "distribution", "url": one.url, "hashes": [{"alg": "SHA-256", "content": content}]}
        for content in one.hashes
    ]
    marker = {"properties": [{"name": "klausel:marker", "value": one.marker}]} if one.marker else {}
    return {
        "type": "library",
        "bom-ref": one.url,
        "name": one.name,
        "version": one.version,
        "purl": one.url,
        "externalReferences": files,
        **marker,
    }


def write_bill(sources: Path, target: Path, version: str) -> Path:
    """Writes the bill of the sources in a folder into another; its path."""
    file = target / f"klausel-{version}.cdx.json"
    file.write_text(bill_of_materials((sources / LOCK).read_text(encoding="utf-8"), version), encoding="utf-8")
    return file
