"""Commands for policy editors: `check` and `compile`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from klausel.casbin_policies.rows import Row, grant_rows, inheritance_rows
from klausel.cli.assignment_file import AssignmentFile, BrokenFile
from klausel.cli.completion import complete_problem
from klausel.cli.formats import format_option
from klausel.cli.options import (
    EXIT_PROBLEMS,
    accepted_models,
    at_option,
    fail,
    load_or_exit,
    model_option,
    read_policies,
    say_commit_at,
    with_note_on,
)
from klausel.cli.output import say, say_json, say_lines, say_painted
from klausel.cli.policy_folder import name_of, policies_option
from klausel.cli.problem_lines import Terminal, lines_of
from klausel.core.analysis.other_model import note_on
from klausel.core.lint.registry import PAGES, page
from klausel.core.lint.survey import DomainSeen
from klausel.core.policy.assignment import Assignment
from klausel.core.terms.counted import counted
from klausel.core.terms.problem import MOST_SHOWN, Place, PolicyError, Problem, did_you_mean, first_of, problem_as_json
from klausel.service.pipeline import accepted_model_of, check_files, load_files, problems_of_orphans
from klausel.storage.file_rules import DEMO_FILE
from klausel.storage.git.objects import GitError
from klausel.storage.policy_files.folder import PolicyFiles, folders_of, shown
from klausel.storage.policy_files.git_source import git_address


def _print_page(ctx: click.Context, _: click.Parameter, id_: str | None) -> None:
    if id_ is not None:
        if id_ not in PAGES:
            hint = did_you_mean(id_, PAGES)
            raise click.BadParameter(f'no problem is called "{id_}"; {hint}The id stands in brackets with each problem')
        say_lines(page(id_).splitlines())
        ctx.exit()


@dataclass(frozen=True, slots=True)
class _Checked:
    """What a check found: every problem in a folder, the texts of its files by their names, and the other model it has."""

    folder: Path
    problems: tuple[Problem, ...]
    texts: Mapping[str, str]
    other_model: str | None
    show_all: bool

    @property
    def first(self) -> tuple[Sequence[Problem], str]:
        """The problems to show one by one, and what is said of those left out."""
        return first_of(self.problems, len(self.problems) if self.show_all else MOST_SHOWN)

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def summary(self) -> str:
        warnings = len(self.problems) - self.errors
        return f"{name_of(self.folder)}: {counted(self.errors, 'error')}, {counted(warnings, 'warning')}"


def _write_text(found: _Checked) -> None:
    if found.other_model is not None:
        say(note_on(found.other_model))
    say_painted(lines_of(found.problems, Terminal.of(sys.stdout), found.texts.get, found.show_all))
    say(found.summary, err=True)


def _write_json(found: _Checked) -> None:
    shown, more = found.first
    left_out = {"more": len(found.problems) - len(shown)} if more else {}
    answer: dict[str, object] = {"problems": [problem_as_json(problem) for problem in shown], **left_out}
    say_json(with_note_on(found.other_model, answer), indent=2)


def _write_annotations(found: _Checked) -> None:
    if found.other_model is not None:
        say(f"::warning title=model-matcher::{note_on(found.other_model)}")
    shown, more = found.first
    say_lines(map(_annotation, shown))
    if more:
        say(f"::notice title=more-problems::{more}")
    say(found.summary, err=True)


@click.command()
@policies_option
@model_option
@format_option(
    {"text": _write_text, "json": _write_json, "github": _write_annotations},
    help="github: annotations on the lines of a pull request.",
)
@at_option
@click.option(
    "--database",
    metavar="URL",
    help="Compare with the role assignments of this database, too: with their roles, and with where people are.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option("--all", "show_all", is_flag=True, help="Fold nothing: show also what says the same, or follows from another.")
@click.option(
    "--watch",
    "is_watching",
    is_flag=True,
    help="Go on until Ctrl-C: at each save show problems, tests, invariants, and the difference to the last commit.",
)
@click.option(
    "--explain",
    metavar="ID",
    shell_complete=complete_problem,
    is_eager=True,
    expose_value=False,
    callback=_print_page,
    help="Print the manual page of a problem, by its id, and nothing else.",
)
def check(
    policies: Path,
    model: Path | None,
    write: Callable[[_Checked], None],
    at: str | None,
    database: str | None,
    strict: bool,
    show_all: bool,
    is_watching: bool,
) -> None:
    """Check the policy set in DIR and print every problem with its place.

    Errors refuse the set. Warnings are what may stand but is most often a mistake. Without DIR it is KLAUSEL_POLICIES, or the
    folder policies, here or in a folder above; REPO@REF:DIR is a folder at a git ref. Exits with 1 when there is an error;
    warnings alone exit with 0, or with 1 under --strict.

    \b
    Examples:
      klausel check
      klausel check policies --strict --format github
      klausel check --at v1.2
      klausel check ../policies.git@main:policies
      klausel check --database postgresql://localhost/klausel
      klausel check --explain unknown-role
      klausel check --watch
    """
    if is_watching:
        if write is not _write_text or database is not None or at is not None or git_address(str(policies)):
            raise click.UsageError("--watch looks at a folder and prints text; leave out --format, --at and --database")
        from klausel.cli.watch import watch  # whoever looks once does not wait for what compares and watches

        watch(policies, model, _demo_people(policies), lambda: _demo_rows(policies))
        return
    texts: dict[str, str] = {}
    problems, other_model = _problems_in(policies, model, at, database, texts)
    found = _Checked(policies, problems, texts, other_model, show_all)
    write(found)
    raise SystemExit(EXIT_PROBLEMS if found.errors or (strict and problems) else 0)


def _problems_in(
    folder: Path, model: Path | None, at: str | None, database: str | None, texts: dict[str, str]
) -> tuple[tuple[Problem, ...], str | None]:
    """Every problem, and the digest of a model that was accepted though no analysis speaks for it.

    `texts` gets the texts of the files, by their names for people.
    """
    try:
        found = read_policies(folder, model, at)
        commit = found.find_commit()
        if commit is not None:
            say_commit_at(folder, at, commit.id)
        texts |= {file.shown_as: file.content.decode("utf-8", "replace") for file in found.files}
        other_model = accepted_model_of(found, accepted_models())
        # The demo people of today say nothing about the policies of then.
        people, rows = (_demo_people(folder), _demo_rows(folder)) if at is None else ((), ())
        if database is None:
            return check_files(found, people, accepted_models(), rows), other_model
        return _problems_beside(found, database, people, rows), other_model
    except GitError as error:
        fail(str(error))
    except PolicyError as error:
        return error.problems, None


def _demo_people(folder: Path) -> Iterator[DomainSeen]:
    """The domains of the demo people beside the policies, as far as their file can be read."""
    for file in (one / DEMO_FILE for one in folders_of(folder)):
        rows = AssignmentFile(file)
        with suppress(BrokenFile):
            for number, row in enumerate(rows):
                if row.domain:
                    yield row.domain, f"{shown(file)}:{rows.line_of[number]}"


def _demo_rows(folder: Path) -> Iterator[tuple[Assignment | str, Place]]:
    """The rows of the demo people that the service would load, or why one cannot be read, each with its place."""
    file = folders_of(folder)[0] / DEMO_FILE
    if not file.is_file():
        return
    rows = AssignmentFile(file)
    try:
        for number, row in enumerate(rows):
            yield rows.faults.get(number, row), Place(shown(file), rows.line_of[number], 1)
    except BrokenFile as error:
        yield error.message, Place(shown(file), max(error.line, 1), 1)


def _problems_beside(
    found: PolicyFiles,
    database: str,
    people: Iterable[DomainSeen],
    rows: Iterable[tuple[Assignment | str, Place]],
) -> tuple[Problem, ...]:
    """The problems of a policy set, those among them that only the role assignments of a database show."""
    # Only here: most checks need no database, and loading what speaks to one takes longer than they do.
    from klausel.cli.database_options import assignments_at, explains_storage_errors
    from klausel.storage.assignments.stored_roles import orphaned_in, stored_domains

    @explains_storage_errors
    def look() -> tuple[Problem, ...]:
        def people_in() -> Iterator[DomainSeen]:
            yield from people
            with assignments_at(database) as store:
                for domain in stored_domains(store.engine):
                    yield domain, "role assignments"

        problems = check_files(found, people_in(), accepted_models(), rows)
        if any(problem.severity == "error" for problem in problems):
            return problems
        with assignments_at(database) as store:
            loaded = load_files(found, accepted_models=accepted_models())
            orphans = problems_of_orphans(found, loaded, partial(orphaned_in, store.engine))
        return tuple(sorted([*problems, *orphans]))

    return look()


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


def _rows_as_json(rows: Sequence[Row]) -> dict[str, object]:
    return {"rows": [{"type": row.kind, "fields": row.fields, "source": str(row.place)} for row in rows]}


@click.command("compile")
@policies_option
@model_option
@format_option(
    {
        "text": lambda rows: say_lines(f"{row.place}: {', '.join((row.kind, *row.fields))}" for row in rows),
        "csv": lambda rows: say_lines([_casbin_line(row) for row in rows]),
        "json": lambda rows: say_json(_rows_as_json(rows), indent=2),
    },
    help="csv: the rows alone, as the file adapter of Casbin reads them.",
)
@at_option
def compile_(policies: Path, model: Path | None, at: str | None, write: Callable[[Sequence[Row]], None]) -> None:
    """Print the Casbin rows that the policy files mean, each with the place it comes from.

    \b
    Examples:
      klausel compile
      klausel compile --format csv > policy.csv
    """
    policy = load_or_exit(policies, model, at=at).compiled.policy
    write([*grant_rows(policy), *inheritance_rows(policy)])
