"""Reading the folder of a policy set: every file is read, or is a problem."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from read_policies import check_policy

from klausel.storage.file_rules import problem_of_name
from klausel.storage.policy_files.folder import LARGEST_FILE, read_files

ROOT = Path(__file__).parents[3]


def write(folder: Path, names: list[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")


def ids_and_names(folder: Path) -> list[tuple[str, str]]:
    _, problems = read_files(folder, ROOT / "model.conf")
    return [(problem.id, problem.place.file.removeprefix(folder.as_posix() + "/")) for problem in problems]


def test_files_of_a_policy_set_are_read_in_order_with_the_model(tmp_path: Path) -> None:
    names = ["conditions.yaml", "features/a.csv", "features/b.yaml", "features/more/c.yaml", "roles.yaml"]
    write(tmp_path, names)
    files, problems = read_files(tmp_path, ROOT / "model.conf")
    assert [file.name for file in files] == [*names, "model.conf"]
    assert problems == []


@pytest.mark.parametrize(
    "name",
    ["features/x.yml", "feature/x.yaml", "x.yaml", "Roles.yaml", "features/x.YAML", "features/x.CSV", "features/x", "x.csv"],
)
def test_a_file_that_nobody_would_read_is_reported(tmp_path: Path, name: str) -> None:
    write(tmp_path, [name])
    assert ids_and_names(tmp_path) == [("unknown-file", name)]


@pytest.mark.parametrize("name", ["README.md", "demo/assignments.csv", ".gitkeep", "features/.x.yaml.swp", "roles.yaml~"])
def test_documents_demo_data_and_what_editors_leave_are_passed_over(tmp_path: Path, name: str) -> None:
    write(tmp_path, [name])
    assert ids_and_names(tmp_path) == []


def test_a_file_that_is_too_large_is_reported_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    with (tmp_path / "features" / "x.csv").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    assert ids_and_names(tmp_path) == [("unreadable-file", "features/x.csv")]


def test_a_folder_or_model_that_is_not_there_is_reported(tmp_path: Path) -> None:
    assert [problem.id for problem in check_policy(tmp_path / "none", ROOT / "model.conf")].count("missing-file") >= 1
    _, problems = read_files(tmp_path, tmp_path / "model.conf")
    assert [(problem.id, problem.message) for problem in problems] == [("missing-file", "there is no such file")]


@pytest.mark.parametrize("which", ["folder", "model"])
def test_a_path_that_the_system_does_not_take_is_a_problem_like_others(tmp_path: Path, which: str) -> None:
    long = tmp_path / ("x" * 5000)
    folder, model = (long, tmp_path / "model.conf") if which == "folder" else (tmp_path, long)
    told = [str(problem) for problem in check_policy(folder, model)]
    assert any("cannot be read: file name too long; " in problem for problem in told)


def test_roles_that_are_there_and_cannot_be_read_are_not_called_missing(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", folder)
    (folder / "roles.yaml").rename(tmp_path / "roles.yaml")
    (folder / "roles.yaml").symlink_to("../roles.yaml")
    problems = check_policy(folder, ROOT / "model.conf")
    assert [(problem.id, problem.place.file) for problem in problems] == [("unreadable-file", f"{folder}/roles.yaml")]


def test_the_shipped_policies_are_free_of_problems() -> None:
    assert check_policy(ROOT / "policies", ROOT / "model.conf") == ()


@pytest.mark.parametrize("only", [[], ["README.md"], ["notes.yaml"]])
def test_a_folder_without_policies_is_told_by_its_own_name(tmp_path: Path, only: list[str]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    write(folder, only)
    problems = check_policy(folder, ROOT / "model.conf")
    assert [(problem.id, problem.place.file, problem.message) for problem in problems] == [
        ("missing-file", f"{folder}/roles.yaml", "there is no roles.yaml")
    ]


def test_a_folder_that_stands_further_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "policies", ["roles.yaml", "features/x.yaml"])
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    (problem,) = check_policy(Path("policies"), ROOT / "model.conf")
    assert (problem.message, problem.hint.partition("?")[0]) == ("there is no such folder", "did you mean ../policies")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("features/quizzes.yml", "features/quizzes.yaml"),
        ("features/quizzes.YAML", "features/quizzes.yaml"),
        ("features/quizzes.CSV", "features/quizzes.csv"),
        ("features/quizzes.csv.txt", "features/quizzes.csv"),
        ("quizzes.yaml", "features/quizzes.yaml"),
        ("tests/quizzes.yaml", "tests/quizzes_test.yaml"),
        ("tests/quizzes_tests.yaml", "tests/quizzes_test.yaml"),
        ("tests/quizzes-test.yml", "tests/quizzes_test.yaml"),
        ("quizzes_test.yaml", "tests/quizzes_test.yaml"),
        ("role.yaml", "roles.yaml"),
        ("invariants.yml", "invariants.yaml"),
    ],
)
def test_a_file_that_nobody_would_read_is_told_the_name_that_it_was_meant_to_have(name: str, meant: str) -> None:
    problem = problem_of_name(name, name)
    assert problem is not None
    assert problem.hint.startswith(f'did you mean "{meant}"? ')
