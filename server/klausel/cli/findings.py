"""The command `findings`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import click
from tqdm import tqdm

from klausel.cli.database_options import database_option, explains_storage_errors, open_existing_database
from klausel.cli.formats import format_option
from klausel.cli.moments import duration_of
from klausel.cli.options import EXIT_PROBLEMS, at_option, load_or_exit, model_option
from klausel.cli.output import say, say_json_list
from klausel.cli.policy_folder import policies_option
from klausel.cli.search import domain_named
from klausel.core.analysis.findings import KINDS, Finding, FindingsSearch
from klausel.core.analysis.table import csv_line
from klausel.core.terms.moment import instant_text
from klausel.storage.assignments.people_of_roles import everybody
from klausel.storage.assignments.store import AssignmentStore

VERSION_OF_JSON = 1
Facts = dict[str, object]


def _write_text(found: Iterator[Finding], facts: Facts) -> None:
    counts: Counter[str] = Counter()
    for finding in _counted(found, counts):
        say(f"{finding.kind}  {finding.message}")
        say(f"  fix: {finding.fix}")
    number = counts.total()
    kinds = ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts[kind])
    say(f"{number:,} finding{'' if number == 1 else 's'}: {kinds}" if number else "no findings")


def _write_csv(found: Iterator[Finding], facts: Facts) -> None:
    say(csv_line(Finding._fields))
    for finding in found:
        say(csv_line(cell or "" for cell in finding))


def _write_json(found: Iterator[Finding], facts: Facts) -> None:
    say_json_list(facts, "findings", (finding._asdict() for finding in found))


@click.command()
@click.option(
    "--in", "domain", metavar="DOMAIN", help="Only what concerns this domain or one below it: acme, or acme/support."
)
@click.option(
    "--ending-within",
    "within",
    default="30d",
    show_default=True,
    callback=duration_of,
    metavar="DURATION",
    help="How soon a role must end to be told: 30d, 12h, 90m.",
)
@format_option({"text": _write_text, "csv": _write_csv, "json": _write_json})
@click.option(
    "--fail-on",
    type=click.Choice([*KINDS, "any"]),
    multiple=True,
    metavar="KIND|any",
    help=f"Exit with 1 when something of this kind is found; repeatable. Kinds: {', '.join(KINDS)}.",
)
@at_option
@policies_option
@model_option
@database_option
@explains_storage_errors
def findings(
    domain: str | None,
    within: int,
    write: Callable[[Iterator[Finding], Facts], None],
    fail_on: tuple[str, ...],
    at: str | None,
    policies: Path,
    model: Path | None,
    database: str,
) -> None:
    """List what is wrong with the stored role assignments, or soon will be, under the policies: each with how to fix it.

    Roles that nobody may hold both, also from before that rule and through groups; roles without the one that they need
    above them; orphaned, ended and soon ending ones; places that have one holder of a role with keep_one, or none.

    \b
    Examples:
      klausel findings
      klausel findings --in acme --ending-within 7d
      klausel findings --format csv > findings.csv
      klausel findings --fail-on separate-roles --fail-on keep-one
    """
    loaded = load_or_exit(policies, model, at=at)
    roles = loaded.compiled.policy.roles
    where = None if domain is None else domain_named(roles, domain)
    counts: Counter[str] = Counter()
    with closing(AssignmentStore(open_existing_database(database))) as store:
        now = store.clock()
        facts: Facts = {
            "version": VERSION_OF_JSON,
            "policy": loaded.files_digest,
            "revision": store.revision(),
            "at": instant_text(now),
            "in": where,
        }
        write(_counted(_found(store, FindingsSearch(roles, now, within, where), where), counts), facts)
    if any(counts[kind] or (kind == "any" and counts) for kind in fail_on):
        raise SystemExit(EXIT_PROBLEMS)


def _found(store: AssignmentStore, search: FindingsSearch, where: str | None) -> Iterator[Finding]:
    with tqdm(everybody(store.engine, where), unit=" subjects", unit_scale=True, disable=None, leave=False) as subjects:
        for own, rows in subjects:
            for finding in search.of_subject(own, rows):
                # What is printed stands where the bar is.
                subjects.clear()
                yield finding
    yield from search.of_places()


def _counted(found: Iterator[Finding], counts: Counter[str]) -> Iterator[Finding]:
    for finding in found:
        counts[finding.kind] += 1
        yield finding
