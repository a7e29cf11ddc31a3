"""Options that several commands share, and how commands end on errors."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from klausel.core.problem import PolicyError
from klausel.settings import Settings
from klausel.storage.file_rules import DEFAULT_MODEL
from klausel.storage.git_objects import GitError
from klausel.storage.git_repository import GitRepository
from klausel.storage.git_source import git_address
from klausel.storage.policy_files import LoadedPolicy, open_policy, open_policy_at

EXIT_PROBLEMS = 1
EXIT_DENIED = 3

_DEFAULTS = Settings()

policies_option = click.option(
    "--policies",
    type=click.Path(path_type=Path),
    default=Path(_DEFAULTS.policies),
    show_default=True,
    envvar="KLAUSEL_POLICIES",
    show_envvar=True,
    help="Folder of the policy set; REPO@REF:DIR reads it at a git ref, from a bare repository too.",
)
model_option = click.option(
    "--model",
    type=click.Path(path_type=Path),
    envvar="KLAUSEL_MODEL",
    show_envvar=True,
    help="Casbin model; without it, model.conf beside the policies folder, in the working directory, or of Klausel itself.",
)

at_option = click.option(
    "--at",
    metavar="REV",
    help="Policies as of a commit of their git repository: a branch, a tag, an id, HEAD~2. Nothing is checked out.",
)


def model_beside(policies: Path, model: Path | None) -> Path:
    """The model to use: the one named, else `model.conf` beside the policies, in the working directory, of Klausel itself."""
    if model is not None:
        return model
    here = Path(_DEFAULTS.model)
    places = (policies.resolve().parent / here, here, DEFAULT_MODEL)
    return next((place for place in places if place.is_file()), here)


def load_or_exit(policies: Path, model: Path | None, with_tests: bool = False, at: str | None = None) -> LoadedPolicy:
    """The policy set, `at` a commit if one is named; prints every problem and exits with 1 when there is none."""
    try:
        return open_policies(policies, model, with_tests, at)
    except GitError as error:
        fail(str(error))
    except PolicyError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        when = f" at {at}" if at else ""
        fail(f"the policies in {policies}{when} have problems; mend them first")


def open_policies(policies: Path, model: Path | None, with_tests: bool = False, at: str | None = None) -> LoadedPolicy:
    """The policy set in a folder, or at a git ref; raises `PolicyError`, and `GitError` when git cannot answer."""
    address = git_address(str(policies))
    if address is not None:
        if at is not None:
            raise click.UsageError(f"{policies} names a commit already; leave out --at, or write REPO@{at}:DIR")
        with GitRepository.objects_of(address.repository) as repository:
            return open_policy_at(repository, address.revision, address.folder, model, with_tests)
    if at is None:
        return open_policy(policies, model_beside(policies, model), with_tests)
    with GitRepository.containing(policies) as repository:
        inside = None if model is None else repository.tree_path_or_none(model)
        return open_policy_at(repository, at, repository.tree_path(policies), inside or model, with_tests)


def fail(message: str) -> NoReturn:
    """Prints a message and exits with 1."""
    click.echo(f"klausel: {message}", err=True)
    raise SystemExit(EXIT_PROBLEMS)
