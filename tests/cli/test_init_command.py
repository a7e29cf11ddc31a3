"""`klausel init`: a policy repository to start from that is right in every way, and never overwrites anything."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ROOT, Klausel
from git_in_tests import Repository

STARTER = ROOT / "server" / "klausel" / "starter"


@pytest.fixture
def started(klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "fresh" / "permissions"
    assert klausel("init", str(folder)).exit_code == 0
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "command",
    ["check", "test --coverage --fail-under 100", "prove", "mutate --processes 1", "fmt --check", "schema --check"],
)
def test_what_it_writes_has_no_problem_and_its_tests_notice_every_change(
    klausel: Klausel, started: Path, command: str
) -> None:
    result = klausel(*command.split())
    assert result.exit_code == 0, result.output
    assert "warning:" not in result.output


def test_it_names_each_file_that_it_wrote(klausel: Klausel, tmp_path: Path) -> None:
    result = klausel("init", "new")
    written = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert sorted(result.stdout.splitlines()) == written
    assert {"new/model.conf", "new/policies/roles.yaml", "new/.github/workflows/policies.yml"} <= set(written)


def test_the_model_is_that_of_klausel_itself() -> None:
    assert (STARTER / "model.conf").read_bytes() == (ROOT / "model.conf").read_bytes()


def test_it_writes_beside_what_is_there_already(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "notes.txt").write_text("mine")
    assert klausel("init", "repository").exit_code == 0
    assert (tmp_path / "repository" / "notes.txt").read_text() == "mine"


def test_where_one_of_its_files_exists_it_writes_nothing_and_names_it(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "model.conf").write_text("mine")
    result = klausel("init", "repository")
    assert result.exit_code == 1
    assert "nothing was written, because these exist: repository/model.conf; name another folder" in result.stderr
    assert [path.name for path in (tmp_path / "repository").iterdir()] == ["model.conf"]


def test_a_folder_that_cannot_be_written_is_told_in_one_line(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = klausel("init", "file/inside")
    assert result.exit_code == 1
    assert result.stderr.startswith("klausel: cannot write ")
    assert "Traceback" not in result.stderr


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A git repository with a README and a branch of another name."""
    made = Repository(tmp_path / "product")
    made.commit({"README.md": "The product.\n", ".gitignore": "node_modules/"})
    made.git("branch", "--move", "trunk")
    monkeypatch.chdir(made.folder)
    return made


def workflow_in(folder: Path) -> dict[str, Any]:
    text = (folder / ".github" / "workflows" / "policies.yml").read_text(encoding="utf-8")
    read: dict[str, Any] = yaml.load(text, yaml.BaseLoader)
    return read


def test_in_a_repository_its_files_stay_and_its_branch_is_named(klausel: Klausel, repository: Repository) -> None:
    result = klausel("init", ".")
    assert result.exit_code == 0, result.output
    assert (repository.folder / "README.md").read_text() == "The product.\n"
    assert "klausel check" in (repository.folder / "policies" / "README.md").read_text()
    assert workflow_in(repository.folder)["on"]["push"] == {"branches": ["trunk"]}
    assert klausel("check", "--strict").exit_code == 0


def test_in_a_folder_of_a_repository_the_workflow_stands_where_it_is_run_and_is_about_that_folder(
    klausel: Klausel, repository: Repository
) -> None:
    assert klausel("init", "rights/of people").exit_code == 0
    workflow = workflow_in(repository.folder)
    assert workflow["on"]["pull_request"]["paths"][:2] == ["rights/of people/policies/**", "rights/of people/model.conf"]
    folder = workflow["jobs"]["policies"]["env"]["KLAUSEL_POLICIES"]
    assert klausel("check", "--strict", folder).stderr == "rights/of people/policies: 0 errors, 0 warnings\n"
    assert not (repository.folder / "rights" / "of people" / ".github").exists()


def test_a_clone_names_the_branch_of_its_origin(klausel: Klausel, repository: Repository, tmp_path: Path) -> None:
    repository.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Repository(tmp_path / "clone")
    clone.git("checkout", "--quiet", "-b", "a-wish")
    assert klausel("init", str(clone.folder)).exit_code == 0
    assert workflow_in(clone.folder)["on"]["push"] == {"branches": ["trunk"]}


def test_a_database_is_never_committed(klausel: Klausel, repository: Repository) -> None:
    assert klausel("init", ".").exit_code == 0
    assert klausel("assignments", "import", "policies/demo/assignments.csv").exit_code == 0
    repository.git("add", "--all")
    staged = repository.git("diff", "--cached", "--name-only").splitlines()
    assert "policies/roles.yaml" in staged
    assert [name for name in staged if ".db" in name] == []


def test_what_is_ignored_already_stays_ignored(klausel: Klausel, repository: Repository) -> None:
    assert ".gitignore (lines added)" in klausel("init", ".").stdout
    ignored = (repository.folder / ".gitignore").read_text().splitlines()
    assert ignored[0] == "node_modules/"
    assert {"*.db", "*.db-shm", "*.db-wal"} <= set(ignored)


def test_lines_that_are_there_are_not_added_again(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    mine = "*.db\n*.db-shm\n*.db-wal\n"
    (tmp_path / "new" / ".gitignore").write_text(mine)
    assert "new/.gitignore (as it was)" in klausel("init", "new").stdout
    assert (tmp_path / "new" / ".gitignore").read_text() == mine
