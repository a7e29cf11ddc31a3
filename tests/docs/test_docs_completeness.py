"""Nothing that people can use is missing from the documentation, and nothing in it leads nowhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import problem_pages
import pytest
import settings_table
from doc_blocks import PAGES, ROOT
from flask import Flask

from klausel.app import create_flask_app, create_service
from klausel.cli.main import main
from klausel.core.analysis.findings import KINDS, ORPHANED
from klausel.core.lint.registry import PAGES as PAGES_OF_PROBLEMS
from klausel.core.lint.registry import WARNINGS
from klausel.settings import SETTINGS, Settings

PROJECT_PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "server" / "klausel" / "enforcer" / "README.md"]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
POLICIES = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
ROWS_OF_PROBLEMS = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", POLICIES.partition("## Problems")[2], re.MULTILINE))

_ID = re.compile(r"[a-z]+\d*(-[a-z0-9]+)+|contradiction")
# The last never reaches people: it stands for a problem that is told elsewhere.
_NO_IDS = {"utf-8", "condition-faulty"}
_PLACES_OF_IDS = (
    "core/**/*.py",
    "casbin_policies/model_shape.py",
    "casbin_policies/engine.py",
    "storage/policy_files/folder.py",
    "storage/file_rules.py",
)
# No comment can switch these off.
_OTHER_WARNINGS = {"switch-off", "demo-people"}
_RULES = {"keep-one", "requires-role-above", "separate-roles"}
# Orphaned assignments are a problem of a policy set too, which the service refuses then.
_ONLY_FINDINGS = set(KINDS) - {ORPHANED}


def commands(group: click.Group = main, path: str = "klausel") -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_a_command_is_documented_with_its_options_and_its_help_has_an_example(name: str, command: click.Command) -> None:
    assert name.removeprefix("klausel ") in TEXT
    assert re.search(rf"Examples?:\n +{name}", str(command.help)), f"no example in {name} --help"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert f"`{parameter.opts[0]}" in TEXT or f" {parameter.opts[0]}" in TEXT, f"{name} {parameter.opts[0]}"


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_every_option_says_what_it_does_in_the_help(name: str, command: click.Command) -> None:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]}"


def test_the_readme_has_every_command_in_its_table() -> None:
    rows = re.findall(
        r"^\| (?:policy editors|auditors|operators) \| (.*) \|$",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    told = set(re.findall(r"`([a-z-]+)", " ".join(rows)))
    assert told == set(main.list_commands(click.Context(main)))


def test_every_setting_of_the_service_has_a_row_for_operators_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(--[\w-]+).*?\|.*?\| (.*?) \|", OPERATIONS, re.MULTILINE))
    (serve,) = (command for name, command in commands() if name == "klausel serve")
    options = {parameter.opts[0]: parameter for parameter in serve.params if isinstance(parameter, click.Option)}
    assert set(rows) == set(options)
    for name, option in options.items():
        if isinstance(option.default, (str, int, Path)) and not option.is_flag:
            assert rows[name] == f"`{option.default}`"


def test_the_table_of_settings_is_up_to_date() -> None:
    assert settings_table.written() == settings_table.table(), "python tests/helpers/settings_table.py writes it"


def test_every_environment_variable_is_documented() -> None:
    files = [*(ROOT / "server").rglob("*.py"), *(ROOT / ".ci").iterdir()]
    files += [ROOT / "scripts" / name for name in ("serve", "test", "lint", "environment.sh")]
    used = {name for file in files for name in re.findall(r"\bKLAUSEL_[A-Z_]+\b", file.read_text(encoding="utf-8"))}
    used.add("KLAUSEL_TEST_POSTGRES")
    used |= {name for one in SETTINGS.values() for name in (one.variable, one.variable_of_file) if name}
    of_workflows = set(re.findall(r"vars\.(\w+)", (ROOT / "docs" / "pull-request.yml").read_text(encoding="utf-8")))
    assert {name for name in used if f"`{name}" not in OPERATIONS} == set()
    named = set(re.findall(r"\bKLAUSEL_[A-Z_]+\b", TEXT))
    assert named - used - of_workflows - {"KLAUSEL_TEST_POSTGRES", "KLAUSEL_REQUIRE_POSTGRES"} == set()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    database = f"sqlite:///{tmp_path_factory.mktemp('routes')}/klausel.db"
    settings = Settings(policies=str(ROOT / "policies"), model=str(ROOT / "model.conf"), database=database)
    service = create_service(settings)
    yield create_flask_app(service)
    service.store.close()


def test_every_route_is_documented_with_its_method(app: Flask) -> None:
    text = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        path = rule.rule.partition("<")[0].rstrip("/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert f"{method} {path}" in text, f"{method} {rule.rule} is not in docs/http.md"


def ids_of_problems() -> set[str]:
    files = [file for pattern in _PLACES_OF_IDS for file in (ROOT / "server" / "klausel").glob(pattern)]
    texts = {
        node.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if _ID.fullmatch(text)} - _NO_IDS - _RULES - _ONLY_FINDINGS


def test_every_id_of_a_problem_has_a_row_and_every_row_an_id() -> None:
    odd = sorted(ROWS_OF_PROBLEMS.keys() ^ ids_of_problems())
    assert not odd, f"docs/policies.md has a row for each id, and for no other: see {', '.join(odd)}"


def test_the_rows_of_problems_say_which_are_warnings() -> None:
    warned = {*WARNINGS, *_OTHER_WARNINGS}
    silent = [id_ for id_, text in ROWS_OF_PROBLEMS.items() if id_ in warned and "a warning" not in text]
    assert not silent, f'{silent[0]} refuses nothing: begin its row in docs/policies.md with "a warning: "'
    wrong = [id_ for id_, text in ROWS_OF_PROBLEMS.items() if id_ not in warned and "a warning" in text]
    assert not wrong, f'{wrong[0]} refuses the policies, but its row in docs/policies.md says "a warning"'


def test_every_id_of_a_problem_has_a_manual_page_and_every_page_an_id() -> None:
    odd = ", ".join(sorted(set(PAGES_OF_PROBLEMS) ^ ids_of_problems()))
    assert not odd, (
        f"core/loading/problem_pages.py, or the module of the rule, has a page for each id, and no other: see {odd}"
    )


def test_the_page_of_all_problems_is_up_to_date() -> None:
    written = problem_pages.TARGET.read_text(encoding="utf-8")
    assert written == problem_pages.text(), "python tests/helpers/problem_pages.py writes it"


def test_the_rows_of_problems_are_sorted() -> None:
    rows = list(ROWS_OF_PROBLEMS)
    astray = next((one for one, other in zip(rows, sorted(rows), strict=True) if one != other), None)
    assert astray is None, f"the row of {astray} in docs/policies.md stands in the wrong place: rows are sorted by id"


@pytest.mark.parametrize("rule", sorted(_RULES))
def test_every_rule_on_role_assignments_is_documented(rule: str) -> None:
    assert f"`{rule}`" in TEXT


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_finding_has_a_row_for_auditors(kind: str) -> None:
    table = (
        (ROOT / "docs" / "audit.md")
        .read_text(encoding="utf-8")
        .partition("| kind | what was found |")[2]
        .partition("\n\n")[0]
    )
    assert f"`{kind}`" in table


@pytest.mark.parametrize("page", [*PAGES, *PROJECT_PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, target
