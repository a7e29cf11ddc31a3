"""Moments on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from klausel.cli.options import asks_a_moment, fail
from klausel.cli.output import say
from klausel.core.terms.moment import moment_text, read_instant, read_moment

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from klausel.storage.change_log.reader import LogReader, MomentInLog

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_of(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """A callback for options: a date, or a date with a time, as microseconds since 1970; a usage error for others."""
    try:
        return None if value is None else read_moment(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


_DURATION = re.compile(r"([1-9]\d{0,4})([dhm])", re.ASCII)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60}


def duration_of(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """A callback for options: days, hours or minutes, such as `30d`, as seconds; a usage error for others."""
    if value is None:
        return None
    found = _DURATION.fullmatch(value)
    if found is None:
        raise click.BadParameter(f'"{value}" is no duration; write 30d, 12h or 90m', context, parameter)
    return int(found[1]) * _SECONDS[found[2]]


def instant_of(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A callback for options: an instant in its stored form; a usage error for others."""
    try:
        return None if value is None else read_instant(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


people_at_option = click.option(
    "--people-at",
    "moment",
    callback=moment_of,
    metavar="MOMENT",
    help="By the role assignments as they were at this moment; a date alone is its first moment in UTC.",
)


now_option = click.option(
    "--now",
    callback=moment_of,
    metavar="MOMENT",
    help="The time that conditions take for the present, context.now; the clock's unless said.",
)


def time_of_question(now: int | None, people_at: int | None) -> datetime:
    """The time of a question: that of --now, else that of --people-at, else the clock's."""
    said = people_at if now is None else now
    return datetime.now(UTC) if said is None else _EPOCH + timedelta(microseconds=said)


def moment_in_log(engine: Engine, moment: int) -> tuple[LogReader, MomentInLog]:
    """The change log of a database, and a moment in it; exits with 1 where the log begins later."""
    from klausel.storage.change_log.reader import BeforeTheLog, LogReader  # only who asks about then waits for it

    reader = LogReader(engine)
    try:
        return reader, reader.at(moment)
    except BeforeTheLog as error:
        fail(str(error))


def say_as_of(at: str | None, commit: str | None, moment: int | None) -> None:
    """Says on standard error which policies and role assignments an answer is about, where they are not those of now.

    Which commit a moment `at` stands for has been said where the policies were read, and is not said again.
    """
    people = f"role assignments as of {'now' if moment is None else moment_text(moment)}"
    if at is not None and commit is not None and not asks_a_moment(at):
        say(f"klausel: policies as of commit {commit[:12]}, {people}", err=True)
    elif at is not None or moment is not None:
        say(f"klausel: {people}", err=True)
