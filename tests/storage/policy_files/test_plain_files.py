"""Files that are read by their name in a folder that is open: never one that a link or a swapped folder brings in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from klausel.storage.file_rules import LARGEST_FILE
from klausel.storage.policy_files.plain_files import PlainFiles

SECRET = b"the password of the database\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.yaml").write_bytes(SECRET)
    features = tmp_path / "policies" / "features"
    features.mkdir(parents=True)
    (features / "x.yaml").write_bytes(b"{}\n")
    return tmp_path / "policies"


def test_a_regular_file_is_read_whole(folder: Path) -> None:
    (folder / "features" / "empty.yaml").touch()
    (folder / "features" / "largest.yaml").write_bytes(b"#" * LARGEST_FILE)
    with PlainFiles(str(folder)) as files:
        assert files.content(str(folder / "features" / "x.yaml")) == b"{}\n"
        assert files.content(str(folder / "features" / "empty.yaml")) == b""
        assert files.content(str(folder / "features" / "largest.yaml")) == b"#" * LARGEST_FILE


def test_what_is_no_regular_file_of_a_fitting_size_is_left_to_others(folder: Path) -> None:
    features = folder / "features"
    (features / "link.yaml").symlink_to("../../outside/x.yaml")
    (features / "inner.yaml").symlink_to("x.yaml")
    os.mkfifo(features / "pipe.yaml")
    (features / "large.yaml").write_bytes(b"#" * (LARGEST_FILE + 1))
    with PlainFiles(str(folder)) as files:
        for name in ("link.yaml", "inner.yaml", "pipe.yaml", "large.yaml", "none.yaml", ""):
            assert files.content(str(features / name)) is None, name


def test_a_folder_that_is_swapped_for_a_link_out_brings_nothing_in(folder: Path) -> None:
    features = folder / "features"
    with PlainFiles(str(folder)) as files:
        assert files.content(str(features / "x.yaml")) == b"{}\n"
        features.rename(folder / "before")
        features.symlink_to("../outside")
        assert files.content(str(features / "x.yaml")) == b"{}\n"
    with PlainFiles(str(folder)) as files:
        assert files.content(str(features / "x.yaml")) is None
