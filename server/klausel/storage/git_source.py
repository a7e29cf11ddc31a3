"""Policies at a ref of a git repository, named by an address such as `../policies.git@main:policies`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GitAddress:
    """The folder of a policy set at a revision of a repository, which may be bare."""

    repository: Path
    revision: str
    folder: str

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}:{self.folder}"


def git_address(text: str) -> GitAddress | None:
    """The address that a text `REPO@REF:DIR` is; None for the path of a folder.

    A folder with such a name is a folder. Where REPO itself holds an `@`, the shortest one that is a folder is meant.
    """
    if Path(text).exists():
        return None
    found = None
    position = text.find("@")
    while position >= 0:
        revision, colon, folder = text[position + 1 :].partition(":")
        if position > 0 and revision and colon:
            address = GitAddress(Path(text[:position]), revision, folder)
            if address.repository.is_dir():
                return address
            found = found or address
        position = text.find("@", position + 1)
    return found
