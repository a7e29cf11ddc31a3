"""Options that several commands share, and how commands end on errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import click
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import ArgumentError

from klausel.core.problem import PolicyError
from klausel.settings import Settings
from klausel.storage.database import StorageError, is_in_memory, open_database
from klausel.storage.installation import InstallationError, check_installation
from klausel.storage.policy_files import LoadedPolicy, open_policy

EXIT_PROBLEMS = 1
EXIT_DENIED = 3

_DEFAULTS = Settings()
_CLONE = Path(__file__).resolve().parents[3]
Command = TypeVar("Command", bound=Callable[..., object])

policies_option = click.option(
    "--policies",
    type=click.Path(path_type=Path),
    default=Path(_DEFAULTS.policies),
    show_default=True,
    envvar="KLAUSEL_POLICIES",
    show_envvar=True,
    help="Folder of the policy set.",
)
model_option = click.option(
    "--model",
    type=click.Path(path_type=Path),
    envvar="KLAUSEL_MODEL",
    show_envvar=True,
    help="Casbin model; without it, model.conf beside the policies folder, in the working directory, or of Klausel itself.",
)
database_option = click.option(
    "--database",
    default=_DEFAULTS.database,
    show_default=True,
    envvar="KLAUSEL_DATABASE",
    show_envvar=True,
    help="SQLAlchemy URL of the role assignments.",
)


def model_beside(policies: Path, model: Path | None) -> Path:
    """The model to use: the one named, else `model.conf` beside the policies, in the working directory, in this clone."""
    if model is not None:
        return model
    here = Path(_DEFAULTS.model)
    places = (policies.resolve().parent / here, here, _CLONE / here)
    return next((place for place in places if place.is_file()), here)


def load_or_exit(policies: Path, model: Path | None, with_tests: bool = False) -> LoadedPolicy:
    """The policy set; prints every problem and exits with 1 when there is none."""
    try:
        return open_policy(policies, model_beside(policies, model), with_tests)
    except PolicyError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        fail(f"the policies in {policies} have problems; mend them first")


def fail(message: str) -> NoReturn:
    """Prints a message and exits with 1."""
    click.echo(f"klausel: {message}", err=True)
    raise SystemExit(EXIT_PROBLEMS)


def open_existing_database(url: str) -> Engine:
    """The database at a URL; exits with 1 instead of creating an SQLite file that does not exist."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return open_database(url)
    if is_in_memory(parsed):
        fail("a database in memory is empty at every start; name a file, such as --database sqlite:///klausel.db")
    name = parsed.database or ""
    if parsed.get_backend_name() == "sqlite" and not name.startswith("file:") and not Path(name).exists():
        fail(f"there is no database at {name}; start the service once, import people, or name another --database")
    return open_database(url)


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
