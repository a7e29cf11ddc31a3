"""`klausel fmt`: one canonical form of the files, and nothing else changed."""

import os
import stat
from pathlib import Path

import pytest
from command_line import Change, Klausel

QUIZZES = "policies/features/quizzes.yaml"
LEFT = "    to: take\n    resource: quiz\n"
SWAPPED = "    resource: quiz\n    to:   take\n"


def test_the_shipped_files_are_in_their_canonical_form(klausel: Klausel) -> None:
    result = klausel("fmt", "--check")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("0 would change, ")
    assert result.stderr.endswith(" in canonical form, 0 left alone because of problems\n")


def test_a_file_in_another_form_is_named_and_written_anew_once(klausel: Klausel, change: Change, tmp_path: Path) -> None:
    before = (tmp_path / QUIZZES).read_bytes()
    change(QUIZZES, LEFT, SWAPPED)
    changed = (tmp_path / QUIZZES).read_bytes()
    checked = klausel("fmt", "--check")
    assert (checked.exit_code, checked.stdout) == (1, f"{QUIZZES}: would change\n")
    assert (tmp_path / QUIZZES).read_bytes() == changed
    written = klausel("fmt")
    assert (written.exit_code, written.stdout) == (0, f"{QUIZZES}: rewritten\n")
    assert (tmp_path / QUIZZES).read_bytes() == before
    assert klausel("fmt").stdout == ""


def test_the_difference_is_shown_and_nothing_is_written(klausel: Klausel, change: Change, tmp_path: Path) -> None:
    change(QUIZZES, LEFT, SWAPPED)
    before = (tmp_path / QUIZZES).read_bytes()
    result = klausel("fmt", "--diff")
    assert result.exit_code == 1
    assert result.stdout.startswith(f"--- {QUIZZES}\n+++ {QUIZZES} (canonical)\n@@ ")
    assert "+    to: take\n     resource: quiz\n-    to:   take\n" in result.stdout
    assert (tmp_path / QUIZZES).read_bytes() == before


def test_only_the_files_that_are_named_change(klausel: Klausel, change: Change, tmp_path: Path) -> None:
    change(QUIZZES, LEFT, SWAPPED)
    assert klausel("fmt", "policies/roles.yaml", "--check").exit_code == 0
    assert klausel("fmt", str(tmp_path / QUIZZES), "--check").exit_code == 1


@pytest.mark.parametrize("name", ["model.conf", "policies/README.md", "policies/schemas/feature.schema.json"])
def test_a_file_that_is_none_of_the_policies_is_wrong_usage(klausel: Klausel, name: str) -> None:
    result = klausel("fmt", name)
    assert result.exit_code == 2
    assert f"{name} is no YAML or CSV file of the policies in policies" in result.stderr


def test_a_folder_that_is_not_there_is_wrong_usage(klausel: Klausel) -> None:
    result = klausel("fmt", "--policies", "nowhere")
    assert result.exit_code == 2
    assert "nowhere: there is no such folder" in result.stderr


def test_a_file_with_problems_is_named_and_left_alone_and_the_others_are_not(
    klausel: Klausel, change: Change, tmp_path: Path
) -> None:
    change(QUIZZES, LEFT, SWAPPED)
    change("policies/features/pins.yaml", "allow:", "alow:   ")
    before = (tmp_path / "policies/features/pins.yaml").read_bytes()
    result = klausel("fmt")
    assert result.exit_code == 1
    assert result.stdout == f"{QUIZZES}: rewritten\n"
    assert 'policies/features/pins.yaml:9:5: error: unknown key "alow"; did you mean "allow"?' in result.stderr
    assert (tmp_path / "policies/features/pins.yaml").read_bytes() == before


def test_a_name_that_nobody_declares_is_no_hindrance(klausel: Klausel, change: Change) -> None:
    change(QUIZZES, LEFT, SWAPPED.replace("take", "tak"))
    assert klausel("fmt").exit_code == 0


def test_rows_of_casbin_are_formatted_too(klausel: Klausel, tmp_path: Path) -> None:
    file = tmp_path / "policies" / "features" / "more.csv"
    file.write_text('\n#  rows\n\n\np,lead ,  *,quiz,edit,"is_published",allow\r\n   \n')
    assert klausel("fmt").exit_code == 0
    assert file.read_text() == "#  rows\n\np, lead, *, quiz, edit, is_published, allow\n"


def test_permissions_and_links_stay(klausel: Klausel, change: Change, tmp_path: Path) -> None:
    change(QUIZZES, LEFT, SWAPPED)
    link = tmp_path / QUIZZES
    kept = tmp_path / "policies" / ".kept"
    kept.mkdir()
    target = link.rename(kept / "quizzes.yaml")
    target.chmod(0o640)
    link.symlink_to(target)
    assert klausel("fmt").exit_code == 0
    assert link.is_symlink()
    assert LEFT in target.read_text(encoding="utf-8")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_that_cannot_be_written_is_named_and_whole(klausel: Klausel, change: Change, tmp_path: Path) -> None:
    change(QUIZZES, LEFT, SWAPPED)
    before = (tmp_path / QUIZZES).read_bytes()
    (tmp_path / "policies" / "features").chmod(0o500)
    result = klausel("fmt")
    assert result.exit_code == 1
    assert f"{QUIZZES}: it cannot be written: permission denied" in result.stderr
    assert (tmp_path / QUIZZES).read_bytes() == before


def test_a_folder_without_policies_is_wrong_usage(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    result = klausel("fmt", "--policies", str(tmp_path / "elsewhere"))
    assert result.exit_code == 2
    assert "holds no YAML or CSV file of a policy set" in result.stderr
