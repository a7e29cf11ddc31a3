"""Files of a policy set are saved whole, and never over what somebody else wrote."""

from pathlib import Path

import pytest

from klausel.storage.policy_files.saving import ChangedMeanwhile, save_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "policies"
    (found / "features").mkdir(parents=True)
    (found / "roles.yaml").write_bytes(b"roles: {}\n")
    (tmp_path / "secret.yaml").write_bytes(b"kept\n")
    return found


def test_changed_and_new_files_are_written(folder: Path) -> None:
    save_files(folder, {"roles.yaml": (b"roles: {}\n", b"a: 1\n"), "tests/a_test.yaml": (None, b"b: 1\n")})
    assert (folder / "roles.yaml").read_bytes() == b"a: 1\n"
    assert (folder / "tests" / "a_test.yaml").read_bytes() == b"b: 1\n"
    assert [one.name for one in folder.iterdir() if one.name.startswith(".")] == []


def test_nothing_is_written_where_one_file_is_another_one_meanwhile(folder: Path) -> None:
    with pytest.raises(ChangedMeanwhile, match=r"features/a\.yaml"):
        save_files(folder, {"roles.yaml": (b"roles: {}\n", b"a: 1\n"), "features/a.yaml": (b"old\n", b"new\n")})
    (folder / "features" / "a.yaml").write_bytes(b"somebody's\n")
    with pytest.raises(ChangedMeanwhile):
        save_files(folder, {"roles.yaml": (b"roles: {}\n", b"a: 1\n"), "features/a.yaml": (None, b"new\n")})
    assert (folder / "roles.yaml").read_bytes() == b"roles: {}\n"
    assert (folder / "features" / "a.yaml").read_bytes() == b"somebody's\n"


@pytest.mark.parametrize("name", ["../secret.yaml", "features/link.yaml", "out/secret.yaml"])
def test_what_lies_outside_of_the_folder_is_never_written(folder: Path, name: str) -> None:
    (folder / "features" / "link.yaml").symlink_to(folder.parent / "secret.yaml")
    (folder / "out").symlink_to(folder.parent)
    for before in (None, b"kept\n"):
        with pytest.raises(ChangedMeanwhile):
            save_files(folder, {name: (before, b"stolen\n")})
    assert (folder.parent / "secret.yaml").read_bytes() == b"kept\n"


def test_what_is_to_hold_nothing_is_removed_and_never_what_somebody_else_changed(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    (folder / "features").mkdir(parents=True)
    for name in ("roles.yaml", "features/a.yaml"):
        (folder / name).write_bytes(b"old: 1\n")
    with pytest.raises(ChangedMeanwhile):
        save_files(folder, {"features/a.yaml": (b"other: 1\n", None)})
    save_files(folder, {"features/a.yaml": (b"old: 1\n", None), "features/b.yaml": (None, b"old: 1\n")})
    assert [path.name for path in (folder / "features").iterdir()] == ["b.yaml"]
