"""Commands for role assignments as CSV: `assignments import` and `assignments export`."""

from __future__ import annotations

import csv
import getpass
import io
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn, TextIO

import click
from tqdm import tqdm

from klausel.cli.assignment_file import HEADER, AssignmentFile, BrokenFile
from klausel.cli.database_options import database_option, explains_storage_errors, open_existing_database
from klausel.cli.options import EXIT_PROBLEMS, fail, load_or_exit, model_option, policies_option
from klausel.core.policy.roles import RoleModel
from klausel.core.records.change_record import TEXT_CHARACTERS, Origin
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState, ImportResult, InvalidAssignments
from klausel.storage.schema import open_database

MOST_SHOWN = 20


@click.group()
def assignments() -> None:
    """Role assignments (who has which role where) as CSV with the header subject,role,domain.

    \b
    Examples:
      klausel assignments import people.csv
      klausel assignments export > people.csv
    """


@assignments.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@click.option("--by", help="Who makes the change, for the change log; the user of the operating system stands there too.")
@click.option("--reason", help="Why, for the change log.")
@click.option("--ticket", help="Where that was asked for, for the change log.")
@policies_option
@model_option
@database_option
@explains_storage_errors
def import_(
    file: Path,
    by: str | None,
    reason: str | None,
    ticket: str | None,
    policies: Path,
    model: Path | None,
    database: str,
) -> None:
    """Add the role assignments in FILE (- for standard input) to the database: all, or none when a row or rule is broken.

    Rows that are there already stay as they are.

    \b
    Examples:
      klausel assignments import people.csv --database postgresql://localhost/klausel
      klausel assignments import people.csv --by cara --reason "new team" --ticket HR-12
    """
    try:
        origin = origin_here(by, reason, ticket)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    roles = load_or_exit(policies, model).compiled.policy.roles
    with closing(AssignmentStore(open_database(database))) as store:
        result = import_file(store, roles, file, origin)
    click.echo(f"{result.added} added, {result.already_there} there already; revision {result.revision}")


def origin_here(by: str | None = None, reason: str | None = None, ticket: str | None = None) -> Origin:
    """The origin of a change by a command, with the user of the operating system; raises ValueError as Origin does."""
    try:
        user = getpass.getuser()[:TEXT_CHARACTERS]
    except (OSError, KeyError):
        user = None
    return Origin(by, reason, ticket, "cli", user)


def import_file(store: AssignmentStore, roles: RoleModel, file: Path, origin: Origin) -> ImportResult:
    """Adds the rows of a CSV file; prints every fault with its line and exits with 1 when there is one."""
    rows = AssignmentFile(file)
    try:
        with tqdm(total=rows.lines(), unit=" rows", unit_scale=True, disable=None, desc=rows.name, leave=False) as bar:

            def show(rows_read: int) -> None:
                bar.update(rows_read - bar.n)

            return store.import_rows(roles, rows, show, origin)
    except BrokenFile as error:
        faults = [(error.line, error.message)]
    except InvalidAssignments as error:
        faults = [(rows.line_of[fault.index], rows.faults.get(fault.index, fault.message)) for fault in error.faults]
    except ForbiddenState as error:
        places = rows.find_lines(error.violations)
        faults = [
            (line, f"{violation.message} ({violation.rule})")
            for line, violation in zip(places, error.violations, strict=True)
        ]
    _fail_unchanged(rows.name, sorted(faults))


def _fail_unchanged(name: str, faults: Sequence[tuple[int, str]]) -> NoReturn:
    for line, message in faults[:MOST_SHOWN]:
        where = f"{name}:{line}" if line else name
        click.echo(f"{where}: error: {_printable(message)}", err=True)
    more = f"; these are the first {MOST_SHOWN} faults" if len(faults) > MOST_SHOWN else ""
    click.echo(f"{name}: nothing was imported{more}", err=True)
    raise SystemExit(EXIT_PROBLEMS)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


@assignments.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@database_option
@explains_storage_errors
def export(file: Path | None, database: str) -> None:
    """Write all role assignments as CSV to FILE, or to standard output; `import` reads it back unchanged.

    \b
    Example:
      klausel assignments export people.csv --database postgresql://localhost/klausel
    """
    with closing(AssignmentStore(open_existing_database(database))) as store:
        if file is None or str(file) == "-":
            _write_to_standard_output(store)
            return
        try:
            with file.open("w", encoding="utf-8", newline="") as text:
                _write(store, text, shows_progress=True)
        except OSError as error:
            fail(f"{file} cannot be written: {error.strerror}; name another file, or give the writer access to it")


def _write_to_standard_output(store: AssignmentStore) -> None:
    text = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        _write(store, text, shows_progress=False)
    finally:
        text.detach()


def _write(store: AssignmentStore, text: TextIO, shows_progress: bool) -> None:
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    bar = tqdm(total=store.count(), unit=" rows", unit_scale=True, disable=None if shows_progress else True, leave=False)
    with bar:
        for row in store.export_rows():
            writer.writerow(row)
            bar.update()
