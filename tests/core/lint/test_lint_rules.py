"""The rules of lint over `tests/cases/lint`: every finding, its place and its words; and comments that switch findings off."""

from __future__ import annotations

from pathlib import Path

import pytest
from problem_cases import LINT_FOLDER, Case, all_cases, as_expected

from klausel.core.lint import rules
from klausel.core.lint.registry import RULES, WARNINGS, page
from klausel.core.lint.rules.switch_off import switch_offs
from klausel.core.lint.similarity import is_misspelt_value, is_similar

CASES = {case.name: case for case in all_cases(LINT_FOLDER)}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_case_gives_exactly_its_warnings(case: Case) -> None:
    assert [as_expected(problem) for problem in case.check()] == list(case.expected), (
        "python tests/helpers/problem_cases.py writes what is found into the cases; read the difference before you keep it"
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_findings_are_warnings_in_their_files_sorted_on_one_line_and_with_a_cure(case: Case) -> None:
    problems = case.check()
    assert problems == sorted(set(problems))
    for problem in problems:
        assert problem.severity == "warning", (
            f"{problem.id} gives an error; make its findings by `warning` of core/lint/survey.py"
        )
        assert problem.hint, f"{problem.id} does not say how to fix it: give its finding a hint"
        assert str(problem).isprintable()
        assert problem.id in WARNINGS | {"switch-off"}, f"name the rule {problem.id} in _MODULES of core/lint/registry.py"
        rows = case.files[problem.place.file.removeprefix("policies/")].decode().split("\n")
        assert rows[problem.place.line - 1][problem.place.column - 1 :].strip()


def unregistered(folder: Path) -> set[str]:
    """The modules of rules that nobody would ask."""
    known = {Path(str(module.__file__)).name for module in RULES.values()}
    return {path.name for path in folder.glob("*.py")} - known - {"__init__.py"}


def test_every_module_of_a_rule_is_in_the_registry(tmp_path: Path) -> None:
    unknown = unregistered(Path(rules.__path__[0]))
    assert not unknown, f"core/lint/registry.py names every rule: see {', '.join(sorted(unknown))}"
    (tmp_path / "half_made.py").write_text('ID = "half-made"\n', encoding="utf-8")
    assert unregistered(tmp_path) == {"half_made.py"}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_case_and_a_page_that_starts_with_its_id_and_says_how_to_switch_it_off(rule: str) -> None:
    expected = {line.split(" ")[1] for case in CASES.values() for line in case.expected}
    assert rule in expected, "add a case in tests/cases/lint"
    assert page(rule).startswith(f"{rule}: ")
    assert "# klausel: off " in page(rule)
    assert Path(str(RULES[rule].__file__)).stem == rule.replace("-", "_")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("lead", "Lead"),
        ("ID", "id"),
        ("leads", "lead"),
        ("owner_is_self", "owner_is_slef"),
        ("resource.owner", "resource.ownr"),
        ("resource.owner", "resource.Owner"),
        ("archive", "archve"),
        ("Straße", "straße"),
        ("reviewer", "reveiwer"),
        ("view_details", "view-details"),
        ("team_lead", "teamlead"),
    ],
)
def test_slips_look_alike(one: str, other: str) -> None:
    assert is_similar(one, other)
    assert is_similar(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pin", "pins"),
        ("pin", "bin"),
        ("view", "edit"),
        ("step_1", "step_2"),
        ("step1", "step12"),
        ("view_a", "view_b"),
        ("resource.pin", "resource.pins"),
        ("lead", "leader"),
        ("send", "end"),
        ("", "a"),
    ],
)
def test_names_that_differ_on_purpose_do_not_look_alike(one: str, other: str) -> None:
    assert not is_similar(one, other)
    assert not is_similar(other, one)


@pytest.mark.parametrize(("one", "other"), [("ady", "day"), ("dayy", "day"), ("dy", "day"), ("opem", "open"), ("EU", "eu")])
def test_short_values_that_differ_by_a_slip_look_alike(one: str, other: str) -> None:
    assert is_misspelt_value(one, other)
    assert is_misspelt_value(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("low", "mow"), ("eu", "us"), ("us", "su"), ("lev1", "lev2"), ("a", "ab"), ("open", "shut")]
)
def test_short_values_that_differ_on_purpose_do_not_look_alike(one: str, other: str) -> None:
    assert not is_misspelt_value(one, other)
    assert not is_misspelt_value(other, one)


@pytest.mark.parametrize(
    "text",
    [
        "a: '# klausel: off x because y'\n",
        'a: "one\n  # klausel: off x because y"\n',
        "a: |\n  # klausel: off x because y\n",
        "a: >-\n\n  text\n\n  # klausel: off x because y\n\n",
        "a: b#klausel: off x because y\n",
        "a: [\n",
        "a: \t# klausel: off x because y\n  - [",
    ],
)
def test_what_stands_in_a_value_or_behind_a_fault_is_no_comment(text: str) -> None:
    assert switch_offs({"x.yaml": text}) == ([], [])


@pytest.mark.parametrize(
    ("text", "line", "about"),
    [
        ("a: b # klausel: off x because y\n", 1, 1),
        ("a: b # klausel: off x because y\r\n", 1, 1),
        ("# klausel: off x because y\n\n# more\n  \na: b\n", 1, 5),
        ("a: |\n  text\n# klausel: off x because y\nb: c\n", 3, 4),
        ("a: [b, # klausel: off x because y\n  c]\n", 1, 1),
        ("a: b\n#klausel:off x,y-z because y\n", 2, 2),
        ("a: b\n# klausel: off x in this file because y\n", 2, None),
    ],
)
def test_a_comment_is_about_its_line_or_the_next_that_says_something(text: str, line: int, about: int | None) -> None:
    (found,), problems = switch_offs({"x.yaml": text})
    assert (found.place.line, found.line, found.ids[0], problems) == (line, about, "x", [])
