"""The list of changes has its form, the version is the newest in it, and a change of behaviour without a line is noticed."""

from __future__ import annotations

import re
import subprocess
from datetime import date
from pathlib import Path

import pytest
from doc_blocks import ROOT
from git_in_tests import Repository

from klausel import __version__

TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
READERS = {"Policy editors", "Application developers", "Auditors", "Operators", "Contributors"}
CHECK = ROOT / "scripts" / "changelog-check"


def headings() -> list[str]:
    return re.findall(r"^## (.*)$", TEXT, re.MULTILINE)


def released() -> list[tuple[tuple[int, ...], date]]:
    found = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) \((\d{4}-\d\d-\d\d)\)", heading) for heading in headings()[1:]]
    assert all(found), headings()
    return [(tuple(map(int, match.groups()[:3])), date.fromisoformat(match[4])) for match in found if match]


def test_what_is_not_released_stands_on_top() -> None:
    assert headings()[0] == "Unreleased"


def test_versions_and_their_dates_are_sorted_newest_first() -> None:
    versions = [version for version, _ in released()]
    dates = [day for _, day in released()]
    assert versions == sorted(set(versions), reverse=True)
    assert dates == sorted(dates, reverse=True)


def test_the_version_of_the_package_is_the_newest_released_one() -> None:
    assert ".".join(map(str, released()[0][0])) == __version__


def test_every_entry_names_its_reader_first() -> None:
    lines = TEXT[TEXT.index("\n## ") :].splitlines()
    entries = [line for line in lines if line and not line.startswith(("  ", "## "))]
    assert entries
    for entry in entries:
        match = re.match(r"- \*\*([^*]+):\*\* \S", entry)
        assert match, entry
        assert match[1] in READERS, entry


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository")
    commit(
        repository, "The start", "CHANGELOG.md", "server/klausel/app.py", "policies/roles.yaml", "model.conf", "docs/page.md"
    )
    repository.git("tag", "base")
    return repository


def commit(repository: Repository, message: str, *paths: str) -> None:
    for path in paths:
        file = repository.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(f"{message}\n")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", message)


def check(repository: Repository, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([CHECK, *arguments], cwd=repository.folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_nothing_changed_needs_no_line(repository: Repository) -> None:
    assert check(repository, "base") == (0, "")


@pytest.mark.parametrize("path", ["server/klausel/app.py", "policies/roles.yaml", "model.conf"])
def test_a_change_of_behaviour_without_a_line_is_named(repository: Repository, path: str) -> None:
    commit(repository, "Other answers", path)
    code, said = check(repository, "base")
    assert code == 1
    assert "Other answers" in said
    assert "Changelog: none" in said


def test_a_change_of_behaviour_with_a_line_passes(repository: Repository) -> None:
    commit(repository, "Other answers", "server/klausel/app.py", "CHANGELOG.md")
    assert check(repository, "base") == (0, "")


def test_a_change_of_a_page_needs_no_line(repository: Repository) -> None:
    commit(repository, "Clearer", "docs/page.md")
    assert check(repository, "base") == (0, "")


def test_a_commit_that_says_that_nobody_notices_it_passes_alone(repository: Repository) -> None:
    commit(repository, "Renamed inside\n\nChangelog: none", "server/klausel/app.py")
    assert check(repository, "base") == (0, "")
    commit(repository, "Other answers", "server/klausel/app.py")
    code, said = check(repository, "base")
    assert code == 1
    assert "Other answers" in said
    assert "Renamed inside" not in said


def test_an_unknown_base_is_an_error_of_its_own(repository: Repository) -> None:
    code, said = check(repository, "nowhere")
    assert code == 2
    assert '"nowhere"' in said
