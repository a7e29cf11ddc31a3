"""What commands share that use the database of role assignments; what opens one is imported where it is opened."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from click.core import ParameterSource

from klausel.cli.options import fail
from klausel.cli.policy_folder import beside_found_policies
from klausel.cli.setting_options import setting_option
from klausel.enforcer.installation import InstallationError, check_installation
from klausel.settings import Settings
from klausel.storage.sql.access import StorageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from klausel.storage.assignments.store import AssignmentStore

Command = TypeVar("Command", bound=Callable[..., object])

_IN_THIS_FOLDER = "sqlite:///"


def _beside_the_policies(context: click.Context, parameter: click.Parameter, url: str) -> str:
    """The database in the folder of the policies that were found above; elsewhere the URL as it is."""
    if context.get_parameter_source("database") is not ParameterSource.DEFAULT:
        return url
    folder = beside_found_policies(context)
    return url if folder == Path() else f"{_IN_THIS_FOLDER}{folder.as_posix()}/{url.removeprefix(_IN_THIS_FOLDER)}"


database_option_alone = setting_option("database", callback=_beside_the_policies)


def database_option(command: Command) -> Command:
    """The option --database; when the database or the installation cannot be used, the command says so and exits with 1."""
    return database_option_alone(explains_storage_errors(command))


def check_listen_url(settings: Settings) -> None:
    """Raises `click.BadParameter` where there is nothing to listen to."""
    if settings.listen_url is None:
        return
    from klausel.storage.sql.database import read_url

    if any(read_url(url).drivername != "postgresql+psycopg" for url in (settings.database, settings.listen_url)):
        raise click.BadParameter("only changes in PostgreSQL are listened for; leave it out", param_hint="--listen-url")


@contextmanager
def database_at(url: str, creates: bool = False) -> Iterator[Engine]:
    """The database at a URL, as it is: exits with 1 where there is none yet, and changes none of another version.

    `creates` makes it where there is none.
    """
    from klausel.storage.schema import open_database

    if not creates:
        exit_without_file(url)
    engine = open_database(url, creates=creates)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def assignments_at(url: str, creates: bool = False) -> Iterator[AssignmentStore]:
    """The role assignments in the database at a URL, as `database_at` opens it."""
    from klausel.storage.assignments.store import AssignmentStore

    with database_at(url, creates) as engine, closing(AssignmentStore(engine)) as store:
        yield store


def exit_without_file(url: str) -> None:
    """Exits with 1 where a URL names a database in memory, or an SQLite file that does not exist."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from klausel.storage.sql.database import is_in_memory

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return
    if is_in_memory(parsed):
        fail("a database in memory is empty at every start; name a file, such as --database sqlite:///klausel.db")
    name = parsed.database or ""
    if parsed.get_backend_name() == "sqlite" and not name.startswith("file:") and not Path(name).exists():
        fail(f"there is no database at {name}; start the service once, import people, or name another --database")


def explains_storage_errors(command: Command) -> Command:
    """Makes a command that meets an unusable database or installation say so in one line and exit with 1."""

    @functools.wraps(command)
    def guarded(*arguments: object, **options: object) -> object:
        try:
            check_installation()
            return command(*arguments, **options)
        except (InstallationError, StorageError) as error:
            fail(str(error))

    return guarded  # type: ignore[return-value]
