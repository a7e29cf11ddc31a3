"""The same interface without a server: it follows its files, and works in threads and in processes that are forked off."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from doors import ROOT, demo_people

from klausel.client import Question, Refused, Resource
from klausel.core.terms.problem import PolicyError
from klausel.in_process import InProcess, open_policies

QUIZ = Resource("quiz", "q1", {"account": "acme", "workspace": "support", "status": "published"})
SECONDS = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "policies", tmp_path / "policies", ignore=shutil.ignore_patterns("tests", "demo"))
    shutil.copy(ROOT / "model.conf", tmp_path)
    return tmp_path / "policies"


@pytest.fixture
def klausel(folder: Path) -> Iterator[InProcess]:
    with open_policies(folder, database=f"sqlite:///{folder.parent}/own.db") as opened:
        opened.assign([{"subject": subject, "role": role, "domain": domain} for subject, role, domain in demo_people()])
        yield opened


def test_it_answers_as_the_client_does(klausel: InProcess) -> None:
    assert klausel.allows("user:leo", "edit", QUIZ)
    assert [
        bool(one) for one in klausel.evaluations([Question("user:leo", "edit", QUIZ), Question("user:x", "edit", QUIZ)])
    ] == [
        True,
        False,
    ]
    assert klausel.explain("user:leo", "edit", QUIZ)["decision"] is True
    assert klausel.filter("user:leo", "view", Resource("dashboard")).filter == "when"
    assert {row["role"] for row in klausel.assignments(subject="user:leo", domain="acme/support")} == {"lead"}
    with pytest.raises(Refused):
        klausel.assign([{"subject": "user:x", "role": "emperor", "domain": "acme"}])


def test_it_follows_its_files(klausel: InProcess, folder: Path) -> None:
    time.sleep(0.2)
    (folder / "features" / "quizzes.yaml").write_text(
        (folder / "features" / "quizzes.yaml").read_text() + "\n  - {deny: anyone, to: edit, resource: quiz}\n"
    )
    give_up = time.monotonic() + SECONDS
    while klausel.allows("user:leo", "edit", QUIZ) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not klausel.allows("user:leo", "edit", QUIZ)


def test_threads_share_it(klausel: InProcess) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: klausel.allows("user:leo", "edit", QUIZ), range(200)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_process_that_was_forked_off_asks_for_itself(klausel: InProcess) -> None:
    assert klausel.allows("user:leo", "edit", QUIZ)
    child = os.fork()
    if child == 0:
        good = False
        try:
            good = klausel.allows("user:leo", "edit", QUIZ) and klausel.explain("user:leo", "edit", QUIZ)["decision"]
        finally:
            os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert klausel.allows("user:leo", "edit", QUIZ)


def test_what_is_wrong_is_told_on_opening(folder: Path) -> None:
    (folder / "roles.yaml").write_text("roles: 3\n")
    with pytest.raises(PolicyError):
        open_policies(folder, database=f"sqlite:///{folder.parent}/own.db")
