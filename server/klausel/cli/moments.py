"""Moments on the command line."""

from __future__ import annotations

import click
from sqlalchemy import Engine

from klausel.cli.options import fail
from klausel.cli.output import say
from klausel.core.terms.moment import moment_text, read_moment
from klausel.storage.change_log.reader import BeforeTheLog, LogReader, MomentInLog


def moment_of(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """A callback for options: a date, or a date with a time, as microseconds since 1970; a usage error for others."""
    try:
        return None if value is None else read_moment(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


people_at_option = click.option(
    "--people-at",
    "moment",
    callback=moment_of,
    metavar="MOMENT",
    help="By the role assignments as they were at this moment; a date alone is its first moment in UTC.",
)


def moment_in_log(engine: Engine, moment: int) -> tuple[LogReader, MomentInLog]:
    """The change log of a database, and a moment in it; exits with 1 where the log begins later."""
    reader = LogReader(engine)
    try:
        return reader, reader.at(moment)
    except BeforeTheLog as error:
        fail(str(error))


def say_as_of(commit: str | None, moment: int | None) -> None:
    """Says on standard error which policies and role assignments an answer is about, where they are not those of now."""
    people = f"role assignments as of {'now' if moment is None else moment_text(moment)}"
    if commit is not None:
        say(f"klausel: policies as of commit {commit[:12]}, {people}", err=True)
    elif moment is not None:
        say(f"klausel: {people}", err=True)
