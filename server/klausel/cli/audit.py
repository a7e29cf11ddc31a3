"""Commands for auditors: the change log of role assignments and stored properties, its verification and its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from heapq import merge
from itertools import islice
from pathlib import Path

import click
from sqlalchemy import Engine

from klausel.cli.assignment_file import RowWriter
from klausel.cli.checkpoint_options import (
    checkpoint_options,
    checkpoints_given,
    explains_checkpoint_errors,
    key_and_earlier,
    key_option,
    sign,
)
from klausel.cli.command_group import CommandGroup
from klausel.cli.database_options import database_at, database_option
from klausel.cli.formats import format_option
from klausel.cli.moments import moment_of
from klausel.cli.options import EXIT_PROBLEMS, fail, model_option, open_policies
from klausel.cli.output import rows_to_standard_output, say, say_json, say_lines
from klausel.cli.policy_folder import policies_option
from klausel.cli.progress import progress
from klausel.core.policy.entity import EntityKind
from klausel.core.policy.holding import timing_of
from klausel.core.policy.roles import RoleModel
from klausel.core.records.change_chain import Finding
from klausel.core.terms.counted import counted
from klausel.core.terms.escaping import shown
from klausel.core.terms.identifiers import split_subject_key
from klausel.core.terms.moment import moment_text
from klausel.core.terms.problem import PolicyError
from klausel.storage.change_log.checkpoints import (
    key_id,
    make_keys,
    read_public_key,
)
from klausel.storage.change_log.entity_reader import (
    EntityFilters,
    EntityLogReader,
    LoggedEntity,
    entity_change_as_json,
)
from klausel.storage.change_log.reader import BeforeTheLog, Filters, LoggedChange, LogReader, change_as_json
from klausel.storage.change_log.verification import Verdict, count_of_log, missing_guards, verdict_as_json, verify_log
from klausel.storage.git.objects import GitError

_FILE = click.Path(path_type=Path, dir_okay=False)
_moment_option = partial(click.option, callback=moment_of, metavar="MOMENT")


@click.group(cls=CommandGroup)
def audit() -> None:
    """Who changed which role assignment or stored property, when and why; and that nobody has tampered with the log of it.

    \b
    Examples:
      klausel audit show --subject user:ann
      klausel audit state --at 2026-03-01
      klausel audit verify
    """


Change = LoggedChange | LoggedEntity


def _write_change(change: Change, roles: RoleModel | None) -> None:
    say(_as_text(change, roles))


def _write_change_as_json(change: Change, roles: RoleModel | None) -> None:
    say_json(change_as_json(change) if isinstance(change, LoggedChange) else entity_change_as_json(change))


@audit.command()
@click.option("--subject", help="Of this subject alone, such as user:ann: its roles and its stored properties; by index.")
@click.option("--resource", metavar="TYPE:ID", help="Of the stored properties of this resource alone; by index.")
@click.option("--role", help="Of this role alone.")
@click.option("--domain", help="In this very domain alone: acme, or acme/support.")
@click.option("--only", type=click.Choice(["roles", "properties"]), help="Role assignments alone, or stored properties.")
@click.option("--by", help="Made by this one, as the caller said.")
@_moment_option("--since", help="From this moment on, such as 2026-03-01 or 2026-03-01T12:00:30+01:00.")
@_moment_option("--until", help="Before this moment; a date alone is its first moment in UTC.")
@click.option("--limit", type=click.IntRange(1), help="At most so many changes.")
@format_option({"text": _write_change, "json": _write_change_as_json})
@policies_option
@model_option
@database_option
def show(
    write: Callable[[Change, RoleModel | None], None],
    policies: Path,
    model: Path | None,
    database: str,
    limit: int | None,
    role: str | None,
    subject: str | None,
    resource: str | None,
    only: str | None,
    **wanted: object,
) -> None:
    """Show the changes of role assignments and of stored properties, newest first, one a line: what, by whom, and why.

    With --format json each line is an object. Where the policies can be read, --role finds a role under its former names too,
    and a former name is followed by the one of today.

    \b
    Examples:
      klausel audit show --subject user:ann --limit 10
      klausel audit show --resource todo:7
      klausel audit show --by cara --since 2026-01-01 --until 2026-02-01 --format json
    """
    roles = _roles_of(policies, model)
    role_names = roles.names_of_one(role) if roles and role else ()
    filters = Filters(subject, role, role_names=role_names, **wanted)  # type: ignore[arg-type]
    stored = _entity_filters(subject, resource, **wanted)
    with database_at(database) as engine:
        found: list[Iterable[Change]] = []
        if only != "properties" and resource is None:
            found.append(LogReader(engine).changes(filters, limit))
        if only != "roles" and role is None and stored is not None:
            found.append(EntityLogReader(engine).changes(stored, limit))
        newest_first = merge(*found, key=lambda change: (-change.number, -change.position))
        for change in islice(newest_first, limit):
            write(change, roles)


def _entity_filters(subject: str | None, resource: str | None, **wanted: object) -> EntityFilters | None:
    """Which changes of stored properties are wanted; None for none of them."""
    if subject is not None and resource is not None:
        raise click.UsageError("--subject and --resource choose different changes; leave one of them out")
    if subject is None and resource is None:
        return EntityFilters(**wanted)  # type: ignore[arg-type]
    name = subject if resource is None else resource
    parts = split_subject_key(name or "")
    if parts is None and resource is not None:
        raise click.UsageError(f'--resource "{shown(resource)}" has no id; write it as type:id, such as todo:7')
    kind: EntityKind = "subject" if resource is None else "resource"
    return None if parts is None else EntityFilters(kind, *parts, **wanted)  # type: ignore[arg-type]


def _roles_of(policies: Path, model: Path | None) -> RoleModel | None:
    """The roles that the policies declare; None where they cannot be read, for the log can be read without them."""
    try:
        return open_policies(policies, model).compiled.policy.roles
    except (GitError, PolicyError):
        return None


def _as_text(change: Change, roles: RoleModel | None) -> str:
    line = f"{change.number}  {moment_text(change.microseconds)}  {_what(change, roles)}"
    line += f"  {change.channel} {change.caller}" if change.caller else f"  {change.channel}"
    # Quoted, so that nobody's words pass for what Klausel says.
    said = (("by", change.by), ("ticket", change.ticket), ("reason", change.reason))
    return "  ".join([line, *(f"{name} {json.dumps(text, ensure_ascii=False)}" for name, text in said if text is not None)])


def _what(change: Change, roles: RoleModel | None) -> str:
    if isinstance(change, LoggedEntity):
        place = f" in {change.domain}" if change.domain else ""
        return f"{change.word} {change.kind} {change.entity.name}{place} {change.properties}"
    now = roles.name_now(change.role) if roles else change.role
    return f"{change.word} {change.row}" + (f" ({now} now)" if now != change.role else "")


@audit.command()
@_moment_option("--at", "moment", required=True, help="The moment; a date alone is its first moment in UTC.")
@click.option("--subject", help="Of this subject alone, such as user:ann.")
@click.option("--domain", help="In this very domain alone: acme, or acme/support.")
@database_option
def state(moment: int, subject: str | None, domain: str | None, database: str) -> None:
    """Write the role assignments as they were at a moment, as CSV that `klausel assignments import` reads.

    What had ended by then is left out; what began later stands there with its `from`.

    \b
    Examples:
      klausel audit state --at 2026-03-01 > people.csv
      klausel audit state --at 2026-03-01T12:00:30+01:00 --subject user:ann
    """
    with database_at(database) as engine:
        reader = LogReader(engine)
        try:
            found = reader.at(moment)
        except BeforeTheLog as error:
            fail(str(error))
        say(f"as of {moment_text(moment)}, after record {found.number}", err=True)
        with rows_to_standard_output() as text:
            writer = RowWriter(text, with_times=reader.has_times(found))
            for row in reader.held_at(found, subject, domain):
                untimely = timing_of(row, found.seconds)
                if untimely is None or untimely.timing != "ended":
                    writer.write(row)


def _write_verdict(verdict: Verdict, findings: tuple[Finding, ...], signed: int, found: int) -> None:
    say_lines(findings, err=True)
    if found > len(findings):
        say(f"and {found - len(findings)} more", err=True)
    outcome = counted(found, "fault") if found else "the log is whole, and the role assignments are what it comes to"
    last = f"; the last is {verdict.last.number}, {verdict.last.hash}" if verdict.last is not None else ""
    seen = ((verdict.records, "record"), (verdict.rows, "change"), (signed, "checkpoint"))
    say(f"{', '.join(counted(*one) for one in seen)}: {outcome}{last}")


@audit.command()
@checkpoint_options
@format_option(
    {
        "text": _write_verdict,
        "json": lambda verdict, findings, signed, _: say_json(verdict_as_json(verdict, findings, signed), indent=2),
    }
)
@database_option
def verify(
    checkpoints: Path | None,
    public_key: Path | None,
    write: Callable[[Verdict, tuple[Finding, ...], int, int], None],
    database: str,
) -> None:
    """Find every record of the log that was edited, removed, inserted or moved, and role assignments changed behind it.

    A log that was rewritten with good hashes is found by a checkpoint alone. Exit code 1 when anything is wrong.

    \b
    Examples:
      klausel audit verify
      klausel audit verify --checkpoints checkpoints.jsonl --public-key audit.key.pub --format json
    """
    good, broken = checkpoints_given(checkpoints, public_key)
    signed: dict[int, str] = {}
    faults = [Finding(None, "checkpoint", message) for message in broken]
    for checkpoint in good:
        if signed.setdefault(checkpoint.number, checkpoint.hash) != checkpoint.hash:
            message = "two checkpoints signed it with two hashes; it was rewritten in between"
            faults.append(Finding(checkpoint.number, "checkpoint", message))
    with database_at(database) as engine:
        verdict = _verified(engine, signed)
        faults += missing_guards(engine)
    findings = (*faults, *verdict.findings)
    write(verdict, findings, len(signed), verdict.found + len(faults))
    raise SystemExit(EXIT_PROBLEMS if findings else 0)


def _verified(engine: Engine, signed: dict[int, str], first: int = 1) -> Verdict:
    with progress(total=count_of_log(engine), unit=" rows", name="verifying") as bar:
        return verify_log(engine, signed, first, bar.update)


@audit.command()
@click.argument("file", type=_FILE)
def key(file: Path) -> None:
    """Make the key pair that signs checkpoints: FILE, which stays secret, and FILE.pub, for those who verify.

    \b
    Example:
      klausel audit key audit.key
    """
    with explains_checkpoint_errors():
        public = make_keys(file)
        name = key_id(read_public_key(public))
    say(f"{file} signs checkpoints, keep it secret; {public} verifies them (key {name})")


@audit.command()
@click.argument("file", type=_FILE)
@key_option
@database_option
def checkpoint(file: Path, key_file: Path, database: str) -> None:
    """Sign the last record of the log and append that to FILE, to be kept where nobody can write the database.

    The log is verified first, from the last checkpoint in FILE on; nothing is signed when anything is wrong.

    \b
    Example:
      klausel audit checkpoint checkpoints.jsonl --key audit.key
    """
    with database_at(database) as engine:
        private, earlier = key_and_earlier(file, key_file)
        signed = {one.number: one.hash for one in earlier}
        verdict = _verified(engine, signed, max(signed, default=1))
        if verdict.last is None or verdict.findings:
            say_lines(verdict.findings, err=True)
            fail("the log is not whole, so nothing was signed")
        sign(file, verdict.last.number, verdict.last.hash, private)
