"""The command `replay`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click

from klausel.cli.formats import format_option
from klausel.cli.log_reading import (
    Counted,
    Counting,
    LoggedDecisions,
    reads_logs,
)
from klausel.cli.options import EXIT_PROBLEMS, say_other_model, with_other_model
from klausel.cli.output import say_json, say_lines
from klausel.core.records.recorded import Recorded
from klausel.core.records.wanted_records import is_in_period
from klausel.core.replay.flips import FlipCounter, FlipTally, cause_in_words, tally_as_json
from klausel.core.replay.replay import Replay
from klausel.service.pipeline import LoadedPolicy

_WORDS = {"more": "deny → allow", "less": "allow → deny"}


_Found = Counted[FlipTally]


def _write_text(found: _Found) -> None:
    say_other_model(found.loaded)
    say_lines(_lines(found.told, found.loaded))


def _write_json(found: _Found) -> None:
    loaded, tally, faults = found
    told = tally_as_json(tally, loaded.compiled.policy.grants)
    answer = {"policy": loaded.version, **told, "lines_that_are_no_records": faults}
    say_json(with_other_model(loaded, answer), indent=2)


@click.command()
@reads_logs
@format_option({"text": _write_text, "json": _write_json})
@click.option(
    "--fail-on", type=click.Choice(["any", "more", "less"]), help="Exit with 1 when a decision flips so: to allow, to deny."
)
def replay(asked: LoggedDecisions, write: Callable[[_Found], None], fail_on: str | None) -> None:
    """Decide every recorded decision again under other policies, and say what flips and why.

    The role assignments are those of the records, not of today. A record that does not hold what the policies would need,
    such as a masked value that a condition reads, is counted apart. Files that end with .gz are read as they are.

    \b
    Examples:
      klausel replay decisions.jsonl
      klausel replay decisions.jsonl* --at feature/quizzes --fail-on more
      klausel replay decisions.jsonl* --since 2026-03-01 --until 2026-04-01
    """
    found = asked.counted(FlipTally(), _counting)
    write(found)
    raise SystemExit(EXIT_PROBLEMS if _fails(found.told, fail_on) else 0)


def _counting(loaded: LoadedPolicy, since: str | None, until: str | None) -> Counting[FlipTally]:
    policy = loaded.compiled.policy
    counter = FlipCounter(policy, Replay(policy, loaded.compiled))

    def count(record: Recorded, file: str, line: int) -> None:
        if is_in_period(record.time, since, until):
            counter.count(record, file, line)

    return Counting(count, counter.drop, counter.take)


def _fails(tally: FlipTally, fail_on: str | None) -> bool:
    return bool(
        (fail_on in ("any", "more") and tally.count_of("more")) or (fail_on in ("any", "less") and tally.count_of("less"))
    )


def _lines(tally: FlipTally, loaded: LoadedPolicy) -> Iterator[str]:
    for cause, flips in tally.in_order():
        estimate = f" (about {flips.estimated:,.0f} without sampling)" if round(flips.estimated) > flips.count else ""
        words = cause_in_words(cause, tally.grants, loaded.compiled.policy.grants)
        yield f"{_WORDS[cause.direction]}  {flips.count:,}{estimate}  {words}"
        for example in flips.examples:
            yield f"    {example.place}: {example.time} {example.question}"
    for why, count in tally.not_known.most_common():
        yield f"not known  {count:,}  {why}"
    commit = f", commit {loaded.commit.id[:12]}" if loaded.commit else ""
    yield (
        f"{tally.replayed:,} decisions replayed under {loaded.files_digest[:19]}{commit}: {tally.same:,} as before, "
        f"{tally.count_of('more'):,} allowed now, {tally.count_of('less'):,} denied now, {tally.not_known.total():,} not known"
    )
    if tally.dropped:
        yield f"the log says that {tally.dropped:,} more decisions were not recorded"
