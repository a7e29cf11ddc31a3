"""The commands `db check` and `db upgrade`: the tables of the database, their version and bringing them up to date."""

from __future__ import annotations

import click

from klausel.cli.command_group import CommandGroup
from klausel.cli.database_options import database_option, exit_without_file, explains_storage_errors
from klausel.cli.options import fail
from klausel.cli.output import say
from klausel.storage.schema import schema_version, upgrade_database, why_not
from klausel.storage.sql.database import place_of, read_url
from klausel.storage.sql.tables import SCHEMA_VERSION


@click.group(cls=CommandGroup)
def db() -> None:
    """Look at the tables of the database, and bring them up to date.

    \b
    Examples:
      klausel db check
      klausel db upgrade --database postgresql://localhost/klausel
    """


@db.command()
@database_option
@explains_storage_errors
def check(database: str) -> None:
    """Tell whether the tables are of the version that this Klausel needs; changes nothing. Exit code 1 when they are not.

    \b
    Example:
      klausel db check --database postgresql://localhost/klausel
    """
    exit_without_file(database)
    place, found = place_of(read_url(database)), schema_version(database)
    if found != SCHEMA_VERSION:
        fail(f"{place} {why_not(found)}")
    say(f"{place} has schema version {found}, which this version of Klausel needs")


@db.command()
@database_option
@explains_storage_errors
def upgrade(database: str) -> None:
    """Bring the tables to the version that this Klausel needs, or create them; all or nothing, and everything in them stays.

    No other command changes the tables of an older version. Services of that version cannot go on afterwards: stop them first,
    and make a backup, for there is no way back.

    \b
    Example:
      klausel db upgrade --database postgresql://localhost/klausel
    """
    before, place = upgrade_database(database), place_of(read_url(database))
    if before == SCHEMA_VERSION:
        say(f"{place} has schema version {SCHEMA_VERSION} already")
    elif before is None:
        say(f"{place} has the tables of schema version {SCHEMA_VERSION} now")
    else:
        say(f"{place} had schema version {before}, and has {SCHEMA_VERSION} now")
