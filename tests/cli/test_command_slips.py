"""A command that is misspelt gets the one that was meant."""

import shutil

import pytest
from command_line import ROOT, Klausel


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["chek"], "check"),
        (["assignments", "exprot"], "export"),
        (["audit", "shw"], "show"),
        (["keys", "lst"], "list"),
        (["db", "upgrad"], "upgrade"),
        (["import", "casbn"], "casbin"),
        (["lint"], "check"),
        (["new"], "init"),
        (["why"], "explain"),
    ],
)
def test_the_nearest_command_is_named(klausel: Klausel, typed: list[str], meant: str) -> None:
    done = klausel(*typed)
    assert done.exit_code == 2
    group = " ".join(["", *typed[:-1]])
    assert f'there is no command "{typed[-1]}"; did you mean "{meant}"?' in done.output
    assert f"{group} --help lists them all" in done.output


ASKED = ("--as", "lead@acme/support", "edit", "quiz")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*ASKED, "--set", "staus=published"), 'nothing is declared of resource.staus; did you mean "status"?'),
        ((*ASKED, "--set", "status=publishd"), 'resource.status is "publishd", which is not as declared: one of'),
        ((*ASKED[:2], "quiz", "edit"), '"edit"; it is an action of quiz, so exchange the two'),
    ],
)
@pytest.mark.parametrize("command", ["can", "explain"])
def test_a_slip_in_a_question_is_told(klausel: Klausel, command: str, arguments: tuple[str, ...], said: str) -> None:
    done = klausel(command, *arguments)
    assert done.exit_code == 3
    assert said in done.output


def test_a_question_as_declared_is_asked_without_a_word(klausel: Klausel) -> None:
    assert "declared" not in klausel("can", *ASKED, "--set", "status=published").output


def test_the_nearest_word_of_a_test_is_named(klausel: Klausel) -> None:
    shutil.copytree(ROOT / "policies" / "tests", "policies/tests")
    assert 'no test has "quizes" in its name or that of its file; did you mean "' in klausel("test", "-k", "quizes").output
