"""Who asks for a role by its name of today, or by one of before, is told of all who hold it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Klausel
from git_in_tests import FILES, ROLES, Repository

from klausel.app import create_app
from klausel.settings import Settings

DATABASE = "sqlite:///k.db"
RENAMED = {name: text.replace("clerk", "writer") for name, text in FILES.items()}
RENAMED["policies/roles.yaml"] = ROLES.replace("clerk", "writer").replace(
    "writer: {level: house}", "writer: {level: house, was: clerk}"
)


@pytest.fixture
def renamed(tmp_path: Path, klausel: Klausel) -> None:
    """One role assignment stored under the name of before, and one under that of today."""
    for old, files in (("clerk", FILES), ("writer", RENAMED)):
        folder = tmp_path / old
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        named = ("--policies", folder / "policies", "--database", DATABASE, "--reason", "it is so")
        assert klausel("assignments", "grant", f"user:{old}", old, "acme", *named).exit_code == 0


@pytest.mark.usefixtures("renamed")
@pytest.mark.parametrize("asked", ["clerk", "writer"])
def test_the_change_log_is_asked_by_any_name_and_tells_that_of_today(klausel: Klausel, asked: str) -> None:
    result = klausel("audit", "show", "--role", asked, "--policies", "writer/policies", "--database", DATABASE)
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    assert "(writer now)" in lines[1] and "now)" not in lines[0]


@pytest.mark.usefixtures("renamed")
def test_without_policies_the_change_log_knows_the_names_that_it_has(klausel: Klausel) -> None:
    result = klausel("audit", "show", "--role", "clerk", "--policies", "nowhere", "--database", DATABASE)
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.usefixtures("renamed")
@pytest.mark.parametrize("asked", ["clerk", "writer"])
def test_a_page_has_the_role_under_all_its_names_and_calls_it_by_that_of_today(asked: str) -> None:
    settings = Settings(policies="writer/policies", model="writer/model.conf", database=DATABASE)
    client = create_app(settings).test_client()
    rows = client.get(f"/v1/assignments?role={asked}").get_json()["assignments"]
    assert [(row["role"], row.get("stored_role")) for row in rows] == [("writer", "clerk"), ("writer", None)]
    changes = client.get(f"/v1/assignment-log?role={asked}").get_json()["changes"]
    assert {change["role"] for change in changes} == {"clerk", "writer"}


def test_the_log_says_as_json_what_a_former_name_makes_of_stored_role_assignments(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    repository = Repository(tmp_path / "own")
    repository.commit(dict(FILES))
    repository.commit(RENAMED)
    repository.commit({"policies/roles.yaml": RENAMED["policies/roles.yaml"].replace(", was: clerk", "")})
    result = klausel("log", "own/policies", "-n", "2", "--format", "json")
    newest, before = map(json.loads, result.stdout.splitlines())
    assert newest["former_names"] == [
        "whoever is stored as clerk in the database is writer no more, and loses what that may do"
    ]
    assert before["former_names"] == []
