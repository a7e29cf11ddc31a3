"""Options that several commands share, and how commands end on errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from klausel.cli.output import say
from klausel.cli.problem_lines import print_problems
from klausel.cli.setting_options import setting_option
from klausel.core.analysis.other_model import note_on
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.moment import is_moment
from klausel.core.terms.problem import PolicyError, did_you_mean
from klausel.service.pipeline import LoadedPolicy, load_files
from klausel.settings import Settings
from klausel.storage.git.objects import GitCommit, GitError
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import (
    PolicyFiles,
    folders_of,
    model_beside,
    read_at,
    read_folder,
    tree_path_of,
)
from klausel.storage.policy_files.git_source import git_address
from klausel.storage.policy_files.saving import replace_file

EXIT_PROBLEMS = 1
EXIT_DENIED = 3

_DEFAULTS = Settings()
Command = TypeVar("Command", bound=Callable[..., object])

_ACCEPTED = "klausel.accepted_models"
_DIGEST = re.compile("sha256:[0-9a-f]{64}")


def _remember_accepted(ctx: click.Context, _: click.Parameter, digests: tuple[str, ...]) -> None:
    for digest in digests:
        if not _DIGEST.fullmatch(digest):
            raise click.BadParameter(f"{digest!r} is no digest; write sha256: and what `sha256sum model.conf` prints")
    ctx.meta[_ACCEPTED] = digests


def accepted_models() -> tuple[str, ...]:
    """The digests of models that the command at work may take though their matcher is not Klausel's."""
    context = click.get_current_context(silent=True)
    return () if context is None else tuple(context.meta.get(_ACCEPTED, ()))


def model_option(command: Command) -> Command:
    """The options about the Casbin model; what is accepted stands in the context, for whoever reads policies."""
    named = setting_option("model", type=click.Path(path_type=Path, readable=False), default=None, show_default=False)
    accepted = setting_option("accept_model", expose_value=False, callback=_remember_accepted)
    return named(accepted(command))


at_option = click.option(
    "--at",
    metavar="REV|MOMENT",
    help="Policies as of a commit of their git repository: a branch, a tag, an id, HEAD~2; or what was in force at a moment: "
    "2026-03-01, main@2026-03-01T12:00. Nothing is checked out.",
)


def refuse_several_folders(policies: Path, why: str) -> None:
    """Ends a command that works on one folder with wrong usage, where several are named; `why` says what it does with one."""
    if len(folders_of(policies)) > 1:
        raise click.UsageError(f"{why}, and several policy folders are named ({policies}); name one of them")


def refuse_what_is_no_folder(policies: Path) -> None:
    """Ends a command that writes files with wrong usage, where what is named is no folder."""
    if git_address(str(policies)):
        raise click.UsageError(f"files are written in a folder, and {policies} is none; name one with --policies")


def load_or_exit(policies: Path, model: Path | None, with_tests: bool = False, at: str | None = None) -> LoadedPolicy:
    """The policy set, `at` a commit if one is named; prints every problem and exits with 1 when there is none."""
    with exits_on_problems(policies, at):
        loaded = open_policies(policies, model, with_tests, at)
    if loaded.commit is not None:
        say_commit_at(policies, at, loaded.commit.id)
    return loaded


def say_commit_at(policies: Path, at: str | None, commit: str) -> None:
    """Names the commit that was in force, where a moment asks for it: by `--at`, or in the address of the policies."""
    address = git_address(str(policies))
    asked = at if address is None else address.revision
    if asked is not None and asks_a_moment(asked):
        say(f"klausel: what was in force at {asked} is commit {commit[:12]}", err=True)
        place = folders_of(policies)[0] if address is None else Path(address.repository)
        with GitRepository.containing(place) as repository:
            doubt = repository.doubt_about(asked)
        if doubt:
            say(f"klausel: {doubt}", err=True)


def asks_a_moment(revision: str) -> bool:
    """Whether what is written in place of a revision is a moment, of a branch or of the one that is checked out."""
    return is_moment(revision.rpartition("@")[2])


def open_history(policies: Path, at: str | None) -> tuple[GitRepository, GitCommit, str]:
    """As `klausel.service.policy_history.open_history`; a usage error where a commit is named twice."""
    from klausel.service import policy_history  # who only asks does not wait for what reads history

    if git_address(str(policies)) is not None:
        _refuse_second_commit(policies, at)
    else:
        refuse_several_folders(
            policies, "this follows one policy folder through its commits (klausel diff compares commits of all of them)"
        )
    return policy_history.open_history(str(policies), at)


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
        print_problems(error.problems)
        fail(f"the policies in {policies} have problems; fix them first" if at is None else _does_not_load(policies, at))


def _does_not_load(policies: Path, at: str) -> str:
    """What to do about a version of the past, which nobody can fix any more."""
    with GitRepository.containing(folders_of(policies)[0]) as repository:
        commit = repository.commit(at)
    told = f"the policies in {policies} at {at}, commit {commit.id[:12]}, do not load, so no service took them"
    return f"{told}: one that ran kept the version before; ask with --at {commit.id[:12]}~1" if commit.parents else told


def open_policies(policies: Path, model: Path | None, with_tests: bool = False, at: str | None = None) -> LoadedPolicy:
    """The policy set in a folder, or at a git ref; raises `PolicyError`, and `GitError` when git cannot answer."""
    return load_files(read_policies(policies, model, at), with_tests, accepted_models=accepted_models())


def read_policies(policies: Path, model: Path | None, at: str | None = None) -> PolicyFiles:
    """The files of the policy set in a folder, or at a git ref; raises as `open_policies` does."""
    address = git_address(str(policies))
    if address is not None:
        _refuse_second_commit(policies, at)
        with GitRepository.objects_of(address.repository) as repository:
            return read_at(repository, address.revision, address.folder, model)
    if at is None:
        return read_folder(policies, model_beside(policies, model))
    with GitRepository.containing(folders_of(policies)[0]) as repository:
        inside = None if model is None else repository.tree_path_or_none(model)
        return read_at(repository, at, tree_path_of(repository, policies), inside or model)


def write_or_exit(path: Path, content: bytes) -> None:
    """Gives a file this content at once, in a folder that is made when it is not there; exits with 1 when it cannot."""
    try:
        path.parent.mkdir(exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        fail(f"{path}: it cannot be written: {(error.strerror or str(error)).lower()}")


def check_declared(policy: PolicySet, resource_type: str, action: str, *, tells_all: bool = False) -> None:
    """Refuses a type or an action that no policy file declares; where none is like it, `tells_all` says which there are."""
    declared = policy.resource_types.get(resource_type)
    if declared is None:
        hint = did_you_mean(resource_type, policy.resource_types) or ("klausel compile shows all" if tells_all else "")
        raise click.BadParameter(f'no policy file declares "{resource_type}"; {hint}'.rstrip("; "), param_hint="TYPE")
    if action not in declared.actions:
        hint = did_you_mean(action, declared.actions) or (f"it has {', '.join(declared.actions)}" if tells_all else "")
        raise click.BadParameter(f'{resource_type} has no action "{action}"; {hint}'.rstrip("; "), param_hint="ACTION")


def say_other_model(loaded: LoadedPolicy) -> None:
    """Prints, above an analysis, that it does not speak for the model; nothing where it does."""
    other = loaded.compiled.other_model
    if other is not None:
        say(note_on(other))


def with_other_model(loaded: LoadedPolicy, answer: dict[str, object]) -> dict[str, object]:
    """An analysis as JSON, which says first that it does not speak for the model, where it does not."""
    return with_note_on(loaded.compiled.other_model, answer)


def with_note_on(other: str | None, answer: dict[str, object]) -> dict[str, object]:
    """As `with_other_model`, by the digest of the model; None where the analysis speaks for it."""
    return answer if other is None else {"not_for_model": other, "note": note_on(other), **answer}


steps_option = click.option(
    "--max-steps",
    type=click.IntRange(1),
    default=_DEFAULTS.max_analysis_steps,
    show_default=True,
    help="How much the analysis may go through; what is beyond is UNKNOWN. A million take some ten seconds.",
)


def fail(message: str) -> NoReturn:
    """Prints a message and exits with 1."""
    say(f"klausel: {message}", err=True)
    raise SystemExit(EXIT_PROBLEMS)
