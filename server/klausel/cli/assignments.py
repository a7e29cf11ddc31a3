"""Commands for role assignments as CSV: `assignments import` and `assignments export`."""

from __future__ import annotations

import csv
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TextIO

import click
from tqdm import tqdm

from klausel.cli.options import (
    EXIT_PROBLEMS,
    database_option,
    explains_storage_errors,
    fail,
    load_or_exit,
    model_option,
    open_existing_database,
    policies_option,
)
from klausel.core.assignment import Assignment
from klausel.core.roles import RoleModel
from klausel.storage.assignment_store import AssignmentStore, ForbiddenState, ImportResult, InvalidAssignments
from klausel.storage.database import open_database

HEADER = ["subject", "role", "domain"]
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
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@policies_option
@model_option
@database_option
@explains_storage_errors
def import_(file: Path, policies: Path, model: Path | None, database: str) -> None:
    """Add the role assignments in FILE to the database: all of them, or none when a row or a rule is broken.

    Rows that are there already stay as they are.

    \b
    Example:
      klausel assignments import people.csv --database postgresql://localhost/klausel
    """
    roles = load_or_exit(policies, model).compiled.policy.roles
    result = import_file(AssignmentStore(open_database(database)), roles, file)
    click.echo(f"{result.added} added, {result.already_there} there already; revision {result.revision}")


def import_file(store: AssignmentStore, roles: RoleModel, file: Path) -> ImportResult:
    """Adds the rows of a CSV file; prints every fault with its line and exits with 1 when there is one."""
    lines = array("L")
    try:
        with file.open("rb") as raw:
            total = sum(chunk.count(b"\n") for chunk in iter(lambda: raw.read(1 << 20), b""))
        bar = tqdm(total=total, unit=" rows", unit_scale=True, disable=None, desc=file.name, leave=False)
        with file.open(encoding="utf-8", newline="") as text, bar:
            return store.import_rows(roles, _rows(text, file, lines), lambda rows: None if bar.update(rows) else None)
    except UnicodeDecodeError:
        fail(f"{file}: the file is not UTF-8; save it as UTF-8")
    except InvalidAssignments as error:
        for fault in error.faults[:MOST_SHOWN]:
            click.echo(f"{file}:{lines[fault.index]}: error: {fault.message}", err=True)
        _fail_unchanged(file, len(error.faults))
    except ForbiddenState as error:
        for violation in error.violations[:MOST_SHOWN]:
            click.echo(f"{file}: error: {violation.message} ({violation.rule})", err=True)
        _fail_unchanged(file, len(error.violations))


def _fail_unchanged(file: Path, faults: int) -> NoReturn:
    more = f" ({faults - MOST_SHOWN} more not shown)" if faults > MOST_SHOWN else ""
    click.echo(f"{file}: nothing was imported{more}", err=True)
    raise SystemExit(EXIT_PROBLEMS)


def _rows(text: TextIO, file: Path, lines: array[int]) -> Iterator[Assignment]:
    reader = csv.reader(text, strict=True)
    try:
        header = next(reader, None)
        if header != HEADER:
            found = ",".join(header or [])
            fail(f'{file}:1: the header is "{found}"; the first line must be {",".join(HEADER)}')
        for row in reader:
            if not row:
                continue
            if len(row) != len(HEADER):
                fail(f"{file}:{reader.line_num}: a row has 3 fields, this one has {len(row)}; nothing was imported")
            lines.append(reader.line_num)
            yield Assignment(*row)
    except csv.Error as error:
        fail(f"{file}:{reader.line_num}: this is not CSV: {error}; nothing was imported")


@assignments.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@database_option
@explains_storage_errors
def export(file: Path | None, database: str) -> None:
    """Write all role assignments as CSV to FILE, or to standard output; `import` reads it back unchanged.

    \b
    Example:
      klausel assignments export people.csv
    """
    store = AssignmentStore(open_existing_database(database))
    if file is None:
        _write(store, sys.stdout)
        return
    try:
        with file.open("w", encoding="utf-8", newline="") as text:
            _write(store, text)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")


def _write(store: AssignmentStore, text: TextIO) -> None:
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    shows_progress = text is not sys.stdout
    bar = tqdm(total=store.count(), unit=" rows", unit_scale=True, disable=None if shows_progress else True, leave=False)
    with bar:
        for row in store.export_rows():
            writer.writerow(row)
            bar.update()
