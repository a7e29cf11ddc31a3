"""Options that several commands share, and how commands end on errors."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from klausel.core.problem import PolicyError
from klausel.settings import Settings
from klausel.storage.policy_files import LoadedPolicy, open_policy
from klausel.storage.replace_file import replace_file

EXIT_PROBLEMS = 1
EXIT_DENIED = 3

_DEFAULTS = Settings()
_CLONE = Path(__file__).resolve().parents[3]

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


def write_or_exit(path: Path, content: bytes) -> None:
    """Gives a file this content at once, in a folder that is made when it is not there; exits with 1 when it cannot."""
    try:
        path.parent.mkdir(exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        fail(f"{path}: it cannot be written: {(error.strerror or str(error)).lower()}")


def fail(message: str) -> NoReturn:
    """Prints a message and exits with 1."""
    click.echo(f"klausel: {message}", err=True)
    raise SystemExit(EXIT_PROBLEMS)
