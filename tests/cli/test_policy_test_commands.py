"""`klausel test` and `klausel mutate`, in a folder with the shipped policies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from small_policies import ROOT

from klausel.cli.main import main

QUIZZES = "policies/tests/quizzes_test.yaml"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KLAUSEL_POLICIES", "KLAUSEL_MODEL"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    shutil.copy(ROOT / "model.conf", tmp_path)
    monkeypatch.chdir(tmp_path)


def klausel(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def change(file: str, old: str, new: str) -> None:
    path = Path(file)
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def only(feature: str, grants: str = "") -> None:
    """Leaves the tests of one feature, and puts one more file of grants beside the features."""
    for path in Path("policies/tests").iterdir():
        if path.name != f"{feature}_test.yaml":
            path.unlink()
    if grants:
        Path("policies/features/more.yaml").write_text(f"grants:\n{grants}", encoding="utf-8")


def test_the_shipped_tests_pass_and_touch_everything() -> None:
    result = klausel("test", "--coverage", "--fail-under", "100")
    assert result.exit_code == 0
    assert result.stdout.startswith("coverage 100.0 %: 74 of 74 grants")
    assert "53 of 53 tests passed" in result.stderr


def test_a_failure_prints_line_person_action_resource_both_answers_and_the_reason() -> None:
    change(QUIZZES, "      leo: edit\n", "      leo: [edit, delete]\n")
    result = klausel("test", "-k", "what is published")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == f"FAILED  Leads edit what is published in their workspace, account managers everything ({QUIZZES}:54)"
    assert lines[1:5] == [
        f"  {QUIZZES}:61: leo delete published quiz in acme/support",
        "    expected: allowed",
        "    got:      denied",
        "    reason:   denied, because no grant allows it",
    ]
    assert result.stderr == "0 of 1 tests passed, with 50 answers\n"


@pytest.mark.parametrize(("word", "count"), [("QUIZZES", 8), ("draft", 2), ("who leads in at least one", 1)])
def test_k_chooses_by_name_and_by_file_in_any_case(word: str, count: int) -> None:
    assert f"{count} of {count} tests passed" in klausel("test", "-k", word).stderr


def test_k_that_chooses_nothing_is_wrong_usage() -> None:
    result = klausel("test", "-k", "nothing like this")
    assert (result.exit_code, 'no test has "nothing like this"' in result.stderr) == (2, True)


def test_fail_under_without_coverage_is_wrong_usage() -> None:
    assert klausel("test", "--fail-under", "50").exit_code == 2


def test_a_problem_in_a_test_file_is_a_problem_of_check_and_stops_the_tests() -> None:
    change("policies/tests/pins_test.yaml", "paula: {roles: {acme: user}}", "paula: {roles: {acme: usr}}")
    for command in ("check", "test", "mutate"):
        result = klausel(command)
        assert result.exit_code == 1
        assert 'policies/tests/pins_test.yaml:6:25: error: unknown role "usr"' in result.output
    assert klausel("compile").exit_code == 0


def test_without_tests_it_says_where_to_write_the_first() -> None:
    shutil.rmtree("policies/tests")
    result = klausel("test")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "there are no tests" in result.stderr


def test_coverage_below_the_wanted_share_fails_and_names_what_is_missing() -> None:
    Path("policies/tests/pins_test.yaml").unlink()
    result = klausel("test", "--coverage", "--fail-under", "100")
    assert result.exit_code == 1
    assert "policies/features/pins.yaml:9: no test touches this: allow user to create pin\n" in result.stdout
    assert "99.3 % is touched, less than 100 %" in result.stderr
    assert klausel("test", "--coverage", "--fail-under", "99").exit_code == 0


def test_json_has_every_test_failure_and_what_is_missed() -> None:
    only("pins")
    change("policies/tests/pins_test.yaml", "      ann: create\n", "")
    result = klausel("test", "--format", "json", "--coverage")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["passed"], answer["failed"]) == (1, 0, 1)
    failure = answer["tests"][0]["failures"][0]
    assert failure == {
        "file": "policies/tests/pins_test.yaml",
        "line": 15,
        "person": "ann",
        "action": "create",
        "resource": "pin",
        "domain": "acme",
        "expected": "denied",
        "got": "allowed",
        "reason": "allowed by policies/features/pins.yaml:9: allow user to create pin",
    }
    assert answer["coverage"]["kinds"]["grants"] == {"touched": 1, "all": 74}
    missed = [(item["kind"], item["what"], item["file"]) for item in answer["coverage"]["missed"]]
    assert ("roles", "role manager", "policies/roles.yaml") in missed


def test_junit_is_xml_that_build_servers_read() -> None:
    only("pins")
    change("policies/tests/pins_test.yaml", "      ann: create\n", "")
    result = klausel("test", "--format", "junit")
    suite = ElementTree.fromstring(result.stdout.encode()).find("testsuite")
    assert suite is not None
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("policies/tests/pins_test.yaml", "1", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "2 answers are not as expected"
    assert "pins_test.yaml:15: ann create pin in acme" in str(failure.text)


def test_mutate_names_each_change_that_goes_unnoticed_with_the_test_that_is_missing() -> None:
    change("policies/tests/pins_test.yaml", "  grace: {roles: {globex: admin}}  # of another account\n", "")
    result = klausel("mutate", "--processes", "1")
    assert result.exit_code == 1
    assert (
        "SURVIVED    policies/features/pins.yaml:9: allow user to create pin: for anyone instead\n"
        "            add a test: somebody without a role may not create pin in account-1\n"
    ) in result.stdout
    assert "403 mutants: 390 killed, 1 survived, 12 equivalent; mutation score 99.7 %" in result.stderr


def test_mutate_finds_the_same_with_many_processes() -> None:
    one, two = (klausel("mutate", "--format", "json", "--processes", number) for number in "12")
    assert (one.exit_code, one.stdout) == (0, two.stdout)
    answer = json.loads(one.stdout)
    assert (answer["score"], answer["killed"], answer["survived"], answer["equivalent"]) == (100, 391, 0, 12)
    assert all((mutant["noticed_at"] is None) == (mutant["fate"] == "equivalent") for mutant in answer["mutants"])


def test_mutate_waits_for_tests_that_pass() -> None:
    change("policies/tests/pins_test.yaml", "      ann: create\n", "")
    result = klausel("mutate")
    assert (result.exit_code, "1 of 53 policy tests fail already" in result.stderr) == (1, True)
