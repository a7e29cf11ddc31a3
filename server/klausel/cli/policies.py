"""Commands for policy editors: `check` and `compile`."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import click

from klausel.casbin_policies.rows import Row, grant_rows, inheritance_rows
from klausel.cli.options import EXIT_PROBLEMS, fail, load_or_exit, model_option, read_policies
from klausel.cli.policy_folder import policies_option
from klausel.core.lint.registry import RULES, page
from klausel.core.terms.problem import PolicyError, Problem
from klausel.service.pipeline import check_files, load_files, problems_of_orphans
from klausel.storage.git.objects import GitError
from klausel.storage.policy_files.folder import PolicyFiles


def _print_page(ctx: click.Context, _: click.Parameter, rule: str | None) -> None:
    if rule is not None:
        click.echo(page(rule))
        ctx.exit()


@click.command()
@policies_option
@model_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="github: annotations on the lines of a pull request.",
)
@click.option("--database", metavar="URL", help="Look in this database too for role assignments that the set would orphan.")
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option(
    "--explain",
    type=click.Choice(list(RULES)),
    is_eager=True,
    expose_value=False,
    callback=_print_page,
    help="Print the manual page of a warning, and nothing else.",
)
def check(policies: Path, model: Path | None, format_: str, database: str | None, strict: bool) -> None:
    """Check the policy set in DIR and print every problem with its place.

    Errors refuse the set. Warnings are what may stand but is most often a mistake. Without DIR it is KLAUSEL_POLICIES, or the
    folder policies, here or in a folder above; REPO@REF:DIR is a folder at a git ref. Exits with 1 when there is an error;
    warnings alone exit with 0, or with 1 under --strict.

    \b
    Examples:
      klausel check
      klausel check policies --strict --format github
      klausel check ../policies.git@main:policies
      klausel check --database postgresql://localhost/klausel
      klausel check --explain covered-grant
    """
    problems = _problems_in(policies, model, database)
    errors = sum(problem.severity == "error" for problem in problems)
    if format_ == "json":
        click.echo(json.dumps({"problems": [_as_json(problem) for problem in problems]}, indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(_annotation(problem) if format_ == "github" else str(problem))
        warnings = len(problems) - errors
        click.echo(f"{policies}: {_count(errors, 'error')}, {_count(warnings, 'warning')}", err=True)
    raise SystemExit(EXIT_PROBLEMS if errors or (strict and problems) else 0)


def _problems_in(folder: Path, model: Path | None, database: str | None) -> tuple[Problem, ...]:
    try:
        found = read_policies(folder, model)
        problems = check_files(found)
        if database is None or any(problem.severity == "error" for problem in problems):
            return problems
        return tuple(sorted([*problems, *_orphans(found, database)]))
    except GitError as error:
        fail(str(error))
    except PolicyError as error:
        return error.problems


def _orphans(found: PolicyFiles, database: str) -> tuple[Problem, ...]:
    # Only here: most checks need no database, and loading what speaks to one takes longer than they do.
    from klausel.cli.database_options import explains_storage_errors, open_existing_database
    from klausel.storage.assignments.store import AssignmentStore
    from klausel.storage.assignments.stored_roles import stored_roles

    @explains_storage_errors
    def look() -> tuple[Problem, ...]:
        with closing(AssignmentStore(open_existing_database(database))) as store:
            return problems_of_orphans(found, load_files(found), stored_roles(store.engine))

    return look()


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _as_json(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.place.file,
        "line": problem.place.line,
        "column": problem.place.column,
        "severity": problem.severity,
        "id": problem.id,
        "message": problem.message,
        "hint": problem.hint,
    }


def _annotation(problem: Problem) -> str:
    def escaped(text: str) -> str:
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    place = problem.place
    file = escaped(place.file).replace(":", "%3A").replace(",", "%2C")
    text = problem.message + (f"; {problem.hint}" if problem.hint else "")
    return f"::{problem.severity} file={file},line={place.line},col={place.column},title={problem.id}::{escaped(text)}"


def _casbin_line(row: Row) -> str:
    """A row as Casbin's file adapter reads it, which knows no quotes, but keeps commas inside brackets together."""
    domain = row.fields[1]
    if row.kind == "p" and (domain != domain.strip() or any(sign in domain for sign in ",()[]")):
        fail(f'{row.place}: Casbin cannot read the domain "{domain}" from a file; use --format json')
    return ", ".join((row.kind, *row.fields))


@click.command("compile")
@policies_option
@model_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "csv", "json"]),
    default="text",
    show_default=True,
    help="csv: the rows alone, as the file adapter of Casbin reads them.",
)
def compile_(policies: Path, model: Path | None, format_: str) -> None:
    """Print the Casbin rows that the policy files mean, each with the place it comes from.

    \b
    Examples:
      klausel compile
      klausel compile --format csv > policy.csv
    """
    policy = load_or_exit(policies, model).compiled.policy
    rows = [*grant_rows(policy), *inheritance_rows(policy)]
    if format_ == "json":
        listed = [{"type": row.kind, "fields": row.fields, "source": str(row.place)} for row in rows]
        click.echo(json.dumps({"rows": listed}, indent=2, ensure_ascii=False))
        return
    if format_ == "csv":
        for line in [_casbin_line(row) for row in rows]:
            click.echo(line)
        return
    for row in rows:
        click.echo(f"{row.place}: {', '.join((row.kind, *row.fields))}")
