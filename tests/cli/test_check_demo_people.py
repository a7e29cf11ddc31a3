"""`klausel check` looks at the demo people beside the policies, too."""

import pytest
from command_line import Klausel

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
