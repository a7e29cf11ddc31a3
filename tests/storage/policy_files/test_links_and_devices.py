"""What a folder may hold: no link, device or pipe in it brings in what is not of the policy set; a ConfigMap is read."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from klausel.service.pipeline import open_policy
from klausel.storage.file_rules import is_passed_over
from klausel.storage.policy_files.folder import read_files
from klausel.storage.policy_files.watched_folder import PolicyFolder

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "model.conf"
SECRET = "the password of the database\n"
LEADS_OUT = "this is a link that goes out of the policy folder, and such are not followed"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "policies"
    (made / "features").mkdir(parents=True)
    return made


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.yaml"
    file.write_text(SECRET)
    return file


def names_and_faults(folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    files, problems = read_files(folder, MODEL)
    place = folder.as_posix() + "/"
    assert not any(SECRET.encode() in file.content for file in files)
    return [file.name for file in files if file.name != "model.conf"], [
        (problem.place.file.removeprefix(place), problem.message) for problem in problems
    ]


def test_a_link_to_a_file_outside_is_refused_unread(folder: Path, secret: Path) -> None:
    (folder / "features" / "near.yaml").symlink_to("../../secret.yaml")
    (folder / "features" / "straight.yaml").symlink_to(secret)
    (folder / "roles.yaml").symlink_to("features/near.yaml")
    assert names_and_faults(folder) == (
        [],
        [("features/near.yaml", LEADS_OUT), ("features/straight.yaml", LEADS_OUT), ("roles.yaml", LEADS_OUT)],
    )


def test_a_link_to_a_folder_outside_is_refused_unread(folder: Path, secret: Path) -> None:
    (folder / "features" / "more").symlink_to(secret.parent)
    assert names_and_faults(folder) == ([], [("features/more", LEADS_OUT)])


def test_a_folder_whose_name_begins_like_the_policy_folder_is_outside(folder: Path) -> None:
    beside = folder.with_name("policies-old")
    beside.mkdir()
    (beside / "x.yaml").write_text(SECRET)
    (folder / "features" / "x.yaml").symlink_to(beside / "x.yaml")
    assert names_and_faults(folder) == ([], [("features/x.yaml", LEADS_OUT)])


def test_devices_and_pipes_are_refused_without_waiting_for_them(folder: Path) -> None:
    os.mkfifo(folder / "features" / "pipe.yaml")
    (folder / "features" / "linked.yaml").symlink_to("pipe.yaml")
    (folder / "features" / "zero.yaml").symlink_to("/dev/zero")
    assert names_and_faults(folder) == (
        [],
        [
            ("features/linked.yaml", "this is not a regular file"),
            ("features/pipe.yaml", "this is not a regular file"),
            ("features/zero.yaml", LEADS_OUT),
        ],
    )


def test_links_in_a_circle_end(folder: Path) -> None:
    (folder / "features" / "x.yaml").write_text("{}\n")
    (folder / "features" / "again").symlink_to(".")
    (folder / "features" / "top").symlink_to("..")
    (folder / "features" / "round.yaml").symlink_to("round.yaml")
    names, faults = names_and_faults(folder)
    assert names == ["features/x.yaml"]
    assert [name for name, _ in faults] == ["features/again", "features/round.yaml", "features/top"]
    assert faults[0][1] == "this is a link to a folder that is read already"


def test_folders_that_lead_to_each_other_many_times_are_each_read_once(folder: Path) -> None:
    for number in range(20):
        here = folder / ".kept" / str(number)
        here.mkdir(parents=True)
        (here / "x.yaml").write_text("{}\n")
        for name in ("one", "two"):
            (here / name).symlink_to(f"../{number + 1}")
    (folder / "features" / "in").symlink_to("../.kept/0")
    names, _ = names_and_faults(folder)
    assert len(names) == 20


def test_the_policy_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (folder / "features" / "x.yaml").write_text("{}\n")
    link = tmp_path / "current"
    link.symlink_to("policies")
    assert names_and_faults(link) == (["features/x.yaml"], [])


class Mount:
    """A folder as Kubernetes mounts a ConfigMap: files and folders are links through `..data`, which is replaced by rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.swap("..2026_01", lambda data: None)
        for name in ("features", "tests", "roles.yaml", "conditions.yaml", "invariants.yaml"):
            (folder / name).symlink_to(f"..data/{name}")

    def swap(self, name: str, change: Callable[[Path], object]) -> None:
        """Puts another edition beside the present one, turns `..data` to it, and removes the former."""
        data, link = self.folder / name, self.folder / "..data"
        former = link.resolve() if link.exists() else None
        shutil.copytree(ROOT / "policies", data, ignore=shutil.ignore_patterns("demo", "*.md", "schemas"))
        change(data)
        waiting = self.folder / "..data_tmp"
        waiting.symlink_to(name)
        waiting.rename(link)
        if former is not None:
            shutil.rmtree(former)


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    return Mount(tmp_path / "mounted")


def test_a_mounted_configmap_is_the_policy_set_that_was_put_into_it(mount: Mount) -> None:
    names, faults = names_and_faults(mount.folder)
    assert faults == []
    assert names == names_and_faults(ROOT / "policies")[0]
    assert open_policy(mount.folder, MODEL).files_digest == open_policy(ROOT / "policies", MODEL).files_digest


def test_files_of_a_folder_may_each_be_linked_through_the_configmap(mount: Mount) -> None:
    names = sorted(file.name for file in (mount.folder / "features").iterdir())
    (mount.folder / "features").unlink()
    (mount.folder / "features").mkdir()
    for name in names:
        (mount.folder / "features" / name).symlink_to(f"../..data/features/{name}")
    assert open_policy(mount.folder, MODEL).files_digest == open_policy(ROOT / "policies", MODEL).files_digest


def test_a_swapped_configmap_is_noticed_and_read(mount: Mount) -> None:
    source = PolicyFolder(mount.folder, MODEL, recheck_seconds=600)
    before = source.read()
    wake = threading.Event()
    told: Iterator[None] = source.changes(wake)
    next(told)
    mount.swap("..2026_02", lambda data: (data / "features" / "new.yaml").write_text("{}\n"))
    stop = threading.Timer(20, wake.set)
    stop.start()
    next(told)
    stop.cancel()
    assert not wake.is_set()
    after = source.read()
    assert after.problems == ()
    assert {file.name for file in after.files} - {file.name for file in before.files} == {"features/new.yaml"}


@pytest.mark.parametrize(
    "name",
    [
        "4913",
        "5036",
        "#t.yaml#",
        "t.yaml.orig",
        "t.yaml.rej",
        "t.yaml.new",
        ".t.yaml.swp",
        "t.yaml~",
        "t.yaml.bak",
        "t.csv.tmp",
        "~$t.csv",
        "Thumbs.db",
        "desktop.ini",
    ],
)
@pytest.mark.parametrize("place", ["", "features/", "tests/"])
def test_what_editors_leave_beside_the_files_is_ignored(folder: Path, place: str, name: str) -> None:
    (folder / "tests").mkdir()
    (folder / place / name).write_text(SECRET)
    assert names_and_faults(folder) == ([], [])


@pytest.mark.parametrize(
    "name", ["x.bak", "x.new", "4914", "#", "##", "t.yaml.txt", "t.yaml.new.more", "#t.yaml", "x.swp", "$t.csv"]
)
def test_what_no_editor_leaves_is_told(name: str) -> None:
    assert not is_passed_over(f"features/{name}")
