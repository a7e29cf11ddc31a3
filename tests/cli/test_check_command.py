"""`klausel check`: every problem with its place, in three formats, and exit codes that scripts can trust."""

import json
import os
import shutil
from pathlib import Path

import pytest
from command_line import Change, Klausel, run_installed

from klausel.service.pipeline import open_policy

BROKEN = "policies/features/quizzes.yaml"
MISSPELT = "policies/features/quizzes.yaml:16:9: error: unknown action"


@pytest.fixture
def broken(change: Change) -> None:
    change(BROKEN, "to: take", "to: tke")


def test_a_good_policy_set_exits_with_0_and_prints_nothing_on_standard_output(klausel: Klausel) -> None:
    result = klausel("check")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "policies: 0 errors, 0 warnings\n")


def test_a_check_within_the_policies_names_their_folder(
    klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for inside in ("policies", "policies/features"):
        monkeypatch.chdir(tmp_path / inside)
        assert klausel("check").stderr == "policies: 0 errors, 0 warnings\n"


def test_a_problem_exits_with_1_and_has_place_message_cure_and_id(klausel: Klausel, broken: None) -> None:
    result = klausel("check")
    assert result.exit_code == 1
    assert result.stdout.startswith(f'{MISSPELT} "tke" of resource type quiz; did you mean "take"?')
    assert result.stdout.endswith("(unknown-action)\n")
    assert result.stderr == "policies: 1 error, 0 warnings\n"


def test_json_has_the_parts_of_each_problem_and_nothing_else_on_standard_output(klausel: Klausel, broken: None) -> None:
    result = klausel("check", "--format", "json")
    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["problems"]
    place = {"file": BROKEN, "line": 16, "column": 9}
    assert problem.items() >= {**place, "severity": "error", "id": "unknown-action"}.items()
    assert set(problem) == {"file", "line", "column", "severity", "id", "message", "hint"}
    assert json.loads(klausel("check", "policies", "--format=json", "--model=model.conf").stdout)["problems"] == [problem]


def test_json_of_a_good_set_is_an_empty_list(klausel: Klausel) -> None:
    result = klausel("check", "--format", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"version": 1, "problems": []})


def test_github_annotations_name_file_line_and_column(klausel: Klausel, broken: None) -> None:
    result = klausel("check", "--format", "github")
    assert result.exit_code == 1
    assert result.stdout.startswith(f"::error file={BROKEN},line=16,col=9,title=unknown-action::unknown action")
    assert result.stdout.count("\n") == 1


def test_github_annotations_escape_what_would_end_them(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "policies/features/a,b:100%.yaml").write_text("grants: [{allow: 'a%\n\n  b', to: take, resource: quiz}]\n")
    (line,) = klausel("check", "--format", "github").stdout.splitlines()
    head, _, message = line.removeprefix("::").partition("::")
    assert head.startswith("error file=policies/features/a%2Cb%3A100%25.yaml,line=1,")
    assert "a%25" in message


def test_warnings_alone_exit_with_0_in_every_format(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "policies/features/more.yaml").write_text("grants: [{deny: lead, to: take, resource: quiz}]\n")
    text, as_json, github = (klausel("check", "--format", form) for form in ("text", "json", "github"))
    assert [one.exit_code for one in (text, as_json, github)] == [0, 0, 0]
    assert "policies/features/more.yaml:1:17: warning: " in text.stdout
    assert text.stderr == "policies: 0 errors, 1 warning\n"
    assert [one["severity"] for one in json.loads(as_json.stdout)["problems"]] == ["warning"]
    assert github.stdout.startswith("::warning file=")


def test_problems_of_several_files_and_of_the_model_come_together_and_sorted(
    klausel: Klausel, broken: None, change: Change
) -> None:
    change("model.conf", "g = _, _, _", "g = _, _")
    change("policies/roles.yaml", "contains: agent", "contains: agnt")
    places = [line.split(": ")[0] for line in klausel("check").stdout.splitlines()]
    assert places == ["model.conf:15:1", "policies/features/quizzes.yaml:16:9", "policies/roles.yaml:37:15"]


def test_the_folder_may_be_named_and_its_model_is_found_beside_it(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "policies").rename(tmp_path / "rules")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    assert klausel("check", "../rules").exit_code == 0
    (tmp_path / "model.conf").write_text("")
    result = klausel("check", "../rules")
    assert result.exit_code == 1
    assert f"{tmp_path}/model.conf:1:1: error: " in result.stdout


def test_a_model_in_the_working_directory_serves_policies_without_one(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "policies").rename(tmp_path / "deep" / "policies")
    assert klausel("check", "deep/policies").exit_code == 0
    (tmp_path / "model.conf").write_text("[nonsense]\n")
    assert "model.conf:1:1: error: section [nonsense] has no meaning here" in klausel("check", "deep/policies").stdout


def test_without_any_model_nearby_that_of_klausel_itself_is_used(klausel: Klausel, tmp_path: Path) -> None:
    (tmp_path / "model.conf").unlink()
    assert klausel("check").exit_code == 0


def test_the_environment_names_folder_and_model(klausel: Klausel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLAUSEL_POLICIES", "nowhere")
    assert klausel("check").stdout.startswith("nowhere:1:1: error: there is no such folder")
    assert klausel("check", "policies").exit_code == 0
    monkeypatch.setenv("KLAUSEL_MODEL", "nope.conf")
    assert klausel("check", "policies").stdout.startswith("nope.conf:1:1: error: there is no such file")


def test_a_missing_folder_is_one_problem_that_says_what_to_name(klausel: Klausel) -> None:
    result = klausel("check", "nowhere")
    assert result.exit_code == 1
    hint = "name the folder that holds roles.yaml and features/, or start one with klausel init"
    assert result.stdout == f"nowhere:1:1: error: there is no such folder; {hint} (missing-file)\n"


def test_a_file_in_place_of_the_folder_is_called_a_file(klausel: Klausel) -> None:
    result = klausel("check", "policies/roles.yaml")
    assert result.exit_code == 1
    assert result.stdout.startswith("policies/roles.yaml:1:1: error: this is a file, not the folder of a policy set;")
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("g = _, _, _", "g = _, _", "model.conf:15:1: error: g in [role_definition] is not `_, _, _`"),
        ("p = sub, dom, obj, act, cond, eft", "p = sub, obj, act", "model.conf:11:1: error: p in [policy_definition]"),
        ("[matchers]", "[matcher]", "model.conf:23:1: error: section [matcher] has no meaning here"),
        ("!some", "some", "model.conf:19:1: error: e in [policy_effect] is not "),
        ("r = sub", "r sub", "model.conf:6:1: error: this line is no section and no `key = value`"),
        ("m = ", "n = ", 'model.conf:24:1: error: unknown key "n" in [matchers]'),
    ],
)
def test_a_broken_model_is_refused_with_its_line(
    klausel: Klausel, change: Change, old: str, new: str, expected: str
) -> None:
    change("model.conf", old, new)
    result = klausel("check")
    assert result.exit_code == 1
    assert expected in result.stdout
    assert "(model-shape)" in result.stdout


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbf[matchers]\n", "model.conf:1:1: error: the file starts with a byte order mark"),
        (b"[matchers]\nm = \xff\n", "model.conf:2:5: error: the file is not UTF-8"),
    ],
)
def test_bytes_of_the_model_that_are_not_plain_utf_8_are_problems(
    klausel: Klausel, tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "model.conf").write_bytes(content)
    result = klausel("check")
    assert result.exit_code == 1
    assert expected in result.stdout


def test_nothing_in_the_folder_is_passed_over_in_silence(klausel: Klausel, tmp_path: Path) -> None:
    features = tmp_path / "policies" / "features"
    (features / "gone.yaml").symlink_to("nowhere.yaml")
    (tmp_path / "more").mkdir()
    (features / "more").symlink_to(tmp_path / "more")
    os.mkfifo(features / "pipe.yaml")
    (features / "old.yml").write_text("grants: []\n")
    (tmp_path / "policies" / "role.yaml").write_text("roles: {}\n")
    result = klausel("check")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        "policies/features/gone.yaml:1:1: error: this is a link to a file that is not there",
        "policies/features/more:1:1: error: this is a link that goes out of the policy folder, and such are not followed",
        "policies/features/old.yml:1:1: error: this file has no meaning here, so what it says would be lost",
        "policies/features/pipe.yaml:1:1: error: this is not a regular file",
        "policies/role.yaml:1:1: error: this file has no meaning here, so what it says would be lost",
    ]
    assert '; did you mean "roles.yaml"? Policies are roles.yaml, ' in lines[4]


def test_demo_people_hidden_files_and_readmes_are_left_alone(klausel: Klausel, tmp_path: Path) -> None:
    for name in ("demo/more.txt", ".hidden.yaml", "features/.hidden/x.yaml", "features/README.md", "features/a.yaml~"):
        file = tmp_path / "policies" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("no policy")
    assert klausel("check").exit_code == 0


def test_a_link_to_a_file_is_read_under_the_name_of_the_link(klausel: Klausel, tmp_path: Path) -> None:
    hidden = tmp_path / "policies" / ".kept"
    hidden.mkdir()
    (hidden / "real.yaml").write_text("grants: [{allow: leed, to: take, resource: quiz}]\n")
    (tmp_path / "policies/features/linked.yaml").symlink_to(hidden / "real.yaml")
    assert klausel("check").stdout.startswith("policies/features/linked.yaml:1:18: error: unknown role")


def test_an_unknown_option_and_two_folders_are_wrong_usage(klausel: Klausel) -> None:
    assert klausel("check", "--format", "xml").exit_code == 2
    assert klausel("check", "policies", "policies").exit_code == 2


def test_the_installed_command_does_the_same(broken: None) -> None:
    done = run_installed("check")
    assert (done.returncode, done.stderr) == (1, "policies: 1 error, 0 warnings\n")
    assert done.stdout.startswith(MISSPELT)


COVERED = "grants: [{allow: lead, to: take, resource: quiz, when: is_published}]"


def test_strict_exits_with_1_on_warnings_alone(klausel: Klausel, tmp_path: Path) -> None:
    assert klausel("check", "--strict").exit_code == 0
    (tmp_path / "policies/features/more.yaml").write_text(f"{COVERED}\n")
    assert klausel("check").exit_code == 0
    for form in ("text", "json", "github"):
        result = klausel("check", "--strict", "--format", form)
        assert (result.exit_code, "covered-grant" in result.stdout) == (1, True)


def test_a_finding_names_the_grant_that_covers_it_and_a_comment_switches_it_off(klausel: Klausel, tmp_path: Path) -> None:
    file = tmp_path / "policies/features/more.yaml"
    file.write_text(f"{COVERED}\n")
    covered, by = (f"allow {role} to take quiz when is_published" for role in ("lead", "agent"))
    said = klausel("check").stdout
    assert said.startswith(f"policies/features/more.yaml:1:10: warning: {covered} changes no decision, covered by {by} ")
    assert "(policies/features/quizzes.yaml:" in said
    file.write_text(f"{COVERED}  # klausel: off covered-grant because the contract says so\n")
    assert (klausel("check", "--strict").exit_code, klausel("check").stdout) == (0, "")
    file.write_text("# klausel: off covered-grant because it was so\ngrants: [{allow: admin, to: take, resource: quiz}]\n")
    assert klausel("check").stdout.startswith(
        "policies/features/more.yaml:1:1: warning: there is no covered-grant on line 2"
    )


def test_a_warning_of_the_loader_is_switched_off_for_the_service_too(klausel: Klausel, tmp_path: Path) -> None:
    file = tmp_path / "policies/features/more.yaml"
    grant = "grants: [{deny: lead, to: take, resource: quiz, when: creator_is_self}]"
    file.write_text(f"{grant}\n")
    load = ("policies", "model.conf")
    assert [problem.id for problem in open_policy(*map(Path, load)).warnings] == ["deny-reaches-stronger-role"]
    file.write_text(f"{grant}  # klausel: off deny-reaches-stronger-role because all are meant\n")
    assert open_policy(*map(Path, load)).warnings == ()
    assert klausel("check", "--strict").exit_code == 0


def test_what_is_switched_off_stays_so_beside_an_error(klausel: Klausel, tmp_path: Path) -> None:
    off = "# klausel: off deny-reaches-stronger-role because all are meant"
    denies = f"grants:\n  - {{deny: lead, to: take, resource: quiz, when: creator_is_self}}  {off}\n"
    (tmp_path / "policies/features/more.yaml").write_text(f"{denies}  - {{allow: laed, to: take, resource: quiz}}\n")
    (line,) = klausel("check").stdout.splitlines()
    assert line.endswith("(unknown-role)")


def test_errors_are_not_switched_off_and_lint_waits_until_they_are_mended(klausel: Klausel, tmp_path: Path) -> None:
    file = tmp_path / "policies/features/more.yaml"
    file.write_text(f"{COVERED.replace('take', 'tke')}  # klausel: off unknown-action because nobody reads it\n")
    (line,) = klausel("check").stdout.splitlines()
    assert line.endswith("(unknown-action)")


def test_explain_prints_the_manual_page_of_a_rule_without_looking_at_any_policy(klausel: Klausel) -> None:
    result = klausel("check", "nowhere", "--explain", "covered-grant")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "covered-grant: a grant that others already cover.")
    assert klausel("check", "--explain", "covered-grnt").exit_code == 2


def test_another_matcher_is_named_by_its_own_line(klausel: Klausel, change: Change) -> None:
    change("model.conf", "eval(p.cond)", "evaluate(p.cond)")
    result = klausel("check")
    assert result.exit_code == 1
    assert result.stdout.startswith("model.conf:24:1: error: the matcher is another than that of Klausel")


def test_no_command_speaks_for_a_model_whose_matcher_lets_somebody_do_anything(klausel: Klausel, change: Change) -> None:
    change("model.conf", "m = r", 'm = r.sub.id == "mallory" && p.eft == "allow" || r')
    for command in ("check", "test", "prove", "serve"):
        result = klausel(command)
        assert result.exit_code == 1, command
        assert "model-matcher" in result.stdout + result.stderr, command


def test_a_difference_never_calls_a_model_with_another_matcher_the_same(klausel: Klausel, change: Change) -> None:
    shutil.copytree("policies", "before/policies")
    shutil.copy("model.conf", "before")
    change("model.conf", "m = r", 'm = r.sub.id == "mallory" && p.eft == "allow" || r')
    for sides in (("before/policies", "policies"), ("policies", "before/policies")):
        result = klausel("diff", *sides)
        assert result.exit_code == 1
        assert "model-matcher" in result.stderr and "same" not in result.stdout


@pytest.mark.parametrize("way", ["demo", "database"])
def test_places_are_compared_with_the_domains_where_people_are(klausel: Klausel, tmp_path: Path, way: str) -> None:
    feature = tmp_path / "policies/features/there.yaml"
    grant = "grants:\n  - {deny: anyone, to: edit, resource: quiz, in: [%s]}\n"
    feature.write_text(grant % "hooli/reserch, '*/resaerch'")
    assert klausel("check").stdout == ""
    feature.write_text(grant % "hooli/research, hooli/reserch, '*/resaerch'")
    assert "nobody is in hooli/reserch, but it looks like hooli/research (policies/features/there" in klausel("check").stdout
    people = tmp_path / "people.csv"
    people.write_text("subject,role,domain\nuser:gavin,admin,hooli\nuser:gavin,agent,hooli/research\n")
    options = ()
    source = "policies/demo/assignments.csv:3"
    if way == "demo":
        shutil.copy(people, tmp_path / "policies/demo/assignments.csv")
    else:
        url = f"sqlite:///{tmp_path / 'klausel.db'}"
        assert klausel("assignments", "import", str(people), "--database", url).exit_code == 0
        options, source = ("--database", url), "role assignments"
    result = klausel("check", *options)
    assert [line.partition("warning: ")[2].partition(";")[0] for line in result.stdout.splitlines()] == [
        f"nobody is in */resaerch, but it looks like hooli/research ({source})",
        f"nobody is in hooli/reserch, but it looks like hooli/research ({source})",
    ]
    assert result.exit_code == 0
