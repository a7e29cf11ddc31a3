"""A service reads its policies at a git ref, from a bare repository too, and follows where the ref goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from git_in_tests import FILES, Repository
from ports import free_port

from klausel.app import create_flask_app, create_service
from klausel.cli.main import main
from klausel.core.policy.assignment import Assignment
from klausel.core.terms.problem import PolicyError
from klausel.service.decision_service import Service
from klausel.settings import Settings
from klausel.storage.policy_files.git_source import GitFolder, git_address

LETTERS = "policies/features/letters.yaml"
QUESTION = {
    "subject": {"type": "user", "id": "cleo"},
    "action": {"name": "burn"},
    "resource": {"type": "letter", "id": "1", "properties": {"house": "one"}},
}
SECONDS_TO_SEE = 30


@pytest.fixture
def bare(made: Repository, tmp_path: Path) -> Path:
    """A bare repository that `made` pushes to."""
    made.git("clone", "--quiet", "--bare", ".", str(tmp_path / "policies.git"))
    made.git("remote", "add", "origin", str(tmp_path / "policies.git"))
    return tmp_path / "policies.git"


@pytest.fixture
def service(bare: Path, tmp_path: Path) -> Iterator[Service]:
    settings = Settings(policies=f"{bare}@main:policies", model="", database=f"sqlite:///{tmp_path}/db", poll_seconds=0.05)
    service = create_service(settings)
    service.store.write(service.policy.compiled.policy.roles, [Assignment("user:cleo", "clerk", "one")], [])
    yield service
    service.live.close()
    service.store.close()


def decision(service: Service) -> bool:
    answer = create_flask_app(service).test_client().post("/access/v1/evaluation", json=QUESTION)
    assert answer.status_code == 200
    return bool(answer.get_json()["decision"])


def policy_of(service: Service) -> dict[str, Any]:
    told: dict[str, Any] = create_flask_app(service).test_client().get("/v1/policy").get_json()
    return told


def test_the_service_decides_by_the_commit_and_tells_it(made: Repository, service: Service) -> None:
    assert decision(service) is False
    told = policy_of(service)
    assert (told["commit"], told["dirty"]) == (made.git("rev-parse", "HEAD"), False)


def test_a_push_is_followed_at_the_next_look(made: Repository, service: Service) -> None:
    second = made.replace(LETTERS, "to: read", "to: [read, burn]")
    assert service.live.refresh() == "unchanged"
    made.git("push", "--quiet", "origin", "main")
    assert service.live.refresh() == "taken"
    assert (decision(service), policy_of(service)["commit"]) == (True, second)


def test_a_commit_that_changes_no_policy_is_told_all_the_same(made: Repository, service: Service) -> None:
    second = made.commit({"README.md": "Hello"})
    made.git("push", "--quiet", "origin", "main")
    before = service.policy.compiled
    assert service.live.refresh() == "unchanged"
    assert policy_of(service)["commit"] == second and service.policy.compiled is before


def test_a_broken_commit_a_lost_folder_and_a_lost_ref_leave_the_last_good_policies(
    made: Repository, bare: Path, service: Service
) -> None:
    first = made.replace(LETTERS, "to: read", "to: [read, burn]")
    made.git("push", "--quiet", "origin", "main")
    service.live.refresh()
    made.replace(LETTERS, "allow: clerk", "allow: clark")
    made.git("push", "--quiet", "origin", "main")
    assert service.live.refresh() == "refused"
    assert "unknown role" in json.dumps(policy_of(service))
    shutil.rmtree(made.folder / "policies")
    made.commit({})
    made.git("push", "--quiet", "origin", "main")
    assert service.live.refresh() == "refused"
    assert "has no folder policies" in json.dumps(policy_of(service))
    made.git("--git-dir", str(bare), "update-ref", "-d", "refs/heads/main")
    assert service.live.refresh() == "refused"
    assert (decision(service), policy_of(service)["commit"]) == (True, first)
    made.git("--git-dir", str(bare), "update-ref", "refs/heads/main", first)
    assert service.live.refresh() == "unchanged"
    assert "refused" not in json.dumps(policy_of(service))


def test_a_repository_that_was_away_is_read_again(made: Repository, bare: Path, service: Service) -> None:
    bare.rename(bare.with_suffix(".away"))
    assert service.live.refresh() == "refused"
    bare.with_suffix(".away").rename(bare)
    assert service.live.refresh() == "unchanged"


def test_the_ref_is_looked_up_from_time_to_time(made: Repository, bare: Path) -> None:
    source = GitFolder(git_address(f"{bare}@main:policies"), None, poll_seconds=0.01)  # type: ignore[arg-type]
    looks = source.changes(threading.Event())
    assert [next(looks) for _ in range(3)] == [None] * 3
    wake = threading.Event()
    patient = GitFolder(git_address(f"{bare}@main:policies"), None, poll_seconds=3600).changes(wake)  # type: ignore[arg-type]
    next(patient)
    wake.set()
    next(patient)


def test_an_address_that_leads_nowhere_refuses_the_start(made: Repository, tmp_path: Path) -> None:
    for address, why in (
        (f"{made.folder}@nowhere:policies", "git knows no commit"),
        (f"{made.folder}@main:elsewhere", "has no folder elsewhere"),
        (f"{tmp_path}/none@main:policies", "there is no git repository"),
    ):
        with pytest.raises(PolicyError, match=why):
            create_service(Settings(policies=address, model="", database=f"sqlite:///{tmp_path}/db"))
        told = CliRunner().invoke(main, ["serve", "--policies", address, "--port", str(free_port())])
        assert told.exit_code == 1 and why in told.stderr


def test_demo_people_need_a_folder(made: Repository) -> None:
    told = CliRunner().invoke(main, ["serve", "--demo", "--policies", f"{made.folder}@main:policies"])
    assert told.exit_code == 2 and "leave out --demo" in told.stderr


def test_a_started_service_follows_a_bare_repository(made: Repository, bare: Path, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("subject,role,domain\nuser:cleo,clerk,one\n")
    database = f"sqlite:///{tmp_path}/served.db"
    done = CliRunner().invoke(
        main, ["assignments", "import", str(people), "--database", database, "--policies", f"{bare}@main:policies"]
    )
    assert done.exit_code == 0, done.output
    port = free_port()
    command = [str(Path(sys.executable).with_name("klausel")), "serve", "--policies", f"{bare}@main:policies"]
    options = ["--poll-seconds", "0.1", "--port", str(port), "--database", database]
    log = tmp_path / "log.txt"
    with (
        log.open("wb") as out,
        subprocess.Popen([*command, *options], stdout=out, stderr=out, env={**os.environ}) as process,
    ):
        try:
            _wait_until(lambda: _asked(port) is False, log)
            made.replace(LETTERS, "to: read", "to: [read, burn]")
            made.git("push", "--quiet", "origin", "main")
            _wait_until(lambda: _asked(port) is True, log)
        finally:
            process.terminate()
            process.wait(SECONDS_TO_SEE)


def _asked(port: int) -> bool | None:
    body = json.dumps(QUESTION).encode()
    url = f"http://127.0.0.1:{port}/access/v1/evaluation"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=5
        ) as told:
            return bool(json.load(told)["decision"])
    except OSError:
        return None


def _wait_until(is_so: Any, log: Path) -> None:
    give_up_at = time.monotonic() + SECONDS_TO_SEE
    while not is_so():
        assert time.monotonic() < give_up_at, log.read_text()
        time.sleep(0.05)


def test_the_model_of_the_commit_is_followed_too(made: Repository, service: Service) -> None:
    made.commit({"model.conf": FILES["model.conf"] + "\n# A remark.\n"})
    made.git("push", "--quiet", "origin", "main")
    assert service.live.refresh() == "taken"
    made.commit({"model.conf": "[nonsense]\n"})
    made.git("push", "--quiet", "origin", "main")
    assert service.live.refresh() == "refused"
