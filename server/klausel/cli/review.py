"""Commands for access reviews: `matrix`, and `review` with what it is made of."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from klausel.cli.database_options import assignments_at, database_option
from klausel.cli.formats import format_option
from klausel.cli.moments import moment_of, people_at_option
from klausel.cli.options import at_option, fail, load_or_exit, model_option
from klausel.cli.output import say, say_lines
from klausel.cli.people_concerned import holders_concerned, people_option
from klausel.cli.policy_folder import policies_option
from klausel.cli.review_sheet import apply, sheet, verify
from klausel.cli.search import domain_named, people_with_effective_roles
from klausel.core.analysis.matrix_table import sheet_by_person, sheet_by_role
from klausel.core.analysis.other_model import note_on, note_on_change
from klausel.core.analysis.search import holders_of
from klausel.core.analysis.table import FORMATS, Sheet, as_csv
from klausel.core.decisions.effective_roles import EffectiveRoles
from klausel.core.difference.matrix_changes import sheet_of_changes, sheet_of_personal_changes
from klausel.core.pictures.role_picture import role_picture
from klausel.core.pictures.svg import as_svg
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.moment import moment_text
from klausel.service.pipeline import LoadedPolicy
from klausel.storage.assignments.store import AssignmentStore

VERSION_OF_FACTS = 1
Writer = Callable[[Sheet], Iterator[str]]
written_option = format_option(FORMATS)
facts_option = click.option(
    "--facts",
    "facts_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to this file, as JSON, what the table is about: title, policies, commit, role assignments. CSV does not say it.",
)

by_option = click.option(
    "--by", type=click.Choice(["role", "person"]), default="role", show_default=True, help="What the rows are about."
)
in_option = click.option(
    "--in", "domain", metavar="DOMAIN", help="With --by person: whose people, and where: acme, or acme/support."
)


@click.command()
@by_option
@in_option
@written_option
@facts_option
@click.option(
    "--kept",
    is_flag=True,
    help="For a file kept beside the policies: without the commit and the lines, which change while the meaning does not.",
)
@people_at_option
@at_option
@policies_option
@model_option
@database_option
def matrix(
    by: str,
    domain: str | None,
    write: Writer,
    facts_file: Path | None,
    kept: bool,
    moment: int | None,
    at: str | None,
    policies: Path,
    model: Path | None,
    database: str,
) -> None:
    """Write who may do what: all roles, or all people in a domain, by all actions, with conditions as notes.

    By role it needs the policies alone. By person it is written as it is read, so that a domain may have any number of
    people; in CSV each is one row.

    \b
    Examples:
      klausel matrix
      klausel matrix --format markdown --kept > docs/matrix.md
      klausel matrix --by person --in acme/support --format csv --facts facts.json > who.csv
      klausel matrix --by person --in acme/support --at v1.2 --people-at 2026-01-15
    """
    loaded = load_or_exit(policies, model, at=at)
    policy = loaded.compiled.policy
    facts = _facts(loaded, not kept)
    if by == "role":
        if domain is not None:
            raise click.UsageError("--in goes with --by person; the matrix by role is the same everywhere")
        if moment is not None:
            raise click.UsageError("--people-at goes with --by person; the matrix by role holds whoever has the roles")
        _write(sheet_by_role(policy, facts, with_lines=not kept), write, facts_file, loaded)
        return
    if domain is None:
        raise click.UsageError("--by person needs --in: name the domain, such as acme/support")
    where = domain_named(policy.roles, domain)
    with assignments_at(database) as store:
        facts += (_people_fact(store, moment),)
        people = _people_in(store, policy, where, moment)
        _write(sheet_by_person(policy, where, people, facts, in_one_row=write is as_csv), write, facts_file, loaded)


class _Reviews(click.Group):
    """A group whose first command is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with the first command put before options and folders."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Reviews)
def review() -> None:
    """Write what changed since the last access review, or review each role assignment by a sheet.

    Without the name of a command it is changes: klausel review --since v1.2.

    \b
    Examples:
      klausel review --since v1.2
      klausel review sheet review.xlsx --in acme
      klausel review apply review.xlsx --key audit.key --ticket AUD-7
    """


@review.command()
@click.option("--since", required=True, metavar="REV", help="The commit of the last review: a branch, a tag, an id, HEAD~2.")
@by_option
@in_option
@click.option(
    "--people-since",
    "moment_then",
    callback=moment_of,
    metavar="MOMENT",
    help="With --by person: the moment of the last review, for its role assignments.",
)
@people_at_option
@people_option
@written_option
@facts_option
@at_option
@policies_option
@model_option
@database_option
def changes(
    since: str,
    by: str,
    domain: str | None,
    moment_then: int | None,
    moment: int | None,
    people: bool,
    write: Writer,
    facts_file: Path | None,
    at: str | None,
    policies: Path,
    model: Path | None,
    database: str,
) -> None:
    """Write what changed since the last access review: each role, or person, and action that allows something else now.

    Conditions are compared by what they mean. By role it needs the policies alone; --people counts whom each row concerns.
    By person it compares the policies and the role assignments of then and of now; those of then come from their change log.

    \b
    Examples:
      klausel review changes --since v1.2
      klausel review --since HEAD~20 --format html > review.html
      klausel review --since v1.2 --by person --in acme/support --people-since 2026-01-15 --format csv
    """
    before = load_or_exit(policies, model, at=since)
    after = load_or_exit(policies, model, at=at)
    facts = (*_facts(before, True, " then"), *_facts(after, True, " now"))
    sides = before.compiled.policy, after.compiled.policy
    if by == "role":
        if domain is not None or moment_then is not None or moment is not None:
            raise click.UsageError("--in, --people-since and --people-at go with --by person")
        holders = holders_concerned(*sides, database) if people else None
        _write(sheet_of_changes(*sides, facts, holders), write, facts_file, before, after)
        return
    if people:
        raise click.UsageError("--people goes with --by role; by person each row is about somebody")
    if domain is None or moment_then is None:
        raise click.UsageError(
            "--by person needs --in and --people-since: name the domain, and the moment of the last review"
        )
    where = domain_named(sides[1].roles, domain)
    with assignments_at(database) as store:
        then, now = (
            _people_in(store, policy, where, when) for policy, when in zip(sides, (moment_then, moment), strict=True)
        )
        facts += (_people_fact(store, moment_then, " then"), _people_fact(store, moment, " now"))
        _write(sheet_of_personal_changes(*sides, where, (then, now), facts), write, facts_file, before, after)


for _command in (sheet, apply, verify):
    review.add_command(_command)


def _people_in(
    store: AssignmentStore, policy: PolicySet, domain: str, moment: int | None
) -> Iterator[tuple[str, EffectiveRoles]]:
    """Those with a role that any grant could reach in a domain, now or at a moment."""
    holders = holders_of(policy.roles, domain, {grant.grantee for grant in policy.grants})
    return people_with_effective_roles(store.engine, policy.roles, holders, moment)


def _people_fact(store: AssignmentStore, moment: int | None, when: str = "") -> tuple[str, str]:
    if moment is None:
        return f"role assignments at revision{when}", store.revision()
    return f"role assignments as of{when}", moment_text(moment)


def _facts(loaded: LoadedPolicy, with_commit: bool, when: str = "") -> tuple[tuple[str, str], ...]:
    """The names of the version that a sheet is about."""
    facts = ((f"meaning of the policies{when}", loaded.compiled.meaning_digest),)
    if not with_commit:
        return facts
    commit = loaded.commit
    if commit is None:
        return (*facts, (f"commit{when}", "none, the policies are in no git repository"))
    return (*facts, (f"commit{when}", commit.id + (" and changes that are not committed" if commit.dirty else "")))


def _write(sheet: Sheet, write: Writer, facts_file: Path | None, *shown: LoadedPolicy) -> None:
    models = list(dict.fromkeys(loaded.compiled.other_model for loaded in shown))
    note = note_on_change(models[0], models[-1]) if len(models) > 1 else note_on(models[0]) if models[0] else None
    if note is not None:
        sheet = dataclasses.replace(sheet, title=f"{note}: {sheet.title}")
        if write is as_csv:
            say(note, err=True)  # rows alone cannot say it
    roles = shown[-1].compiled.policy
    sheet = dataclasses.replace(sheet, picture=lambda: as_svg(role_picture(roles)))
    if facts_file is not None:
        told = {"version": VERSION_OF_FACTS, "title": sheet.title, **dict(sheet.facts)}
        try:
            facts_file.write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            fail(f"{facts_file} cannot be written: {error.strerror}; name another file with --facts")
    say_lines(write(sheet))
