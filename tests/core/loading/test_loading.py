"""The strict loader over `tests/cases/problems`: every problem, its place, its words, and all of them at once."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from problem_cases import BASE, FOLDER, Case, all_cases, as_expected, read_case, source_files

import klausel
from klausel.casbin_policies.rows import meaning_digest
from klausel.core.loading.load import LoadResult, SourceFile, files_digest, load_policy
from klausel.core.terms.problem import Place, PolicyError, Problem

PACKAGE = Path(klausel.__file__).parent
POLICIES = Path(__file__).parents[3] / "policies"
CASES = {case.name: case for case in all_cases()}

# Ids of problems that no policy file has but its folder, and the test that has a case for each.
TESTED_ELSEWHERE = {
    "demo-people": "tests/cli/test_check_demo_people.py",
    "unknown-file": "tests/storage/policy_files/test_policy_files.py",
    "orphaned-assignments": "tests/service/test_orphaned_assignments.py",
    "too-many-questions": "tests/core/testing/test_policy_tests.py",
    "unread-key": "tests/core/loading/test_half_made_keys.py",
    "unreadable-file": "tests/storage/policy_files/test_policy_files.py",
}


def load(**files: str | bytes) -> LoadResult:
    """The base set with these files instead; `features_x_yaml` is `features/x.yaml`."""
    texts = dict(read_case(FOLDER / BASE).files)
    for name, text in files.items():
        *folders, stem, ending = name.split("_")
        texts["/".join([*folders, f"{stem}.{ending}"])] = text.encode() if isinstance(text, str) else text
    return load_policy(source_files(texts))


def lines(result: LoadResult) -> list[str]:
    return [as_expected(problem) for problem in result.problems]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_case_gives_exactly_its_problems(case: Case) -> None:
    result = case.load()
    assert lines(result) == list(case.expected), (
        "python tests/helpers/problem_cases.py writes what is found into the cases; read the difference before you keep it"
    )
    has_error = any(problem.severity == "error" for problem in result.problems)
    assert (result.policy is None) == has_error


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_problems_are_sorted_once_each_and_on_one_line_with_a_cure(case: Case) -> None:
    problems = case.load().problems
    assert list(problems) == sorted(set(problems))
    for problem in problems:
        assert str(problem).isprintable()
        assert problem.hint
        assert not problem.message[0].isupper()
        assert not problem.message.endswith(".")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_places_lie_in_their_files(case: Case) -> None:
    for problem in case.load().problems:
        content = case.files.get(problem.place.file.removeprefix("policies/"), b"")
        rows = content.decode("utf-8-sig", errors="replace").split("\n")
        assert 1 <= problem.place.line <= len(rows)
        assert 1 <= problem.place.column <= len(rows[problem.place.line - 1]) + 1


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_names_in_quotes_stand_where_the_place_says(case: Case) -> None:
    """Messages of the form `unknown … "name"` are about the word at their place."""
    for problem in case.load().problems:
        if not problem.id.startswith("unknown-") or '"' not in problem.message:
            continue
        name = problem.message.split('"')[1]
        rows = case.files[problem.place.file.removeprefix("policies/")].decode("utf-8-sig").split("\n")
        here = rows[problem.place.line - 1][problem.place.column - 1 :]
        if "\\" not in name and "\\" not in here:
            assert here.startswith(name), str(problem)


def ids_in_code() -> Iterator[tuple[str, str]]:
    """Every id of a problem that the code can make, with the file that makes it."""
    positions = {"Problem": 1, "add": 1, "warn": 1, "ExpressionFault": 0, "_fail": 3}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            at = positions.get(name)
            arguments = [keyword.value for keyword in node.keywords if keyword.arg in ("id", "id_")]
            if at is not None and len(node.args) > max(at, 1):
                arguments.append(node.args[at])
            for argument in arguments:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value, path.name


def test_every_id_of_a_problem_has_a_case() -> None:
    covered = {line.split(" ")[1] for case in CASES.values() for line in case.expected}
    for id_, test in TESTED_ELSEWHERE.items():
        path = Path(__file__).parents[3] / test
        if path.is_file() and id_ in path.read_text(encoding="utf-8"):
            covered.add(id_)
    in_code = {(id_, file) for id_, file in ids_in_code() if " " not in id_}
    assert len({id_ for id_, _ in in_code}) > 30
    assert sorted((id_, file) for id_, file in in_code if id_ not in covered) == []


def test_a_problem_reads_place_severity_message_hint_and_id() -> None:
    problem = Problem(Place("policies/x.yaml", 12, 9), "unknown-role", 'unknown role "leed"', 'did you mean "lead"?')
    assert str(problem) == 'policies/x.yaml:12:9: error: unknown role "leed"; did you mean "lead"? (unknown-role)'
    assert str(Problem(Place("x", 1, 2), "a-b", "odd", severity="warning")) == "x:1:2: warning: odd (a-b)"


def test_the_example_of_the_design_reads_as_it_says() -> None:
    result = load(features_x_yaml="grants:\n  - allow: leed\n    to: edit\n    resource: quiz\n")
    assert [str(problem) for problem in result.problems] == [
        'policies/features/x.yaml:2:12: error: unknown role "leed"; did you mean "lead"? '
        "Roles are declared in policies/roles.yaml (unknown-role)"
    ]


def test_problems_sort_by_file_line_and_column_as_numbers() -> None:
    places = [("a", 10, 1), ("a", 9, 2), ("a", 9, 10), ("b", 1, 1)]
    problems = [Problem(Place(*place), "x-y", "odd") for place in places]
    assert [problem.place.line for problem in PolicyError(problems).problems] == [9, 9, 10, 1]
    assert [problem.place.column for problem in PolicyError(problems).problems] == [2, 10, 1, 1]


def test_ten_different_mistakes_are_reported_in_one_go() -> None:
    ids = [problem.id for problem in CASES["ten_mistakes_at_once"].load().problems if problem.severity == "error"]
    assert len(set(ids)) >= 10


def test_a_letter_that_looks_like_another_is_named() -> None:
    (problem,) = CASES["lookalike_of_a_role"].load().problems
    assert "U+0430, cyrillic small letter a" in problem.hint


def test_a_warning_does_not_refuse_the_set() -> None:
    result = CASES["deny_that_reaches_stronger_roles"].load()
    assert result.policy is not None
    assert result.policy.warnings == result.problems
    assert {problem.severity for problem in result.problems} == {"warning"}


def test_or_raise_gives_the_set_or_every_problem() -> None:
    assert load().or_raise() is not None
    with pytest.raises(PolicyError) as caught:
        load(roles_yaml="").or_raise()
    assert caught.value.problems == load(roles_yaml="").problems
    assert "roles.yaml:1:1" in str(caught.value)


def test_problems_found_before_refuse_and_are_sorted_in() -> None:
    files = source_files(read_case(FOLDER / BASE).files)
    error = Problem(Place("model.conf", 1, 1), "model-shape", "odd", "fix it")
    warning = Problem(Place("model.conf", 1, 1), "model-shape", "odd", "fix it", "warning")
    assert load_policy(files, [error]).policy is None
    assert load_policy(files, [warning, warning]).problems == (warning,)
    assert load_policy(files, [warning]).policy is not None


def test_the_order_of_the_files_does_not_matter() -> None:
    files = source_files(CASES["contradiction_between_yaml_and_csv"].files)
    assert load_policy(files).problems == load_policy(files[::-1]).problems


def test_no_files_at_all_is_a_missing_file() -> None:
    assert lines(load_policy([])) == ["roles.yaml:1:1 missing-file there is no roles.yaml"]


def test_a_file_with_a_name_that_is_no_text_can_be_reported() -> None:
    base = source_files(read_case(FOLDER / BASE).files)
    odd = SourceFile("features/\udcff\n.yaml", "policies/features/\udcff\n.yaml", b"grants: 1")
    assert next(str(problem) for problem in load_policy([*base, odd]).problems).startswith(
        "policies/features/\\u{dcff}\\u{a}.yaml:1:9: error: "
    )
    assert files_digest([("\udcff", b"")]) != files_digest([("\udcfe", b"")])


def test_the_shipped_policies_load_without_a_problem() -> None:
    names = [path for path in sorted(POLICIES.rglob("*.yaml")) if path.name in ("roles.yaml", "conditions.yaml")]
    names += sorted((POLICIES / "features").rglob("*.*"))
    files = [SourceFile(path.relative_to(POLICIES).as_posix(), path.as_posix(), path.read_bytes()) for path in names]
    result = load_policy(files)
    assert result.problems == ()
    assert len(result.or_raise().grants) > 50


def test_files_digest_sees_every_byte_and_name_and_no_order() -> None:
    digest = files_digest([("a", b"x"), ("b", b"y")])
    assert digest == files_digest([("b", b"y"), ("a", b"x")])
    others = [[("a", b"xb"), ("", b"y")], [("a", b"x"), ("b", b"Y")], [("a", b"x")], [("ab", b"x"), ("", b"y")], []]
    assert digest not in map(files_digest, others)


CSV_ROWS = """\
p, agent, *, quiz, view, true, allow
p, any lead, acme//workspace, quiz, edit, "resource.status == ""published"" or (owner_is_self and resource.n < 3)", deny
p, "anyone", acme/support, quiz, edit, 'x' == resource.y, allow
g, lead, agent, *
"""
YAML_ROWS = """\
grants:
  - allow: agent
    to: view
    resource: quiz
    in: "*"
  - deny: any lead
    to: edit
    resource: quiz
    in: acme
    at_level: workspace
    when: resource.status == "published" or (owner_is_self and resource.n < 3)
  - allow: anyone
    to: [edit]
    resource: quiz
    in: acme/support
    when: >-
      'x' == resource.y
"""


def test_csv_means_the_same_as_yaml() -> None:
    types = "resource_types:\n  account: {actions: [edit]}\n  quiz: {actions: [view, edit]}\n"
    in_csv = load(features_quizzes_yaml=types, features_x_csv=CSV_ROWS).or_raise()
    in_yaml = load(features_quizzes_yaml=types, features_x_yaml=YAML_ROWS).or_raise()
    assert meaning_digest(in_csv) == meaning_digest(in_yaml)
    assert [str(grant) for grant in in_csv.grants] == [str(grant) for grant in in_yaml.grants]
    assert [grant.place.line for grant in in_csv.grants] == [1, 2, 3]


def test_a_grant_is_made_for_each_grantee_and_action_in_the_order_of_the_file() -> None:
    policy = load(
        features_x_yaml="grants:\n  - {deny: [admin, user], to: [edit, view], resource: quiz, because: x}\n"
    ).or_raise()
    made = [(grant.effect, grant.grantee, grant.action, grant.because) for grant in policy.grants[1:]]
    assert made == [("deny", role, action, "x") for role in ("admin", "user") for action in ("edit", "view")]


def test_named_conditions_keep_their_text_and_are_resolved_in_their_tree() -> None:
    policy = load(conditions_yaml="both: a and b\na: resource.x\nb: not a\nowner_is_self: a\nis_published: b\n").or_raise()
    assert policy.conditions["both"].text == "a and b"
    assert str(policy.conditions["both"].tree) == "resource.x and not resource.x"
    assert list(policy.conditions) == ["both", "a", "b", "owner_is_self", "is_published"]


def test_links_in_csv_join_those_of_the_roles_file() -> None:
    policy = load(features_x_csv="g, admin, agent, *\ng, lead, agent, *\n").or_raise()
    assert policy.roles.roles["admin"].contains == ("user", "lead", "agent")
    assert policy.roles.roles["lead"].contains == ("agent",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("features_x_yaml", "grants: " + "[" * 100_000),
        ("features_x_yaml", "a: " + "{a: " * 50_000),
        ("features_x_yaml", "- " * 100_000),
        ("features_x_yaml", "x" * 1_000_000),
        ("features_x_yaml", 'description: "' + "x\n" * 100_000),
        ("features_x_csv", 'p, "lead\n' * 10_000),
        ("features_x_csv", '"' * 200_000),
        ("features_x_csv", "," * 50_000),
        ("features_x_csv", "p, agent, *, quiz, edit, " + "(" * 1_000_000 + ", deny"),
        ("features_x_csv", "p, agent, *, quiz, edit, true, deny\n" * 20_000),
        ("conditions_yaml", "a: " + "(" * 10_000 + "resource.x" + ")" * 10_000),
        ("conditions_yaml", "a: " + "not " * 500_000 + "resource.x"),
        ("conditions_yaml", "a: " + "b" * 1_000_000),
        ("conditions_yaml", "".join(f"c{i}: c{i + 1}\n" for i in range(5_000)) + "c5000: resource.x\n"),
        ("conditions_yaml", "c0: resource.x\n" + "".join(f"c{i}: c{i - 1} and c{i - 1}\n" for i in range(1, 100))),
        ("roles_yaml", "roles:\n" + "".join(f"  r{i}: {{contains: r{i + 1}}}\n" for i in range(5_000))),
        (
            "roles_yaml",
            "levels: {a: {constant: x}}\nroles:\n"
            + "".join(f"  r{i}: {{level: a, contains: r{(i + 1) % 5_000}}}\n" for i in range(5_000)),
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_hostile_sizes_are_answered_not_raised(name: str, text: str) -> None:
    load(**{name: text})


@pytest.mark.parametrize("seed", range(300))
def test_no_grant_is_lost_without_an_error_in_whatever_order_conditions_stand(seed: int) -> None:
    texts = [
        "x == resource.b and {0}",
        "{0} and resorce.x == 1",
        "{0} or {1}",
        "{0} and (",
        "not {0} and resource.a ==",
        "{0} and unknown_name",
        "resource.ok == true",
        "{1} and subject.",
    ]
    random_ = random.Random(seed)
    names = ["a", "b", "c"]
    conditions = [
        f"{name}: '{random_.choice(texts).format(*random_.sample([other for other in names if other != name], 2))}'\n"
        for name in random_.sample(names, 3)
    ]
    files = {
        "roles.yaml": "levels: {site: {constant: main}}\nroles: {reader: {level: site}}\n",
        "conditions.yaml": "".join(conditions),
        "features/pages.yaml": "resource_types: {page: {actions: [read]}}\n"
        "grants: [{allow: reader, to: read, resource: page}, {deny: anyone, to: read, resource: page, when: a}]\n",
    }
    result = load_policy(SourceFile(name, name, text.encode()) for name, text in files.items())
    if result.policy is None:
        assert any(problem.severity == "error" for problem in result.problems)
        assert not any("write it again" in problem.hint for problem in result.problems), (
            "a fault was told only by the last guard"
        )
    else:
        assert (len(result.policy.grants), len(result.policy.conditions)) == (2, 3)
