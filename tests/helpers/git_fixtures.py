"""A repository with one commit of a small policy set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_in_tests import FILES, Repository

from klausel.storage.git.repository import GitRepository


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("KLAUSEL_", "GIT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def made(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repo")
    repository.commit(FILES, "Clerks read letters")
    return repository


@pytest.fixture
def opened(made: Repository) -> Iterator[GitRepository]:
    with GitRepository.containing(made.folder) as repository:
        yield repository
