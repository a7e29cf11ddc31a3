"""The command `findings`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from klausel.cli.database_options import assignments_at, database_option
from klausel.cli.formats import format_option
from klausel.cli.log_reading import Faults, blocks_to_read, processes_for
from klausel.cli.moments import duration_of
from klausel.cli.options import EXIT_PROBLEMS, at_option, load_or_exit, model_option
from klausel.cli.output import say, say_json_list, say_lines
from klausel.cli.policy_folder import policies_option
from klausel.cli.processes import work_on
from klausel.cli.progress import progress
from klausel.cli.search import domain_named
from klausel.core.analysis.findings import KINDS, OF_DECISIONS, Finding, FindingsSearch
from klausel.core.analysis.held_permissions import HeldPermissions
from klausel.core.analysis.permission_use import PermissionUse, Use
from klausel.core.analysis.table import Sheet, as_html, csv_line
from klausel.core.pictures.role_picture import role_picture
from klausel.core.pictures.svg import as_svg
from klausel.core.policy.holding import duration_text
from klausel.core.policy.policy_set import PolicySet
from klausel.core.records.recorded import BadRecord
from klausel.core.replay.uses import NotCounted
from klausel.core.terms.counted import plural
from klausel.core.terms.moment import instant_text, moment_text
from klausel.storage.assignments.people_of_roles import everybody
from klausel.storage.assignments.store import AssignmentStore
from klausel.storage.decision_log.files import Block, begins_before, uses_in

Facts = dict[str, object]


def _write_text(found: Iterator[Finding], facts: Facts, policy: PolicySet) -> None:
    counts: Counter[str] = Counter()
    for finding in _counted(found, counts):
        say(f"{finding.kind}  {finding.message}")
        say(f"  fix: {finding.fix}")
    number = counts.total()
    kinds = ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts[kind])
    say(f"{number:,} {plural(number, 'finding')}: {kinds}" if number else "no findings")


def _write_csv(found: Iterator[Finding], facts: Facts, policy: PolicySet) -> None:
    say(csv_line(Finding._fields))
    say_lines(csv_line(cell or "" for cell in finding) for finding in found)


def _write_html(found: Iterator[Finding], facts: Facts, policy: PolicySet) -> None:
    told = tuple(
        (name, ", ".join(value) if isinstance(value, list) else str(value))
        for name, value in facts.items()
        if value and name != "warnings"
    )
    remarks = facts["warnings"]
    assert isinstance(remarks, list)
    rows = (tuple(cell or "" for cell in finding) for finding in found)
    sheet = Sheet(
        "Findings",
        told,
        tuple(remarks),
        Finding._fields,
        [("", rows)],
        lambda notes: (),
        is_in_full=True,
        picture=lambda: as_svg(role_picture(policy)),
        nothing="No findings.",
    )
    say_lines(as_html(sheet))


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
@click.option(
    "--decisions",
    multiple=True,
    metavar="FILE",
    help="Decision log, for who was not asked about and which permissions were not used; repeatable, or .gz.",
)
@click.option("--from-database", is_flag=True, help="Read the records of decisions that are in the database, too.")
@click.option(
    "--unused-for",
    "unused_for",
    default="90d",
    show_default=True,
    callback=duration_of,
    metavar="DURATION",
    help="How long nothing must have been decided, or used, to be told; needs --decisions or --from-database.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=max(os.cpu_count() or 1, 1),
    help="Processes that read records at once.  [default: one for each core]",
)
@click.option(
    "--only",
    type=click.Choice(KINDS),
    multiple=True,
    metavar="KIND",
    help="Only findings of this kind; repeatable.",
)
@format_option(
    {
        "text": _write_text,
        "csv": _write_csv,
        "json": lambda found, facts, _: say_json_list(facts, "findings", (finding._asdict() for finding in found)),
        "html": _write_html,
    }
)
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
def findings(
    domain: str | None,
    within: int,
    decisions: tuple[str, ...],
    from_database: bool,
    unused_for: int,
    processes: int,
    only: tuple[str, ...],
    write: Callable[[Iterator[Finding], Facts, PolicySet], None],
    fail_on: tuple[str, ...],
    at: str | None,
    policies: Path,
    model: Path | None,
    database: str,
) -> None:
    """List what is wrong with the stored role assignments, or soon will be, under the policies: each with how to fix it.

    Roles that nobody may hold both, also from before that rule and through groups; people who may do both of two things
    that an invariant keeps apart; holders of what is privileged; roles without the one that they need above them;
    orphaned, ended and soon ending ones; places that have one holder of a role with keep_one, or none. With a decision
    log also people about whom nothing was decided, and permissions that their holders did not use.

    \b
    Examples:
      klausel findings
      klausel findings --in acme --ending-within 7d
      klausel findings --decisions decisions.jsonl --unused-for 90d --format csv > findings.csv
      klausel findings --only privileged
      klausel findings --fail-on separate-roles --fail-on keep-one
    """
    has_log = bool(decisions) or from_database
    if not has_log and any(kind in OF_DECISIONS for kind in (*fail_on, *only)):
        raise click.UsageError(f"{' and '.join(OF_DECISIONS)} are found by a decision log; name one with --decisions")
    left_out = [kind for kind in fail_on if only and kind not in (*only, "any")]
    if left_out:
        raise click.UsageError(
            f"--fail-on {left_out[0]} can find nothing, as --only leaves it out; add --only {left_out[0]}"
        )
    loaded = load_or_exit(policies, model, at=at)
    policy = loaded.compiled.policy
    where = None if domain is None else domain_named(policy.roles, domain)
    counts: Counter[str] = Counter()
    with assignments_at(database) as store:
        now = store.clock()
        facts: Facts = {
            "policy": loaded.files_digest,
            "revision": store.revision(),
            "at": instant_text(now),
            "in": where,
            "only": list(only) or None,
            "decisions_since": None,
            "warnings": [],
        }
        use = None
        if has_log:
            since = moment_text(int(now - unused_for) * 1_000_000)
            blocks = blocks_to_read(decisions, from_database, database)
            found, warnings = _uses(blocks, since, processes_for(decisions, from_database, processes))
            say_lines((f"warning: {warning}" for warning in warnings), err=True)
            facts |= {"decisions_since": since, "warnings": warnings}
            use = (found, duration_text(unused_for))
        search = FindingsSearch(policy.roles, now, within, where, HeldPermissions(policy), use)
        wanted = (one for one in _found(store, search, where) if not only or one.kind in only)
        write(_counted(wanted, counts), facts, policy)
    if any(counts[kind] or (kind == "any" and counts) for kind in fail_on):
        raise SystemExit(EXIT_PROBLEMS)


class _Part(NamedTuple):
    """What one block gave."""

    uses: list[Use]
    first: str
    has_earlier: bool
    dropped: int
    sampled: int
    faults: Faults


def _looking(since: str) -> Callable[[Block], _Part]:
    def look(block: Block) -> _Part:
        uses: set[Use] = set()
        first, dropped, faults = "", 0, Faults()
        for line, time, found in uses_in(block, since):
            if isinstance(found, NotCounted):
                dropped += found.dropped
            elif isinstance(found, BadRecord):
                faults.add(block.file, line, found)
            else:
                uses.add(found)
                first = first or time
        sampled = block.data.count(b'"sample_rate":')
        return _Part(list(uses), first, begins_before(block, since), dropped, sampled, faults)

    return look


def _uses(blocks: Iterator[Block], since: str, processes: int) -> tuple[PermissionUse, list[str]]:
    """Who was allowed what since a time, and why some of that may be missing."""
    use = PermissionUse()
    first, has_earlier, dropped, sampled, faults = "", False, 0, 0, Faults()
    for part in work_on(blocks, _looking, (since,), processes):
        use.add(part.uses)
        faults.join(part.faults)
        first = min(first or part.first, part.first or first)
        has_earlier |= part.has_earlier
        dropped += part.dropped
        sampled += part.sampled
    faults.show()
    warnings = []
    if not first:
        warnings.append(f"there is no decision since {since} in the log, so nothing counts as used")
    elif not has_earlier and first[:10] > since[:10]:
        warnings.append(f"the log starts at {first}, after {since}; what was used before is not in it")
    if sampled:
        warnings.append("the log leaves out some allows, so some uses are not in it")
    if dropped:
        warnings.append(f"{dropped:,} decisions were not recorded")
    if faults.number:
        warnings.append(f"{faults.number:,} lines are no records")
    return use, warnings


def _found(store: AssignmentStore, search: FindingsSearch, where: str | None) -> Iterator[Finding]:
    is_seen = sys.stdout.isatty()
    with progress(everybody(store.engine, where), unit=" subjects") as subjects:
        for own, rows in subjects:
            for finding in search.of_subject(own, rows):
                if is_seen:  # what is printed stands where the bar is
                    subjects.clear()
                yield finding
    yield from search.of_places()


def _counted(found: Iterator[Finding], counts: Counter[str]) -> Iterator[Finding]:
    for finding in found:
        counts[finding.kind] += 1
        yield finding
