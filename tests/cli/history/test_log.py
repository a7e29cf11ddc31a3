"""`klausel log` tells the commits that changed what is allowed, whatever happened to files, folders and branches."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from command_line import run as klausel
from git_in_tests import FILES, LETTERS, ROLES, Repository
from many_commits import CHANGED, make_history

from klausel.core.loading.load import load_policy
from klausel.service.policy_history import PolicyHistory
from klausel.storage.git.repository import GitRepository

NAME = "policies/features/letters.yaml"
COMMITS = int(os.environ.get("HISTORY_COMMITS", "40"))
"""1000 shows how long a long history takes: `HISTORY_COMMITS=1000 pytest tests/history -k long --durations 1`."""


def told(*arguments: object) -> list[dict[str, Any]]:
    result = klausel("log", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def story(*arguments: object) -> list[tuple[str, list[str]]]:
    """For each commit its subject and its changes, such as `+ clerk burn`."""
    return [
        (
            one["commit"]["subject"],
            sorted(
                f"{'+' if change['gain'] else ''}{'-' if change['loss'] else ''} {' '.join(change['who'])} {change['action']}"
                for change in one["changes"]
            ),
        )
        for one in told(*arguments)
    ]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(tmp_path / "repo")
    made.commit(FILES, "First")
    monkeypatch.chdir(made.folder)
    return made


def test_gains_and_losses_newest_first_and_nothing_of_what_changed_no_meaning(made: Repository) -> None:
    made.replace(NAME, "to: read", "to: [read, burn]", "Burn")
    made.commit({"README.md": "Hello"}, "Elsewhere")
    made.replace(NAME, "to: [read, burn]", "to:\n      - burn  # hot\n      - read", "Another layout")
    made.replace(NAME, "resource: letter", "resource: letter\n    when: not resource.locked and not resource.old", "Some")
    made.replace(NAME, "not resource.locked and not resource.old", "not (resource.old or resource.locked)", "Other words")
    made.replace(NAME, "- read", "- write", "Write, not read")
    assert story() == [
        ("Write, not read", ["+ clerk write", "- clerk read"]),
        ("Some", ["- clerk burn", "- clerk read"]),
        ("Burn", ["+ clerk burn"]),
        ("First", ["+ clerk read"]),
    ]


def test_with_people_each_commit_counts_what_concerns_somebody_apart_and_nothing_of_it_is_kept(made: Repository) -> None:
    made.replace(NAME, "to: read", "to: [read, burn]", "Burn")
    made.replace(NAME, "grants:\n", "grants:\n  - {allow: boss, to: write, resource: letter}\n", "Bosses write")
    database = ("--database", f"sqlite:///{made.folder}/people.db")
    (made.folder / "people.csv").write_text("subject,role,domain\nuser:cleo,clerk,hill\nuser:carl,clerk,dale\n")
    assert klausel("assignments", "import", "people.csv", *database).exit_code == 0
    headlines = {
        "Burn": "more permissive: 1 gain, 0 losses; it is for people who hold a role today",
        "Bosses write": "more permissive: 1 gain, 0 losses; nobody who holds a role today is concerned",
    }
    lines = klausel("log", "--people", *database).stdout.splitlines()
    for subject, headline in headlines.items():
        (at,) = [number for number, line in enumerate(lines) if line.endswith(f"  {subject}")]
        assert lines[at + 1].strip() == headline
    assert "people: 2 gain" in "\n".join(lines)
    assert "hold a role today" not in klausel("log", *database).stdout
    (bosses, clerks, _) = told("--people", *database)
    assert [(one["people"]["gain"], one["changes"][0]["people"]["gain"]) for one in (bosses, clerks)] == [(0, 0), (2, 2)]
    rows = list(csv.DictReader(klausel("log", "--people", *database, "--format", "csv").stdout.splitlines()))
    assert [(row["subject"], row["people"]) for row in rows[:2]] == [("Bosses write", "nobody"), ("Burn", "2 gain")]
    assert {row["people"] for row in rows if row["kind"] == "added"} == {""}
    assert klausel("assignments", "revoke", "user:carl", "clerk", "dale", *database).exit_code == 0
    assert told("--people", *database)[1]["people"]["gain"] == 1
    assert told(*database)[1]["people"] is None
    missing = klausel("log", "--people", "--database", "sqlite:///none.db")
    assert (missing.exit_code, "there is no database at none.db" in missing.stderr) == (1, True)


def test_the_text_names_commit_author_rule_and_line(made: Repository) -> None:
    second = made.replace(NAME, "to: read", "to: [read, burn]", "Burn", author="Bo")
    assert klausel("log", "-n", 1).stdout.splitlines() == [
        f"{second[:12]}  2026-01-05  Bo  Burn",
        "  more permissive: 1 gain, 0 losses",
        "  letter",
        "    + burn: clerk, and with it boss",
        "        never → always",
        "        policies/features/letters.yaml:4: new: allow clerk to burn letter",
    ]


def test_filters_leave_what_is_asked_for(made: Repository) -> None:
    made.replace(NAME, "to: read", "to: [read, burn]", "Burn")
    made.replace(NAME, "allow: clerk", "allow: boss", "Bosses only")
    made.commit({"policies/features/more.yaml": LETTERS.replace("letter", "parcel")}, "Parcels")
    assert [subject for subject, _ in story("--type", "letter")] == ["Bosses only", "Burn", "First"]
    assert [subject for subject, _ in story("--type", "parcel")] == ["Parcels"]
    assert story("--action", "burn") == [
        ("Parcels", []),
        ("Bosses only", ["- clerk burn"]),
        ("Burn", ["+ clerk burn"]),
        ("First", []),
    ]
    assert [subject for subject, _ in story("--role", "boss", "--type", "letter")] == ["Burn", "First"]
    assert [subject for subject, _ in story("--role", "clerk", "--action", "burn")] == ["Bosses only", "Burn", "First"]
    assert [subject for subject, _ in story("-n", 2)] == ["Parcels", "Bosses only"]
    nothing = klausel("log", "--role", "nobody")
    assert (nothing.exit_code, nothing.stdout) == (0, "") and "no commit changed anything of this" in nothing.stderr


def test_a_broken_commit_is_told_and_compared_across(made: Repository) -> None:
    made.replace(NAME, "allow: clerk", "allow: clark", "Broken")
    made.commit({"policies/features/other.yml": "x"}, "Broken still")
    made.git("rm", "--quiet", "policies/features/other.yml")
    made.replace(NAME, "allow: clark", "allow: boss", "Mended")
    fixed, still, broken, _ = told()
    assert [one["loads"] for one in (fixed, still, broken)] == [True, False, False]
    assert f"{NAME}:4:12: error: unknown role" in broken["problems"][0]
    assert (fixed["broken_commits_before"], [change["loss"] is not None for change in fixed["changes"]]) == (2, [True])
    text = klausel("log").stdout
    assert "  ! does not load: policies/features/" in text and ", and 1 more" in text
    assert "  compared with the last that loads, 3 commits before" in text


def test_commits_that_a_service_would_have_refused_are_marked(made: Repository) -> None:
    rule = "invariants:\n  - {name: Clerks never burn, never: clerk, to: burn, resource: letter}\n"
    made.commit({"policies/invariants.yaml": rule}, "A rule")
    made.replace(NAME, "to: read", "to: [read, burn]", "Burn")
    made.commit({"README.md": "Hello"}, "Elsewhere")
    made.replace("policies/invariants.yaml", "Clerks never burn", "No clerk burns", "Another name")
    made.replace(NAME, "to: [read, burn]", "to: read", "As before")
    marked = {one["commit"]["subject"]: one["would_have_been_refused"] for one in told("--check")}
    assert [subject for subject, why in marked.items() if why] == ["Another name", "Burn"]
    assert 'the invariant "Clerks never burn" does not hold' in marked["Burn"][0]
    assert 'would have been refused: policies/invariants.yaml:2:5: error: the invariant "Clerks never burn"' in (
        klausel("log", "--check").stdout
    )
    assert "would_have_been_refused" not in told()[0]


def test_a_repaired_commit_that_means_what_the_last_good_one_meant_is_left_out(made: Repository) -> None:
    made.replace(NAME, "allow: clerk", "allow: clark", "Broken")
    made.replace(NAME, "allow: clark", "allow: clerk", "Mended")
    assert [subject for subject, _ in story()] == ["Broken", "First"]


def test_a_merge_is_compared_with_its_first_parent_and_a_plain_one_is_left_out(made: Repository) -> None:
    made.git("checkout", "--quiet", "-b", "side")
    made.commit({"policies/features/more.yaml": LETTERS.replace("letter", "parcel")}, "Parcels")
    made.git("checkout", "--quiet", "main")
    made.git("merge", "--quiet", "--no-ff", "-m", "Plain merge", "side")
    assert [subject for subject, _ in story()] == ["Parcels", "First"]
    assert [subject for subject, _ in story("--first-parent")] == ["Plain merge", "First"]
    made.git("checkout", "--quiet", "side")
    made.replace("policies/features/more.yaml", "to: read", "to: write", "Write parcels")
    made.git("checkout", "--quiet", "main")
    made.replace(NAME, "to: read", "to: burn", "Burn letters")
    made.minutes += 1
    made.git("merge", "--quiet", "--no-ff", "-m", "Both changed", "side")
    assert story("-n", 3) == [
        ("Both changed", ["+ clerk write", "- clerk read"]),
        ("Burn letters", ["+ clerk burn", "- clerk read"]),
        ("Write parcels", ["+ clerk write", "- clerk read"]),
    ]
    assert " (merge)\n" in klausel("log", "-n", 1).stdout


def test_a_renamed_folder_is_followed(made: Repository) -> None:
    made.replace(NAME, "to: read", "to: burn", "Burn")
    made.git("mv", "policies", "rules")
    made.commit({}, "Rename")
    made.replace("rules/features/letters.yaml", "to: burn", "to: write", "Write")
    made.git("mv", "rules", "deep")
    made.replace("deep/features/letters.yaml", "to: write", "to: [write, burn]", "Rename and burn")
    assert story("--policies", "deep") == [
        ("Rename and burn", ["+ clerk burn"]),
        ("Write", ["+ clerk write", "- clerk burn"]),
        ("Burn", ["+ clerk burn", "- clerk read"]),
        ("First", ["+ clerk read"]),
    ]


def test_policies_that_went_and_came_back(made: Repository) -> None:
    made.git("rm", "-r", "--quiet", "policies")
    made.commit({}, "Gone")
    made.commit({name: text for name, text in FILES.items() if name != "model.conf"}, "Back")
    assert story() == [("Back", ["+ clerk read"]), ("Gone", ["- clerk read"]), ("First", ["+ clerk read"])]
    assert "  the policies are gone\n" in klausel("log").stdout


def test_declarations_and_the_model_are_told_though_nobody_gains(made: Repository) -> None:
    made.replace("policies/roles.yaml", "contains: clerk", "contains: clerk, keep_one: true", "Keep a boss")
    made.replace("model.conf", "[matchers]", "# The matcher.\n[matchers]", "A remark")
    made.replace("model.conf", "r.act.name == p.act", "p.act == r.act.name", "Turned round")
    turned, kept, _ = told()
    assert turned["model_changed"] and not kept["model_changed"]
    assert kept["declared"] == {"added": ["role boss is kept by one at least"], "removed": []}
    assert [one["verdict"] for one in (turned, kept)] == ["same", "same"]


def test_roles_may_change_everything_with_them(made: Repository) -> None:
    made.replace("policies/roles.yaml", ", contains: clerk", "", "Apart")
    made.commit(
        {"policies/roles.yaml": ROLES.replace("clerk", "writer"), NAME: LETTERS.replace("clerk", "writer")}, "Renamed"
    )
    renamed, *_ = told()
    assert "role clerk at level house" in renamed["declared"]["removed"]
    text = klausel("log", "-n", 2).stdout
    assert "- read: boss" in text and "+ role boss contains writer" in text


def test_the_log_of_a_bare_repository_and_as_of_a_commit(made: Repository, tmp_path: Path) -> None:
    made.replace(NAME, "to: read", "to: burn", "Burn")
    made.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    assert story("--policies", f"{tmp_path}/bare.git@main:policies") == story()
    assert [subject for subject, _ in story("--at", "HEAD~1")] == ["First"]
    assert klausel("log", "--policies", f"{tmp_path}/bare.git@main:policies", "--at", "main").exit_code == 2


def test_a_shallow_clone_says_where_it_ends(made: Repository, tmp_path: Path) -> None:
    made.replace(NAME, "to: read", "to: burn", "Burn")
    made.replace(NAME, "to: burn", "to: write", "Write")
    made.git("clone", "--quiet", "--depth=2", f"file://{made.folder}", str(tmp_path / "shallow"))
    write, burn = told("--policies", f"{tmp_path}/shallow/policies")
    assert (write["clone_ends_here"], burn["clone_ends_here"]) == (False, True)
    assert "  the clone ends here: " in klausel("log", "--policies", f"{tmp_path}/shallow/policies").stdout


def test_what_cannot_be_told_ends_with_one_line(made: Repository, tmp_path: Path) -> None:
    refused = klausel("log", "--at", "nowhere")
    assert refused.exit_code == 1 and refused.stderr.startswith('klausel: git knows no commit "nowhere"')
    assert klausel("log", "--policies", tmp_path).exit_code == 1


def test_a_log_in_a_submodule_with_its_own_work_tree(
    made: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Repository(tmp_path / "whole")
    whole.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(made.folder), "inner")
    monkeypatch.chdir(whole.folder / "inner" / "policies")
    assert [subject for subject, _ in story("--policies", ".")] == ["First"]
    assert klausel("blame", "letter", "read", "--policies", ".").exit_code == 0


def test_a_long_history_is_told_whole(tmp_path: Path) -> None:
    repository = make_history(tmp_path / "long.git", COMMITS)
    found = told("--policies", f"{repository.folder}@main:policies")
    subjects = [int(one["commit"]["subject"].removeprefix("Commit ")) for one in found]
    assert subjects == sorted(subjects, reverse=True)
    assert {number for number in range(COMMITS) if number % CHANGED} <= set(subjects)
    assert all(one["changes"] for one in found)


def test_equal_trees_are_parsed_once(made: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        made.replace(NAME, "to: read", "to: burn")
        made.replace(NAME, "to: burn", "to: read")
    loaded: list[str] = []

    def counting(*arguments: Any) -> Any:
        loaded.append("once")
        return load_policy(*arguments)

    monkeypatch.setattr("klausel.service.policy_history.load_policy", counting)
    with GitRepository.containing(made.folder) as repository:
        history = PolicyHistory(repository, "policies")
        steps = [history.step(*one) for one in history.commits(repository.commit("HEAD"))]
    assert (len(steps), len(loaded)) == (11, 2)


def test_leaving_out_what_both_sides_say_alike_changes_nothing_in_what_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = make_history(tmp_path / "long.git", 20)
    address = f"{repository.folder}@main:policies"
    found = told("--policies", address)
    monkeypatch.setattr(
        "klausel.core.difference.commit_changes._without_equal_grants", lambda before, after: (before, after)
    )
    assert told("--policies", address) == found
