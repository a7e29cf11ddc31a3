"""`GET /v1/policy`: what each name of the version changes with, and what it does not."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doors import POLICY, ROOT, Door, Doors, open_doors

NAMES = {"files_digest", "meaning_digest", "counts", "warnings", "orphaned_assignments"}

PolicyOf = Callable[[], dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the policies and the model, outside any repository."""
    copy = tmp_path / "set"
    shutil.copytree(ROOT / "policies", copy / "policies", ignore=shutil.ignore_patterns("tests", "invariants.yaml"))
    shutil.copy(ROOT / "model.conf", copy / "model.conf")
    return copy


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a service over unchanged files tells, outside any repository."""
    copy = tmp_path_factory.mktemp("unchanged")
    shutil.copytree(ROOT / "policies", copy / "policies", ignore=shutil.ignore_patterns("tests", "invariants.yaml"))
    shutil.copy(ROOT / "model.conf", copy / "model.conf")
    with open_doors(copy / "klausel.db", policies=str(copy / "policies"), model=str(copy / "model.conf")) as doors:
        told: dict[str, Any] = doors.lane.get(POLICY).json
        return told


@pytest.fixture
def version(folder: Path, tmp_path: Path) -> PolicyOf:
    """What a service that starts now tells of its policy."""

    def tell() -> dict[str, Any]:
        paths = {"policies": str(folder / "policies"), "model": str(folder / "model.conf")}
        with open_doors(tmp_path / "klausel.db", **paths) as doors:
            told: dict[str, Any] = doors.lane.get(POLICY).json
            return told

    return tell


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in ("files_digest", "meaning_digest") if before[name] != after[name]}


def test_the_version_is_told_with_its_counts(service: Door, demo: Doors) -> None:
    told = service.get(POLICY).json
    assert set(told) - {"commit", "dirty"} == NAMES
    for name in ("files_digest", "meaning_digest"):
        assert re.fullmatch("sha256:[0-9a-f]{64}", told[name])
    assert told["files_digest"] != told["meaning_digest"]
    policy = demo.service.policy.compiled.policy
    assert told["counts"] == {
        "levels": 2,
        "roles": 7,
        "resource_types": len(policy.resource_types),
        "actions": sum(len(known.actions) for known in policy.resource_types.values()),
        "conditions": len(policy.conditions),
        "grants": len(policy.grants),
    }
    assert told["warnings"] == []


def test_two_services_over_the_same_files_tell_the_same(before: dict[str, Any], version: PolicyOf) -> None:
    assert version() == before


def test_outside_a_repository_there_is_no_commit(before: dict[str, Any]) -> None:
    assert set(before) == NAMES


QUIZZES = "policies/features/quizzes.yaml"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (QUIZZES, "description: Quizzes", "# a comment\ndescription: Quizzes"),
        (QUIZZES, "description: Quizzes", "description: All about quizzes"),
        (QUIZZES, "    because: Who leads in", "    because: Because who leads in"),
        (QUIZZES, "[edit, view_draft, publish, archive, delete]", "[delete, archive, publish, view_draft, edit]"),
        (
            QUIZZES,
            "  - allow: agent\n    to: take\n    resource: quiz\n",
            "  - resource: quiz\n    allow: agent\n    to: take\n",
        ),
        (QUIZZES, "grants:\n", "grants:\n\n"),
        (QUIZZES, "    when: is_published\n", '    when: resource.status == "published"\n'),
        ("policies/conditions.yaml", "is_published:", "is_published: "),
        ("policies/roles.yaml", "# Who can be what.", "# Who may be what."),
        ("model.conf", "# What is asked.", "# What is being asked."),
    ],
)
def test_a_change_of_bytes_alone_changes_the_files_digest_alone(
    before: dict[str, Any], version: PolicyOf, folder: Path, file: str, old: str, new: str
) -> None:
    edit(folder / file, old, new)
    assert changed(before, version()) == {"files_digest"}


def test_another_order_of_the_grants_keeps_the_meaning(before: dict[str, Any], version: PolicyOf, folder: Path) -> None:
    file = folder / QUIZZES
    head, grants = file.read_text(encoding="utf-8").split("grants:\n")
    blocks = [block.strip("\n") for block in grants.split("\n\n")]
    file.write_text(head + "grants:\n" + "\n\n".join(reversed(blocks)) + "\n", encoding="utf-8")
    assert changed(before, version()) == {"files_digest"}


def test_another_name_of_a_file_keeps_the_meaning(before: dict[str, Any], version: PolicyOf, folder: Path) -> None:
    (folder / QUIZZES).rename(folder / "policies" / "features" / "tests_for_agents.yaml")
    assert changed(before, version()) == {"files_digest"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (QUIZZES, "allow: agent", "allow: reviewer"),
        (QUIZZES, "allow: agent", "allow: any agent"),
        (QUIZZES, "allow: agent", "deny: agent"),
        (QUIZZES, "    to: take\n", "    to: [take, publish]\n"),
        (QUIZZES, "    when: is_published\n", ""),
        (QUIZZES, "    when: is_published\n", "    in: acme\n    when: is_published\n"),
        (QUIZZES, "    when: is_published\n", "    at_level: workspace\n    when: is_published\n"),
        ("policies/conditions.yaml", '"published"', '"draft"'),
        ("policies/roles.yaml", "contains: lead", "contains: reviewer"),
    ],
)
def test_a_change_of_meaning_changes_both_digests(
    before: dict[str, Any], version: PolicyOf, folder: Path, file: str, old: str, new: str
) -> None:
    edit(folder / file, old, new)
    assert changed(before, version()) == {"files_digest", "meaning_digest"}


def test_what_is_no_policy_file_changes_nothing(before: dict[str, Any], version: PolicyOf, folder: Path) -> None:
    edit(folder / "policies" / "README.md", "#", "##")
    edit(folder / "policies" / "demo" / "assignments.csv", "user:ada", "user:eva")
    (folder / "policies" / ".hidden").write_text("x")
    (folder / "else.txt").write_text("x")
    assert version() == before


def test_a_warning_is_told_with_its_place(version: PolicyOf, folder: Path) -> None:
    with (folder / QUIZZES).open("a", encoding="utf-8") as file:
        file.write("\n  - deny: agent\n    to: publish\n    resource: quiz\n")
    (warning,) = version()["warnings"]
    assert re.search(r"features/quizzes\.yaml:\d+:\d+: warning: ", warning)


def test_the_policy_in_force_is_the_one_that_was_read_at_the_start(folder: Path, opened: Callable[..., Doors]) -> None:
    door = opened(policies=str(folder / "policies"), model=str(folder / "model.conf")).lane
    before = door.get(POLICY).body
    edit(folder / QUIZZES, "allow: agent", "allow: reviewer")
    assert door.get(POLICY).body == before


# --- In a repository ----------------------------------------------------------------------------------------------


@pytest.fixture
def git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs git in the folder, which is a repository with one commit of everything."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout.strip()

    run("init", "--quiet")
    run("add", ".")
    run("commit", "--quiet", "-m", "first")
    return run


def test_the_commit_is_told_and_a_clean_folder_is_not_dirty(version: PolicyOf, git: Callable[..., str]) -> None:
    told = version()
    assert (told["commit"], told["dirty"]) == (git("rev-parse", "HEAD"), False)
    assert set(told) == NAMES | {"commit", "dirty"}


def test_files_that_differ_from_the_commit_are_dirty_until_they_are_committed(
    version: PolicyOf, folder: Path, git: Callable[..., str]
) -> None:
    first = git("rev-parse", "HEAD")
    edit(folder / QUIZZES, "grants:\n", "grants:\n\n")
    told = version()
    assert (told["commit"], told["dirty"]) == (first, True)
    git("commit", "--quiet", "-am", "second")
    told = version()
    assert (told["commit"], told["dirty"]) == (git("rev-parse", "HEAD"), False)
    assert told["commit"] != first


@pytest.mark.parametrize("change", ["a new file", "a file that is gone", "a staged change", "another model"])
def test_every_kind_of_difference_is_dirty(version: PolicyOf, folder: Path, git: Callable[..., str], change: str) -> None:
    if change == "a new file":
        (folder / "policies" / "features" / "more.yaml").write_text("description: More.\n")
    elif change == "a file that is gone":
        (folder / "policies" / "features" / "pins.yaml").unlink()
    elif change == "a staged change":
        edit(folder / QUIZZES, "grants:\n", "grants:\n\n")
        git("add", ".")
    else:
        edit(folder / "model.conf", "# What is asked.", "# What is being asked.")
    assert version()["dirty"] is True


def test_a_change_beside_the_policies_is_not_dirty(version: PolicyOf, folder: Path, git: Callable[..., str]) -> None:
    before = git("rev-parse", "HEAD")
    (folder / "else.txt").write_text("x")
    assert (version()["commit"], version()["dirty"]) == (before, False)
