"""`klausel check` looks at the demo people beside the policies, too."""

from pathlib import Path

import pytest
from command_line import Change, Klausel

FILE = "policies/demo/assignments.csv"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("user:eve,lead,*", 'domain "*" is "*"'),
        ("user:eve,Lead,acme/support", 'unknown role "Lead"; did you mean "lead"'),
        ("user:eve, lead,acme/support", 'unknown role " lead"'),
        ("user:eve,lead,acme/support,more", "this one has 4"),
        ("eve,lead,acme/support", 'subject "eve" has no type'),
        ("user:eve,lead,acme", "is of level workspace"),
        ("lead,user:eve,acme/support", "write the subject first, then the role, then the domain"),
        (",lead,acme/support", "such as user:ann;"),
        (" user:eve,lead,acme/support", 'the subject " user:eve" begins or ends with a blank'),
        ("user:eve,lead,acme/support\u00a0", 'the domain "acme/support\\u{a0}" begins or ends with a blank'),
        ("“user:eve”,lead,acme/support", "the subject “user:eve” begins or ends with a quote"),
        (' "user:eve",lead,acme/support', 'the subject " "user:eve"" begins or ends with a blank'),
    ],
)
def test_a_row_that_can_be_no_role_assignment_is_a_warning(klausel: Klausel, row: str, said: str) -> None:
    with open(FILE, encoding="utf-8") as file:
        lines = file.read().splitlines()
    with open(FILE, "w", encoding="utf-8") as file:
        file.write("\n".join([*lines, row, ""]))
    done = klausel("check", "--strict")
    assert done.exit_code == 1
    assert f"{FILE}:{len(lines) + 1}:1: warning: " in done.output
    assert said in done.output and "(demo-people)" in done.output


def test_a_file_that_is_none_is_one_warning(klausel: Klausel) -> None:
    with open(FILE, "w", encoding="utf-8") as file:
        file.write("who,what,where\n")
    done = klausel("check", "--strict")
    assert done.exit_code == 1 and "the first line must be subject,role,domain" in done.output


def test_the_shipped_demo_people_are_right(klausel: Klausel) -> None:
    assert klausel("check", "--strict").exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("user:ada,admin,acme\n", "", 2, "acme would have people in it but no admin; keep one"),
        ("user:leo,user,acme\n", "", 6, "user:leo would be lead in acme/support without a role of level account in acme"),
    ],
)
def test_people_whose_roles_the_rules_forbid_together_are_a_warning_and_the_service_does_not_start(
    klausel: Klausel, change: Change, old: str, new: str, line: int, said: str
) -> None:
    change(FILE, old, new)
    done = klausel("check", "--strict")
    assert done.exit_code == 1
    assert f"{FILE}:{line}:1: warning: {said}" in done.output
    assert "serve --demo would not start" in done.output and "(demo-people)" in done.output
    assert said in klausel("serve", "--demo").output


def test_roles_that_an_invariant_separates_are_a_warning_of_demo_people(klausel: Klausel, change: Change) -> None:
    change("policies/invariants.yaml", "invariants:\n", "invariants:\n  - separate: [lead, admin]\n")
    change(FILE, "user:mia,user,acme\n", "user:mia,admin,acme\n")
    told = klausel("check").output
    assert "user:mia would be" in told and "nobody may hold both; klausel serve --demo would not start; leave one of" in told


def test_the_first_of_several_folders_has_the_demo_people_that_are_looked_at(klausel: Klausel, change: Change) -> None:
    change(FILE, "user:ada,admin,acme\n", "")
    Path("more/features").mkdir(parents=True)
    Path("more/features/more.yaml").write_text("grants:\n  - {allow: lead, to: delete, resource: quiz}\n")
    assert "no admin" in klausel("check", "--policies", "policies", "--policies", "more").output
