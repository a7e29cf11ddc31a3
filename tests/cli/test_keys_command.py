"""`klausel keys`: a key is shown once, listed without its secret, and revoked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from klausel.cli.main import main


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KLAUSEL_DATABASE", f"sqlite:///{tmp_path}/keys.db")


def keys(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments])


def test_a_key_is_made_listed_and_revoked() -> None:
    made = keys("new", "shop", "--scope", "check", "--scope", "explain", "--account", "acme", "--expires", "90d")
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    id_ = key.split("_")[1]
    assert key.startswith(f"klausel_{id_}_")
    assert "it is shown only now" in made.stderr
    listed = keys("list").stdout
    assert key not in listed
    assert f"{id_}  shop  good, ends " in listed
    assert "check, explain  acme  never used" in listed
    (found,) = json.loads(keys("list", "--format", "json").stdout)
    assert (found["name"], found["state"], found["scopes"], found["accounts"]) == (
        "shop",
        "good",
        ["check", "explain"],
        ["acme"],
    )
    assert keys("revoke", id_).stdout == f"revoked {id_}\n"
    assert "revoked" in keys("list").stdout
    again = keys("revoke", id_)
    assert (again.exit_code, again.stderr) == (
        1,
        f'klausel: there is no key "{id_}" that could be revoked; klausel keys list shows them\n',
    )


def test_no_keys_are_no_error() -> None:
    keys("new", "shop", "--scope", "check")
    Path("keys.db").unlink()
    CliRunner().invoke(main, ["assignments", "import", "/dev/null"])
    assert keys("list").exit_code in (0, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new", "shop"], "Missing option '--scope'"),
        (["new", "shop", "--scope", "everything"], "'everything' is not one of"),
        (["new", "shop", "--scope", "check", "--account", "acme/support"], '"acme/support" is no top-level domain'),
        (["new", "shop", "--scope", "check", "--account", "*"], '"*" is no top-level domain'),
        (["new", "a\nb", "--scope", "check"], "a name has 1 to 100 printable characters"),
        (["new", "shop", "--scope", "check", "--expires", "2020-01-01"], "this has passed already"),
        (["new", "shop", "--scope", "check", "--expires", "soon"], "or a number of days, such as 90d"),
    ],
)
def test_what_makes_no_key_says_why(arguments: list[str], said: str) -> None:
    told = keys(*arguments)
    assert told.exit_code == 2
    assert said in told.output
