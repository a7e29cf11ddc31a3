"""`klausel matrix` and `klausel review`."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from command_line import ROOT, Change, Klausel

from klausel.core.analysis.table import Sheet, as_csv


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def commit(folder: Path) -> str:
    git = ["git", "-C", str(folder), "-c", "user.name=Ann", "-c", "user.email=ann@acme.example"]
    if not (folder / ".git").exists():
        subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "policies", "model.conf"], check=True)
    subprocess.run([*git, "commit", "-qm", "Policies"], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def test_the_matrix_that_is_kept_is_up_to_date(klausel: Klausel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = klausel("matrix", "--format", "markdown", "--kept")
    kept = (ROOT / "docs" / "matrix.md").read_text(encoding="utf-8")
    assert done.stdout == kept, "write it again: klausel matrix --format markdown --kept > docs/matrix.md"


def test_the_matrix_that_is_kept_stays_when_lines_move(klausel: Klausel, change: Change) -> None:
    before = klausel("matrix", "--kept").stdout
    change("policies/features/pins.yaml", "grants:", "# A remark moves the lines.\ngrants:")
    assert klausel("matrix", "--kept").stdout == before


def test_the_matrix_by_role_names_digest_and_commit_and_needs_no_database(
    klausel: Klausel, tmp_path: Path, change: Change
) -> None:
    outside = klausel("matrix")
    assert (outside.exit_code, outside.stderr) == (0, "")
    assert "commit: none, the policies are in no git repository" in outside.stdout
    id_ = commit(tmp_path)
    lines = klausel("matrix").stdout.splitlines()
    assert lines[1].startswith("meaning of the policies: sha256:")
    assert lines[2] == f"commit: {id_}"
    change("policies/features/pins.yaml", "create", "pin_up")
    change("policies/features/pins.yaml", "to: create", "to: pin_up")
    assert klausel("matrix").stdout.splitlines()[2] == f"commit: {id_} and changes that are not committed"
    assert "pin_up" in klausel("matrix").stdout
    assert "pin_up" not in klausel("matrix", "--at", id_).stdout


def test_conditions_stand_once_as_notes_and_in_csv_in_full(klausel: Klausel) -> None:
    table = klausel("matrix").stdout
    assert "\n[1] when owner_is_self\n" in table
    assert "\nowner_is_self: is_user and resource.owner == subject.id\n" in table
    rows = {(row["resource type"], row["action"]): row for row in rows_of(klausel("matrix", "--format", "csv").stdout)}
    edit = rows["quiz", "edit"]
    assert (edit["admin"], edit["user"]) == ("yes", "no")
    assert edit["lead"] == "when is_published or creator_is_self; elsewhere in the account: when creator_is_self"
    assert re.fullmatch(r"quizzes\.yaml:\d+, \d+, \d+", edit["lines"])


class Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


def test_a_page_is_whole_and_what_policies_say_cannot_become_part_of_it(klausel: Klausel, change: Change) -> None:
    change("policies/features/csat.yaml", "when: owner_is_self", 'when: resource.mark == "<script>alert(1)</script> | x"')
    page = Texts()
    page.feed(klausel("matrix", "--format", "html").stdout)
    assert page.tags.count("script") == 1  # the filter, which the page brings itself
    assert any("<script>alert(1)</script> | x" in cell for cell in page.cells)
    assert "link" not in page.tags and "img" not in page.tags
    markdown = klausel("matrix", "--format", "markdown").stdout
    assert '"\\<script\\>alert(1)\\</script\\> \\| x"' in markdown


def test_the_matrix_by_person_is_what_each_may_do_there(klausel: Klausel, demo_people: None, tmp_path: Path) -> None:
    file = tmp_path / "support.facts.json"
    done = klausel("matrix", "--by", "person", "--in", "acme/support", "--format", "csv", "--facts", str(file))
    facts = json.loads(file.read_text(encoding="utf-8"))
    assert (facts["version"], facts["title"]) == (1, "Who may do what in acme/support, by person")
    assert facts.keys() >= {"meaning of the policies", "commit", "role assignments at revision"}
    assert done.stdout.startswith("subject,roles,")
    rows = {row["subject"]: row for row in rows_of(done.stdout)}
    assert list(rows) == [f"user:{name}" for name in ("ada", "ann", "leo", "max", "mia", "paula", "rosa", "sam")]
    assert rows["user:ann"]["roles"] == "agent in acme/support, user in acme"
    actions = [name for name in rows["user:ann"] if name not in ("subject", "roles")]
    assert len(actions) == 52
    for subject in ("user:leo", "user:paula"):
        for action in actions[::5]:
            what, _, type_ = action.partition(" ")
            asked = klausel("can", subject, what, type_, "--in", "acme/support")
            assert (rows[subject][action] == "yes") is (asked.exit_code == 0), (subject, action)


def test_the_matrix_by_person_has_a_section_for_each_with_the_conditions_as_notes(
    klausel: Klausel, demo_people: None
) -> None:
    done = klausel("matrix", "--by", "person", "--in", "acme/support", "--format", "markdown")
    section = done.stdout.partition("## user:ann: agent in acme/support, user in acme\n")[2].partition("\n## ")[0]
    assert "| quiz | take | [" in section
    assert "scorecard" not in section
    assert 'when resource.status == "published"' in done.stdout or "when is_published" in done.stdout


def test_what_anyone_may_comes_first_among_the_people(klausel: Klausel, change: Change, demo_people: None) -> None:
    change("policies/features/pins.yaml", "allow: user", "allow: anyone")
    done = klausel("matrix", "--by", "person", "--in", "acme", "--format", "csv")
    first = rows_of(done.stdout)[0]
    assert (first["subject"], first["roles"], first["create pin"], first["view billing"]) == ("anyone", "", "yes", "no")


def test_a_cell_that_a_spreadsheet_would_calculate_is_made_text() -> None:
    sheet = Sheet("t", (), (), ("subject",), [("", [("=cmd:1",), ("user:ann",)])], lambda notes: ())
    assert list(as_csv(sheet)) == ["subject", "'=cmd:1", "user:ann"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("matrix", "--by", "person"), "--by person needs --in"),
        (("matrix", "--in", "acme"), "--in goes with --by person"),
        (("review",), "--since"),
    ],
)
def test_what_does_not_go_together_is_refused(klausel: Klausel, arguments: tuple[str, ...], complaint: str) -> None:
    done = klausel(*arguments)
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_a_review_shows_the_cells_that_allow_something_else_and_no_others(
    klausel: Klausel, tmp_path: Path, change: Change
) -> None:
    before = commit(tmp_path)
    change("policies/features/pins.yaml", "allow: user", "allow: account_manager")
    change("policies/features/csat.yaml", "when: owner_is_self", "when: is_user and resource.owner == subject.id")
    change(
        "policies/features/quizzes.yaml",
        "    when: is_published\n\n",
        '    when: is_published or resource.status == "draft"\n\n',
    )
    after = commit(tmp_path)
    done = klausel("review", "--since", before, "--format", "csv", "--facts", "facts.json")
    facts = json.loads((tmp_path / "facts.json").read_text(encoding="utf-8"))
    assert (facts["commit then"], facts["commit now"]) == (before, after)
    changed = [(row["resource type"], row["action"], row["role"], row["before"], row["now"]) for row in rows_of(done.stdout)]
    assert changed[:1] == [("pin", "create", "user", "yes", "no")]
    assert {(type_, action) for type_, action, *_ in changed[1:]} == {("quiz", "take")}
    assert [role for _, _, role, *_ in changed[1:]] == ["admin", "account_manager", "manager", "lead", "reviewer", "agent"]
    assert changed[-1][3:] == ("when is_published", 'when is_published or resource.status == "draft"')


def test_a_review_by_role_counts_whom_each_row_concerns_and_nobody_apart(
    klausel: Klausel, demo_people: None, tmp_path: Path, change: Change
) -> None:
    before = commit(tmp_path)
    change(
        "policies/features/quizzes.yaml",
        "    when: is_published\n\n",
        '    when: is_published or resource.status == "draft"\n\n',
    )
    commit(tmp_path)
    for row in rows_of(klausel("assignments", "export", "-").stdout):
        if row["role"] == "reviewer":
            assert klausel("assignments", "revoke", *row.values()).exit_code == 0
    rows = rows_of(klausel("review", "--since", before, "--people", "--format", "csv").stdout)
    held: dict[str, set[str]] = {}
    for row in rows_of(klausel("assignments", "export", "-").stdout):
        held.setdefault(row["role"], set()).add(row["subject"])
    # In the demo everybody with a role of a workspace has the one of the account that it needs.
    expected = {row["role"]: len(held.get(row["role"], ())) for row in rows}
    assert {row["role"]: int(row["people"]) for row in rows} == expected
    nobody = sum(not number for number in expected.values())
    assert 0 < nobody < len(rows)
    told = f"{len(rows)} changes: {len(rows) - nobody} for people who hold the role today, {nobody} for nobody at present."
    for format_ in ("table", "html", "json"):
        assert told in klausel("review", "--since", before, "--people", "--format", format_).stdout
    plain = klausel("review", "--since", before).stdout
    assert f"{len(rows)} changes; people were not counted: --people says" in plain
    refused = klausel("review", "--since", before, "--people", "--people-since", "2999-01-01", *PERSONAL)
    assert (refused.exit_code, "--people goes with --by role" in refused.stderr) == (2, True)


def test_a_review_writes_out_a_condition_whose_name_means_something_else_now(
    klausel: Klausel, demo_people: None, tmp_path: Path, change: Change
) -> None:
    before = commit(tmp_path)
    then = datetime.now(UTC).isoformat()
    change("policies/conditions.yaml", 'resource.status == "published"', 'resource.status in ["published", "archived"]')
    commit(tmp_path)
    written = ('when resource.status == "published"', 'when resource.status in ["published", "archived"]')
    by_role = rows_of(klausel("review", "--since", before, "--format", "csv").stdout)

    by_person = rows_of(klausel("review", "--since", before, "--people-since", then, *PERSONAL).stdout)
    for rows in (by_role, by_person):
        assert {(row["before"], row["now"]) for row in rows if row["action"] == "take"} == {written}
        assert all(row["before"] != row["now"] for row in rows)
    # What means the same on both sides stands under its name.
    assert any("creator_is_self" in row["before"] for row in by_role if row["action"] == "edit")


def test_a_review_compares_what_two_roles_give_together_with_what_they_gave_before(
    klausel: Klausel, tmp_path: Path, change: Change
) -> None:
    before = commit(tmp_path)
    both = "  - {allow: {all: [lead, user]}, to: publish, resource: quiz}\n"
    change("policies/features/quizzes.yaml", "grants:\n", f"grants:\n{both}")
    commit(tmp_path)
    now = rows_of(klausel("review", "--since", before, "--format", "csv").stdout)
    cells = [(row["action"], row["role"], row["before"], row["now"]) for row in now]
    assert cells == [("publish", "all of lead and user", "when creator_is_self", "yes")]
    back = rows_of(klausel("review", "--since", "HEAD", "--at", before, "--format", "csv").stdout)
    assert [(row["before"], row["now"]) for row in back] == [("yes", "when creator_is_self")]


def test_a_review_counts_people_and_no_groups(klausel: Klausel, tmp_path: Path, change: Change) -> None:
    rows = ("user:ada,admin,acme", "group:leads,user,acme", "group:leads,lead,acme/support")
    members = ("user:eve,group:leads,", "user:bob,group:leads,")
    (tmp_path / "people.csv").write_text("\n".join(("subject,role,domain", *rows, *members)))
    assert klausel("assignments", "import", "people.csv").exit_code == 0
    before = commit(tmp_path)
    change("policies/features/quizzes.yaml", "    when: is_published\n    because: Leads", "    because: Leads")
    now = rows_of(klausel("review", "--since", before, "--people", "--format", "csv").stdout)
    assert {row["role"]: row["people"] for row in now} == {"manager": "0", "lead": "2"}


def test_a_table_without_a_row_says_that_there_is_nothing(
    klausel: Klausel, tmp_path: Path, demo_people: None, change: Change
) -> None:
    commit(tmp_path)
    told = {
        ("matrix", "--by", "person", "--in", "nowhere/here"): "Nobody may do anything in nowhere/here.",
        ("review", "--since", "HEAD", "--people-since", "2999-01-01", *PERSONAL[:-2]): "Nothing changed.",
        ("review", "--since", "HEAD"): "Nothing changed.",
        ("findings", "--only", "ended"): "No findings.",
        ("log", "--until", "2001-01-01"): "No commit changed anything of this.",
    }
    for command, nothing in told.items():
        formats = ("html",) if command[0] in ("findings", "log") else ("table", "markdown", "html")
        for format_ in formats:
            done = klausel(*command, "--format", format_)
            assert done.exit_code == 0
            assert done.stdout.count(nothing) == 1, (command, format_)
            assert "<thead>" not in done.stdout
            assert "|---" not in done.stdout
        assert len(klausel(*command, "--format", "csv").stdout.splitlines()) == 1


def test_a_review_counts_nobody_where_an_action_has_too_many_cases(
    klausel: Klausel, demo_people: None, tmp_path: Path, change: Change
) -> None:
    before = commit(tmp_path)
    too_many = " and ".join(f"resource.a{number} == true" for number in range(14))
    change("policies/features/quizzes.yaml", "    when: is_published\n\n", f"    when: {too_many}\n\n")
    done = klausel("review", "--since", before, "--people", "--format", "json")
    (row, *_) = json.loads(done.stdout)["rows"]
    assert row["cells"][-1] == "not known"
    assert "for nobody at present, 6 not known, for too many cases." in done.stdout


def test_a_review_without_a_change_says_so(klausel: Klausel, tmp_path: Path, change: Change) -> None:
    before = commit(tmp_path)
    change("policies/features/pins.yaml", "grants:", "# A remark moves the lines.\ngrants:")
    commit(tmp_path)
    done = klausel("review", "--since", before)
    assert done.exit_code == 0
    assert done.stdout.endswith("\nNothing changed.\n")


def test_a_role_that_came_or_went_is_in_the_review(klausel: Klausel, tmp_path: Path, change: Change) -> None:
    before = commit(tmp_path)
    change(
        "policies/roles.yaml",
        "  agent:\n    level: workspace\n",
        "  agent:\n    level: workspace\n  guest: {level: workspace}\n",
    )
    change("policies/features/csat.yaml", "grants:\n", "grants:\n  - {allow: guest, to: view, resource: csat}\n")
    now = rows_of(klausel("review", "--since", before, "--format", "csv").stdout)
    assert [(row["role"], row["before"], row["now"]) for row in now] == [("guest", "no", "yes")]
    then = rows_of(klausel("review", "--since", "HEAD", "--at", before, "--format", "csv").stdout)
    assert then == []


PERSONAL = ("--by", "person", "--in", "acme/support", "--format", "csv")


def test_a_review_by_person_shows_who_may_do_what_otherwise_by_other_policies_or_other_roles(
    klausel: Klausel, demo_people: None, tmp_path: Path, change: Change
) -> None:
    before = commit(tmp_path)
    then = datetime.now(UTC).isoformat()
    (tmp_path / "new.csv").write_text("subject,role,domain\nuser:new,user,acme\nuser:new,agent,acme/support\n")
    assert klausel("assignments", "import", "new.csv").exit_code == 0
    by_roles = klausel("review", "--since", before, "--people-since", then, *PERSONAL)
    assert {row["subject"] for row in rows_of(by_roles.stdout)} == {"user:new"}
    take = {"subject": "user:new", "resource type": "quiz", "action": "take", "before": "no", "now": "when is_published"}
    (row,) = [row for row in rows_of(by_roles.stdout) if row["action"] == "take"]
    assert take.items() <= row.items()
    assert (row["roles before"], row["roles now"]) == ("", "agent in acme/support, user in acme")
    change("policies/features/pins.yaml", "allow: user", "allow: account_manager")
    by_policies = rows_of(klausel("review", "--since", before, "--people-since", "2999-01-01", *PERSONAL).stdout)
    assert {(row["resource type"], row["action"], row["before"], row["now"]) for row in by_policies} == {
        ("pin", "create", "yes", "no")
    }
    assert {"user:ann", "user:leo", "user:new"} <= {row["subject"] for row in by_policies}
    assert "user:max" not in {row["subject"] for row in by_policies}


def test_what_changed_for_everybody_is_told_once_in_a_review_by_person(
    klausel: Klausel, demo_people: None, tmp_path: Path, change: Change
) -> None:
    before = commit(tmp_path)
    change("policies/features/pins.yaml", "allow: user", "allow: anyone")
    rows = rows_of(klausel("review", "--since", before, "--people-since", "2999-01-01", *PERSONAL).stdout)
    assert [(row["subject"], row["action"], row["before"], row["now"]) for row in rows] == [
        ("anyone", "create", "no", "yes")
    ]


def test_a_review_by_person_says_what_it_needs(klausel: Klausel, demo_people: None, tmp_path: Path) -> None:
    before = commit(tmp_path)
    for options in (
        ("--by", "person"),
        ("--by", "person", "--in", "acme"),
        ("--in", "acme"),
        ("--people-since", "2026-01-01"),
    ):
        assert klausel("review", "--since", before, *options).exit_code == 2
    unknown = klausel("review", "--since", before, "--people-since", "2001-01-01", *PERSONAL)
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "the log begins at" in unknown.stderr
