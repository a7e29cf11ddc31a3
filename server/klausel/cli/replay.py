"""The command `replay`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import click

from klausel.cli.formats import format_option
from klausel.cli.log_reading import (
    Faults,
    Source,
    blocks_to_read,
    in_period,
    processes_for,
    reads_logs,
    sort_records,
)
from klausel.cli.options import EXIT_PROBLEMS, accepted_models, load_or_exit, say_other_model, with_other_model
from klausel.cli.output import say, say_json
from klausel.cli.processes import work_on
from klausel.core.records.recorded import Recorded
from klausel.core.records.wanted_records import is_in_period
from klausel.core.replay.flips import Cause, FlipCounter, FlipTally, cause_in_words, tally_as_json
from klausel.core.replay.replay import Replay
from klausel.service.pipeline import LoadedPolicy
from klausel.storage.decision_log.files import Block

_WORDS = {"more": "deny → allow", "less": "allow → deny"}


class _Part(NamedTuple):
    """What one block gave."""

    tally: FlipTally
    faults: Faults


def _write_text(found: _Part, loaded: LoadedPolicy) -> None:
    say_other_model(loaded)
    for line in _lines(found, loaded):
        say(line)


def _write_json(found: _Part, loaded: LoadedPolicy) -> None:
    policy: dict[str, object] = {"digest": loaded.files_digest}
    if loaded.commit is not None:
        policy |= {"commit": loaded.commit.id, "dirty": loaded.commit.dirty}
    told = tally_as_json(found.tally, loaded.compiled.policy.grants)
    answer = {"policy": policy, **told, "lines_that_are_no_records": found.faults.number}
    say_json(with_other_model(loaded, answer), indent=2)


@click.command()
@reads_logs
@in_period
@format_option({"text": _write_text, "json": _write_json})
@click.option(
    "--fail-on", type=click.Choice(["any", "more", "less"]), help="Exit with 1 when a decision flips so: to allow, to deny."
)
def replay(
    files: tuple[str, ...],
    from_database: bool,
    processes: int,
    policies: Path,
    model: Path | None,
    database: str,
    at: str | None,
    since: str | None,
    until: str | None,
    write: Callable[[_Part, LoadedPolicy], None],
    fail_on: str | None,
) -> None:
    """Decide every recorded decision again under other policies, and say what flips and why.

    The role assignments are those of the records, not of today. A record that does not hold what the policies would need,
    such as a masked value that a condition reads, is counted apart. Files that end with .gz are read as they are.

    \b
    Examples:
      klausel replay decisions.jsonl
      klausel replay decisions.jsonl* --at feature/quizzes --fail-on more
      klausel replay decisions.jsonl* --since 2026-03-01 --until 2026-04-01
    """
    loaded = load_or_exit(policies, model, at=at)
    source = Source(policies, model, at, loaded.files_digest, accepted_models())
    found = _Part(FlipTally(), Faults())
    blocks = blocks_to_read(files, from_database, database)
    number = processes_for(files, from_database, processes)
    for part in work_on(blocks, _Worker.work, _Worker.start, (source, since, until), number):
        found.tally.add(part.tally)
        found.faults.join(part.faults)
    found.faults.show()
    write(found, loaded)
    raise SystemExit(EXIT_PROBLEMS if _fails(found.tally, fail_on) else 0)


class _Worker:
    """What a process holds."""

    counter: ClassVar[FlipCounter]
    period: ClassVar[tuple[str | None, str | None]]

    @classmethod
    def start(cls, source: Source, since: str | None, until: str | None) -> None:
        cls.period = since, until
        compiled = source.load().compiled
        cls.counter = FlipCounter(compiled.policy, Replay(compiled.policy, compiled))

    @classmethod
    def work(cls, block: Block) -> _Part:
        counter = cls.counter

        def count(record: Recorded, line: int) -> None:
            if is_in_period(record.time, *cls.period):
                counter.count(record, block.file, line)

        def count_dropped(number: int) -> None:
            counter.tally.dropped += number

        faults = sort_records(block, count, count_dropped)
        return _Part(counter.take(), faults)


def _fails(tally: FlipTally, fail_on: str | None) -> bool:
    return bool(
        (fail_on in ("any", "more") and tally.count_of("more")) or (fail_on in ("any", "less") and tally.count_of("less"))
    )


def _lines(found: _Part, loaded: LoadedPolicy) -> Iterator[str]:
    tally = found.tally
    for cause, flips in tally.in_order():
        estimate = f" (about {flips.estimated:,.0f} without sampling)" if round(flips.estimated) > flips.count else ""
        yield f"{_WORDS[cause.direction]}  {flips.count:,}{estimate}  {_words(cause, tally, loaded)}"
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


def _words(cause: Cause, tally: FlipTally, loaded: LoadedPolicy) -> str:
    return cause_in_words(cause, tally.grants, loaded.compiled.policy.grants)
