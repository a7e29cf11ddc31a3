"""Options that several commands share, and how commands end on errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click

from klausel.core.terms.problem import PolicyError
from klausel.service.pipeline import LoadedPolicy, load_files
from klausel.settings import Settings
from klausel.storage.file_rules import DEFAULT_MODEL
from klausel.storage.git.objects import GitCommit, GitError
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import PolicyFiles, read_at, read_folder
from klausel.storage.policy_files.git_source import git_address
from klausel.storage.policy_files.replace_file import replace_file

EXIT_PROBLEMS = 1
EXIT_DENIED = 3

_DEFAULTS = Settings()

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
    return next((place for place in places if os.path.isfile(place)), here)


def load_or_exit(policies: Path, model: Path | None, with_tests: bool = False, at: str | None = None) -> LoadedPolicy:
    """The policy set, `at` a commit if one is named; prints every problem and exits with 1 when there is none."""
    with exits_on_problems(policies, at):
        return open_policies(policies, model, with_tests, at)


def open_history(policies: Path, at: str | None) -> tuple[GitRepository, GitCommit, str]:
    """The repository that policies lie in, the commit that is meant (HEAD, where none is), and their folder in its trees.

    Raises `GitError`; whoever calls closes the repository.
    """
    address = git_address(str(policies))
    if address is not None:
        _refuse_second_commit(policies, at)
        repository = GitRepository.objects_of(address.repository)
        return repository, repository.commit(address.revision), address.folder
    repository = GitRepository.containing(policies)
    return repository, repository.commit(at or "HEAD"), repository.tree_path(policies)


def _refuse_second_commit(policies: Path, at: str | None) -> None:
    if at is not None:
        raise click.UsageError(f"{policies} names a commit already; leave out --at, or write REPO@{at}:DIR")


@contextmanager
def exits_on_problems(policies: Path, at: str | None) -> Iterator[None]:
    """Prints the problems of a policy set that cannot be read inside, or why git cannot answer, and exits with 1."""
    try:
        yield
    except GitError as error:
        fail(str(error))
    except PolicyError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        when = f" at {at}" if at else ""
        fail(f"the policies in {policies}{when} have problems; mend them first")


def open_policies(policies: Path, model: Path | None, with_tests: bool = False, at: str | None = None) -> LoadedPolicy:
    """The policy set in a folder, or at a git ref; raises `PolicyError`, and `GitError` when git cannot answer."""
    return load_files(read_policies(policies, model, at), with_tests)


def read_policies(policies: Path, model: Path | None, at: str | None = None) -> PolicyFiles:
    """The files of the policy set in a folder, or at a git ref; raises as `open_policies` does."""
    address = git_address(str(policies))
    if address is not None:
        _refuse_second_commit(policies, at)
        with GitRepository.objects_of(address.repository) as repository:
            return read_at(repository, address.revision, address.folder, model)
    if at is None:
        return read_folder(policies, model_beside(policies, model))
    with GitRepository.containing(policies) as repository:
        inside = None if model is None else repository.tree_path_or_none(model)
        return read_at(repository, at, repository.tree_path(policies), inside or model)


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
