"""What commands share that change the database: who makes the change and why, and by which policies it is checked."""

from __future__ import annotations

import functools
import getpass
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from klausel.cli.database_options import database_option, explains_storage_errors
from klausel.cli.options import load_or_exit, model_option
from klausel.cli.policy_folder import policies_option
from klausel.core.policy.policy_set import PolicySet
from klausel.core.records.change_record import TEXT_CHARACTERS, Origin

MOST_SHOWN = 20
"""How many faults of a change a command shows."""


@dataclass(frozen=True)
class Change:
    """What the options of a command say about the change that it makes."""

    origin: Origin
    database: str
    policies: Path
    model: Path | None

    def policy(self) -> PolicySet:
        """The policies that it is checked by; exits with their problems where there are some."""
        return load_or_exit(self.policies, self.model).compiled.policy


def origin_here(by: str | None = None, reason: str | None = None, ticket: str | None = None) -> Origin:
    """The origin of a change by a command, with the user of the operating system; raises ValueError as Origin does."""
    try:
        user = getpass.getuser()[:TEXT_CHARACTERS]
    except (OSError, KeyError):
        user = None
    return Origin(by, reason, ticket, "cli", user)


def takes_origin(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say who makes a change, why, and where that was asked for; the command gets `origin`."""

    @click.option("--by", help="Who makes the change; the user of the operating system stands in the change log too.")
    @click.option("--reason", help="Why, for the change log.")
    @click.option("--ticket", help="Where that was asked for, for the change log.")
    @functools.wraps(command)
    def with_origin(*arguments: object, by: str | None, reason: str | None, ticket: str | None, **options: object) -> None:
        try:
            origin = origin_here(by, reason, ticket)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        command(*arguments, origin=origin, **options)

    return with_origin


def makes_change(command: Callable[..., None]) -> Callable[..., None]:
    """Adds these options, the policies and the database; the command gets `change`, and its storage errors are explained."""

    @takes_origin
    @policies_option
    @model_option
    @database_option
    @explains_storage_errors
    @functools.wraps(command)
    def with_change(
        *arguments: object, origin: Origin, policies: Path, model: Path | None, database: str, **options: object
    ) -> None:
        command(*arguments, change=Change(origin, database, policies, model), **options)

    return with_change
