"""`klausel diff` over git revisions and folders: formats, exit codes, the commits to blame."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from git_in_tests import FILES, Repository

from klausel.cli.main import main

LETTERS = "policies/features/letters.yaml"
ROOT = Path(__file__).parents[2]
EARLIER = ROOT / "tests" / "cases" / "editions" / "earlier"


@pytest.fixture(autouse=True)
def own_folder() -> None:
    """These tests bring policies of their own."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    for name in [*os.environ]:
        if name.startswith(("KLAUSEL_", "GIT_")):
            monkeypatch.delenv(name)
    made = Repository(tmp_path / "repo")
    made.commit(FILES, "Clerks read letters")
    monkeypatch.chdir(made.folder)
    yield made


def diff(*arguments: object) -> Result:
    result = CliRunner().invoke(main, ["diff", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def as_json(*arguments: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(diff(*arguments, "--format", "json").stdout)
    return found


def test_a_difference_asked_for_within_the_policies_names_their_folder(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for inside in ("policies", "policies/features"):
        monkeypatch.chdir(repository.folder / inside)
        assert diff().output.splitlines()[0].endswith("→ policies in the work tree")


def test_the_work_tree_is_compared_with_the_last_commit(repository: Repository) -> None:
    assert "the same: nothing changes" in diff().output
    text = (repository.folder / LETTERS).read_text()
    repository.write({LETTERS: text + "  - {allow: boss, to: burn, resource: letter}\n"})
    lines = diff().output.splitlines()
    assert lines[0].startswith("HEAD (")
    assert lines[0].endswith("→ policies in the work tree")
    assert lines[1:] == [
        "more permissive: 1 gain, 0 losses",
        "",
        "letter",
        "  + burn: boss",
        "      never → always",
        f"      {LETTERS}:7: new: allow boss to burn letter [not committed]",
    ]


def test_each_line_to_blame_names_the_commit_that_wrote_it_on_its_side(repository: Repository) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.commit({"README.md": "Nothing to decide.\n"})
    second = repository.replace(LETTERS, "to: read", "to: write", "Clerks write letters", author="Bob")
    found = as_json("HEAD~1", "HEAD")
    commits = [(change["action"], change["causes"][0]["commit"]) for change in found["changes"]]  # type: ignore[attr-defined]
    assert [(action, commit["id"], commit["author"], commit["subject"]) for action, commit in commits] == [
        ("read", first, "Ann", "Clerks read letters"),
        ("write", second, "Bob", "Clerks write letters"),
    ]
    assert found["verdict"] == "both"
    assert as_json(first, "HEAD")["changes"] == found["changes"]
    assert f"{second[:10]} Bob, 2026-01-05: Clerks write letters" in diff("HEAD~1", "HEAD").output


def test_a_new_layout_of_the_files_shows_no_change(repository: Repository) -> None:
    text = (repository.folder / LETTERS).read_text()
    repository.git("mv", LETTERS, "policies/features/post.yaml")
    repository.commit({"policies/features/post.yaml": "# Post.\n\n" + text.replace("    to", "    because: x\n    to")})
    assert as_json("HEAD~1", "HEAD") | {"before": "", "after": ""} == {
        "version": 1,
        "before": "",
        "after": "",
        "verdict": "same",
        "changes": [],
        "renames": [],
        "pattern_matches_taken_as_free": False,
        "changed_types": [],
        "changed_entities": [],
        "former_names": [],
        "not_compared": [],
        "changed_rules": [],
        "rules": [],
        "people": None,
    }


FAILING = [
    ("more", "more permissive", 1),
    ("less", "more permissive", 0),
    ("any", "more permissive", 1),
    ("more", "less permissive", 0),
    ("less", "less permissive", 1),
    ("any", "less permissive", 1),
    ("any", "same", 0),
    (None, "more permissive", 0),
]


@pytest.mark.parametrize(("fail_on", "verdict", "exit_code"), FAILING)
def test_the_exit_code_is_0_unless_asked_otherwise(
    repository: Repository, fail_on: str | None, verdict: str, exit_code: int
) -> None:
    repository.replace(LETTERS, "to: read", "to: [read, write]")
    sides = {
        "more permissive": ("HEAD~1", "HEAD"),
        "less permissive": ("HEAD", "HEAD~1"),
        "same": ("HEAD", "HEAD"),
    }[verdict]
    result = diff(*sides, *(["--fail-on", fail_on] if fail_on else []))
    assert (result.exit_code, verdict in result.output) == (
        exit_code,
        True if verdict != "same" else "the same" in result.output,
    )


def test_what_cannot_be_compared_is_said_and_fails_every_check(repository: Repository) -> None:
    too_many = " and ".join(f"resource.a{number} == true" for number in range(14))
    repository.replace(LETTERS, "to: read", f"to: read\n    when: {too_many}")
    for fail_on in ("more", "less", "any"):
        assert diff("HEAD~1", "HEAD", "--fail-on", fail_on).exit_code == 1
    lines = diff("HEAD~1", "HEAD").stdout.splitlines()
    assert lines[1] == "not known: 1 action could not be compared; 0 gains, 0 losses among the others"
    assert lines[2].startswith("note: not compared: read letter: its conditions make 14 different comparisons")
    for format_ in ("markdown", "html"):
        assert "1 action could not be compared" in diff("HEAD~1", "HEAD", "--format", format_).stdout
    told = as_json("HEAD~1", "HEAD")
    (latest, _) = map(json.loads, CliRunner().invoke(main, ["log", "--format", "json"]).stdout.splitlines())
    assert told["verdict"] == latest["verdict"] == "unknown"
    assert told["not_compared"] == latest["not_compared"] != []


def test_two_folders_are_compared_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name, text in FILES.items():
        for side in ("one", "two"):
            path = tmp_path / side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("to: read", "to: burn") if side == "two" else text)
    monkeypatch.chdir(tmp_path)
    found = as_json("one/policies", "two/policies")
    assert (found["before"], found["after"], found["verdict"]) == ("one/policies", "two/policies", "both")
    assert [change["causes"][0]["commit"] for change in found["changes"]] == [None, None]  # type: ignore[attr-defined]


def test_a_folder_whose_name_is_misspelt_is_named_and_so_is_a_file_without_git_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    told = {
        (
            "policies",
            "polices",
        ): 'no folder "polices", and it can be no git revision, for in policies: there is no git repository; '
        "did you mean the folder policies?",
        ("policies", "elsewhere/it"): "name the folder of a policy set",
        ("policies", "policies/roles.yaml"): "policies/roles.yaml is a file; name the folder of its policy set",
        (): "there is no git repository, so there is no commit to compare with; name two folders: klausel diff BEFORE AFTER",
    }
    for arguments, expected in told.items():
        result = diff(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert expected in result.stderr


def test_a_misspelt_folder_is_named_beside_a_repository(repository: Repository) -> None:
    assert "did you mean the folder policies?" in diff("polices").stderr


def test_a_bare_repository_is_compared_without_a_work_tree(repository: Repository, tmp_path: Path) -> None:
    repository.replace(LETTERS, "to: read", "to: [read, write]", "Clerks write letters")
    bare = tmp_path / "bare.git"
    repository.git("clone", "--quiet", "--bare", ".", str(bare))
    by_address = as_json(f"{bare}@main~1:policies", f"{bare}@main:policies")
    by_revision = as_json("main~1", "main", "--policies", f"{bare}@main:policies")
    assert by_address == by_revision
    (change,) = by_address["changes"]  # type: ignore[misc]
    assert (change["action"], change["causes"][0]["commit"]["subject"]) == ("write", "Clerks write letters")
    assert as_json("main~1", "--policies", f"{bare}@main:policies")["changes"] == by_address["changes"]


def test_what_is_neither_a_revision_nor_a_folder_is_refused(repository: Repository) -> None:
    result = diff("nonsense")
    assert result.exit_code == 1
    assert 'git knows no commit "nonsense"' in result.output
    assert diff("HEAD", "HEAD", "HEAD").exit_code == 2


def test_a_side_with_problems_is_refused_with_all_of_them(repository: Repository) -> None:
    repository.replace(LETTERS, "clerk", "clark")
    result = diff("HEAD~1", "HEAD")
    assert result.exit_code == 1
    assert "(unknown-role)" in result.output


SLY = "<img src=x onerror=alert(1)> | `@all` [x](http://x) *b* <!--"


def test_texts_of_policies_are_never_markup(repository: Repository) -> None:
    quoted = SLY.replace("\\", "").replace("'", "")
    text = (repository.folder / LETTERS).read_text()
    repository.write(
        {LETTERS: text + f"  - {{allow: boss, to: burn, resource: letter, when: 'resource.x == \"{quoted}\"'}}\n"}
    )
    page = diff("--format", "html").output
    assert "<img" not in page
    # What is long may break within.
    text = page.replace("<wbr>", "")
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert page.startswith("<!doctype html>")
    (script,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)  # the filter, which is the same on each page
    assert page.count("<script") == 1
    assert "onerror" not in script
    comment = diff("--format", "markdown").output
    row = next(line for line in comment.splitlines() if line.startswith("| ➕"))
    assert row.count("|") == 6
    for sign in ("<img", "@all", "`", "](", "<!--", "*b*"):
        assert sign not in row


def test_a_comment_says_the_verdict_first_and_folds_the_lines_away(repository: Repository) -> None:
    repository.replace(LETTERS, "to: read", "to: [read, write, burn]", "More for clerks")
    lines = diff("HEAD~1", "HEAD", "--format", "markdown").output.splitlines()
    assert lines[0] == "### Policy: more permissive&#58; 2 gains, 0 losses"
    assert "| ➕ | write, burn **letter** | clerk, and with it boss | never | always |" in lines
    assert "<details><summary>Lines that cause it</summary>" in lines
    assert any("More for clerks" in line for line in lines)


def test_what_is_handed_on_says_where_nobody_was_counted_and_how_to_have_people_counted(repository: Repository) -> None:
    repository.replace(LETTERS, "to: read", "to: [read, write, burn]", "More for clerks")
    (repository.folder / "people.csv").write_text("subject,role,domain\nuser:cleo,clerk,hill\n")
    database = f"sqlite:///{repository.folder}/people.db"
    assert CliRunner().invoke(main, ["assignments", "import", "people.csv", "--database", database]).exit_code == 0
    for format_ in ("markdown", "html"):
        alone = html.unescape(diff("HEAD~1", "HEAD", "--format", format_).stdout)
        assert "People were not counted: this says which roles gain and lose, not whether anybody holds them." in alone
        assert "klausel diff --people --database URL" in alone
        counted = diff("HEAD~1", "HEAD", "--format", format_, "--people", "--database", database).stdout
        assert "not counted" not in counted
        assert "not counted" not in diff("HEAD", "HEAD", "--format", format_).stdout


def test_the_formats_tell_of_the_same_changes() -> None:
    found = as_json(EARLIER, ROOT / "policies")
    assert len(found["changes"]) == 44  # type: ignore[arg-type]
    text = diff(EARLIER, ROOT / "policies").output
    page = diff(EARLIER, ROOT / "policies", "--format", "html").output
    comment = diff(EARLIER, ROOT / "policies", "--format", "markdown").output
    rows = [line for line in text.splitlines() if line.startswith("  + ")]
    assert page.count("<tr><td") == comment.count("| ➕") == len(rows)
    assert len(comment) <= 60_000
    assert "\x1b[" not in text


def test_an_invariant_that_demands_less_is_shown_with_its_direction_and_fails(repository: Repository) -> None:
    invariants = "policies/invariants.yaml"
    stated = "invariants:\n  - {name: only bosses burn, at_most: boss, to: burn, resource: letter}\n"
    repository.commit({invariants: stated})
    repository.replace(invariants, "at_most: boss", "at_most: clerk", "Clerks may be let")
    sentence = f'the invariant "only bosses burn" is weaker: it demands less than before ({invariants}:2)'
    asked = diff("HEAD~1", "HEAD", "--fail-on", "more")
    assert asked.exit_code == 1
    assert "the same: nothing changes in what is allowed, but what is demanded does" in asked.output
    assert sentence in asked.output
    assert diff("HEAD~1", "HEAD", "--fail-on", "any").exit_code == 1
    assert diff("HEAD~1", "HEAD", "--fail-on", "less").exit_code == 0
    assert diff("HEAD", "HEAD~1", "--fail-on", "more").exit_code == 0
    assert as_json("HEAD~1", "HEAD")["rules"] == [{"text": sentence, "movement": "weaker"}]
    told = CliRunner().invoke(main, ["log", "-n", "1"]).output
    assert f"  ~ {sentence}" in told
    assert (
        "Clerks may be let" not in CliRunner().invoke(main, ["log", "--role", "clerk", "--action", "read", "-n", "1"]).output
    )


def test_a_removed_line_names_who_removed_it(repository: Repository) -> None:
    text = (repository.folder / LETTERS).read_text()
    repository.commit({LETTERS: text + "  - {allow: boss, to: burn, resource: letter}\n"}, "Bosses burn")
    repository.commit(
        {LETTERS: text + "  - {allow: boss, to: burn, resource: letter}\n  # a remark\n"}, "A remark", author="Cy"
    )
    removed = repository.commit({LETTERS: text}, "Nobody burns", author="Bo")
    repository.commit({"README.md": "Hello"}, "Elsewhere")
    (change,) = as_json("HEAD~2", "HEAD")["changes"]
    (cause,) = change["causes"]
    assert (cause["side"], cause["commit"]["subject"]) == ("before", "Bosses burn")
    assert (cause["removed_by"]["id"], cause["removed_by"]["author"]) == (removed, "Bo")
    assert f", removed by {removed[:10]} Bo]" in diff("HEAD~2", "HEAD").output
    assert f"{removed[:10]} Bo," in diff("HEAD~2", "HEAD", "--format", "html").output
    # Nobody removes what is new, and of the work tree nobody has signed anything.
    (new,) = as_json("HEAD~4", "HEAD~2")["changes"]
    assert new["causes"][0]["removed_by"] is None
    repository.write({LETTERS: text.replace("to: read", "to: burn")})
    assert ", removal not committed]" in diff().output


def test_a_line_in_a_file_that_was_moved_names_nobody(repository: Repository) -> None:
    repository.git("mv", LETTERS, "policies/features/post.yaml")
    repository.commit({}, "Moved")
    repository.replace("policies/features/post.yaml", "to: read", "to: burn", "Burn")
    losses = [one for one in as_json("HEAD~2", "HEAD")["changes"] if one["loss"]]
    assert losses and all(cause["removed_by"] is None for one in losses for cause in one["causes"])
