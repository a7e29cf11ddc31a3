"""The pytest plugin: `pytest policies` runs the policy tests, `tests/*_test.yaml` beside a `roles.yaml`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Nothing else of Klausel is imported before such a file is met: other people's test runs pay nothing.
if TYPE_CHECKING:
    from klausel.core.policy.policy_test import PolicyTest
    from klausel.service.pipeline import LoadedPolicy

_LOADED = pytest.StashKey[dict[Path, "LoadedPolicy"]]()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collects the test files of a policy set, and nothing else."""
    if not file_path.name.endswith("_test.yaml") or file_path.parent.name != "tests":
        return None
    if not (file_path.parent.parent / "roles.yaml").is_file():
        return None
    return PolicyTestFile.from_parent(parent, path=file_path)


class PolicyTestFile(pytest.File):
    """One file of policy tests."""

    def collect(self) -> Iterator[pytest.Item]:
        """Its tests, in their order."""
        loaded = self._loaded()
        from klausel.storage.policy_files.folder import shown

        for test in loaded.tests:
            if test.place.file == shown(self.path):
                yield PolicyTestItem.from_parent(self, name=test.name, test=test, loaded=loaded)

    def _loaded(self) -> LoadedPolicy:
        """The policy set that the file belongs to, read once a run."""
        from klausel.core.terms.problem import PolicyError
        from klausel.service.pipeline import open_policy
        from klausel.storage.policy_files.folder import model_beside

        folder = self.path.parent.parent
        known = self.config.stash.setdefault(_LOADED, {})
        if folder not in known:
            model = os.environ.get("KLAUSEL_MODEL")
            try:
                accepted = os.environ.get("KLAUSEL_ACCEPT_MODEL", "").split()
                found_model = model_beside(folder, Path(model) if model else None)
                known[folder] = open_policy(folder, found_model, with_tests=True, accepted_models=accepted)
            except PolicyError as error:
                raise self.CollectError("\n".join(map(str, error.problems))) from error
        return known[folder]


class PolicyTestItem(pytest.Item):
    """One policy test."""

    def __init__(self, *, test: PolicyTest, loaded: LoadedPolicy, **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type]
        self._test = test
        self._loaded = loaded

    def runtest(self) -> None:
        """Asks every question of the test; fails when an answer is not as expected."""
        from klausel.cli.test import failure_lines
        from klausel.core.testing.run import ResolvedRoles, failures

        policy = self._loaded.compiled.policy
        found = failures(policy, self._loaded.compiled, self._test, ResolvedRoles(policy))
        if found:
            raise AnswersDiffer("\n".join(line for failure in found for line in failure_lines(failure)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """The failures, for people."""
        if isinstance(excinfo.value, AnswersDiffer):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the test stands, as pytest counts lines: from 0."""
        return self.path, self._test.place.line - 1, self._test.name


class AnswersDiffer(Exception):
    """Answers were not as a policy test expects; the message shows each."""
