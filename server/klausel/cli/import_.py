"""The command group `import`: policies that were written for something else."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import click

from klausel.casbin_policies.stock_conversion import Converted, convert
from klausel.casbin_policies.stock_set import NotCarriedOver, read_stock_set
from klausel.cli.assignment_file import HEADER
from klausel.cli.command_group import CommandGroup
from klausel.cli.options import EXIT_PROBLEMS, fail
from klausel.cli.output import say, say_lines
from klausel.core.policy.assignment import Assignment
from klausel.core.terms.escaping import cell_of
from klausel.storage.file_rules import DEFAULT_MODEL

_PEOPLE = "demo/assignments.csv"
_ROLE_NAMES = "demo/role_names.csv"


@click.group("import", cls=CommandGroup)
def import_() -> None:
    """Make a policy folder of policies that were written for something else.

    \b
    Example:
      klausel import casbin model.conf policy.csv --to policies
    """


@import_.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("policy", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--to",
    "folder",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The policy folder to write; it must be new or empty.",
)
def casbin(model: Path, policy: Path, folder: Path) -> None:
    """Turn a stock Casbin model and its CSV policy, role-based with or without domains, into a policy folder.

    What cannot be carried over is named with its line, and nothing is written then. Otherwise stock Casbin and the new folder
    were asked every question that the names in the policy make, and one with an unknown name of each kind, and answered alike.
    People's roles are written as CSV for `klausel assignments import`.

    \b
    Example:
      klausel import casbin model.conf policy.csv --to policies
    """
    if folder.is_dir() and any(folder.iterdir()):
        fail(f"nothing was written, because {folder} is not empty; name another folder")
    try:
        model_text, policy_text = (path.read_bytes().decode() for path in (model, policy))
    except UnicodeDecodeError:
        fail(f"{model} or {policy} is not UTF-8; save it as UTF-8")
    except OSError as error:
        fail(f"cannot read {error.filename}: {error.strerror}")
    try:
        stock = read_stock_set(model_text, policy_text, str(model), str(policy))
        converted = convert(stock, DEFAULT_MODEL.read_text(encoding="utf-8"))
    except NotCarriedOver as error:
        say_lines(error.faults, err=True)
        say("nothing was written", err=True)
        raise SystemExit(EXIT_PROBLEMS) from None
    _write(folder, converted)
    say_lines((f'the role "{name}" is called {new} here' for name, new in converted.renamed.items()), err=True)
    if converted.of_role_names:
        say(
            f"{folder / _ROLE_NAMES}: only for applications that ask with such a name, which others have, as the subject",
            err=True,
        )
    say(f"stock Casbin and {folder} decide all {converted.questions:,} questions alike")
    say(f"Next: klausel check {folder} && klausel assignments import --policies {folder} {folder / _PEOPLE}", err=True)


def _write(folder: Path, converted: Converted) -> None:
    contents = {file.name: file.content for file in converted.files}
    contents[_PEOPLE] = _rows(converted.assignments)
    if converted.of_role_names:
        contents[_ROLE_NAMES] = _rows(converted.of_role_names)
    try:
        for name, content in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            say(str(path))
    except OSError as error:
        fail(f"cannot write {error.filename}: {error.strerror}")


def _rows(assignments: Iterable[Assignment]) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([cell_of(field) for field in assignment.key] for assignment in assignments)
    return file.getvalue().encode()
