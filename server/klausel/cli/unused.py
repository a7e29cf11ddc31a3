"""The command `unused`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import click

from klausel.cli.formats import format_option
from klausel.cli.log_reading import (
    Counting,
    LoggedDecisions,
    reads_logs,
)
from klausel.cli.options import say_other_model, with_other_model
from klausel.cli.output import say, say_json, say_lines
from klausel.core.analysis.table import csv_line
from klausel.core.policy.policy_set import PolicySet
from klausel.core.replay.unused import (
    Usage,
    UsageCounter,
    actions_never_asked,
    grants_gone,
    roles_used_by_inheritance_alone,
    unused_grants,
    unused_roles,
    usage_as_json,
)
from klausel.service.pipeline import LoadedPolicy

SHORT_DAYS = 90


def _write_text(loaded: LoadedPolicy, usage: Usage, warnings: Sequence[str]) -> None:
    say_other_model(loaded)
    say_lines(_lines(loaded.compiled.policy, usage))
    _say_warnings(warnings)


def _write_json(loaded: LoadedPolicy, usage: Usage, warnings: Sequence[str]) -> None:
    told = usage_as_json(loaded.compiled.policy, usage)
    say_json(with_other_model(loaded, {"policy": loaded.files_digest, "warnings": warnings, **told}), indent=2)


def _write_csv(loaded: LoadedPolicy, usage: Usage, warnings: Sequence[str]) -> None:
    say("kind,name,source,assigned_uses,inherited_uses")
    for row in _rows(loaded.compiled.policy, usage):
        say(csv_line("" if cell is None else str(cell) for cell in row))
    _say_warnings(warnings)


def _say_warnings(warnings: Sequence[str]) -> None:
    say_lines((f"warning: {warning}" for warning in warnings), err=True)


@click.command()
@reads_logs
@format_option({"text": _write_text, "json": _write_json, "csv": _write_csv})
def unused(asked: LoggedDecisions, write: Callable[[LoadedPolicy, Usage, Sequence[str]], None]) -> None:
    """List the grants and roles that no recorded decision needed, and the actions that nobody asked about.

    A grant is used when it decided, a role when it gave somebody an allow. Questions to `explain` do not count. Grants are
    told apart by what they say, not by where they stand.

    \b
    Examples:
      klausel unused decisions.jsonl* --since 2026-01-01
      klausel unused decisions.jsonl --format csv > review.csv
    """
    loaded, usage, faults = asked.counted(Usage(), _counting)
    write(loaded, usage, list(_warnings(usage, asked.since, faults)))


def _counting(loaded: LoadedPolicy, since: str | None, until: str | None) -> Counting[Usage]:
    counter = UsageCounter(loaded.compiled.policy, since, until)
    return Counting(lambda record, file, line: counter.count(record), counter.drop, counter.take)


def _warnings(usage: Usage, since: str | None, number_of_faults: int) -> Iterator[str]:
    """Why what is listed may have been used all the same."""
    if usage.decisions == 0:
        yield "there is no decision in the period, so everything is listed"
        return
    assert usage.first is not None and usage.last is not None
    days = (datetime.fromisoformat(usage.last) - datetime.fromisoformat(usage.first)).total_seconds() / 86_400
    if days < SHORT_DAYS:
        yield f"the log covers {days:.1f} days; what is needed once a quarter or once a year may not be in it"
    if since is not None and usage.first > since and usage.outside == 0:
        yield f"the log starts at {usage.first}, after the period does"
    if usage.sampled:
        yield f"{usage.sampled:,} records come from a log that leaves out allows, so some uses are not in it"
    if usage.dropped:
        yield f"{usage.dropped:,} decisions were not recorded"
    if number_of_faults:
        yield f"{number_of_faults:,} lines are no records"


def _rows(policy: PolicySet, usage: Usage) -> Iterator[tuple[object, ...]]:
    for grant in unused_grants(policy, usage):
        yield "unused grant", str(grant), grant.source, 0, 0
    for role in unused_roles(policy, usage):
        yield "unused role", role, policy.roles.roles[role].place.source, 0, 0
    for role in roles_used_by_inheritance_alone(policy, usage):
        yield "role used by inheritance alone", role, policy.roles.roles[role].place.source, 0, usage.inherited[role]
    for type_, action in actions_never_asked(policy, usage):
        yield "action never asked", f"{action} {type_}", policy.resource_types[type_].place.source, 0, 0


def _lines(policy: PolicySet, usage: Usage) -> Iterator[str]:
    kind = None
    for row in _rows(policy, usage):
        if row[0] != kind:
            kind = row[0]
            yield f"{kind}:"
        yield f"  {row[2]}: {row[1]}"
    grants, roles = len(unused_grants(policy, usage)), len(unused_roles(policy, usage))
    period = f" from {usage.first} to {usage.last}" if usage.decisions else ""
    yield (
        f"{usage.decisions:,} decisions{period}: {grants} of {len(policy.grants)} grants and "
        f"{roles} of {len(policy.roles.roles)} roles unused"
    )
    gone = list(grants_gone(policy, usage))
    if gone:
        yield f"{len(gone)} grants decided that are not in these policies any more"
