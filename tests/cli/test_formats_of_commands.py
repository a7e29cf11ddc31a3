"""Each format that a command offers is written: on the same input no two formats print the same."""

import csv
import io
import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
from click.testing import CliRunner
from command_line import ROOT, Klausel, run
from decision_logs import recorded_lines
from doc_blocks import PAGES
from git_in_tests import Repository
from jsonschema import Draft202012Validator
from policy_sets import Asked

from klausel.cli.file_schemas import FILES
from klausel.cli.formats import FormatOption, format_option
from klausel.cli.main import main
from klausel.cli.output_schemas import OUTPUTS
from klausel.core.terms.request import Action, Request, Resource, Subject
from klausel.service.pipeline import open_policy
from klausel.storage.decision_log.sinks import open_sink

INPUTS = {
    "check": "check",
    "compile": "compile",
    "test": "test --coverage",
    "mutate": "mutate --processes 1",
    "prove": "prove",
    "diff": "diff HEAD~1 HEAD",
    "explain": "explain user:leo edit quiz --in acme/support",
    "who-can": "who-can edit quiz --in acme/support",
    "what-can": "what-can user:leo --in acme/support",
    "matrix": "matrix --by person --in acme",
    "picture": "picture",
    "log": "log --check",
    "blame": "blame quiz edit",
    "review changes": "review --since HEAD~1",
    "findings": "findings",
    "decisions find": "decisions find decisions.jsonl",
    "decisions verify": "decisions verify decisions.jsonl",
    "replay": "replay decisions.jsonl",
    "unused": "unused decisions.jsonl",
    "audit show": "audit show",
    "audit verify": "audit verify",
    "keys list": "keys list",
    "config show": "config show",
}


SECTIONS = [part for page in PAGES for part in re.split(r"(?m)^#+ ", page.read_text(encoding="utf-8"))]
MARKUP = "zoe|<b>x</b>[y](https://z)"
"""What no format may take for markup."""
FORMULA = "=HYPERLINK(1)"
"""What no spreadsheet may take for a formula."""


def is_json(text: str) -> bool:
    """Whether it is one JSON value, or one a line."""
    try:
        json.loads(text)
    except ValueError:
        return all(line.startswith("{") and json.loads(line) is not None for line in text.splitlines())
    return True


def is_table(text: str) -> bool:
    """Whether each row of CSV has the columns of the first, which names them."""
    names, *rows = csv.reader(io.StringIO(text))
    return len(names) > 1 and all(names) and all(len(row) == len(names) for row in rows)


def is_markdown(text: str) -> bool:
    """Whether every row of a table has the columns of its head, and no word from elsewhere is markup."""
    lines = text.splitlines()
    columns = [len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0 for line in lines]
    is_whole = all(here == above for above, here in itertools.pairwise(columns) if here and above)
    return is_whole and any("|" in line for line in lines) and not re.search(r"(?<!\\)<b>|(?<!\\)\]\(https", text)


class _Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.is_whole = True
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.is_whole &= tag != "b"
        if tag not in {"meta", "input", "br", "wbr", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.is_whole &= bool(self.open) and self.open.pop() == tag


def is_html(text: str) -> bool:
    """Whether it is one page, each element is closed, and no word from elsewhere is markup."""
    read = _Elements(text)
    return text.startswith("<!doctype html>") and read.is_whole and not read.open


def is_xml(text: str) -> bool:
    """Whether it is XML."""
    ElementTree.fromstring(text)
    return True


def is_mermaid(text: str) -> bool:
    """Whether it is a drawing by Mermaid."""
    return text.startswith("flowchart ")


def is_annotations(text: str) -> bool:
    """Whether each line is a command to the runner of GitHub."""
    return all(re.match(r"::(error|warning|notice) ", line) for line in text.splitlines())


READERS: dict[str, Callable[[str], bool]] = {
    "json": is_json,
    "csv": is_table,
    "markdown": is_markdown,
    "html": is_html,
    "junit": is_xml,
    "svg": is_xml,
    "mermaid": is_mermaid,
    "github": is_annotations,
}
"""Whether what is not for people alone can be read by what it is for."""
FOR_PEOPLE = {"text", "table"}
FOR_CASBIN = ("compile", "csv")
"""What its file adapter reads, without names of columns."""
OF_FILES = {"entities import", "entities export"}
"""Their `--format` is the kind of a file, by its name unless said; what they read and write is one thing for both."""


def formats() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every command that offers formats, with those."""

    def inside(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
        for name in group.list_commands(click.Context(group)):
            command = group.get_command(click.Context(group), name)
            if isinstance(command, click.Group):
                yield from inside(command, (*path, name))
            elif command is not None:
                for parameter in command.params:
                    if "--format" in parameter.opts and " ".join((*path, name)) not in OF_FILES:
                        assert isinstance(parameter.type, click.Choice)
                        assert isinstance(parameter, FormatOption), f"{name}: make --format by format_option(WRITERS)"
                        yield " ".join((*path, name)), tuple(map(str, parameter.type.choices))

    yield from inside(main, ())


FORMATS = dict(formats())


def test_a_format_that_no_writer_writes_cannot_be_offered() -> None:
    @click.command()
    @format_option({"text": click.echo, "json": json.dumps})
    def shown(write: Callable[[str], None]) -> None:
        write("hello")

    (option,) = [one for one in shown.params if isinstance(one, FormatOption)]
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == tuple(option.writers)
    assert CliRunner().invoke(shown).output == "hello\n"
    refused = CliRunner().invoke(shown, ["--format", "yaml"])
    assert refused.exit_code == 2
    assert "'yaml' is not one of 'text', 'json'" in refused.output


def test_a_format_whose_writer_is_missing_ends_the_import_with_its_name() -> None:
    with pytest.raises(TypeError, match="--format csv has no writer"):
        format_option({"text": click.echo, "csv": None})(lambda write: None)  # type: ignore[dict-item]


def test_every_command_with_formats_has_an_input_here() -> None:
    lacking = sorted(set(FORMATS) ^ set(INPUTS))
    assert not lacking, f"INPUTS has an input for each command with formats, and for no other: see {lacking[0]}"


def test_every_format_has_a_reader_here() -> None:
    unread = sorted({one for choices in FORMATS.values() for one in choices} - FOR_PEOPLE - set(READERS))
    assert not unread, f"say in READERS when --format {unread[0]} can be read by what it is for"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_in_the_documentation_of_its_command(name: str) -> None:
    about = [
        near
        for section in SECTIONS
        for parts in [section.split("\n\n")]
        for number, part in enumerate(parts)
        if re.search(rf"klausel {name}\b", part)
        for near in parts[number : number + 4]
    ]
    # Of JSON each command has a row of its own, which another test asks for.
    untold = [
        one
        for one in FORMATS[name][1:]
        if one != "json" and not any(re.search(rf"`{one}`|--format [\w`, ]*\b{one}\b", text) for text in about)
    ]
    assert not untold, f"say in docs, where {name} is described, what --format {untold[0]} is for"


@pytest.fixture(scope="module")
def worked_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy repository with two commits and a problem, people, an API key and a recorded decision."""
    folder = tmp_path_factory.mktemp("formats")
    repository = Repository(folder)
    shutil.copytree(ROOT / "policies", folder / "policies")
    shutil.copy(ROOT / "model.conf", folder)
    repository.commit({}, "The policies")
    more = f"grants:\n  - allow: reviewer\n    to: edit\n    resource: quiz\n    in: hooli\n    because: '{MARKUP}'\n"
    repository.commit({"policies/features/hooli.yaml": more}, f"{FORMULA}: reviewers edit in hooli", author=FORMULA)
    repository.write(
        {"policies/conditions.yaml": (folder / "policies/conditions.yaml").read_text() + "odd: resource.x == 1\n"}
    )
    names = ("--policies", folder / "policies", "--database", f"sqlite:///{folder}/klausel.db")
    people = (folder / "policies/demo/assignments.csv").read_text() + f"user:{MARKUP},admin,acme\n"
    people += f"{FORMULA}:1,admin,acme\n{FORMULA}:1,admin,{FORMULA}\n@sum:1,agent,acme/support\n@sum:1,user,acme\n"
    (folder / "people.csv").write_text(people)
    assert run("assignments", "import", folder / "people.csv", *names).exit_code == 0
    assert run("keys", "new", "shop", "--scope", "check", *names[2:]).exit_code == 0
    loaded = open_policy(ROOT / "policies", ROOT / "model.conf")
    asked = Asked(loaded.compiled.policy, {"user:leo": [("user", "acme"), ("lead", "acme/support")]})
    properties = {"account": "acme", "workspace": "support", "status": "published"}
    request = Request(Subject("user", "leo", {}), Action("edit", {}), Resource("quiz", "q1", properties), {})
    (folder / "decisions.jsonl").write_bytes(b"".join(recorded_lines(asked, [request])))
    return folder


CSV_FILES = {
    "assignments export": ["assignments", "export"],
    "audit state": ["audit", "state", "--at", "2099-01-01"],
    "review sheet": ["review", "sheet", "sheet.csv"],
    "entities export": ["entities", "export", "--format", "csv"],
}
"""Further commands that write CSV. What `compile` writes Casbin reads, and would take an apostrophe for a part of a name."""
WRITERS_OF_CSV = {
    *("core/analysis/table.py", "cli/assignment_file.py", "cli/entity_file.py", "cli/review_files.py", "cli/import_.py"),
}


@pytest.mark.parametrize(
    "name", sorted({*CSV_FILES, *(name for name, all_ in FORMATS.items() if "csv" in all_)} - {"compile"})
)
def test_no_cell_of_csv_is_a_formula_and_its_first_line_names_the_columns(
    name: str, klausel: Klausel, worked_on: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(worked_on)
    done = klausel(*(CSV_FILES.get(name) or [*INPUTS[name].split(), "--format", "csv"]))
    assert done.exit_code == 0, done.output
    text = Path("sheet.csv").read_text(encoding="utf-8-sig") if name == "review sheet" else done.stdout
    assert is_table(text)
    assert not [cell for row in csv.reader(io.StringIO(text)) for cell in row if cell.startswith(tuple("=+-@\t\r"))]
    is_kept_out = f"'{FORMULA}" in text or name in ("unused", "review changes", "entities export")
    assert is_kept_out, f"{FORMULA} did not come into a cell of {name}: write rows by csv_line, or say here why none has it"


def test_whoever_writes_csv_is_known_here() -> None:
    server = ROOT / "server" / "klausel"
    found = {
        file.relative_to(server).as_posix() for file in server.rglob("*.py") if "csv.writer(" in file.read_text("utf-8")
    }
    assert found == WRITERS_OF_CSV, "write rows by csv_line or RowWriter: no cell of theirs is taken for a formula"


@pytest.mark.parametrize("name", INPUTS)
def test_no_two_formats_of_a_command_print_the_same(
    name: str, klausel: Klausel, worked_on: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(worked_on)
    printed = {format_: klausel(*INPUTS[name].split(), "--format", format_).stdout for format_ in FORMATS[name]}
    assert all(text.strip() for text in printed.values()), printed
    by_text: dict[str, list[str]] = {}
    for format_, text in printed.items():
        by_text.setdefault(text, []).append(format_)
    same = next((several for several in by_text.values() if len(several) > 1), None)
    assert same is None, f"{name} prints the same with --format {' and '.join(same or ())}: give each a writer of its own"
    unread = [
        one for one, text in printed.items() if (name, one) != FOR_CASBIN and one in READERS and not READERS[one](text)
    ]
    assert not unread, f"{name} --format {unread[0]} is not what it is called: {READERS[unread[0]].__doc__}"


def test_every_command_with_json_has_a_schema_that_is_printed_and_described(klausel: Klausel) -> None:
    lacking = sorted(set(OUTPUTS) ^ {name for name, choices in FORMATS.items() if "json" in choices})
    assert not lacking, f"describe in OUTPUTS of cli/output_schemas.py what {lacking[0]} --format json prints; nothing else"
    manual = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    for name in OUTPUTS:
        schema = json.loads(klausel("schema", "--output", name).stdout)
        Draft202012Validator.check_schema(schema)
        assert f"| `{name}` |" in manual, f"give {name} a row under JSON for programs in docs/audit.md"
    refused = run("schema", "--output", "serve")
    assert refused.exit_code == 2
    assert 'no command "serve" has --format json' in refused.output
    for name in FILES:
        Draft202012Validator.check_schema(json.loads(klausel("schema", "--output", name).stdout))
        assert f"| `{name}` |" in manual


FILES_WRITTEN = {
    "matrix --facts": (["matrix", "--format", "csv", "--facts", "facts.json"], "facts.json"),
    "review sheet": (["review", "sheet", "review.csv"], "review.csv.facts.json"),
    "review apply": (["review", "apply", "review.csv", "--key", "audit.key"], "review.csv.evidence.jsonl"),
    "audit checkpoint": (["audit", "checkpoint", "signed.jsonl", "--key", "audit.key"], "signed.jsonl"),
    "decisions checkpoint": (
        ["decisions", "checkpoint", "decisions.signed", "chained.jsonl", "--key", "audit.key"],
        "decisions.signed",
    ),
}


def test_files_of_json_are_as_their_schemas_say_and_have_a_version(
    klausel: Klausel, worked_on: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(worked_on)
    assert {*FILES_WRITTEN, "serve --decision-log"} == set(FILES)
    assert klausel("audit", "key", "audit.key").exit_code == 0
    sink = open_sink("chained.jsonl", "", 1_000_000, 0)
    sink.write((worked_on / "decisions.jsonl").read_bytes().splitlines(keepends=True))
    sink.close()
    for name, (command, written) in FILES_WRITTEN.items():
        done = klausel(*command)
        assert done.exit_code == 0, done.output
        text = Path(written).read_text(encoding="utf-8")
        schema = json.loads(klausel("schema", "--output", name).stdout)
        values = list(map(json.loads, text.splitlines())) if FILES[name].kind == "lines" else [json.loads(text)]
        for value in values:
            Draft202012Validator(schema).validate(value)
            assert schema.get("additionalProperties") or not set(value) - set(schema["properties"])
        assert values[0].get("version") == 1 or values[0]["format"].endswith(" 1")


@pytest.mark.parametrize("name", [name for name, choices in FORMATS.items() if "json" in choices])
def test_json_is_as_its_schema_says_and_names_every_member(
    name: str, klausel: Klausel, worked_on: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(worked_on)
    schema = json.loads(klausel("schema", "--output", name).stdout)
    printed = klausel(*INPUTS[name].split(), "--format", "json").stdout
    values = list(map(json.loads, printed.splitlines())) if OUTPUTS[name].kind == "lines" else [json.loads(printed)]
    assert values
    for value in values:
        Draft202012Validator(schema).validate(value)
        objects, form = (value, schema["items"]) if OUTPUTS[name].kind == "list" else ([value], schema)
        for each in objects:
            assert each["version"] == 1
            assert name == "config show" or not set(each) - set(form["properties"])
