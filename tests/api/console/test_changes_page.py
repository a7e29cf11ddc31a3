"""The console on changes: commits with gains and losses, versions compared, refused files with their lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_pages import Browser, Html
from doors import Doors
from git_in_tests import FILES, Repository

WRITE = "\n  - {allow: clerk, to: write, resource: letter, because: clerks answer}\n"
LETTERS = "policies/features/letters.yaml"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Three commits: clerks read, then write, and a remark."""
    found = Repository(tmp_path / "repository")
    found.commit(FILES, "Clerks read")
    found.commit({LETTERS: FILES[LETTERS] + WRITE}, "Clerks write <b>")
    found.commit({LETTERS: FILES[LETTERS] + WRITE + "# a remark\n"}, "A remark")
    return found


@pytest.fixture
def kept(repository: Repository, opened: Callable[..., Doors]) -> Doors:
    """A service of the policies in that repository."""
    return opened(policies=str(repository.folder / "policies"), model=str(repository.folder / "model.conf"))


def whos(told: Any) -> list[tuple[str, list[str]]]:
    return [(change["action"], change["who"]) for change in told["changes"]]


def test_each_commit_is_told_with_its_gains_and_losses(kept: Doors) -> None:
    told = Browser(kept.service).twin("/console/changes")
    assert [(one["subject"], one["verdict"]) for one in told["commits"]] == [
        ("A remark", "same"),
        ("Clerks write <b>", "more permissive"),
        ("Clerks read", "more permissive"),
    ]
    assert whos(told["commits"][1]) == [("write", ["clerk"])]
    assert (told["next"], told["refused"]) == (None, None)
    page = Browser(kept.service).page("/console/changes")
    assert "Clerks write <b>" in page.text
    assert "A remark (nothing changed in what is allowed)" in page.text
    assert {"letter write", "more", "clerk, and with it boss"} <= set(page.texts)
    assert "letters.yaml:" in page.text


def test_a_long_history_comes_in_parts(kept: Doors, repository: Repository) -> None:
    for number in range(12):
        repository.commit({LETTERS: FILES[LETTERS] + WRITE + f"# remark {number}\n"}, f"Remark {number}")
    browser = Browser(kept.service)
    told = [browser.twin("/console/changes"), browser.twin("/console/changes", page="2")]
    assert [len(one["commits"]) for one in told] == [10, 5]
    assert [one["next"] for one in told] == [2, None]
    assert len({commit["id"] for one in told for commit in one["commits"]}) == 15
    links = [one["href"] for one in browser.page("/console/changes").all("a") if one.get("rel") == "next"]
    assert links == ["../console/changes?page=2"]


def test_two_versions_are_compared_by_any_name(kept: Doors, repository: Repository) -> None:
    browser = Browser(kept.service)
    first = repository.git("rev-parse", "HEAD~2")
    for before, after in ((first, ""), ("HEAD~2", "main"), (first[:12], "HEAD"), ("2026-01-05T08:01:30+01:00", "")):
        told = browser.twin("/console/changes", before=before, after=after)["compared"]
        assert (told["verdict"], whos(told)) == ("more permissive", [("write", ["clerk"])])
    assert browser.twin("/console/changes", before="HEAD", after=first)["compared"]["verdict"] == "less permissive"
    assert {"letter write", "less"} <= set(browser.page("/console/changes", before="HEAD", after=first).texts)


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("nothing", "nothing"),
        ("--output=/tmp/x", "names no version"),
        ("HEAD@{1}", "names no version"),
        ("HEAD\nmain", "names no version"),
        (":/Clerks", "names no version"),
        ("HEAD:policies", "HEAD:policies"),
        ("1990-01-01", "its first commit is younger"),
    ],
)
def test_what_names_no_version_is_told(kept: Doors, revision: str, message: str) -> None:
    answer = Browser(kept.service).get("/console/changes", before=revision)
    assert (answer.status, message in Html(answer.body.decode()).text) == (400, True)
    assert message in Browser(kept.service).get("/console/changes", before=revision, format="json").message


def test_a_version_that_does_not_load_is_told_and_passed_over(kept: Doors, repository: Repository) -> None:
    broken = repository.commit({LETTERS: "grants: [\n"}, "Broken")
    repository.commit({LETTERS: FILES[LETTERS]}, "Clerks only read")
    told = Browser(kept.service).twin("/console/changes")
    assert [(one["subject"], one["loads"]) for one in told["commits"][:2]] == [("Clerks only read", True), ("Broken", False)]
    assert (told["commits"][0]["verdict"], told["commits"][0]["broken_commits_before"]) == ("less permissive", 1)
    assert "does not load" in Browser(kept.service).page("/console/changes").text
    assert "do not load" in Browser(kept.service).get("/console/changes", before=broken, format="json").message


def test_refused_files_are_shown_with_the_lines_of_their_problems(kept: Doors, repository: Repository) -> None:
    text = FILES[LETTERS] + "  - {allow: clerc, to: write, resource: letter}  # <script>\n"
    repository.write({LETTERS: text})
    assert kept.service.reload_policy() == "refused"
    browser = Browser(kept.service)
    told = browser.twin("/console/changes")["refused"]
    (problem,) = told["problems"]
    line = len(text.splitlines())
    assert (problem["line"], problem["severity"], told["changes"]) == (line, "error", None)
    assert problem["lines"][-1] == {"number": line, "text": text.splitlines()[-1], "is_at_fault": True}
    page = browser.page("/console/changes")
    assert f"→ {line} - {{allow: clerc" in page.text
    assert "# <script>" in page.text
    repository.write({LETTERS: FILES[LETTERS] + WRITE})
    assert kept.service.reload_policy() in ("taken", "unchanged")
    assert browser.twin("/console/changes")["refused"] is None


def test_what_refused_files_would_change_is_shown_where_they_load(kept: Doors, repository: Repository) -> None:
    invariant = "invariants:\n  - {never: clerk, to: burn, resource: letter}\n"
    repository.write({LETTERS: FILES[LETTERS] + WRITE.replace("write", "burn"), "policies/invariants.yaml": invariant})
    assert kept.service.reload_policy() == "refused"
    told = Browser(kept.service).twin("/console/changes")["refused"]
    assert {(change["action"], tuple(change["who"])) for change in told["changes"]["changes"]} == {
        ("burn", ("clerk",)),
        ("write", ("clerk",)),
    }
    assert "What these files would change" in Browser(kept.service).page("/console/changes").text


def test_without_a_repository_there_is_no_history_but_a_page(small: Callable[..., Doors]) -> None:
    browser = Browser(small().service)
    assert "There is no history to show" in browser.page("/console/changes").text
    assert "history of the policies cannot be read" in browser.get("/console/changes", format="json").message
