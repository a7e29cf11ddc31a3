"""A folder of policies that was moved or renamed: under which name a commit has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from klausel.core.loading.load import ROLES_FILE
from klausel.storage.git.objects import GitCommit, GitError
from klausel.storage.git.repository import GitRepository


def folder_at(repository: GitRepository, commit: GitCommit, folder: str) -> str:
    """The name that a folder of today, as HEAD has it, has at a commit.

    It is the given name where the commit has such a folder, and where nobody can tell. Moves are those that `former_folder` sees.
    """
    if _is_folder(repository, commit, folder):
        return folder
    try:
        here, name = repository.commit("HEAD"), folder
    except GitError:
        return folder
    while True:
        former = None
        for touched in repository.history(here, [name], first_parent=True):
            former = former_folder(repository, touched, name)
            if former is not None:
                break
        if former is None:
            return folder
        here, name = former
        if _is_folder(repository, commit, name):
            return name


def former_folder(repository: GitRepository, commit: GitCommit, folder: str) -> tuple[GitCommit, str] | None:
    """The first parent of a commit that moved the folder, and the name that it had there; None for any other commit.

    It is seen as moved where all of it, or its file of roles, went along unchanged.
    """
    parent = repository.first_parent(commit) if folder else None
    if parent is None or repository.entry(parent, folder) is not None:
        return None
    here = repository.entry(commit, folder)
    if here is None or here.kind != "folder":
        return None
    wanted = {here.id} | {entry.id for entry in repository.inside(here) if entry.name == ROLES_FILE}
    return next(((parent, name) for name in _folders_with(repository, parent, wanted)), None)


def _folders_with(repository: GitRepository, commit: GitCommit, wanted: set[str]) -> Iterator[str]:
    """The folders of a commit that are one of these trees, or whose roles are one of these files."""
    for path, entry in repository.everything_in(commit):
        if entry.id in wanted:
            yield path if entry.kind == "folder" else str(PurePosixPath(path).parent)


def _is_folder(repository: GitRepository, commit: GitCommit, folder: str) -> bool:
    entry = repository.entry(commit, folder)
    return entry is not None and entry.kind == "folder"
