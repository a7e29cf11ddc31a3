"""What commands share that read decision logs: which logs, how many processes, and lines that are no records."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import click

from klausel.cli.database_options import Command, assignments_at, database_option
from klausel.cli.options import accepted_models, at_option, fail, load_or_exit, model_option, read_policies
from klausel.cli.output import say
from klausel.cli.policy_folder import policies_option_alone
from klausel.cli.processes import work_on
from klausel.cli.progress import progress
from klausel.cli.setting_options import TextType
from klausel.core.records.recorded import BadRecord, Dropped, Recorded
from klausel.core.terms.moment import moment_text
from klausel.service.pipeline import LoadedPolicy, load_files
from klausel.storage.decision_log.files import STDIN, Block, UnreadableLog, blocks_of, records_in
from klausel.storage.decision_log.sinks import blocks_in_database

MOST_FAULTS_SHOWN = 10


Told = TypeVar("Told", bound="Addable")


class Addable(Protocol):
    """What counting gave, which that of a later part of the same logs is added to."""

    def add(self, other: Self, /) -> None:
        """Adds what a later part gave."""


@dataclass(frozen=True, slots=True)
class Counting(Generic[Told]):
    """How a process counts: each record with its file and line, decisions that were not recorded, and giving the count away."""

    count: Callable[[Recorded, str, int], None]
    drop: Callable[[int], None]
    take: Callable[[], Told]


class _Source(NamedTuple):
    """The policy set that a command was asked to use, for a worker process to read again."""

    policies: Path
    model: Path | None
    at: str | None
    files_digest: str
    accepted_models: tuple[str, ...]

    def load(self) -> LoadedPolicy:
        """The policy set; raises RuntimeError when it is another by now."""
        files = read_policies(self.policies, self.model, self.at)
        loaded = load_files(files, accepted_models=self.accepted_models)
        if loaded.files_digest != self.files_digest:
            raise RuntimeError("the policies have changed meanwhile; start again")
        return loaded


@dataclass(frozen=True, slots=True)
class LoggedDecisions:
    """Which logs a command reads, which period of them, and under which policies."""

    files: tuple[str, ...]
    from_database: bool
    processes: int
    policies: Path
    model: Path | None
    database: str
    at: str | None
    since: str | None
    until: str | None

    def counted(self, total: Told, begin: Callable[[LoadedPolicy, str | None, str | None], Counting[Told]]) -> Counted[Told]:
        """Adds up what all processes count; each begins with the policies and the period.

        Prints the lines that are no records. Exits with 1 where the policies do not load.
        """
        loaded = load_or_exit(self.policies, self.model, at=self.at)
        source = _Source(self.policies, self.model, self.at, loaded.files_digest, accepted_models())
        blocks = blocks_to_read(self.files, self.from_database, self.database)
        number = processes_for(self.files, self.from_database, self.processes)
        faults = Faults()
        for part, faults_there in work_on(blocks, _counting, (source, begin, self.since, self.until), number):
            total.add(part)
            faults.join(faults_there)
        faults.show()
        return Counted(loaded, total, faults.number)


class Counted(NamedTuple, Generic[Told]):
    """What was counted, under which policies, and how many lines were no records."""

    loaded: LoadedPolicy
    told: Told
    faults: int


def _counting(
    source: _Source, begin: Callable[..., Counting[Told]], since: str | None, until: str | None
) -> Callable[[Block], tuple[Told, Faults]]:
    counting = begin(source.load(), since, until)

    def count(block: Block) -> tuple[Told, Faults]:
        faults = sort_records(block, counting.count, counting.drop)
        return counting.take(), faults

    return count


class _Time(TextType):
    """A moment in UTC, in the form of the records."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f'"{value}" is no time; write it as 2026-03-01 or 2026-03-01T12:00:00Z', param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment_text((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))


@dataclass(slots=True)
class Faults:
    """Lines that are no records: what is said of the first ones, and how many there are."""

    first: list[str] = field(default_factory=list)
    number: int = 0

    def add(self, file: str, line: int, error: BadRecord) -> None:
        """Adds a line."""
        self.join(Faults([f"{file}:{line}: error: the line {error}; it is passed over"], 1))

    def join(self, later: Faults) -> None:
        """Adds those of a later part."""
        self.first += later.first[: MOST_FAULTS_SHOWN - len(self.first)]
        self.number += later.number

    def show(self) -> None:
        """Prints the first ones, and how many more there were."""
        for message in self.first:
            say(message, err=True)
        if self.number > MOST_FAULTS_SHOWN:
            say(f"and {self.number - MOST_FAULTS_SHOWN} more lines that are no records", err=True)


_since_option = click.option(
    "--since", type=_Time(), metavar="TIME", help="Only decisions from then on, in UTC: 2026-03-01."
)
_until_option = click.option("--until", type=_Time(), metavar="TIME", help="Only decisions before then.")


def reads_logs(command: Command) -> Command:
    """Adds the arguments that say which logs are read, under which policies, by how many processes; they reach it as `asked`."""

    @functools.wraps(command)
    def gathered(**options: Any) -> object:
        asked = LoggedDecisions(**{of.name: options.pop(of.name) for of in dataclasses.fields(LoggedDecisions)})
        return command(asked=asked, **options)

    decorated: Any = gathered
    for decorate in (
        _until_option,
        _since_option,
        click.option("--from-database", is_flag=True, help="Read the records that are in the database, too."),
        click.option(
            "--processes",
            type=click.IntRange(1, 64),
            default=max(os.cpu_count() or 1, 1),
            help="Processes that work at once.  [default: one for each core]",
        ),
        click.argument("files", nargs=-1, metavar="[DECISIONS.jsonl]..."),
        at_option,
        policies_option_alone,
        model_option,
        database_option,
    ):
        decorated = decorate(decorated)
    return decorated  # type: ignore[no-any-return]


def in_period(command: Command) -> Command:
    """Adds the options that keep to the records of a period; times come in the form of the records."""
    return _since_option(_until_option(command))


def blocks_to_read(files: tuple[str, ...], from_database: bool, database: str) -> Iterator[Block]:
    """All lines that a command was asked to read, with a progress bar on a terminal; exits with 1 for a file that it cannot."""
    if not files and not from_database:
        raise click.UsageError("name a decision log, - for standard input, or give --from-database")
    plain = [Path(name) for name in files if name != STDIN and not name.endswith(".gz")]
    total = sum(path.stat().st_size for path in plain if path.is_file())
    whole = total if len(plain) == len(files) and not from_database else None
    with progress(total=whole, unit="B") as bar:
        try:
            for block in blocks_of(files):
                yield block
                bar.update(len(block.data))
        except UnreadableLog as error:
            fail(str(error))
        if from_database:
            with assignments_at(database) as store:
                for block in blocks_in_database(store.engine):
                    yield block
                    bar.update(len(block.data))


def processes_for(files: tuple[str, ...], from_database: bool, processes: int) -> int:
    """One for a log in the database, and for one so small that others would not be started before it is read."""
    sizes = [Path(name).stat().st_size for name in files if Path(name).is_file()]
    is_small = len(sizes) == len(files) and sum(sizes) < SMALL_BYTES and not any(name.endswith(".gz") for name in files)
    return 1 if is_small or from_database else processes


SMALL_BYTES = 16 * 1024 * 1024


def sort_records(block: Block, count: Callable[[Recorded, str, int], None], count_dropped: Callable[[int], None]) -> Faults:
    """Hands each record of a block, with its place, and each number of dropped ones to who counts them; returns the rest."""
    faults = Faults()
    for line, record in records_in(block):
        if isinstance(record, BadRecord):
            faults.add(block.file, line, record)
        elif isinstance(record, Dropped):
            count_dropped(record.number)
        else:
            count(record, block.file, line)
    return faults
