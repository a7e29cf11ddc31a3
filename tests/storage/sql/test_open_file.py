"""Which file a connection has open is known from before it is opened, and is looked at again once a second."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from sqlalchemy import Engine

from klausel.storage.schema import open_database, upgrade_database
from klausel.storage.sql import open_file
from klausel.storage.sql.open_file import OpenFile
from klausel.storage.sql.storage_error import StorageError

SOMEBODY = 64_000
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="open files are not replaced there")


def replace(file: Path) -> None:
    other = file.with_name("other")
    other.write_text("another database")
    os.replace(other, file)


@pytest.mark.parametrize("name", ["klausel.db", "a%41#1?.db"])
@pytest.mark.parametrize("is_there", [True, False])
def test_what_is_opened_is_given_and_known_from_then_on(name: str, is_there: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    if is_there:
        path.touch()
    for file in (OpenFile(str(path)), OpenFile(f"{path.as_uri()}?mode=rwc")):
        with file.opened(lambda: path.open("ab")) as connection:
            assert connection.name == str(path)
        file.look()
        replace(path)
        with pytest.raises(StorageError, match="is not the one that is open here"):
            file.look()


@pytest.mark.parametrize("happens", [replace, Path.unlink])
def test_a_file_that_is_replaced_while_it_is_opened_is_refused_and_closed(
    happens: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "klausel.db"
    path.touch()
    made: list[IO[bytes]] = []

    def connect() -> IO[bytes]:
        made.append(path.open("ab"))
        happens(path)
        return made[0]

    with pytest.raises(StorageError, match="is not the one"):
        OpenFile(str(path)).opened(connect)
    assert made[0].closed


def test_it_is_looked_at_once_a_second_and_each_time_while_it_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = tmp_path / "klausel.db", 100.0
    path.touch()
    monkeypatch.setattr(open_file.time, "monotonic", lambda: now)
    file = OpenFile(str(path))
    file.opened(lambda: path.open("ab")).close()
    file.look_at_times()
    replace(path)
    now = 100.9
    file.look_at_times()
    now = 101.0
    for _ in range(2):
        with pytest.raises(StorageError):
            file.look_at_times()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("makes", [open_database, upgrade_database])
def test_what_root_makes_in_the_folder_of_a_service_is_that_services(makes: Callable[[str], object], tmp_path: Path) -> None:
    os.chown(tmp_path, SOMEBODY, SOMEBODY)
    outside = tmp_path / "outside"
    outside.touch()
    made = makes(f"sqlite:///{tmp_path}/klausel.db")
    if isinstance(made, Engine):
        made.dispose()
    assert {(one.stat().st_uid, one.stat().st_gid) for one in tmp_path.glob("klausel.db*")} == {(SOMEBODY, SOMEBODY)}
    (tmp_path / "link.db").symlink_to(outside)
    OpenFile(f"{tmp_path}/link.db").make_for_owner_of_folder()
    assert outside.stat().st_uid == 0
