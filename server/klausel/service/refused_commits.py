"""Which commits of a repository a service would have refused: files that do not load, a failed test, a broken invariant."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from klausel.casbin_policies.engine import CompiledPolicy
from klausel.core.loading.cache import LoadCache
from klausel.core.terms.problem import PolicyError, Problem
from klausel.core.testing.gate import Gate
from klausel.service.pipeline import load_files, unmet_by
from klausel.storage.file_rules import MODEL_NAME
from klausel.storage.git.objects import GitCommit
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import PolicyFiles, read_at


class RefusedCommits:
    """Takes each commit through what a service does before it takes policies into force; equal files are gone through once.

    What one commit leaves as it was is not gone through again for the next.
    """

    def __init__(
        self, repository: GitRepository, accepted_models: Collection[str] = (), cache: LoadCache | None = None
    ) -> None:
        """`cache` may be that of others who load the same policies."""
        self._repository, self._accepted = repository, accepted_models
        self._cache, self._gate = cache or LoadCache(), Gate()
        self._earlier: CompiledPolicy | None = None
        self._found: dict[tuple[str, str, str, bytes | None], tuple[Problem, ...]] = {}

    def problems(self, commit: GitCommit, folder: str) -> tuple[Problem, ...]:
        """Why the policies in a folder of a commit would have been refused; empty where they were taken, or gone."""
        entry = self._repository.entry(commit, folder)
        if entry is None:
            return ()
        files = read_at(self._repository, commit, folder)
        model = next((file.content for file in files.files if file.name == MODEL_NAME), None)
        key = (folder, entry.id, files.model, model)
        if key not in self._found:
            self._found[key] = tuple(one for one in self._find(files) if one.severity == "error")
        return self._found[key]

    def _find(self, files: PolicyFiles) -> Sequence[Problem]:
        try:
            loaded = load_files(files, True, self._cache, self._accepted, self._earlier)
        except PolicyError as error:
            return error.problems
        self._earlier = loaded.compiled
        return sorted(unmet_by(loaded, files, gate=self._gate))
