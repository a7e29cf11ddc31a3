"""Whatever other processes do to the files of an SQLite database: who lost a role there is not allowed by it here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from storage_people import ROLES, row

from klausel.service.effective_roles_cache import EffectiveRolesCache
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.schema import open_database
from klausel.storage.sql import open_file
from klausel.storage.sql.access import Limits
from klausel.storage.sql.database import StorageError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="open files are not replaced there")

PEOPLE = [row("ann", "admin", "acme"), row("bo", "user", "acme"), row("bo", "lead", "acme/support")]
REVOKE = "DELETE FROM casbin_rule WHERE v0 = 'user:bo'"
LIMITS = Limits(2, 2, 2, 2)


def elsewhere(file: Path, *statements: str) -> str:
    """Runs statements in another process, as the program `sqlite3` does; prints what the last one gives."""
    code = (
        "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1], timeout=1, isolation_level=None)\n"
        "try:\n    for one in sys.argv[2:]: found = connection.execute(one).fetchall()\n    print(found)\n"
        "except sqlite3.Error as error: print(error)\nconnection.close()"
    )
    return subprocess.run([sys.executable, "-c", code, file, *statements], capture_output=True, text=True, check=True).stdout


def copy(source: Path, target: Path) -> None:
    """Copies by a process of its own: one that closes a file of SQLite loses the locks that it has on it."""
    subprocess.run(["cp", source, target], check=True)


def backup(file: Path, target: Path) -> None:
    elsewhere(file, f"VACUUM INTO '{target}'")


class Opened:
    """A database and what is remembered of it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.store = AssignmentStore(open_database(f"sqlite:///{file}", LIMITS))
        self.cache = EffectiveRolesCache(self.store, ROLES)

    def is_lead(self) -> bool:
        self.cache.refresh()
        return "lead" in self.cache.roles_in("user:bo", "acme/support")

    def in_a_new_thread(self) -> bool | StorageError:
        found: list[bool | StorageError] = []

        def ask() -> None:
            try:
                found.append(self.is_lead())
            except StorageError as error:
                found.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        return found[0]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made = Opened(tmp_path / "klausel.db")
    with closing(made.store):
        made.store.write(ROLES, PEOPLE, [])
        assert made.is_lead()
        yield made


@pytest.fixture
def looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_file, "SECONDS_BETWEEN_LOOKS", 0.0)


def by_rename(file: Path) -> None:
    backup(file, file.with_name("new.db"))
    os.replace(file.with_name("new.db"), file)
    file.with_name("klausel.db-wal").unlink()
    file.with_name("klausel.db-shm").unlink()


def by_rename_alone(file: Path) -> None:
    backup(file, file.with_name("new.db"))
    os.replace(file.with_name("new.db"), file)


def without_its_index(file: Path) -> None:
    file.with_name("klausel.db-shm").unlink()


def without_its_log_and_index(file: Path) -> None:
    elsewhere(file, "PRAGMA wal_checkpoint(TRUNCATE)")
    file.with_name("klausel.db-shm").unlink()
    file.with_name("klausel.db-wal").unlink()


def with_a_new_log(file: Path) -> None:
    copy(file.with_name("klausel.db-wal"), file.with_name("copy"))
    os.replace(file.with_name("copy"), file.with_name("klausel.db-wal"))


def deleted(file: Path) -> None:
    file.unlink()


REPLACED = [by_rename, by_rename_alone, without_its_index, without_its_log_and_index, with_a_new_log, deleted]


@pytest.mark.usefixtures("looks_always")
@pytest.mark.parametrize("replace", REPLACED)
def test_nothing_is_told_or_written_once_the_file_is_another_one(replace: Callable[[Path], None], opened: Opened) -> None:
    replace(opened.file)
    elsewhere(opened.file, REVOKE)
    for _ in range(2):
        with pytest.raises(StorageError, match="is not the one that is open here") as caught:
            opened.is_lead()
        assert "start Klausel again" in str(caught.value)
        assert isinstance(opened.in_a_new_thread(), StorageError)
        with pytest.raises(StorageError, match="is not the one"):
            opened.store.write(ROLES, [row("cy", "user", "acme")], [])
        with pytest.raises(StorageError, match="is not the one"):
            opened.store.revision()


def test_a_thread_that_comes_later_reads_no_other_file_than_those_before(opened: Opened) -> None:
    by_rename(opened.file)
    # Not told by a look, which comes once a second: this thread has a connection to open.
    opened.cache.forget_subjects(None)
    assert isinstance(opened.in_a_new_thread(), StorageError)


@pytest.mark.usefixtures("looks_always")
def test_a_link_that_leads_elsewhere_now_is_another_file(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    link = tmp_path / "now"
    link.symlink_to("first")
    opened = Opened(link / "klausel.db")
    with closing(opened.store):
        opened.store.write(ROLES, PEOPLE, [])
        assert opened.is_lead()
        backup(link / "klausel.db", tmp_path / "second/klausel.db")
        elsewhere(tmp_path / "second/klausel.db", REVOKE)
        (tmp_path / "next").symlink_to("second")
        os.replace(tmp_path / "next", link)
        with pytest.raises(StorageError, match="is not the one"):
            opened.is_lead()
        assert isinstance(opened.in_a_new_thread(), StorageError)


@pytest.mark.usefixtures("looks_always")
def test_what_is_put_back_is_answered_from_again(opened: Opened) -> None:
    aside = opened.file.with_name("aside.db")
    os.rename(opened.file, aside)
    with pytest.raises(StorageError):
        opened.is_lead()
    os.rename(aside, opened.file)
    assert opened.is_lead()
    elsewhere(opened.file, REVOKE)
    assert not opened.is_lead()


@pytest.mark.usefixtures("looks_always")
@pytest.mark.parametrize(
    "before",
    [
        ["PRAGMA wal_checkpoint(TRUNCATE)"],
        ["VACUUM"],
        ["VACUUM INTO '{folder}/copy.db'"],
        ["PRAGMA journal_mode = DELETE"],
        ["PRAGMA locking_mode = EXCLUSIVE", "SELECT count(*) FROM casbin_rule"],
        ["SELECT count(*) FROM casbin_rule", "PRAGMA locking_mode = EXCLUSIVE"],
    ],
)
def test_what_others_may_do_to_it_keeps_it_right(before: list[str], opened: Opened, tmp_path: Path) -> None:
    elsewhere(opened.file, *[one.format(folder=tmp_path) for one in before], REVOKE)
    is_gone = "user:bo" not in elsewhere(opened.file, "SELECT v0 FROM casbin_rule")
    assert opened.is_lead() is not is_gone
    assert opened.in_a_new_thread() is not is_gone
    elsewhere(opened.file, REVOKE)
    assert not opened.is_lead()


@pytest.mark.usefixtures("looks_always")
def test_by_a_link_to_it_others_write_to_the_same_file(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/linked.db").symlink_to(opened.file)
    elsewhere(tmp_path / "other/linked.db", REVOKE)
    assert not opened.is_lead()


def test_a_store_that_was_closed_remembers_nothing_that_was_taken_away_meanwhile(opened: Opened) -> None:
    opened.store.close()
    # The log is a new one now, without a record, as it is after the next closing: the two begin with the same bytes.
    assert opened.is_lead()
    opened.store.close()
    assert not opened.file.with_name("klausel.db-shm").exists()
    elsewhere(opened.file, REVOKE)
    assert not opened.is_lead()


def test_files_that_are_copied_back_are_as_no_thread_remembers_them(opened: Opened, tmp_path: Path) -> None:
    with closing(AssignmentStore(open_database(f"sqlite:///{opened.file}", LIMITS))) as other:
        elsewhere(opened.file, REVOKE)
        assert not opened.is_lead()
        names = ["klausel.db-shm", "klausel.db-wal", "klausel.db"]
        for name in names:
            copy(tmp_path / name, tmp_path / f"copy of {name}")
        other.write(ROLES, PEOPLE, [])
        assert opened.in_a_new_thread() is True
        for name in names:
            copy(tmp_path / f"copy of {name}", tmp_path / name)
        # This thread saw just this state, before the other one saw the one between.
        assert not opened.is_lead()


FORKS = """
import os, sys, time
sys.path[:0] = [sys.argv[2]]
from test_replaced_file import PEOPLE, REVOKE, ROLES, Opened, Path, elsewhere
first = os.getpid()
opened = Opened(Path(sys.argv[1]))
opened.store.write(ROLES, PEOPLE, [])
assert opened.is_lead()
if os.fork():
    os._exit(0)
while os.getppid() == first:
    time.sleep(0.01)
mine = Opened(opened.file) if sys.argv[3] == "own" else opened
assert mine.is_lead()
elsewhere(mine.file, "UPDATE casbin_rule SET v1 = v1")
assert mine.is_lead()
print(sorted(os.listdir(mine.file.parent)))
elsewhere(mine.file, REVOKE)
print(mine.is_lead())
mine.store.write(ROLES, [PEOPLE[1]._replace(subject="user:cy")], [])
print("user:cy" in elsewhere(mine.file, "SELECT v0 FROM casbin_rule"))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks there")
@pytest.mark.parametrize("whose", ["own", "inherited"])
def test_a_process_that_was_forked_off_outlives_the_one_before_it(whose: str, tmp_path: Path) -> None:
    """Else it takes the locks of that one for its own: others then delete the log that it reads and writes."""
    folder = tmp_path / "data"
    folder.mkdir()
    command = [sys.executable, "-W", "ignore", "-c", FORKS, folder / "klausel.db", Path(__file__).parent, whose]
    paths = os.pathsep.join([*sys.path, str(Path(__file__).parents[2] / "helpers")])
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": paths})
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["['klausel.db', 'klausel.db-shm', 'klausel.db-wal']", "False", "True"]


def test_a_copy_of_the_folder_is_a_database_of_its_own(opened: Opened, tmp_path: Path) -> None:
    shutil.copytree(tmp_path, tmp_path.with_name("copied"), copy_function=lambda a, b: copy(Path(a), Path(b)))
    elsewhere(tmp_path.with_name("copied") / "klausel.db", REVOKE)
    assert opened.is_lead()
    elsewhere(opened.file, REVOKE)
    assert not opened.is_lead()
