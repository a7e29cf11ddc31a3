"""Which commits of a repository a service would have refused: files that do not load, a failed test, a broken invariant."""

from __future__ import annotations

from collections.abc import Collection

from klausel.core.analysis.proved import Proved
from klausel.core.loading.cache import LoadCache
from klausel.core.terms.problem import PolicyError, Problem
from klausel.service.pipeline import load_checked
from klausel.storage.git.objects import GitCommit
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import read_at


class RefusedCommits:
    """Takes each commit through what a service does before it takes policies into force; equal files are gone through once."""

    def __init__(self, repository: GitRepository, accepted_models: Collection[str] = ()) -> None:
        self._repository, self._accepted = repository, accepted_models
        self._cache, self._proved = LoadCache(), Proved()
        self._found: dict[tuple[str, str], tuple[Problem, ...]] = {}

    def problems(self, commit: GitCommit, folder: str) -> tuple[Problem, ...]:
        """Why the policies in a folder of a commit would have been refused; empty where they were taken, or gone."""
        entry = self._repository.entry(commit, folder)
        if entry is None:
            return ()
        files = read_at(self._repository, commit.id, folder)
        model = next((file.content.decode("utf-8", "replace") for file in files.files if file.name == "model.conf"), "")
        key = (entry.id, model)
        if key not in self._found:
            try:
                load_checked(files, self._cache, self._accepted, proved=self._proved)
                self._found[key] = ()
            except PolicyError as error:
                self._found[key] = tuple(one for one in error.problems if one.severity == "error")
        return self._found[key]
