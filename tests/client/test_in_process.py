"""The same interface without a server: it follows its files, and works in threads and in processes that are forked off."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from at_least_checks import check_at_least
from doors import ROOT, demo_people

from klausel import in_process
from klausel.app import create_service
from klausel.client import Question, Refused, Resource, Subject
from klausel.core.terms.problem import PolicyError
from klausel.in_process import InProcess, open_policies
from klausel.service.decision_service import Service
from klausel.settings import Settings

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


def test_coroutines_ask_it_where_they_are_and_in_threads(klausel: InProcess) -> None:
    async def right_here(subject: str) -> bool:
        await asyncio.sleep(0)
        return klausel.allows(subject, "edit", QUIZ)

    async def in_a_thread(subject: str) -> tuple[bool, tuple[str, ...]]:
        found = await asyncio.to_thread(klausel.permissions, subject, [QUIZ])
        return await asyncio.to_thread(klausel.allows, subject, "edit", QUIZ), found[0].actions

    async def change() -> None:
        for number in range(20):
            row = {"subject": f"user:new-{number}", "role": "user", "domain": "acme"}
            await asyncio.to_thread(klausel.assign, [row])

    async def ask() -> list[list[Any]]:
        known = ["user:leo", "user:nobody"] * 50
        *answers, _ = await asyncio.gather(
            asyncio.gather(*map(right_here, known)), asyncio.gather(*map(in_a_thread, known)), change()
        )
        return answers

    here, threads = asyncio.run(ask())
    assert here == [True, False] * 50
    assert [allowed for allowed, _ in threads] == [True, False] * 50
    assert {(allowed, "edit" in actions) for allowed, actions in threads} == {(True, True), (False, False)}


def test_an_answer_has_seen_the_revision_that_is_asked_for_or_is_a_deny(klausel: InProcess) -> None:
    check_at_least(klausel)


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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_threads_of_a_forked_process_open_the_parts_once(klausel: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = 8
    opened: list[int] = []

    def counting(settings: Settings) -> Service:
        opened.append(os.getpid())
        time.sleep(0.05)  # long enough for all threads to want it
        return create_service(settings)

    monkeypatch.setattr(in_process, "create_service", counting)
    # Held while the process is forked, as by a thread that opens just then.
    klausel._opening.acquire()
    child = os.fork()
    if child == 0:
        good = False
        try:
            start = threading.Barrier(threads)

            def ask(_: int) -> bool:
                start.wait(SECONDS)
                return klausel.allows("user:leo", "edit", QUIZ)

            with ThreadPoolExecutor(threads) as pool:
                good = all(pool.map(ask, range(threads))) and opened == [os.getpid()]
        finally:
            os._exit(0 if good else 1)
    klausel._opening.release()
    assert os.waitpid(child, 0)[1] == 0


def test_it_has_the_searches_and_menus_of_the_client(klausel: InProcess) -> None:
    assert Subject("user", "leo") in list(klausel.search_subjects("user", "edit", QUIZ, limit=1))
    assert "edit" in list(klausel.search_actions("user:leo", QUIZ))
    assert "edit" in klausel.permissions("user:leo", [QUIZ])[0].actions
    assert klausel.evaluate("user:nobody", "edit", QUIZ, reasons=True).reason


def test_what_is_wrong_is_told_on_opening(folder: Path) -> None:
    (folder / "roles.yaml").write_text("roles: 3\n")
    with pytest.raises(PolicyError):
        open_policies(folder, database=f"sqlite:///{folder.parent}/own.db")


def test_without_a_model_beside_the_policies_it_takes_that_of_klausel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "model.conf").unlink()
    monkeypatch.chdir(folder.parent)
    settings = Settings(policies=str(folder), database=f"sqlite:///{folder.parent}/own.db")
    with open_policies(folder, database=settings.database, follows=False) as opened:
        assert not opened.evaluate("user:x", "edit", QUIZ).failed
    create_service(settings).store.close()
    with pytest.raises(PolicyError, match="no such file"):
        open_policies(folder, model="elsewhere.conf", database=settings.database)
