"""`klausel findings`: each kind is found with its fix, in every format, and the fixes work."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import Klausel

Put = Callable[..., None]
pytestmark = pytest.mark.usefixtures("demo_people")


def instant(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Puts a row into the database of the demo people, past every check."""

    def insert(subject: str, role: str, domain: str = "", ends: str | None = None) -> None:
        kind = "gm" if not domain else "gt" if ends else "g"
        with closing(sqlite3.connect(tmp_path / "klausel.db")) as connection, connection:
            statement = "INSERT INTO casbin_rule (ptype, v0, v1, v2, v4) VALUES (?, ?, ?, ?, ?)"
            connection.execute(statement, (kind, subject, role, domain, ends))

    return insert


@pytest.fixture
def separated(tmp_path: Path) -> None:
    """A rule that is written after people had both roles."""
    with (tmp_path / "policies" / "invariants.yaml").open("a", encoding="utf-8") as file:
        file.write("\n  - separate: [user, reviewer]\n")


def found(klausel: Klausel, *arguments: str) -> list[tuple[str, str | None, str, str | None]]:
    document = json.loads(klausel("findings", "--format", "json", *arguments).stdout)
    return [(one["kind"], one["subject"], one["role"], one["domain"]) for one in document["findings"]]


ONE_EACH = [("only-one-holder", "user:ada", "admin", "acme"), ("only-one-holder", "user:grace", "admin", "globex")]


@pytest.mark.usefixtures("separated")
def test_separate_roles_are_found_from_before_the_rule_and_through_groups(klausel: Klausel, put: Put) -> None:
    put("user:paula", "group:night")
    put("group:night", "group:day")
    put("group:day", "reviewer", "acme/support")
    kinds = [one for one in found(klausel, "--in", "acme") if one[0] == "separate-roles"]
    # Those who hold a stronger role hold the weaker one too: lead and manager contain reviewer, admin contains all.
    assert [subject for _, subject, _, _ in kinds] == [
        f"user:{name}" for name in ("ada", "leo", "max", "mia", "paula", "rosa", "sam")
    ]
    text = klausel("findings", "--in", "acme/support").stdout
    assert (
        "user:paula holds both user and reviewer, which nobody may: user in acme; reviewer in acme/support through " in text
    )
    assert "take user:paula out of the group: klausel assignments revoke user:paula group:night" in text
    assert "user:sam" not in text
    assert klausel("assignments", "revoke", "user:paula", "group:night").exit_code == 0
    assert "user:paula" not in klausel("findings").stdout


def test_a_role_without_the_one_above_and_an_orphan_are_found(klausel: Klausel, put: Put) -> None:
    put("user:tom", "agent", "acme/support")
    put("user:una", "retired", "acme")
    put("user:ann", "agent", "acme")
    assert found(klausel) == [
        ("orphaned-assignments", "user:ann", "agent", "acme"),
        ("requires-role-above", "user:tom", "agent", "acme/support"),
        ("orphaned-assignments", "user:una", "retired", "acme"),
        *ONE_EACH,
    ]
    assert "which is of level workspace now" in klausel("findings").stdout
    assert klausel("assignments", "revoke", "user:tom", "agent", "acme/support").exit_code == 0
    assert klausel("assignments", "revoke", "user:una", "retired", "acme").exit_code == 0
    assert found(klausel, "--in", "acme/support") == []


def test_what_ended_and_what_ends_soon_is_found_for_members_of_groups_too(klausel: Klausel, put: Put) -> None:
    put("user:tom", "user", "acme", instant(-1))
    put("user:una", "user", "globex", instant(10))
    put("user:max", "group:night", "", instant(20))
    put("user:mia", "group:night", "", instant(50))
    put("group:night", "agent", "acme/support")
    ended = ("ended", "user:tom", "user", "acme")
    una, max_ = ("ending", "user:una", "user", "globex"), ("ending", "user:max", "group:night", None)
    assert found(klausel) == [max_, ended, una, *ONE_EACH]
    assert found(klausel, "--ending-within", "12d") == [ended, una, *ONE_EACH]
    assert found(klausel, "--in", "acme/support") == [max_]
    assert found(klausel, "--in", "globex") == [una, ONE_EACH[1]]


def test_times_that_cannot_be_read_are_found(klausel: Klausel, put: Put) -> None:
    put("user:tom", "user", "acme", "next summer")
    assert ("unreadable-times", "user:tom", "user", "acme") in found(klausel)


def test_places_without_a_keeper_and_with_one_alone_are_found(klausel: Klausel, put: Put) -> None:
    put("user:tom", "user", "hooli")
    put("user:ada", "admin", "initech")
    put("user:una", "group:bosses")
    put("group:bosses", "admin", "initech")
    put("user:tom", "admin", "umbrella", instant(100))
    missing = [("keep-one", None, "admin", "hooli"), ("keep-one", None, "admin", "umbrella")]
    assert found(klausel) == [*ONE_EACH, *missing]
    done = klausel("findings", "--in", "hooli")
    assert done.stdout.splitlines() == [
        "keep-one  hooli has people in it but no admin whose role has no end",
        "  fix: give somebody the role for good: klausel assignments grant SUBJECT admin hooli",
        "1 finding: 1 keep-one",
    ]


def test_fail_on_names_kinds(klausel: Klausel, put: Put) -> None:
    put("user:una", "retired", "acme")
    codes = [klausel("findings", "--fail-on", kind).exit_code for kind in ("orphaned-assignments", "any", "ended")]
    assert codes == [1, 1, 0]
    assert klausel("findings", "--fail-on", "ended", "--fail-on", "only-one-holder").exit_code == 1
    none = klausel("findings", "--in", "acme/sales", "--fail-on", "any")
    assert (none.exit_code, none.stdout) == (0, "no findings\n")


def test_csv_holds_no_formula_and_json_has_its_version(klausel: Klausel, put: Put) -> None:
    put("=cmd|x", "retired", "acme")
    rows = list(csv.DictReader(io.StringIO(klausel("findings", "--format", "csv", "--in", "acme").stdout)))
    assert [row["subject"] for row in rows] == ["'=cmd|x", "user:ada"]
    assert all(not cell.startswith("=") for row in rows for cell in row.values())
    document = json.loads(klausel("findings", "--format", "json", "--in", "nowhere").stdout)
    assert (document["version"], document["in"], document["findings"]) == (1, "nowhere", [])
    assert document["policy"].startswith("sha256:")


def test_it_makes_no_database(klausel: Klausel, tmp_path: Path) -> None:
    done = klausel("findings", "--database", f"sqlite:///{tmp_path}/none.db")
    assert (done.exit_code, (tmp_path / "none.db").exists()) == (1, False)
