"""The last commit of each grant in force: that of its lines, none for what is not committed, and never waited for long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from git_in_tests import MODEL, Repository
from small_policies import PAYMENTS, ROLES

from klausel.service import grant_commits
from klausel.service.grant_commits import GrantCommits
from klausel.service.pipeline import open_policy
from klausel.settings import Settings

FILE = "policies/features/payments.yaml"
MORE = "  - {allow: head, to: create, resource: payment, because: because}\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    repository = Repository(tmp_path / "repository")
    repository.commit({"policies/roles.yaml": ROLES, FILE: PAYMENTS, "model.conf": MODEL}, "First")
    repository.commit({FILE: PAYMENTS + MORE}, "More")
    monkeypatch.chdir(repository.folder)
    return repository


def told(commits: GrantCommits) -> dict[str, str | None]:
    loaded = open_policy(Path("policies"), Path("model.conf"))
    found = commits.of(loaded)
    grants = loaded.compiled.policy.grants
    return {str(grant): found[grant.source].subject if grant.source in found else None for grant in grants}


def test_each_grant_has_the_commit_of_its_lines(repository: Repository) -> None:
    commits = GrantCommits(Settings(policies="policies"))
    found = list(told(commits).values())
    assert (set(found[:-1]), found[-1]) == ({"First"}, "More")
    (repository.folder / FILE).write_text(PAYMENTS + MORE.replace("because: because", "because: changed"), encoding="utf-8")
    found = list(told(commits).values())
    assert (set(found[:-1]), found[-1]) == ({"First"}, None)


def test_outside_a_repository_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("policies/roles.yaml", ROLES), (FILE, PAYMENTS), ("model.conf", MODEL)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert set(told(GrantCommits(Settings(policies="policies"))).values()) == {None}


def test_a_page_does_not_wait_for_a_slow_history(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(grant_commits, "SECONDS_TO_WAIT", 0.0)
    may_go_on = threading.Event()
    slow: Callable[..., object] = grant_commits.open_history

    def wait(policies: str) -> object:
        may_go_on.wait(10)
        return slow(policies)

    monkeypatch.setattr(grant_commits, "open_history", wait)
    commits = GrantCommits(Settings(policies="policies"))
    assert set(told(commits).values()) == {None}
    may_go_on.set()
    monkeypatch.setattr(grant_commits, "SECONDS_TO_WAIT", 10.0)
    assert list(told(commits).values())[-1] == "More"
