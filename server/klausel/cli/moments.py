"""Moments on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import click

from klausel.cli.options import asks_a_moment, fail
from klausel.cli.output import say
from klausel.core.terms.moment import moment_text, read_instant, read_moment

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from klausel.service.pipeline import LoadedPolicy
    from klausel.storage.change_log.reader import LogReader, MomentInLog

Read = TypeVar("Read")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _read_by(read: Callable[[str], Read]) -> Callable[[click.Context, click.Parameter, str | None], Read | None]:
    """A callback for options that are left out or read so; a usage error for what is not."""

    def read_value(context: click.Context, parameter: click.Parameter, value: str | None) -> Read | None:
        try:
            return None if value is None else read(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from None

    return read_value


moment_of = _read_by(read_moment)
"""A callback for options: a date, or a date with a time, as microseconds since 1970."""
instant_of = _read_by(read_instant)
"""A callback for options: an instant in its stored form."""
_DURATION = re.compile(r"([1-9]\d{0,4})([dhm])", re.ASCII)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60}


def _read_duration(text: str) -> int:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text}" is no duration; write 30d, 12h or 90m')
    return int(found[1]) * _SECONDS[found[2]]


duration_of = _read_by(_read_duration)
"""A callback for options: days, hours or minutes, such as `30d`, as seconds."""


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


def say_as_of(loaded: LoadedPolicy, at: str | None, moment: int | None) -> None:
    """Says on standard error which policies and role assignments an answer is about, where they are not those of now.

    Which commit a moment `at` stands for has been said where the policies were read, and is not said again.
    """
    people = f"role assignments as of {'now' if moment is None else moment_text(moment)}"
    if at is not None and loaded.commit is not None and not asks_a_moment(at):
        say(f"klausel: policies as of commit {loaded.commit.id[:12]}, {people}", err=True)
    elif at is not None or moment is not None:
        say(f"klausel: {people}", err=True)
