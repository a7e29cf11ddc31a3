"""A command that is misspelt gets the one that was meant."""

import pytest
from command_line import Klausel


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["chek"], "check"),
        (["assignments", "exprot"], "export"),
        (["audit", "shw"], "show"),
        (["keys", "lst"], "list"),
        (["db", "upgrad"], "upgrade"),
        (["import", "casbn"], "casbin"),
    ],
)
def test_the_nearest_command_is_named(klausel: Klausel, typed: list[str], meant: str) -> None:
    done = klausel(*typed)
    assert done.exit_code == 2
    group = " ".join(["", *typed[:-1]])
    assert f'there is no command "{typed[-1]}"; did you mean "{meant}"?' in done.output
    assert f"{group} --help lists them all" in done.output
