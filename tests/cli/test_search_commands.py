"""`klausel who-can` and `klausel what-can`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from command_line import Change, Klausel

IN_SUPPORT = ("--in", "acme/support")


@pytest.fixture(autouse=True)
def people(demo_people: None) -> None:
    pass


def without_lines(output: str) -> str:
    return re.sub(r"\.yaml:\d+", ".yaml:N", output)


def subjects(output: str) -> list[str]:
    """Of the lines after the grants."""
    return [line.partition("  ")[0] for line in output.partition("\n\n")[2].splitlines()]


def test_everyone_is_listed_in_order_with_condition_role_and_grant(klausel: Klausel) -> None:
    done = klausel("who-can", "edit", "quiz", *IN_SUPPORT)
    assert done.exit_code == 0
    assert subjects(done.stdout) == ["user:ada", "user:leo", "user:max", "user:mia", "user:sam"]
    assert "user:max  always  (account_manager in acme, policies/features/quizzes.yaml:N)" in without_lines(done.stdout)
    assert 'user:leo  when resource.status == "published" or resource.creator == subject.id  (lead in' in done.stdout
    assert "user:sam  when resource.creator == subject.id  (manager in acme/sales, so any lead, " in done.stdout


def test_what_is_known_of_the_resource_settles_conditions(klausel: Klausel) -> None:
    published = klausel("who-can", "edit", "quiz", *IN_SUPPORT, "--set", "status=published", "--set", "creator=sam")
    assert [line.split()[1] for line in published.stdout.splitlines() if line.startswith("user:")] == ["always"] * 5
    draft = klausel("who-can", "edit", "quiz", *IN_SUPPORT, "--set", "status=draft", "--set", "creator=ann")
    assert subjects(draft.stdout) == ["user:ada", "user:max"]


def test_a_limited_list_says_how_to_go_on_and_the_pages_make_up_the_whole(klausel: Klausel) -> None:
    whole = klausel("who-can", "view", "conversation", *IN_SUPPORT)
    found: list[str] = []
    after: tuple[str, ...] = ()
    while True:
        page = klausel("who-can", "view", "conversation", *IN_SUPPORT, "--limit", "2", *after)
        found += subjects(page.stdout)
        if "there are more" not in page.stderr:
            break
        assert page.stderr == f"there are more; go on with --after {found[-1]}\n"
        after = ("--after", found[-1])
    assert found == subjects(whole.stdout)


def test_programs_get_one_object_a_line(klausel: Klausel) -> None:
    done = klausel("who-can", "view", "review", *IN_SUPPORT, "--format", "json")
    found = {line["subject"]: line for line in map(json.loads, done.stdout.splitlines())}
    ann = found["user:ann"]
    assert (ann["verdict"], ann["condition"], ann["domain"]) == (
        "when",
        "resource.reviewee == subject.id",
        "acme/support",
    )
    (reason,) = ann["allowed_by"]
    assert reason["role_assignment"] == {"role": "agent", "domain": "acme/support"}
    assert (without_lines(reason["source"]), reason["inheritance"]) == ("policies/features/conversations.yaml:N", ["agent"])
    assert ann["denied_by"] == []


def test_what_anyone_may_comes_first_and_then_who_differs(klausel: Klausel, change: Change) -> None:
    grants = (
        "grants:\n  - allow: anyone\n    to: view\n    resource: csat\n  - deny: lead\n    to: view\n    resource: csat\n"
    )
    change("policies/features/csat.yaml", "grants:\n", grants)
    done = klausel("who-can", "view", "csat", *IN_SUPPORT)
    lines = without_lines(done.stdout).partition("\n\n")[2].splitlines()
    assert lines[0] == "anyone  always  (everybody, policies/features/csat.yaml:N)"
    assert [line.split()[:2] for line in lines[1:]] == [
        ["user:ada", "never"],
        ["user:leo", "never"],
        ["user:max", "never"],
        ["user:mia", "never"],
    ]
    assert "but denied by lead in acme/support, policies/features/csat.yaml:N" in lines[2]


def test_a_conditional_deny_stands_in_the_condition(klausel: Klausel, change: Change) -> None:
    deny = "grants:\n  - deny: agent\n    to: view\n    resource: csat\n    when: resource.secret == true\n"
    change("policies/features/csat.yaml", "grants:\n", deny)
    done = klausel("who-can", "view", "csat", *IN_SUPPORT)
    assert "user:leo  when resource.secret != true  (lead in acme/support, so reviewer, " in done.stdout
    assert "; unless denied by lead in acme/support, so agent, policies/features/csat.yaml:N)" in without_lines(done.stdout)


def test_nobody_is_said_apart_from_the_list(klausel: Klausel) -> None:
    done = klausel("who-can", "view", "billing", "--in", "nowhere", "--format", "json")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "nobody\n")


def test_all_that_a_subject_may_do_is_listed_by_type(klausel: Klausel) -> None:
    done = klausel("what-can", "user:ann", *IN_SUPPORT)
    assert 'quiz\n  take  when resource.status == "published"  (agent in acme/support, policies/' in done.stdout
    assert "conversation\n  view  when resource.owner == subject.id  (" in done.stdout
    assert "scorecard" not in done.stdout


def test_what_is_asked_further_up_is_answered_there(klausel: Klausel) -> None:
    what = klausel("what-can", "user:max", *IN_SUPPORT)
    assert "  create, asked in acme  always  (account_manager in acme, " in what.stdout
    who = klausel("who-can", "create", "workspace", *IN_SUPPORT)
    assert who.stdout.startswith("create workspace in acme:\n")
    assert subjects(who.stdout) == ["user:ada", "user:max"]


def test_what_can_and_can_agree(klausel: Klausel) -> None:
    done = klausel("what-can", "user:leo", "--in", "acme", "--format", "json", "--set", "creator=leo")
    listed = [json.loads(line) for line in done.stdout.splitlines()]
    assert ("quiz", "delete", "always") in {(one["type"], one["action"], one["verdict"]) for one in listed}
    for one in listed:
        if one["verdict"] == "always":
            asked = klausel("can", "user:leo", one["action"], one["type"], "--in", "acme", "--set", "creator=leo")
            assert asked.exit_code == 0, one


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("who-can", "view", "quizz", *IN_SUPPORT), 'no policy file declares "quizz"; did you mean "quiz"?'),
        (("who-can", "veiw", "review", *IN_SUPPORT), 'review has no action "veiw"; did you mean "view"?'),
        (("who-can", "view", "review", "--in", "acme/"), '"acme/" has an empty part'),
        (("who-can", "view", "review", "--in", "a/b/c"), '"a/b/c" has more parts than there are levels'),
        (("who-can", "view", "review", *IN_SUPPORT, "--set", "account=other"), "resource.account is said by --in"),
        (("what-can", "ann", *IN_SUPPORT), 'write it as type:id, such as "user:ann"'),
    ],
)
def test_wrong_questions_are_refused_with_the_cure(klausel: Klausel, arguments: tuple[str, ...], complaint: str) -> None:
    done = klausel(*arguments)
    assert done.exit_code == 2
    assert complaint in done.stderr


ENDING = "grants:\n  - {allow: agent, to: edit, resource: quiz, from: 2930-01-01T00:00:00Z, until: 2931-01-01T00:00:00Z}\n"


@pytest.mark.parametrize(
    ("now", "may"),
    [((), False), (("--now", "2930-06-01"), True), (("--now", "2929-12-31"), False), (("--now", "2931-01-01"), False)],
)
def test_who_and_what_can_are_answered_for_a_time(klausel: Klausel, change: Change, now: tuple[str, ...], may: bool) -> None:
    change("policies/features/quizzes.yaml", "grants:\n", ENDING)
    who = klausel("who-can", "edit", "quiz", *IN_SUPPORT, *now)
    assert who.exit_code == 0
    assert ("user:ann" in subjects(who.stdout)) is may
    what = klausel("what-can", "user:ann", *IN_SUPPORT, *now)
    quiz = re.split(r"^(?=\w)", what.stdout.partition("quiz\n")[2], flags=re.MULTILINE)[0]
    assert ("edit  always" in quiz) is may


def test_roles_that_end_count_by_the_time_that_is_said(klausel: Klausel) -> None:
    granted = klausel("assignments", "grant", "user:rosa", "lead", "acme/support", "--until", "2999-01-01T00:00:00Z")
    assert granted.exit_code == 0
    for now, may in (("2998-12-31", True), ("2999-01-01", False)):
        assert ("user:rosa" in subjects(klausel("who-can", "edit", "quiz", *IN_SUPPORT, "--now", now).stdout)) is may
        of_then = ("--now", now, "--people-at", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        assert ("user:rosa" in subjects(klausel("who-can", "edit", "quiz", *IN_SUPPORT, *of_then).stdout)) is may
        assert ("lead in" in klausel("what-can", "user:rosa", *IN_SUPPORT, "--now", now).stdout) is may


def test_a_time_goes_with_a_place(klausel: Klausel) -> None:
    done = klausel("who-can", "edit", "quiz", "--now", "2030-06-01")
    assert (done.exit_code, "--now goes with --in" in done.stderr) == (2, True)
