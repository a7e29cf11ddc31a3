"""`klausel blame` names, for each role, the lines that give a permission, and who wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import run as klausel
from git_in_tests import MODEL, Repository

ROLES = """\
levels:
  house: {named_by: house}
  room: {named_by: room}
roles:
  boss:
    level: house
    contains:
      - clerk
  clerk: {level: room}
"""
CONDITIONS = """\
is_open: not resource.locked
is_mine: resource.owner == subject.id
may_see: >
  is_mine
  or is_open
"""
LETTERS = """\
resource_types:
  letter: {actions: [read, write, burn]}
grants:
  - allow: clerk
    to:
      - read
      - write
    resource: letter
    when: may_see
    because: Clerks work with letters.
  - deny: [clerk, anyone]
    to: burn
    resource: letter
"""
NAMES = ("policies/roles.yaml", "policies/conditions.yaml", "policies/features/letters.yaml")
FILES = {**dict(zip(NAMES, (ROLES, CONDITIONS, LETTERS), strict=True)), "model.conf": MODEL}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(tmp_path / "repo")
    made.commit(FILES, "All of it")
    monkeypatch.chdir(made.folder)
    return made


def blamed(*arguments: object) -> list[dict[str, Any]]:
    told = klausel("blame", *arguments, "--format", "json")
    assert told.exit_code == 0, told.output
    found: list[dict[str, Any]] = json.loads(told.stdout)["permissions"]
    return found


def subjects(permission: dict[str, Any]) -> dict[str, list[tuple[int, str | None]]]:
    """For each cause of a permission, its lines with the subject of the commit."""
    return {
        cause["what"]: [(line["line"], line["commit"] and line["commit"]["subject"]) for line in cause["lines"]]
        for cause in permission["causes"]
    }


def test_a_role_with_the_grant_itself_and_one_that_contains_it_are_told_with_every_line_they_need(made: Repository) -> None:
    boss, clerk = blamed("letter", "write")
    grant = [(4, "All of it"), (5, "All of it"), (7, "All of it"), (8, "All of it"), (9, "All of it")]
    conditions = {
        "condition may_see": [(3, "All of it"), (4, "All of it"), (5, "All of it")],
        "condition is_mine": [(2, "All of it")],
        "condition is_open": [(1, "All of it")],
    }
    assert (clerk["holder"], clerk["chain"], subjects(clerk)) == ("clerk", ["clerk"], {"grant": grant, **conditions})
    link = {"boss contains clerk": [(8, "All of it")]}
    assert (boss["holder"], boss["chain"]) == ("boss", ["boss", "clerk"])
    assert subjects(boss) == {"grant": grant, **link, **conditions}
    assert (clerk["grant"], clerk["source"]) == ("allow clerk to write letter when may_see", f"{NAMES[2]}:4")


@pytest.mark.parametrize(
    ("name", "old", "new", "what"),
    [
        (NAMES[2], "      - write", "      - write  # too", "grant"),
        (NAMES[2], "when: may_see", "when: is_mine", "grant"),
        (NAMES[0], "      - clerk", "      - clerk  # of all rooms", "boss contains clerk"),
        (NAMES[1], "or is_open", "and is_open", "condition may_see"),
        (NAMES[1], "== subject.id", "!= subject.id", "condition is_mine"),
    ],
)
def test_who_changed_a_line_of_any_cause_is_told(made: Repository, name: str, old: str, new: str, what: str) -> None:
    made.replace(name, old, new, "Another", author="Bo")
    told = [one for one in blamed("letter", "write") if one["holder"] == "boss"]
    lines = [(cause["what"], line) for cause in told[0]["causes"] for line in cause["lines"]]
    changed = [(of, line["commit"]) for of, line in lines if line["commit"]["subject"] == "Another"]
    assert [(of, commit["author"], commit["email"]) for of, commit in changed] == [(what, "Bo", "bo@example.com")]


@pytest.mark.parametrize(("old", "new"), [("      - read\n", ""), ("Clerks work", "They work"), ("burn\n", "read\n")])
def test_who_changed_a_line_that_says_something_else_is_not_told(made: Repository, old: str, new: str) -> None:
    made.replace(NAMES[2], old, new, "Another")
    told = blamed("letter", "write")
    assert len(told) == 2 and "Another" not in json.dumps(told)


def test_denies_and_what_anyone_may_are_told_once_for_each_whom_they_reach(made: Repository) -> None:
    told = [(one["holder"], one["effect"], one["grant"]) for one in blamed("letter", "burn")]
    deny = "deny clerk to burn letter"
    assert told == [("boss", "deny", deny), ("clerk", "deny", deny), ("anyone", "deny", "deny anyone to burn letter")]


def test_a_grant_to_any_role_is_told_for_the_role_and_its_any_form(made: Repository) -> None:
    made.replace(NAMES[2], "allow: clerk", "allow: any clerk")
    told = [(one["holder"], one["chain"]) for one in blamed("letter", "read")]
    assert told == [
        ("boss", ["boss", "clerk", "any clerk"]),
        ("clerk", ["clerk", "any clerk"]),
        ("any clerk", ["any clerk"]),
    ]
    assert "boss (through clerk): allow any clerk to read letter" in klausel("blame", "letter", "read").stdout


def test_grants_and_links_of_csv_files_are_told_by_their_rows(made: Repository) -> None:
    made.commit({NAMES[0]: ROLES.replace("    contains:\n      - clerk\n", "")}, "Apart")
    rows = '# rows\np, clerk, *, letter, burn, "resource.old\n  or resource.torn", allow\n'
    made.commit({NAMES[2]: LETTERS[: LETTERS.index("  - deny")], "policies/features/more.csv": rows}, "Burn")
    made.commit({"policies/features/more.csv": rows + "g, boss, clerk, *\n"}, "Boss", author="Bo")
    boss, clerk = blamed("letter", "burn")
    assert subjects(clerk) == {"grant": [(2, "Burn"), (3, "Burn")]}
    assert subjects(boss) == {"grant": [(2, "Burn"), (3, "Burn")], "boss contains clerk": [(4, "Boss")]}


def test_lines_of_the_work_tree_that_are_not_committed_say_so_and_keep_the_others(made: Repository) -> None:
    made.write({NAMES[2]: "# a new first line\n" + LETTERS.replace("when: may_see", "when: is_mine")})
    now = subjects(blamed("letter", "write")[1])["grant"]
    assert now == [(5, "All of it"), (6, "All of it"), (8, "All of it"), (9, "All of it"), (10, None)]
    assert (
        "grant                policies/features/letters.yaml:10  not committed\n"
        in klausel("blame", "letter", "write").stdout
    )
    then = subjects(blamed("letter", "write", "--at", "HEAD")[1])["grant"]
    assert then == [(4, "All of it"), (5, "All of it"), (7, "All of it"), (8, "All of it"), (9, "All of it")]


def test_a_file_that_is_new_or_has_other_line_ends_in_the_work_tree(made: Repository) -> None:
    (made.folder / NAMES[2]).write_bytes(LETTERS.replace("\n", "\r\n").encode())
    assert {subject for _, subject in subjects(blamed("letter", "write")[1])["grant"]} == {"All of it"}
    made.write({"policies/features/more.csv": "p, clerk, *, letter, read, , allow\n"})
    assert {"grant": [(1, None)]} in [subjects(one) for one in blamed("letter", "read")]


def test_the_table_names_the_line_that_changed_last_and_every_commit_once(made: Repository) -> None:
    second = made.replace(NAMES[2], "when: may_see", "when: is_open", "Only open ones", author="Bo")
    first = made.git("rev-parse", "HEAD~1")
    assert klausel("blame", "letter", "read").stdout.splitlines() == [
        "boss (through clerk): allow clerk to read letter when is_open",
        f"  grant                policies/features/letters.yaml:9  {second[:12]}  2026-01-05  Bo",
        f"  boss contains clerk  policies/roles.yaml:8             {first[:12]}  2026-01-05  Ann",
        f"  condition is_open    policies/conditions.yaml:1        {first[:12]}  2026-01-05  Ann",
        "clerk: allow clerk to read letter when is_open",
        f"  grant                policies/features/letters.yaml:9  {second[:12]}  2026-01-05  Bo",
        f"  condition is_open    policies/conditions.yaml:1        {first[:12]}  2026-01-05  Ann",
        f"{second[:12]}: Only open ones",
        f"{first[:12]}: All of it",
    ]


def test_roles_without_any_grant_are_named(made: Repository) -> None:
    made.replace(NAMES[2], "allow: clerk", "allow: boss")
    assert klausel("blame", "letter", "read").stdout.endswith("no grant: clerk\n")


def test_a_bare_repository_is_blamed_by_its_address(made: Repository, tmp_path: Path) -> None:
    made.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    told = blamed("letter", "read", "--policies", f"{tmp_path}/bare.git@main:policies")
    assert told == blamed("letter", "read")


def test_what_cannot_be_blamed_is_told_in_one_line(made: Repository, tmp_path: Path) -> None:
    told = klausel("blame", "leter", "read")
    assert told.exit_code == 2 and 'no policy file declares "leter"; did you mean "letter"?' in told.stderr
    told = klausel("blame", "letter", "raed")
    assert told.exit_code == 2 and 'letter has no action "raed"; did you mean "read"?' in told.stderr
    told = klausel("blame", "letter", "read", "--at", "nowhere")
    assert told.exit_code == 1 and told.stderr.startswith('klausel: git knows no commit "nowhere"')
    made.write({NAMES[0]: "roles: {}\n"})
    told = klausel("blame", "letter", "read")
    assert told.exit_code == 1 and "policies/roles.yaml:1:1: error: there are no levels" in told.stderr
    (tmp_path / "plain").mkdir()
    told = klausel("blame", "letter", "read", "--policies", tmp_path / "plain")
    assert told.exit_code == 1 and "there is no git repository" in told.stderr


def test_of_two_commits_in_one_second_the_later_one_changed_a_line_last(made: Repository) -> None:
    for old, new in (
        ("when: may_see", "when: is_open"),
        ("resource: letter\n    when", "resource: letter  # all\n    when"),
    ):
        made.minutes -= 1
        second = made.replace(NAMES[2], old, new, new[:9])
    grant = next(line for line in klausel("blame", "letter", "write").stdout.splitlines() if line.startswith("  grant"))
    assert f"letters.yaml:8  {second[:12]}" in grant
