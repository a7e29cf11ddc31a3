"""`klausel init`: a policy repository to start from that is right in every way, and never overwrites anything."""

from pathlib import Path

import pytest
from command_line import ROOT, Klausel

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
    (tmp_path / "repository" / "README.md").write_text("mine")
    result = klausel("init", "repository")
    assert result.exit_code == 1
    assert "nothing was written, because these exist: repository/README.md; name another folder" in result.stderr
    assert [path.name for path in (tmp_path / "repository").iterdir()] == ["README.md"]


def test_a_folder_that_cannot_be_written_is_told_in_one_line(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = klausel("init", "file/inside")
    assert result.exit_code == 1
    assert result.stderr.startswith("klausel: cannot write ")
    assert "Traceback" not in result.stderr
