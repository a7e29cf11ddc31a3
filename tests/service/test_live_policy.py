"""The policy set in force: what is taken, what is refused, and what stays as it was."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving import Served
from versions import ANSWERS, BAD_KINDS, ROLES, quizzes, write_set

from klausel.core.terms.problem import PolicyError
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.service.policy_in_force import LivePolicy
from klausel.settings import Settings
from klausel.storage.policy_files.folder import PolicyFiles
from klausel.storage.policy_files.watched_folder import PolicyFolder

SECONDS_TO_FOLLOW = 20

IDS = {
    "does not load": "unknown-role",
    "breaks an invariant": "invariant-broken",
    "fails a test": "policy-test-failed",
    "is no YAML": "yaml-syntax",
}


def wait_until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + SECONDS_TO_FOLLOW
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.005)


def test_a_good_change_is_taken_at_the_next_refresh(served: Served, quizzes_file: Path) -> None:
    assert served.decisions() == ANSWERS["A"]
    quizzes_file.write_text(quizzes("B"))
    assert served.decisions() == ANSWERS["A"]
    assert served.live.refresh() == "taken"
    assert served.decisions() == ANSWERS["B"]


@pytest.mark.parametrize("kind", BAD_KINDS)
def test_a_bad_change_is_refused_with_its_problems_and_the_last_good_set_answers(
    served: Served, quizzes_file: Path, kind: str
) -> None:
    before = served.live.in_force
    quizzes_file.write_text(quizzes("B", kind))
    assert served.live.refresh() == "refused"
    assert served.live.in_force is before
    assert IDS[kind] in {problem.id for problem in served.live.refusal.problems}
    assert served.decisions() == ANSWERS["A"]
    quizzes_file.write_text(quizzes("B"))
    assert served.live.refresh() == "taken"
    assert served.live.refusal is None


@pytest.mark.parametrize("kind", BAD_KINDS)
def test_a_bad_set_is_refused_at_the_start(opened: Callable[..., Served], quizzes_file: Path, kind: str) -> None:
    quizzes_file.write_text(quizzes("A", kind))
    with pytest.raises(PolicyError) as caught:
        opened()
    assert IDS[kind] in {problem.id for problem in caught.value.problems}


def test_going_back_to_the_files_in_force_ends_the_refusal_and_swaps_nothing(served: Served, quizzes_file: Path) -> None:
    before = served.live.in_force
    quizzes_file.write_text("")
    assert served.live.refresh() == "refused"
    quizzes_file.write_text(quizzes("A"))
    assert served.live.refresh() == "unchanged"
    assert (served.live.in_force, served.live.refusal) == (before, None)


def test_without_a_change_nothing_is_swapped(served: Served, quizzes_file: Path) -> None:
    before = served.live.in_force
    quizzes_file.touch()
    (quizzes_file.parent / ".quizzes.yaml.swp").write_text("an editor's own file")
    assert served.live.refresh() == "unchanged"
    assert served.live.in_force is before


def test_a_changed_model_is_taken_and_a_bad_one_refused(served: Served, policies: Path) -> None:
    model = policies.parent / "model.conf"
    text = model.read_text()
    model.write_text("# another first line\n" + text)
    before = served.live.in_force.policy.files_digest
    assert served.live.refresh() == "taken"
    assert served.live.in_force.policy.files_digest != before
    model.write_text(text.replace("[matchers]", "[matcher]"))
    assert served.live.refresh() == "refused"
    assert {problem.id for problem in served.live.refusal.problems} == {"model-shape"}


def test_a_test_that_newly_fails_refuses_although_no_decision_changed(served: Served, policies: Path) -> None:
    (policies / "tests" / "more_test.yaml").write_text(
        "people: {nobody: {roles: {}}}\nresources: {quiz: {type: quiz, in: acme/support}}\n"
        "tests:\n  - {name: more, resource: quiz, people: nobody, actions: view, allowed: {nobody: view}}\n"
    )
    assert served.live.refresh() == "refused"
    (problem,) = served.live.refusal.problems
    assert (problem.id, problem.place.file.endswith("tests/more_test.yaml"), problem.place.line) == (
        "policy-test-failed",
        True,
        4,
    )


def test_a_change_of_roles_reaches_people_whose_roles_are_kept(served: Served, policies: Path, quizzes_file: Path) -> None:
    roles = policies / "roles.yaml"
    quizzes_file.write_text(quizzes("A").replace("{allow: agent", "{allow: guest"))
    assert served.live.refresh() == "taken"
    assert served.decisions() == [False, False, False, False, True, False]
    roles.write_text((ROLES % "agent").replace("agent: {level: workspace}", "agent: {level: workspace, contains: guest}"))
    assert served.live.refresh() == "taken"
    assert served.decisions() == ANSWERS["A"]


def test_resolved_roles_are_kept_when_the_roles_stay(served: Served, quizzes_file: Path) -> None:
    served.decisions()
    before = served.live.in_force.resolved_roles
    assert len(before) == 1
    quizzes_file.write_text(quizzes("B"))
    served.live.refresh()
    assert served.live.in_force.resolved_roles is before


def test_a_question_that_began_before_the_swap_is_answered_by_what_was_in_force_then(
    served: Served, quizzes_file: Path
) -> None:
    def question(action: str) -> Request:
        return Request(
            Subject("user", "ann"), Action(action), Resource("quiz", "q", {"account": "acme", "workspace": "support"})
        )

    decide = served.service.decider()
    assert decide(question("view")).allowed
    quizzes_file.write_text(quizzes("B"))
    served.live.refresh()
    assert decide(question("view")).allowed
    assert not decide(question("edit")).allowed
    assert served.service.decider()(question("edit")).allowed


def test_a_folder_that_goes_away_refuses_until_it_is_back(served: Served, policies: Path) -> None:
    away = policies.rename(policies.parent / "away")
    assert served.live.refresh() == "refused"
    assert [problem.id for problem in served.live.refusal.problems] == ["missing-file"]
    assert served.decisions() == ANSWERS["A"]
    away.rename(policies)
    assert served.live.refresh() == "unchanged"


def test_the_same_refused_files_count_and_are_logged_once(
    served: Served, quizzes_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "klausel")
    quizzes_file.write_text(quizzes("B", "does not load"))
    for _ in range(3):
        assert served.live.refresh() == "refused"
    quizzes_file.write_text(quizzes("B"))
    served.live.refresh()
    refused, taken = (record.getMessage() for record in caplog.records)
    assert refused.startswith("policies refused, the last good ones stay in force: ")
    assert 'features/quizzes.yaml:7:13: error: unknown role "agnet"' in refused
    assert "\n" not in refused
    assert taken == f"policies taken: 3 grants, {served.live.in_force.policy.files_digest}"
    assert served.live.reloads == {"taken": 1, "unchanged": 0, "refused": 1}


def test_a_commit_of_the_same_files_is_told_without_a_swap(served: Served, policies: Path) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", "-C", policies, *who, *arguments], capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout.strip()

    assert "commit" not in served.get("/v1/policy")
    compiled = served.live.in_force.policy.compiled
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    assert served.live.refresh() == "unchanged"
    assert served.get("/v1/policy")["commit"] == git("rev-parse", "HEAD")
    assert served.live.in_force.policy.compiled is compiled


class Restless:
    """A source whose files are others at every reading, until they are left alone."""

    def __init__(self, folder: PolicyFolder, file: Path) -> None:
        self._folder = folder
        self._file = file
        self.readings = 0
        self.moves = False

    @property
    def shown_as(self) -> str:
        return self._folder.shown_as

    def read(self) -> PolicyFiles:
        self.readings += 1
        if self.moves:
            self._file.write_text(quizzes("B") + f"# {self.readings}\n")
        return self._folder.read()

    def changes(self, wake: threading.Event) -> Iterator[None]:
        while True:
            yield
            wake.wait(60)


def test_files_that_change_while_they_are_checked_are_not_taken(served: Served, policies: Path, quizzes_file: Path) -> None:
    source = Restless(PolicyFolder(policies, policies.parent / "model.conf"), quizzes_file)
    live = LivePolicy(source, lambda _: served.live.in_force.resolved_roles)
    before = live.in_force
    source.moves = True
    assert live.refresh() == "refused"
    assert live.in_force is before
    assert live.refusal is not None
    assert "keep changing" in live.refusal.problems[0].message
    source.moves = False
    assert live.refresh() == "taken"


# --- Following the files ----------------------------------------------------------------------------------------------


@pytest.fixture
def following(opened: Callable[..., Served]) -> Served:
    """Waits for less quiet than a service does unless told; how long it waits is looked at further down."""
    served = opened(settle_seconds=0.2)
    served.live.follow()
    return served


def test_a_saved_change_is_followed(following: Served, quizzes_file: Path) -> None:
    quizzes_file.write_text(quizzes("B"))
    wait_until(lambda: following.decisions() == ANSWERS["B"])


def test_a_half_written_file_is_refused_and_the_whole_one_is_taken(following: Served, quizzes_file: Path) -> None:
    text = quizzes("B")
    with quizzes_file.open("w") as file:
        file.write(text[: text.index("to: [edit") + 8])
        file.flush()
        wait_until(lambda: following.live.refusal is not None)
        assert following.decisions() == ANSWERS["A"]
        file.write(text[text.index("to: [edit") + 8 :])
    wait_until(lambda: following.decisions() == ANSWERS["B"])
    assert following.live.refusal is None


@pytest.mark.parametrize("times", [3])
def test_files_replaced_by_renaming_are_followed_again_and_again(following: Served, policies: Path, times: int) -> None:
    """As most editors save, and as git does; the model too, which is watched by itself."""
    model = policies.parent / "model.conf"
    for number in range(times):
        version = "BA"[number % 2]
        new = policies / "features" / ".new"
        new.write_text(quizzes(version))
        new.rename(policies / "features" / "quizzes.yaml")
        wait_until(lambda version=version: following.decisions() == ANSWERS[version])  # type: ignore[misc]
        taken = following.live.reloads["taken"]
        new_model = policies.parent / "new.conf"
        new_model.write_text(model.read_text() + f"# {number}\n")
        new_model.rename(model)
        wait_until(lambda taken=taken: following.live.reloads["taken"] > taken)  # type: ignore[misc]


def test_a_folder_replaced_by_another_is_followed(following: Served, policies: Path, tmp_path: Path) -> None:
    other = write_set(tmp_path / "other", "B")
    policies.rename(tmp_path / "old")
    wait_until(lambda: following.live.refusal is not None)
    other.rename(policies)
    wait_until(lambda: following.decisions() == ANSWERS["B"])
    (policies / "features" / "quizzes.yaml").write_text(quizzes("A"))
    wait_until(lambda: following.decisions() == ANSWERS["A"])


def test_a_new_file_in_a_new_folder_is_followed(following: Served, policies: Path) -> None:
    (policies / "invariants.yaml").unlink()
    wait_until(lambda: following.live.reloads["taken"] == 1)
    (policies / "more").mkdir()
    (policies / "more" / "x.yaml").write_text("grants: []\n")
    wait_until(lambda: following.live.refusal is not None)
    assert [problem.id for problem in following.live.refusal.problems] == ["unknown-file"]


def test_an_untouched_folder_is_read_only_now_and_then(following: Served) -> None:
    wait_until(lambda: following.live.reloads["unchanged"] >= 1)
    time.sleep(0.5)
    assert following.live.reloads["unchanged"] == 1


def test_the_thread_refreshes_when_it_is_woken_and_ends_when_it_is_closed(opened: Callable[..., Served]) -> None:
    served = opened()
    served.live.follow()
    wait_until(lambda: served.live.reloads["unchanged"] >= 1)
    served.live.refresh_soon()
    wait_until(lambda: served.live.reloads["unchanged"] >= 2)
    served.live.close()
    assert "policies" not in {thread.name for thread in threading.enumerate()}


# --- Old policies -----------------------------------------------------------------------------------------------------


def test_policies_are_too_old_when_the_files_were_not_known_to_be_theirs_for_so_long(
    served: Served, policies: Path, quizzes_file: Path
) -> None:
    now = 1000.0
    live = LivePolicy(
        PolicyFolder(policies, policies.parent / "model.conf"),
        lambda _: served.live.in_force.resolved_roles,
        60,
        lambda: now,
    )
    now += 60
    assert not live.is_too_old
    now += 0.1
    assert live.is_too_old
    assert live.refresh() == "unchanged"
    assert not live.is_too_old
    quizzes_file.write_text(quizzes("B", "fails a test"))
    now += 50
    assert live.refresh() == "refused"
    now += 20
    assert live.refresh() == "refused"
    assert live.is_too_old
    quizzes_file.write_text(quizzes("B"))
    assert live.refresh() == "taken"
    assert not live.is_too_old


def test_a_service_that_follows_its_files_looks_again_often_enough_for_the_longest_age(
    opened: Callable[..., Served],
) -> None:
    served = opened(max_policy_age_seconds=0.3)
    served.live.follow()
    wait_until(lambda: served.live.reloads["unchanged"] >= 5)


def test_without_a_longest_age_nothing_is_ever_too_old(served: Served) -> None:
    assert Settings().max_policy_age_seconds is None
    assert served.live.is_too_old is False


def test_a_rule_that_moves_slowly_from_file_to_file_is_never_missing(opened: Callable[..., Served], policies: Path) -> None:
    """Here a deny: while it is in neither file, what it denies would be allowed."""
    deny = "grants:\n  - {deny: anyone, to: view, resource: quiz}\n"
    first, second = policies / "features" / "first.yaml", policies / "features" / "second.yaml"
    first.write_text(deny)
    served = opened(settle_seconds=1.0)
    served.live.follow()
    wait_until(lambda: served.live.reloads["unchanged"] >= 1)
    assert not served.decisions()[0]
    for source, target in ((first, second), (second, first)):
        source.unlink()
        give_up_at = time.monotonic() + 0.4
        while time.monotonic() < give_up_at:
            assert not served.decisions()[0]
            time.sleep(0.01)
        target.write_text(deny)
        taken = served.live.reloads["taken"]
        wait_until(lambda taken=taken: served.live.reloads["taken"] > taken)  # type: ignore[misc]
        assert not served.decisions()[0]


def test_who_asks_for_a_refresh_does_not_wait_until_the_files_settle(
    opened: Callable[..., Served], quizzes_file: Path
) -> None:
    served = opened(settle_seconds=600.0)
    served.live.follow()
    wait_until(lambda: served.live.reloads["unchanged"] >= 1)
    quizzes_file.write_text(quizzes("B"))
    time.sleep(0.3)
    assert served.decisions() == ANSWERS["A"]
    assert served.live.refresh() == "taken"
    assert served.decisions() == ANSWERS["B"]
    quizzes_file.write_text(quizzes("A"))
    time.sleep(0.3)
    served.live.refresh_soon()
    wait_until(lambda: served.decisions() == ANSWERS["A"])


# --- Several folders --------------------------------------------------------------------------------------------------


def test_of_several_folders_each_is_followed_and_what_a_later_one_may_not_say_is_refused(
    opened: Callable[..., Served], policies: Path, tmp_path: Path
) -> None:
    later = tmp_path / "production" / "features"
    later.mkdir(parents=True)
    denies = "grants:\n  - {deny: any agent, to: %s, resource: quiz}\n"
    (later / "quizzes.yaml").write_text(denies % "view")
    served = opened(policies=os.pathsep.join((str(policies), str(later.parent))), settle_seconds=0.0)
    assert served.decisions() == [False, *ANSWERS["A"][1:]]
    served.live.follow()
    wait_until(lambda: served.live.reloads["unchanged"] >= 1)
    (later / "quizzes.yaml").write_text(denies % "take")
    wait_until(lambda: served.decisions() == [True, False, False, *ANSWERS["A"][3:]])
    in_force = served.get("/v1/policy")["files_digest"]
    (later.parent / "roles.yaml").write_text("roles:\n  agent: {level: account}\n")
    wait_until(lambda: served.live.refusal is not None)
    assert {problem.id for problem in served.live.refusal.problems} >= {"later-folder"}
    told = served.get("/v1/policy")
    assert told["files_digest"] == in_force
    assert "production/roles.yaml" in str(told["refused"])
