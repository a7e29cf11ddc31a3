"""`klausel can` and `klausel explain`: the answer as an exit code, and the reasons as text and JSON."""

import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_line import ROOT, Change, Klausel, run_installed

pytestmark = pytest.mark.usefixtures("demo_people")

EDIT = ("user:leo", "edit", "quiz")
ALLOWED, DENIED, WRONG_USAGE, PROBLEMS = 0, 3, 2, 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (
            (*EDIT, "--in", "acme/support", "--set", "status=published"),
            ALLOWED,
            "allowed by policies/features/quizzes.yaml:",
        ),
        ((*EDIT, "--in", "acme/sales", "--set", "status=published"), DENIED, "denied, because no grant allows it"),
        ((*EDIT, "--in", "acme/support"), DENIED, "no grant allows it"),
        ((*EDIT, "--in", "globex/support", "--set", "status=published"), DENIED, "no grant allows it"),
        ((*EDIT, "--set", "status=published"), DENIED, "no grant allows it"),
        (("user:leo", "create", "quiz", "--in", "acme"), ALLOWED, "allow any lead to create quiz"),
        (("user:ann", "view", "review:7", "--in", "acme/support", "--set", "reviewee=ann"), ALLOWED, "reviewee_is_self"),
        (("user:ann", "view", "review:7", "--in", "acme/support", "--set", "reviewee=leo"), DENIED, "no grant allows it"),
        (("user:nobody", "edit", "quiz", "--in", "acme/support"), DENIED, "no grant allows it"),
        (("user:leo", "edt", "quiz", "--in", "acme"), DENIED, 'quiz has no action "edt"; did you mean "edit"?'),
        (("user:leo", "edit", "qiz", "--in", "acme"), DENIED, 'declares the resource type "qiz"; did you mean "quiz"?'),
        (("user:", "edit", "quiz"), DENIED, "the subject is empty"),
        ((":leo", "edit", "quiz"), DENIED, "the subject is empty"),
        (("user:a\nb", "edit", "quiz"), DENIED, "the subject contains a control character"),
    ],
)
def test_can_answers_by_its_exit_code_and_one_sentence(
    klausel: Klausel, arguments: Sequence[str], exit_code: int, said: str
) -> None:
    result = klausel("can", *arguments)
    assert (result.exit_code, result.stderr) == (exit_code, "")
    assert said in result.stdout
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument '{SUBJECT|--as ROLES}'"),
        (("leo", "edit", "quiz"), 'write it as type:id, such as "user:leo"'),
        (
            (*EDIT, "--in", "acme/support/x"),
            '"acme/support/x" has more parts than there are levels; write account/workspace',
        ),
        ((*EDIT, "--in", "acme/"), '"acme/" has an empty part; write it as acme, or acme/support'),
        ((*EDIT, "--in", ""), "has an empty part"),
        ((*EDIT, "--set", "status"), '"status" is not NAME=VALUE, such as owner=ann'),
        ((*EDIT, "--set", "=x"), '"=x" is not NAME=VALUE'),
        ((*EDIT, "--set", "subject.=x"), '"subject.=x" is not NAME=VALUE'),
        ((*EDIT, "--set", "team..name=x"), '"team..name=x" is not NAME=VALUE'),
        ((*EDIT, "--set", "id=7"), "resource.id is no property; say it in the argument TYPE[:ID]"),
        ((*EDIT, "--set", "subject.id=ann"), "subject.id is no property; say it in the argument SUBJECT"),
        ((*EDIT, "--set", "action.name=view"), "action.name is no property; say it in the argument ACTION"),
        ((*EDIT, "--set", "status=published", "--set", "status=draft"), "resource.status is given twice"),
        ((*EDIT, "--in", "acme/support", "--set", "account=globex"), "the place (by --in or --as) and each --set"),
        ((*EDIT, "--set", "team=blue", "--set", "team.name=x"), "resource.team.name is given twice"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_how_to_write_it(klausel: Klausel, arguments: Sequence[str], said: str) -> None:
    for command in ("can", "explain"):
        result = klausel(command, *arguments)
        assert (result.exit_code, result.stdout) == (WRONG_USAGE, "")
        assert said in " ".join(result.stderr.split())


TYPED = """\
levels: {site: {constant: main}}
roles: {editor: {level: site}}
"""


@pytest.mark.parametrize(
    ("condition", "values", "holds"),
    [
        ("resource.n == 12", ("n=12",), True),
        ("resource.n == 12", ('n="12"',), False),
        ('resource.n == "12"', ('n="12"',), True),
        ('resource.n == "12"', ("n=12",), False),
        ("resource.n == 1.5", ("n=1.5",), True),
        ("resource.n == -3", ("n=-3",), True),
        ("resource.flag", ("flag=true",), True),
        ("not resource.flag", ("flag=false",), True),
        ('resource.flag == "True"', ("flag=True",), True),
        ('resource.n == "NaN"', ("n=NaN",), True),
        ('resource.n == "-Infinity"', ("n=-Infinity",), True),
        ('resource.n == "007"', ("n=007",), True),
        ('resource.n == ""', ("n=",), True),
        ('resource.n == "a=b"', ("n=a=b",), True),
        ('resource.n == "::1"', ("resource.n=::1",), True),
        ('"ann" in resource.list', ('list=["ann", "bob"]',), True),
        ('resource.team.name == "blue"', ("team.name=blue",), True),
        ('resource.team.name == "blue" and resource.team.size > 3', ("team.name=blue", "team.size=4"), True),
        ('resource.team.name == "blue"', ('team={"name": "blue"}',), True),
        ('subject.team == "blue"', ("subject.team=blue",), True),
        ('subject.team == "blue"', ("team=blue",), False),
        ("action.soft == true", ("action.soft=true",), True),
        ('context.ip == "::1" and context.net.zone == "a"', ("context.ip=::1", "context.net.zone=a"), True),
        ('resource.subject == "x"', ("subject=x",), True),
        ('subject.id == "eve"', (), True),
        ('resource.id == "d1"', (), True),
        ("resource.n == 0", ("n=null",), False),
    ],
)
def test_set_gives_typed_properties_to_the_entity_it_names(
    klausel: Klausel, tmp_path: Path, condition: str, values: Sequence[str], holds: bool
) -> None:
    folder = tmp_path / "site"
    (folder / "features").mkdir(parents=True)
    (folder / "roles.yaml").write_text(TYPED)
    feature = {
        "resource_types": {"doc": {"actions": ["read"]}},
        "grants": [{"allow": "anyone", "to": "read", "resource": "doc", "when": condition}],
    }
    (folder / "features" / "docs.yaml").write_text(json.dumps(feature))
    options = [part for value in values for part in ("--set", value)]
    result = klausel("can", "robot:eve", "read", "doc:d1", *options, "--policies", folder)
    assert result.exit_code == (ALLOWED if holds else DENIED), result.output


def test_a_level_with_a_constant_domain_takes_no_in(klausel: Klausel, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    (folder / "features").mkdir(parents=True)
    (folder / "roles.yaml").write_text(TYPED)
    (folder / "features" / "docs.yaml").write_text("resource_types: {doc: {actions: [read]}}\n")
    result = klausel("can", "user:eve", "read", "doc", "--in", "main", "--policies", folder)
    assert result.exit_code == WRONG_USAGE
    assert "the policies have one constant domain" in " ".join(result.stderr.split())


def test_in_names_the_resource_itself_when_it_is_of_the_type_that_identifies_a_level(klausel: Klausel) -> None:
    assert (
        "workspace:support in acme/support"
        in klausel("explain", "user:mia", "edit_settings", "workspace", "--in", "acme/support").stdout
    )
    result = klausel("explain", "user:ada", "delete", "account:globex", "--in", "acme")
    assert result.exit_code == DENIED
    assert "do not name the same account" in result.stdout


def test_explain_of_an_allow_names_grant_line_reason_role_and_the_values_of_the_condition(klausel: Klausel) -> None:
    result = klausel("explain", *EDIT, "--in", "acme/support", "--set", "status=published")
    assert result.exit_code == ALLOWED
    assert result.stdout.splitlines() == [
        "ALLOW  user:leo edit quiz in acme/support",
        "  allowed by policies/features/quizzes.yaml:25: allow lead to edit quiz when is_published",
        "  because: Leads edit what is published in their own workspace; the drafts of others stay closed to them.",
        "  role: user:leo is lead in acme/support",
        '  condition: resource.status == "published" is true (resource.status is "published")',
    ]


def test_explain_shows_the_chain_of_roles(klausel: Klausel) -> None:
    result = klausel("explain", "user:ada", "create", "workspace", "--in", "acme")
    assert result.exit_code == ALLOWED
    assert "  role: user:ada is admin in acme, and so account_manager" in result.stdout.splitlines()


def test_explain_of_a_deny_shows_the_nearest_grants_and_what_each_lacks(klausel: Klausel) -> None:
    result = klausel("explain", *EDIT, "--in", "acme/sales", "--set", "status=published")
    assert result.exit_code == DENIED
    lines = result.stdout.splitlines()
    assert lines[0] == "DENY  user:leo edit quiz in acme/sales"
    assert "  user:leo holds agent in acme/sales, lead in acme/support, user in acme" in lines
    near = lines.index("    policies/features/quizzes.yaml:25: allow lead to edit quiz when is_published")
    assert lines[near + 1].startswith(
        "      lacks role: it needs lead in acme/sales; the subject holds agent in acme/sales,"
    )


def test_explain_of_an_unknown_action_says_what_may_have_been_meant(klausel: Klausel) -> None:
    result = klausel("explain", "user:leo", "edt", "quiz", "--in", "acme/sales")
    assert result.exit_code == DENIED
    assert 'quiz has no action "edt"; did you mean "edit"?' in result.stdout
    assert result.stdout.count("lacks type and action") <= 5


def test_explain_as_json_has_the_members_that_the_route_answers_with(klausel: Klausel) -> None:
    result = klausel("explain", *EDIT, "--in", "acme/support", "--set", "status=published", "--format", "json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["decision"], answer["domain"]) == (ALLOWED, True, "acme/support")
    assert answer["decided_by"]["source"] == "policies/features/quizzes.yaml:25"
    assert answer["decided_by"]["role_assignment"] == {"subject": "user:leo", "role": "lead", "domain": "acme/support"}
    (comparison,) = answer["decided_by"]["condition"]["comparisons"]
    assert comparison == {"text": 'resource.status == "published"', "value": True, "read": {"resource.status": "published"}}


def test_explain_as_json_of_a_deny_has_the_nearest_grants(klausel: Klausel) -> None:
    result = klausel("explain", "user:max", "edit", "billing", "--in", "acme", "--format", "json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["decision"]) == (DENIED, False)
    assert [lack["part"] for lack in answer["nearest"][0]["lacks"]] == ["role"]
    assert "decided_by" not in answer


def test_explain_keeps_other_alphabets_readable(klausel: Klausel) -> None:
    result = klausel("explain", "user:Ólafur 日本", "edit", "quiz", "--in", "acme/süd", "--format", "json")
    assert result.exit_code == DENIED
    assert "acme/süd" in result.stdout


def test_an_explanation_is_the_same_every_time(klausel: Klausel) -> None:
    question = ("explain", *EDIT, "--in", "acme/sales", "--format", "json")
    assert klausel(*question).stdout == klausel(*question).stdout


def test_a_broken_policy_set_is_told_in_place_of_an_answer(klausel: Klausel, change: Change) -> None:
    change("policies/features/quizzes.yaml", "to: take", "to: tke")
    for command in ("can", "explain"):
        result = klausel(command, *EDIT)
        assert (result.exit_code, result.stdout) == (PROBLEMS, "")
        assert result.stderr.startswith("policies/features/quizzes.yaml:16:9: error: ")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///none.db", "there is no database at none.db; start the service once, import people, or name another"),
        ("sqlite://", "a database in memory is empty at every start; name a file"),
        ("nonsense", "the database URL cannot be read; write it as sqlite:////folder/klausel.db"),
        ("postgresql://u:geheim@127.0.0.1:port/x", "the database URL cannot be read"),
        ("postgresql://u:geheim@127.0.0.1:1/x?password=geheim", "check that the server runs and that host, port, user"),
        ("nosuch://u:geheim@h/x", 'Klausel keeps its data in SQLite or PostgreSQL, not in "nosuch"'),
        ("sqlite:///policies", "policies is a folder; name a file in it"),
        ("sqlite:///model.conf", "is not an SQLite database; name another file with --database"),
    ],
)
def test_an_unusable_database_exits_with_1_in_one_line_without_its_password(klausel: Klausel, url: str, said: str) -> None:
    for arguments in (("can", *EDIT), ("assignments", "export")):
        result = klausel(*arguments, "--database", url)
        assert (result.exit_code, result.stdout) == (PROBLEMS, "")
        assert said in result.stderr
        assert "geheim" not in result.stderr
        assert result.stderr.startswith("klausel: ")
        assert result.stderr.count("\n") == 1
    assert not Path("none.db").exists()


def test_the_environment_names_the_database(klausel: Klausel, monkeypatch: pytest.MonkeyPatch) -> None:
    os.rename("klausel.db", "people.db")
    monkeypatch.setenv("KLAUSEL_DATABASE", "sqlite:///people.db")
    assert klausel("can", *EDIT, "--in", "acme/support", "--set", "status=published").exit_code == ALLOWED


def test_two_packages_that_overwrite_each_other_are_named_before_anything_is_decided(
    klausel: Klausel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("klausel.enforcer.installation._is_installed", lambda name: True)
    for arguments in (("can", *EDIT), ("serve",), ("assignments", "export")):
        result = klausel(*arguments)
        assert (result.exit_code, result.stdout) == (PROBLEMS, "")
        assert result.stderr.startswith('klausel: the packages "casbin" (retired) and "pycasbin" are both installed')


def test_the_installed_command_answers_in_the_same_exit_codes() -> None:
    allowed = run_installed("can", *EDIT, "--in", "acme/support", "--set", "status=published")
    denied = run_installed("explain", *EDIT, "--in", "acme/sales")
    assert (allowed.returncode, denied.returncode) == (ALLOWED, DENIED)
    assert allowed.stdout.startswith("allowed by ")
    assert denied.stdout.startswith("DENY  user:leo edit quiz in acme/sales\n")


def test_explain_names_a_stored_role_that_counts_for_nothing(klausel: Klausel, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "klausel.db")
    with database:
        row = ("g", "user:leo", "inspector", "acme/support")
        database.execute("INSERT INTO casbin_rule (ptype, v0, v1, v2) VALUES (?, ?, ?, ?)", row)
    database.close()
    said = "user:leo is stored as inspector in acme/support, which no policy file declares, so it counts for nothing"
    asked = ("explain", "user:leo", "delete", "quiz", "--in", "acme/support")
    assert f"  {said}\n" in klausel(*asked).stdout
    assert json.loads(klausel(*asked, "--format", "json").stdout)["orphaned"] == [
        {"role": "inspector", "domain": "acme/support", "message": said}
    ]
    assert "orphaned" not in json.loads(klausel("explain", "user:ann", *asked[2:], "--format", "json").stdout)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--as", "lead@acme/support", "edit", "quiz", "--set", "status=published"], 0),
        (["edit", "quiz", "--as=lead@acme/support", "--set", "status=published", "policies"], 0),
        (["--as", "lead@acme/support, user@acme", "edit", "quiz", "--set", "status=draft"], 3),
        (["--as", "admin@acme", "edit", "quiz", "--in", "acme/support"], 0),
        (["--as", "anyone", "edit", "quiz", "--in", "acme/support"], 3),
    ],
)
def test_roles_stand_in_place_of_a_person_and_no_database_is_asked(klausel: Klausel, words: list[str], code: int) -> None:
    for command in ("can", "explain"):
        result = klausel(command, *words, "--database", "sqlite:///nowhere.db")
        assert result.exit_code == code, result.output
        assert result.stderr.startswith("klausel: somebody with ")
    assert not Path("nowhere.db").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--as", "led@acme/support", "edit", "quiz"], 'unknown role "led"; did you mean "lead"?'),
        (["--as", "lead@acme/support,lead@acme/sales", "edit", "quiz"], "say by --in where it is asked"),
        (["user:leo", "edit", "quiz", "--as", "lead@acme/support"], "leave user:leo out, or --as"),
        (["--as", "admin@acme", "edit", "quiz", "--people-at", "2026-01-01"], "leave one of them out"),
    ],
)
def test_roles_that_cannot_be_meant_are_refused(klausel: Klausel, words: list[str], message: str) -> None:
    result = klausel("can", *words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [
        (("--now", "2026-05-31T23:30:00Z"), ALLOWED),
        (("--now", "2026-05-31T23:30:00-05:00"), DENIED),
        (("--now", "2026-06-01"), DENIED),
        (("--now", "2026-05-31"), ALLOWED),
    ],
)
def test_now_is_the_time_that_conditions_take_for_the_present(
    klausel: Klausel, tmp_path: Path, options: Sequence[str], exit_code: int
) -> None:
    (tmp_path / "timed" / "features").mkdir(parents=True)
    (tmp_path / "timed" / "roles.yaml").write_text("levels: {site: {named_by: site}}\nroles: {clerk: {level: site}}\n")
    (tmp_path / "timed" / "features" / "pages.yaml").write_text(
        "resource_types: {page: {actions: [read]}}\n"
        "grants: [{allow: clerk, to: read, resource: page, when: context.now < resource.expires}]\n"
    )
    asked = ("--as", "clerk@main", "read", "page", "--policies", tmp_path / "timed", "--model", ROOT / "model.conf")
    expires = ("--set", "expires=2026-06-01T00:00:00Z")
    assert klausel("can", *asked, *expires, *options).exit_code == exit_code
    told = klausel("explain", *asked, *expires, *options).stdout
    assert "context.now is" in told
    assert klausel("can", *asked, "--set", "expires=2999-01-01T00:00:00Z").exit_code == ALLOWED
    refused = klausel("can", *asked, "--set", "context.now=2020-01-01T00:00:00Z")
    assert refused.exit_code == WRONG_USAGE
    assert "say the time with --now" in refused.stderr


def test_roles_below_a_constant_level_are_asked_where_requests_can_name_them(klausel: Klausel, tmp_path: Path) -> None:
    folder = tmp_path / "constant"
    (folder / "features").mkdir(parents=True)
    levels = "levels:\n  house: {constant: main}\n  room: {named_by: room}\n"
    roles = "roles:\n  owner: {level: house}\n  guest: {level: room}\n"
    (folder / "roles.yaml").write_text(levels + roles, encoding="utf-8")
    grants = "resource_types:\n  door: {actions: [open]}\ngrants:\n  - {allow: [owner, guest], to: open, resource: door}\n"
    (folder / "features" / "doors.yaml").write_text(grants, encoding="utf-8")
    for roles_held, code in (("guest@main/attic", 0), ("owner@main", 0), ("owner@main, guest@main/attic", 0), ("anyone", 3)):
        done = klausel("can", "--as", roles_held, "open", "door", folder)
        assert done.exit_code == code, done.output
    done = klausel("can", "--as", "guest@main/attic", "open", "door", "--in", "cellar", folder)
    assert done.exit_code == 3, done.output
