"""Commands about the log of decisions: whether it is whole, signing it, and finding records in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import click

from klausel.cli.checkpoint_options import checkpoint_options, checkpoints_given, key_and_earlier, key_option, sign
from klausel.cli.command_group import CommandGroup
from klausel.cli.database_options import database_option
from klausel.cli.formats import format_option
from klausel.cli.log_reading import blocks_to_read, in_period
from klausel.cli.options import EXIT_PROBLEMS, fail
from klausel.cli.output import say, say_json, say_lines
from klausel.core.records.decision_chain import ChainFault, ChainOfFile, join_files
from klausel.core.records.wanted_records import WantedRecords, member_of, question_of
from klausel.core.terms.counted import plural
from klausel.storage.decision_log.files import Block, good_values_of

MOST_SHOWN = 1000


@click.group(cls=CommandGroup)
def decisions() -> None:
    """The log of decisions: whether anybody changed it, and what was decided for whom.

    \b
    Examples:
      klausel decisions verify decisions.jsonl*
      klausel decisions find decisions.jsonl* --person user:leo --outcome deny
    """


@dataclass(slots=True)
class _Verdict:
    """What was found in all files."""

    files: list[ChainOfFile]
    faults: list[ChainFault]
    number: int

    @property
    def records(self) -> int:
        """How many records are sealed."""
        return sum(file.records for file in self.files)

    @property
    def last(self) -> ChainOfFile | None:
        """The file with the last record."""
        return max((one for one in self.files if one.last), key=lambda one: one.last.last if one.last else 0, default=None)


def _write_verdict(verdict: _Verdict, signed: int) -> None:
    say_lines(verdict.faults, err=True)
    if verdict.number > len(verdict.faults):
        say(f"and {verdict.number - len(verdict.faults)} more", err=True)
    for file in verdict.files:
        if file.recovered:
            say(f"{file.name}: {file.recovered} bytes of a process that was killed were sealed by the next", err=True)
    outcome = _counted(verdict.number, "fault") if verdict.number else "the log is whole"
    last = verdict.last.last if verdict.last is not None else None
    seen = ((verdict.records, "record"), (len(verdict.files), "file"), (signed, "checkpoint"))
    end = f"; the last is {last.last}, {last.hash}" if last is not None else ""
    say(f"{', '.join(_counted(*one) for one in seen)}: {outcome}{end}")


def _write_verdict_as_json(verdict: _Verdict, signed: int) -> None:
    last = verdict.last.last if verdict.last is not None else None
    files = [
        {
            "file": one.name,
            "chain": one.first.chain if one.first else None,
            "first": one.first.first if one.first else None,
            "last": one.last.last if one.last else None,
            "records": one.records,
            "unchained": one.unchained,
            "recovered_bytes": one.recovered,
        }
        for one in verdict.files
    ]
    say_json(
        {
            "whole": not verdict.number,
            "records": verdict.records,
            "checkpoints": signed,
            "last": None if last is None else {"number": last.last, "hash": last.hash},
            "files": files,
            "faults": [{"place": one.place, "kind": one.kind, "message": one.message} for one in verdict.faults],
            "number_of_faults": verdict.number,
        },
        indent=2,
    )


def _counted(count: int, name: str) -> str:
    return f"{count:,} {plural(count, name)}"


@decisions.command()
@click.argument("files", nargs=-1, required=True, metavar="DECISIONS.jsonl...")
@checkpoint_options
@click.option("--begins-later", is_flag=True, help="Files before the first one given were removed on purpose.")
@format_option({"text": _write_verdict, "json": _write_verdict_as_json})
def verify(
    files: tuple[str, ...],
    checkpoints: Path | None,
    public_key: Path | None,
    begins_later: bool,
    write: Callable[[_Verdict, int], None],
) -> None:
    """Find every line of a decision log that was edited, removed, inserted or moved, and files that are missing.

    Give all files of the log, in any order, also those that end with .gz. Whoever can write all of them can make another log
    with good hashes, or cut off its end; a checkpoint alone finds that. Exit code 1 when anything is wrong.

    \b
    Examples:
      klausel decisions verify decisions.jsonl*
      klausel decisions verify decisions.jsonl* --checkpoints decisions.checkpoints --public-key audit.key.pub
    """
    good, broken = checkpoints_given(checkpoints, public_key)
    signed = {one.hash: one.number for one in good}
    verdict = _verified(files, signed, not begins_later)
    verdict.faults[:0] = [ChainFault("the checkpoints", "checkpoint", message) for message in broken]
    verdict.number += len(broken)
    write(verdict, len(signed))
    raise SystemExit(EXIT_PROBLEMS if verdict.number else 0)


def _verified(files: Sequence[str], signed: dict[str, int], is_whole: bool) -> _Verdict:
    found = [ChainOfFile(name, signed) for name in dict.fromkeys(files)]
    verdict = _Verdict(found, [], 0)

    def take(faults: Iterator[ChainFault]) -> None:
        for fault in faults:
            verdict.number += 1
            if len(verdict.faults) < MOST_SHOWN:
                verdict.faults.append(fault)

    for file in found:
        for block in blocks_to_read((file.name,), False, ""):
            for number, line in enumerate(_lines_of(block.data), start=block.first_line):
                take(file.look_at(number, line))
        take(file.end())
    take(join_files(found, signed, is_whole))
    return verdict


def _lines_of(data: bytes) -> Iterator[bytes]:
    """Each line with its newline; the last may have none."""
    *whole, rest = data.split(b"\n")
    yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


@decisions.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("files", nargs=-1, required=True, metavar="DECISIONS.jsonl...")
@key_option
@click.option("--begins-later", is_flag=True, help="Files before the first one given were removed on purpose.")
def checkpoint(file: Path, files: tuple[str, ...], key_file: Path, begins_later: bool) -> None:
    """Sign the last record of a decision log and append that to FILE, to be kept where nobody can write the log.

    The log is verified first, with the checkpoints that FILE has; nothing is signed when anything is wrong.

    \b
    Example:
      klausel decisions checkpoint decisions.checkpoints decisions.jsonl* --key audit.key
    """
    private, earlier = key_and_earlier(file, key_file)
    verdict = _verified(files, {one.hash: one.number for one in earlier}, not begins_later)
    last = verdict.last.last if verdict.last is not None else None
    if verdict.number or last is None:
        say_lines(verdict.faults, err=True)
        fail("the log is not whole, so nothing was signed")
    sign(file, last.last, last.hash, private)


def _write_found(place: str, record: Mapping[str, object]) -> None:
    grant = member_of(record, "grant")
    word = "ALLOW" if record["decision"] is True else "DENY"
    why = f"{grant.get('source')}: {grant.get('text')}" if grant else str(record.get("failure") or "no grant allows it")
    say(f"{place}  {record.get('time')}  {word}  {question_of(record)}  {why}  request {record.get('request_id')}")


def _write_found_as_json(place: str, record: Mapping[str, object]) -> None:
    say_json({"place": place, **{name: value for name, value in record.items() if name != "sealed"}})


@decisions.command()
@click.argument("files", nargs=-1, metavar="[DECISIONS.jsonl]...")
@click.option("--from-database", is_flag=True, help="Look among the records in the database, too.")
@click.option("--person", metavar="SUBJECT", help="Asked about this one, such as user:leo.")
@click.option("--action", help="Asked for this action.")
@click.option("--resource", metavar="TYPE[:ID]", help="About resources of this type, or about this one.")
@click.option("--outcome", type=click.Choice(["allow", "deny"]), help="Decided so.")
@click.option("--request-id", help="Of the request with this X-Request-ID.")
@click.option("--record-id", help="With this id, as an answer gave it in X-Klausel-Record.")
@click.option("--limit", type=click.IntRange(1), help="At most so many records.")
@in_period
@format_option({"text": _write_found, "json": _write_found_as_json})
@database_option
def find(
    files: tuple[str, ...],
    from_database: bool,
    database: str,
    limit: int | None,
    write: Callable[[str, Mapping[str, object]], None],
    **wanted: str | None,
) -> None:
    """Print the records of decisions that meet every option, one a line, with the place to explain them by.

    \b
    Examples:
      klausel decisions find decisions.jsonl* --person user:leo --action edit --since 2026-03-01
      klausel decisions find decisions.jsonl --request-id march-1 --format json
    """
    found = _found_in(blocks_to_read(files, from_database, database), WantedRecords(**wanted))
    for place, record in islice(found, limit):
        write(place, record)


def _found_in(blocks: Iterable[Block], wanted: WantedRecords) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The records that are wanted, each with its place; most lines are told by their bytes alone not to hold one."""
    needles = wanted.needles()
    for block in blocks:
        if not all(needle in block.data for needle in needles):
            continue
        for number, line in enumerate(block.data.split(b"\n"), start=block.first_line):
            if not line or not all(needle in line for needle in needles):
                continue
            records = good_values_of(line)
            for position, record in enumerate(records, start=1):
                if wanted.is_met_by(record):
                    yield f"{block.file}:{number}" + (f":{position}" if len(records) > 1 else ""), record
