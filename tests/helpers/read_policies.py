"""Reading and checking a policy set in one step, as the commands do in two."""

from __future__ import annotations

from pathlib import Path

from klausel.core.loading.cache import LoadCache
from klausel.core.terms.problem import PolicyError, Problem
from klausel.service.pipeline import LoadedPolicy, check_files, load_files
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import read_at, read_folder


def open_policy_at(
    repository: GitRepository, revision: str, folder: str, model: str | Path | None = None, cache: LoadCache | None = None
) -> LoadedPolicy:
    """The policy set of a commit, compiled; raises `PolicyError` with every problem, and `GitError`."""
    return load_files(read_at(repository, revision, folder, model), cache=cache)


def check_policy(folder: Path, model: Path) -> tuple[Problem, ...]:
    """Every problem in a folder and its model."""
    try:
        return check_files(read_folder(folder, model))
    except PolicyError as error:
        return error.problems
