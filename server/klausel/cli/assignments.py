"""Commands for role assignments: `import` and `export` as CSV, `grant`, `revoke`, `rename-role`, `purge-ended`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TextIO

import click

from klausel.cli.assignment_file import AssignmentFile, BrokenFile, RowWriter
from klausel.cli.change_options import MOST_SHOWN, Change, makes_change, takes_origin
from klausel.cli.command_group import CommandGroup
from klausel.cli.database_options import assignments_at, database_option
from klausel.cli.moments import duration_of, instant_of, moment_of
from klausel.cli.options import EXIT_PROBLEMS, fail, load_or_exit
from klausel.cli.output import rows_to_standard_output, say
from klausel.cli.progress import lines_in, progress
from klausel.core.decisions.role_giving import fault_in_person
from klausel.core.policy.assignment import GROUP_PREFIX, Assignment
from klausel.core.policy.role_hints import hint_on_role
from klausel.core.policy.roles import RoleModel
from klausel.core.records.change_record import Origin
from klausel.core.terms.moment import instant_text
from klausel.service.role_giving import MayNotGive, OnBehalf, on_behalf_origin
from klausel.storage.assignments.store import AssignmentStore, ForbiddenState, ImportResult, InvalidAssignments


@click.group(cls=CommandGroup)
def assignments() -> None:
    """Role assignments (who has which role where, and until when) and members of groups: in and out as CSV, and changed.

    The CSV has the header subject,role,domain, or subject,role,domain,from,until. A member of a group has the group as its
    role, and no domain: user:ann,group:emea-support,

    \b
    Examples:
      klausel assignments import people.csv
      klausel assignments export > people.csv
      klausel assignments grant user:leo lead acme/support --until 2026-12-31T23:00:00Z
      klausel assignments revoke user:leo lead acme/support
      klausel assignments rename-role reviewer checker
      klausel assignments purge-ended --before 2026-01-01
    """


def on_behalf(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the option of the person for whom a change is made; the command gets `guard`. Goes below `makes_change`."""

    @click.option(
        "--on-behalf-of",
        "person",
        metavar="PERSON",
        help="Only as far as the policies let this person (user:ann) give and take roles.",
    )
    @functools.wraps(command)
    def with_guard(*arguments: object, change: Change, person: str | None, **options: object) -> None:
        guard = None
        if person is not None:
            fault = fault_in_person(person)
            if fault is not None:
                raise click.UsageError(f"--on-behalf-of: {fault}")
            try:
                change = replace(change, origin=on_behalf_origin(change.origin, person))
            except ValueError as error:
                raise click.UsageError(str(error)) from None
            guard = OnBehalf(load_or_exit(change.policies, change.model).compiled, person)
        command(*arguments, change=change, guard=guard, **options)

    return with_guard


def _roles(change: Change, guard: OnBehalf | None) -> RoleModel:
    return (change.policy() if guard is None else guard.compiled.policy).roles


@assignments.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@makes_change
@on_behalf
def import_(file: Path, change: Change, guard: OnBehalf | None) -> None:
    """Add the role assignments in FILE (- for standard input) to the database: all, or none when a row or rule is broken.

    Rows that are there already stay as they are; one that is there with other times gets those of FILE, or none.

    \b
    Examples:
      klausel assignments import people.csv --database postgresql://localhost/klausel
      klausel assignments import people.csv --by cara --reason "new team" --ticket HR-12
    """
    roles = _roles(change, guard)
    with assignments_at(change.database, creates=True) as store:
        result = import_file(store, roles, file, change.origin, guard)
    times = f" ({result.changed} of them with other times)" if result.changed else ""
    say(f"{result.added} added{times}, {result.already_there} there already; revision {result.revision}")


def import_file(
    store: AssignmentStore, roles: RoleModel, file: Path, origin: Origin, guard: OnBehalf | None = None
) -> ImportResult:
    """Adds the rows of a CSV file; prints every fault with its line and exits with 1 when there is one."""
    rows = AssignmentFile(file)
    try:
        with progress(total=lines_in(file), unit=" rows", name=rows.name) as bar:

            def show(rows_read: int) -> None:
                bar.update(rows_read - bar.n)

            return store.import_rows(roles, rows, show, origin, guard)
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
    except MayNotGive as error:
        faults = [(rows.line_of[one.index], one.message) for one in error.refused] or [(0, str(error))]
    _fail_unchanged(rows.name, sorted(faults))


def _fail_unchanged(name: str, faults: Sequence[tuple[int, str]]) -> NoReturn:
    for line, message in faults[:MOST_SHOWN]:
        where = f"{name}:{line}" if line else name
        say(f"{where}: error: {message}", err=True)
    more = f"; these are the first {MOST_SHOWN} faults" if len(faults) > MOST_SHOWN else ""
    say(f"{name}: nothing was imported{more}", err=True)
    raise SystemExit(EXIT_PROBLEMS)


@assignments.command("rename-role")
@click.argument("old")
@click.argument("new")
@makes_change
def rename_role(old: str, new: str, change: Change) -> None:
    """Give everybody with the role OLD the role NEW in its place, in the same domains: all, or none when a rule is broken.

    NEW is declared in the policies; OLD need not be any more. It is one change in the change log.

    \b
    Example:
      klausel assignments rename-role reviewer checker --by cara --reason "the role has a new name"
    """
    roles = change.policy().roles
    if new not in roles.roles:
        fail(f'unknown role "{new}"; {hint_on_role(new, roles.roles)}')
    with assignments_at(change.database) as store, _refusals_explained():
        revision, count = store.rename_role(roles, old, new, change.origin)
    say(f"{count} role assignments renamed from {old} to {new}; revision {revision}")


@assignments.command()
@click.argument("subject")
@click.argument("role")
@click.argument("domain", default="")
@click.option("--from", "starts", callback=instant_of, metavar="INSTANT", help="It counts from this instant on.")
@click.option("--until", "ends", callback=instant_of, metavar="INSTANT", help="It ends by itself at this instant.")
@makes_change
@on_behalf
def grant(
    subject: str,
    role: str,
    domain: str,
    starts: str | None,
    ends: str | None,
    change: Change,
    guard: OnBehalf | None,
) -> None:
    """Give SUBJECT (written type:id) the role ROLE in DOMAIN; or, with a group in place of ROLE, make it a member.

    An instant is a time with its offset, such as 2026-12-31T23:00:00Z. Given again with other times, or none, it has those.

    \b
    Examples:
      klausel assignments grant user:leo lead acme/support --until 2026-12-31T23:00:00Z --reason "on call"
      klausel assignments grant group:emea-support lead acme/support
      klausel assignments grant user:ann group:emea-support
      klausel assignments grant user:leo lead acme/support --on-behalf-of user:mia
    """
    row = _row_named(subject, role, domain)._replace(starts=starts, ends=ends)
    roles = _roles(change, guard)
    with assignments_at(change.database, creates=True) as store, _refusals_explained():
        before = store.revision()
        revision = store.write(roles, [row], (), change.origin, guard)
    told = "granted" if revision != before else "is there already:"
    say(f"{told} {row}; revision {revision}")


@assignments.command()
@click.argument("subject")
@click.argument("role")
@click.argument("domain", default="")
@makes_change
@on_behalf
def revoke(subject: str, role: str, domain: str, change: Change, guard: OnBehalf | None) -> None:
    """Take the role ROLE in DOMAIN from SUBJECT (written type:id), or with a group in place of ROLE, take it out of that.

    Also when no policy file declares ROLE any more, and whatever its times are.

    \b
    Examples:
      klausel assignments revoke user:leo lead acme/support --by cara --reason "left the team"
      klausel assignments revoke user:ann group:emea-support
    """
    roles = _roles(change, guard)
    row = _row_named(subject, role, domain)
    with assignments_at(change.database) as store, _refusals_explained():
        before = store.revision()
        revision = store.write(roles, (), [row], change.origin, guard)
    if revision == before:
        fail(f"{row} is no role assignment, so nothing was changed")
    say(f"revoked {row}; revision {revision}")


@assignments.command("purge-ended")
@click.option(
    "--before",
    required=True,
    callback=moment_of,
    metavar="MOMENT",
    help="Those that ended by this moment; a date alone is its first moment in UTC.",
)
@takes_origin
@database_option
def purge_ended(before: int, origin: Origin, database: str) -> None:
    """Take away the role assignments and memberships that ended long ago; they give nothing, but stand in lists.

    It is one change in the change log, where they stay: what was so at a moment of the past is answered as before.
    `klausel assignments export --ended` lists what has ended.

    \b
    Example:
      klausel assignments purge-ended --before 2026-01-01 --by cara --reason "kept for a year"
    """
    with assignments_at(database) as store:
        try:
            revision, count = store.purge_ended(before / 1_000_000, origin)
        except ValueError as error:
            raise click.UsageError(f"--before: {error}; name a moment that is over") from None
    say(f"{count} ended role assignments and memberships taken away; revision {revision}")


def _row_named(subject: str, role: str, domain: str) -> Assignment:
    if not domain and not role.startswith(GROUP_PREFIX):
        raise click.UsageError(f'name the domain in which {role} is held, such as acme/support; "{role}" is no group')
    return Assignment(subject, role, domain)


@contextmanager
def _refusals_explained() -> Iterator[None]:
    """Prints why a write was refused, and exits with 1."""
    try:
        yield
    except InvalidAssignments as error:
        messages = [f"{fault.assignment}: {fault.message}" for fault in error.faults]
    except ForbiddenState as error:
        messages = [f"{violation.message} ({violation.rule})" for violation in error.violations]
    except MayNotGive as error:
        messages = [one.message for one in error.refused] or [str(error)]
    else:
        return
    for message in messages[:MOST_SHOWN]:
        say(f"error: {message}", err=True)
    more = f"; these are the first {MOST_SHOWN} faults" if len(messages) > MOST_SHOWN else ""
    fail(f"nothing was changed{more}")


@assignments.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--ended", is_flag=True, help="Those alone that have ended.")
@click.option(
    "--ending-within",
    "within",
    callback=duration_of,
    metavar="DURATION",
    help="Those alone that end so soon: 30d, 12h, 90m.",
)
@database_option
def export(file: Path | None, ended: bool, within: int | None, database: str) -> None:
    """Write all role assignments as CSV to FILE, or to standard output; `import` reads it back unchanged.

    \b
    Examples:
      klausel assignments export people.csv --database postgresql://localhost/klausel
      klausel assignments export --ending-within 30d
    """
    if ended and within is not None:
        raise click.UsageError("--ended and --ending-within are two lists; ask for one of them")
    with assignments_at(database) as store:
        now = store.clock()
        bounds: tuple[str | None, str | None] = (None, None)
        if ended:
            bounds = (None, instant_text(now))
        elif within is not None:
            bounds = (instant_text(now), instant_text(now + within))
        try:
            if file is None or str(file) == "-":
                _write_to_standard_output(store, bounds)
                return
            with file.open("w", encoding="utf-8", newline="") as text:
                _write(store, text, bounds, shows_progress=True)
        except BrokenFile as error:
            fail(error.message)
        except OSError as error:
            fail(f"{file} cannot be written: {error.strerror}; name another file, or give the writer access to it")


def _write_to_standard_output(store: AssignmentStore, bounds: tuple[str | None, str | None]) -> None:
    with rows_to_standard_output() as text:
        _write(store, text, bounds, shows_progress=False)


def _write(store: AssignmentStore, text: TextIO, bounds: tuple[str | None, str | None], shows_progress: bool) -> None:
    writer = RowWriter(text, with_times=store.has_times())
    total = store.count() if bounds == (None, None) else None
    with progress(total=total, unit=" rows", is_quiet=not shows_progress) as bar:
        for row in store.export_rows(*bounds):
            writer.write(row)
            bar.update()
