"""The commands of `db`: the tables of the database, their version, who may use them, and what is done after a restore."""

from __future__ import annotations

import re

import click

from klausel.cli.change_options import takes_origin
from klausel.cli.command_group import CommandGroup
from klausel.cli.database_options import database_at, database_option, exit_without_file
from klausel.cli.options import fail
from klausel.cli.output import say, say_lines
from klausel.core.records.change_record import Origin
from klausel.storage.database_roles import DatabaseRoles, apply_grants, grants
from klausel.storage.provisioned.rows import add_indexes_of_provisioned
from klausel.storage.schema import begin_new_history, names_of_missing_indexes, schema_version, upgrade_database, why_not
from klausel.storage.sql.database import place_of, read_url
from klausel.storage.sql.tables import SCHEMA_VERSION


@click.group(cls=CommandGroup)
def db() -> None:
    """Look at the tables of the database, bring them up to date, give roles their rights, and tell it of a restore.

    \b
    Examples:
      klausel db check
      klausel db upgrade --database postgresql://localhost/klausel
      klausel db grants --database postgresql://admin@localhost/klausel
    """


@db.command()
@database_option
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
    with database_at(database) as engine:
        missing = names_of_missing_indexes(engine)
    if missing:
        them = "it" if len(missing) == 1 else "them"
        say(f"without {' and '.join(missing)} starts or searches are slow there; klausel db upgrade makes {them}")


@db.command()
@database_option
def upgrade(database: str) -> None:
    """Bring the tables to the version that this Klausel needs, or create them; all or nothing, and everything in them stays.

    No other command changes the tables of an older version. Services of that version cannot go on afterwards: stop them first,
    and make a backup, for there is no way back.

    \b
    Example:
      klausel db upgrade --database postgresql://localhost/klausel
    """
    before, place = upgrade_database(database), place_of(read_url(database))
    with database_at(database) as engine:
        add_indexes_of_provisioned(engine)
    if before == SCHEMA_VERSION:
        say(f"{place} has schema version {SCHEMA_VERSION} already")
    elif before is None:
        say(f"{place} has the tables of schema version {SCHEMA_VERSION} now")
    else:
        say(f"{place} had schema version {before}, and has {SCHEMA_VERSION} now")


@db.command()
@takes_origin
@database_option
def restored(database: str, origin: Origin) -> None:
    """Tell the database that an older backup was restored into it: revisions from before are refused from now on.

    A caller may hold the revision of a write that is lost. Without this it would look as if it was seen, once the database has
    had as many writes again. Services may run meanwhile, and forget whom they know; the change log gets a record without rows.
    Do the same after a standby took over without the last writes.

    \b
    Example:
      klausel db restored --by kim --reason "backup of Monday" --database postgresql://localhost/klausel
    """
    exit_without_file(database)
    with database_at(database) as engine:
        begin_new_history(engine, origin)
        say(f"{place_of(engine.url)} begins a new history: revisions from before are refused")


_ROLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}", re.ASCII)


def _check_name(context: click.Context, parameter: click.Parameter, name: str) -> str:
    if not _ROLE_NAME.fullmatch(name):
        raise click.BadParameter("write a name of up to 63 letters, digits, _ and -, which begins with a letter or _")
    return name


@db.command("grants")
@click.option("--owner", default="klausel_owner", callback=_check_name, show_default=True, help="Owns the tables.")
@click.option("--service", default="klausel_service", callback=_check_name, show_default=True, help="For services.")
@click.option(
    "--auditor", default="klausel_auditor", callback=_check_name, show_default=True, help="Only reads, for auditors."
)
@click.option("--apply", "applies", is_flag=True, help="Run the statements, all or nothing, instead of printing them.")
@database_option
def db_grants(database: str, owner: str, service: str, auditor: str, applies: bool) -> None:
    """Print the SQL that makes three roles of PostgreSQL and gives each the rights that it needs, and no others.

    A service decides and changes role assignments, but cannot change its change log or make API keys. Run it again after each
    db upgrade. The user of --database must be allowed to make roles and to give the tables away; passwords are yours to set.

    \b
    Examples:
      klausel db grants --database postgresql://admin@localhost/klausel | psql --set ON_ERROR_STOP=1 klausel
      klausel db grants --database postgresql://admin@localhost/klausel --apply
    """
    roles = DatabaseRoles(owner, service, auditor)
    if len({owner, service, auditor}) < len((owner, service, auditor)):
        fail("the three roles need three names; otherwise one would have the rights of another")
    with database_at(database) as engine:
        if applies:
            apply_grants(engine, roles)
            say(f"{owner}, {service} and {auditor} have their rights in {place_of(engine.url)} now")
        else:
            say_lines(["BEGIN;", *(f"{statement};" for statement in grants(engine, roles)), "COMMIT;"])
