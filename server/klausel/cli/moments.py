"""Moments on the command line."""

from __future__ import annotations

import click

from klausel.core.moment import read_moment


def moment_of(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """A callback for options: a date, or a date with a time, as microseconds since 1970; a usage error for others."""
    try:
        return None if value is None else read_moment(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None
