"""Temporary access and groups on the command line: given, taken, listed, explained, as of a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import DEMO, Klausel

LATER = "2999-01-01T00:00:00Z"
ASKED = ("user:rosa", "edit", "quiz", "--in", "acme/support", "--set", "status=published")


@pytest.fixture(autouse=True)
def people(klausel: Klausel) -> None:
    assert klausel("assignments", "import", DEMO).exit_code == 0


def exported(klausel: Klausel, *options: str) -> list[str]:
    result = klausel("assignments", "export", *options)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def instant(**distance: float) -> str:
    return (datetime.now(UTC) + timedelta(**distance)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_role_is_granted_for_a_time_and_listed_while_it_will_end(klausel: Klausel) -> None:
    ends = instant(days=2)
    result = klausel("assignments", "grant", "user:rosa", "lead", "acme/support", "--until", ends, "--reason", "on call")
    assert result.stdout.startswith(f"granted user:rosa lead in acme/support until {ends}; revision ")
    assert klausel("can", *ASKED).exit_code == 0
    again = klausel("assignments", "grant", "user:rosa", "lead", "acme/support", "--until", ends)
    assert again.stdout.startswith("is there already: ")
    header = "subject,role,domain,from,until"
    assert exported(klausel, "--ending-within", "3d") == [header, f"user:rosa,lead,acme/support,,{ends}"]
    assert exported(klausel, "--ending-within", "40h") == [header]
    assert exported(klausel, "--ended") == [header]
    assert f"until {ends}" in klausel("explain", *ASKED).stdout
    shown = klausel("audit", "show", "--limit", "1").stdout
    assert f"granted user:rosa lead in acme/support until {ends}" in shown
    assert klausel("assignments", "revoke", "user:rosa", "lead", "acme/support").exit_code == 0
    assert exported(klausel)[0] == "subject,role,domain"


def test_what_has_ended_is_explained_and_listed_and_goes_in_and_out(klausel: Klausel, tmp_path: Path) -> None:
    ended = instant(days=-2, minutes=-5)
    file = tmp_path / "people.csv"
    file.write_text(f"subject,role,domain,from,until\nuser:rosa,lead,acme/support,,{ended}\n")
    assert klausel("assignments", "import", file).stdout.startswith("1 added, 0 there already")
    assert klausel("can", *ASKED).exit_code == 3
    assert (
        f"not now: user:rosa lead in acme/support until {ended}, which ended 2 days ago" in klausel("explain", *ASKED).stdout
    )
    assert exported(klausel, "--ended")[1:] == [f"user:rosa,lead,acme/support,,{ended}"]
    state = klausel("audit", "state", "--at", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    assert ended not in state.stdout
    assert len(exported(klausel)) == 19
    whole = tmp_path / "all.csv"
    whole.write_text("\n".join(exported(klausel)) + "\n")
    assert klausel("assignments", "import", whole).stdout.startswith("0 added, 18 there already")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("user:rosa,lead,acme/support,,2026-12-31", ':2: error: until: "2026-12-31" is no instant'),
        ("user:rosa,lead,acme/support,soon,", ':2: error: from: "soon" is no instant'),
        ("user:rosa,lead,acme/support", ":2: error: a row has 5 fields, subject,role,domain,from,until; this one has 3"),
        (f"user:rosa,lead,acme/support,{LATER},{LATER}", "not after it begins"),
        ("user:greg,lead,acme/support,,", "(requires-role-above)"),
        ("user:rosa,group:a,acme,,", "members have no domain"),
        (f"user:rosa,group:a,,,\nuser:rosa,group:a,,,{LATER}", ":2: error: user:rosa in group:a: it is there twice"),
    ],
)
def test_a_row_that_could_be_misread_is_told_with_its_line(klausel: Klausel, tmp_path: Path, row: str, words: str) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"subject,role,domain,from,until\n{row}\n")
    result = klausel("assignments", "import", file)
    assert result.exit_code == 1
    assert words in result.stderr
    assert len(exported(klausel)) == 18


def test_people_are_in_a_group_and_who_can_says_through_which(klausel: Klausel) -> None:
    for row in (("group:leads", "lead", "acme/support"), ("group:inner", "group:leads"), ("user:rosa", "group:inner")):
        result = klausel("assignments", "grant", *row)
        assert result.exit_code == 0, result.output
    assert exported(klausel)[:3] == ["subject,role,domain", "group:inner,group:leads,", "group:leads,lead,acme/support"]
    told = klausel("explain", *ASKED).stdout
    assert "role: user:rosa is in group:inner, which is in group:leads, which is lead in acme/support" in told
    found = klausel("who-can", "edit", "quiz", "--in", "acme/support", "--set", "status=published").stdout
    assert "user:rosa  always  (lead in acme/support through group:inner, group:leads, " in found
    assert "through group:inner" in klausel("what-can", "user:rosa", "--in", "acme/support").stdout
    matrix = klausel("matrix", "--by", "person", "--in", "acme/support", "--format", "csv").stdout
    assert "lead in acme/support through group:inner, group:leads" in matrix
    before = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert klausel("assignments", "revoke", "user:rosa", "group:inner").exit_code == 0
    assert klausel("can", *ASKED).exit_code == 3
    assert klausel("can", *ASKED, "--people-at", before).exit_code == 0
    found = klausel("who-can", "edit", "quiz", "--in", "acme/support", "--people-at", before).stdout
    assert "through group:inner" in found


def test_now_is_the_time_of_roles_too(klausel: Klausel) -> None:
    assert klausel("assignments", "grant", "user:rosa", "lead", "acme/support", "--from", LATER).exit_code == 0
    assert klausel("can", *ASKED).exit_code == 3
    assert klausel("can", *ASKED, "--now", "2999-01-02T00:00:00Z").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("grant", "user:rosa", "lead"), "name the domain in which lead is held"),
        (("revoke", "user:rosa", "lead"), "name the domain in which lead is held"),
        (("grant", "user:rosa", "lead", "acme/support", "--until", "tomorrow"), "is no instant"),
        (("export", "--ending-within", "soon"), "is no duration"),
        (("export", "--ended", "--ending-within", "3d"), "two lists"),
    ],
)
def test_what_is_not_said_whole_is_wrong_usage(klausel: Klausel, arguments: tuple[str, ...], words: str) -> None:
    result = klausel("assignments", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_what_ended_long_ago_is_taken_away_and_stands_in_the_change_log(klausel: Klausel, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    ended = "2020-05-01T00:00:00Z"
    file.write_text(
        f"subject,role,domain,from,until\nuser:rosa,lead,acme/support,,{ended}\nuser:rosa,group:night,,,{ended}\n"
    )
    assert klausel("assignments", "import", file).exit_code == 0
    assert klausel("assignments", "purge-ended", "--before", "2020-04-30").stdout.startswith("0 ended role assignments")
    to_come = klausel("assignments", "purge-ended", "--before", "2999-01-01")
    assert to_come.exit_code == 2 and "to come; name a moment that is over" in to_come.output
    result = klausel("assignments", "purge-ended", "--before", "2020-05-01", "--by", "cara", "--reason", "kept for a year")
    assert result.stdout.startswith("2 ended role assignments and memberships taken away; revision ")
    assert exported(klausel, "--ended") == ["subject,role,domain"]
    shown = klausel("audit", "show", "--limit", "2").stdout
    assert f"revoked user:rosa lead in acme/support until {ended}" in shown and "kept for a year" in shown
    assert klausel("audit", "verify").exit_code == 0
