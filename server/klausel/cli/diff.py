"""The command `diff`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import click

from klausel.casbin_policies.engine import CompiledPolicy
from klausel.cli.database_options import database_option
from klausel.cli.formats import format_option
from klausel.cli.options import EXIT_PROBLEMS, fail, load_or_exit, model_option, steps_option
from klausel.cli.output import painted, say_json, say_lines, say_painted
from klausel.cli.people_concerned import people_concerned, people_option
from klausel.cli.policy_folder import name_of, policies_option_alone
from klausel.core.difference.causes import Cause
from klausel.core.difference.compare import PolicyDifference, difference_between
from klausel.core.difference.formats import as_html, as_markdown, as_text
from klausel.core.difference.renames import renames_between
from klausel.core.difference.report import DifferenceReport, Origin, as_json
from klausel.core.pictures.role_picture import role_picture
from klausel.core.pictures.svg import as_svg
from klausel.core.policy.policy_set import PolicySet
from klausel.core.terms.problem import nearest_name
from klausel.storage.git.line_history import LineHistory
from klausel.storage.git.objects import GitCommit, GitError, printable
from klausel.storage.git.repository import GitRepository
from klausel.storage.policy_files.folder import are_folders, folders_of
from klausel.storage.policy_files.git_source import git_address


@dataclass(frozen=True)
class _Side:
    """One side of the comparison: how it is called, its policy set, and who wrote its lines; None outside of git."""

    name: str
    compiled: CompiledPolicy
    lines: LineHistory | None

    @property
    def policy(self) -> PolicySet:
        return self.compiled.policy


@click.command()
@click.argument("before", metavar="[REV_A]", required=False)
@click.argument("after", metavar="[REV_B]", required=False)
@policies_option_alone
@model_option
@format_option(
    {
        "text": lambda report: say_painted(as_text(report, painted)),
        "markdown": lambda report: say_lines(as_markdown(report).splitlines()),
        "json": lambda report: say_json(as_json(report), indent=2),
        "html": lambda report: say_lines(as_html(report, as_svg(role_picture(report.difference.after))).splitlines()),
    },
    help="markdown: for a comment on a pull request; html: a page of its own.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["more", "less", "any"]),
    help="Exit with 1 when more is allowed or less demanded, when less is allowed, or when anything changes.",
)
@people_option
@click.option("--names", is_flag=True, help="Name them too.")
@steps_option
@database_option
def diff(
    before: str | None,
    after: str | None,
    policies: Path,
    model: Path | None,
    write: Callable[[DifferenceReport], None],
    fail_on: str | None,
    people: bool,
    names: bool,
    max_steps: int,
    database: str,
) -> None:
    """Show exactly what changes in what is allowed: who gains and loses what, where, under which conditions, and why.

    Without arguments, from the last commit to the work tree; with REV_A alone, from that commit to the work tree. Each may be any
    git revision, or a folder. Order, layout, remarks and the names of conditions and files do not count.

    \b
    Examples:
      klausel diff
      klausel diff main --format markdown --fail-on more
      klausel diff v1.2 v1.3 --people
      klausel diff ../old/policies policies
    """
    with ExitStack() as opened:
        sides = [
            _side(opened, before or "HEAD", policies, model),
            _side(opened, after, policies, model),
        ]
        difference = difference_between(sides[0].policy, sides[1].policy, max_steps)
        origins = dict(_origins(difference, sides))
    counted, everybody = people_concerned(difference, database, names) if people or names else (None, None)
    renames = renames_between(sides[0].policy, sides[1].policy)
    models = sides[0].compiled.other_model, sides[1].compiled.other_model
    report = DifferenceReport(difference, sides[0].name, sides[1].name, renames, origins, counted, everybody, models)
    write(report)
    raise SystemExit(EXIT_PROBLEMS if _fails(report, fail_on) else 0)


def _side(opened: ExitStack, named: str | None, policies: Path, model: Path | None) -> _Side:
    """A side by its argument: a folder, an address in a repository, a revision, or None for the work tree."""
    base = git_address(str(policies))
    if base is not None and (named is None or not (are_folders(Path(named)) or git_address(named))):
        named = str(policies) if named is None else f"{base.repository}@{named}:{base.folder}"
    if named is None or are_folders(Path(named)):
        folder = policies if named is None else Path(named)
        compiled = load_or_exit(folder, model).compiled
        try:
            repository = opened.enter_context(GitRepository.containing(folders_of(folder)[0]))
        except GitError:
            return _Side(folder.as_posix(), compiled, None)
        name = f"{name_of(folder)} in the work tree" if named is None else folder.as_posix()
        return _Side(name, compiled, LineHistory(repository, None))
    address = git_address(named)
    try:
        if address is not None:
            compiled = load_or_exit(Path(named), model).compiled
            repository = opened.enter_context(GitRepository.objects_of(address.repository))
            commit = repository.commit(address.revision)
        else:
            repository, commit = _commit_named(opened, named, policies)
            compiled = load_or_exit(policies, model, at=commit.id).compiled
    except GitError as error:
        fail(str(error))
    return _Side(commit.named(named), compiled, LineHistory(repository, commit))


def _commit_named(opened: ExitStack, named: str, policies: Path) -> tuple[GitRepository, GitCommit]:
    """The commit that `named` is a revision of, with its repository; ends the command where it can be none."""
    if Path(named).exists():
        fail(f"{name_of(Path(named))} is a file; name the folder of its policy set")
    try:
        repository = opened.enter_context(GitRepository.containing(folders_of(policies)[0]))
    except GitError as error:
        if named == "HEAD":
            fail(f"{error}, so there is no commit to compare with; name two folders: klausel diff BEFORE AFTER")
        hint = _folder_meant(named) or "name the folder of a policy set"
        fail(f'there is no folder "{printable(named)}", and it can be no git revision, for in {error}; {hint}')
    try:
        return repository, repository.commit(named)
    except GitError as error:
        fail(f"{error}; {_folder_meant(named) or 'or name a folder of a policy set'}")


def _folder_meant(named: str) -> str:
    """The question whether a folder was meant that is called almost so; empty where none is."""
    above = Path(named).parent
    folders = [one.name for one in above.iterdir() if one.is_dir()] if above.is_dir() else []
    near = nearest_name(Path(named).name, folders)
    return f"did you mean the folder {(above / near).as_posix()}?" if near else ""


def _origins(difference: PolicyDifference, sides: list[_Side]) -> Iterator[tuple[Cause, Origin]]:
    """Who wrote the lines to blame, each in the history of the side where it stands."""
    for cause in dict.fromkeys(cause for change in difference.changes for cause in change.causes):
        lines = sides[0 if cause.side == "before" else 1].lines
        if lines is None:
            continue
        commit = lines.writer_of(cause.place.file, cause.place.line)
        later, remover = sides[1].lines, None
        if cause.side == "before" and later is not None:
            remover = lines.remover_of(cause.place.file, cause.place.line, later)
        yield cause, replace(_origin(commit), removed_by=None if remover is None else _origin(remover))


def _origin(commit: GitCommit | Literal["work tree"] | None) -> Origin:
    if commit is None or commit == "work tree":
        return Origin()
    assert isinstance(commit, GitCommit)
    return Origin(commit.id, commit.author, commit.date.date().isoformat(), commit.subject)


def _fails(report: DifferenceReport, fail_on: str | None) -> bool:
    """Whether what was asked for changed; a rule that demands less, or other things, may let more happen later."""
    # What other entities in files mean for decisions is not compared, so it may be more and less.
    if fail_on is not None and (report.models[0] != report.models[1] or report.entities):
        return True
    verdict = report.difference.verdict
    if fail_on == "any":
        return verdict != "same" or bool(report.rules)
    if fail_on == "more":
        return verdict not in ("same", "less permissive") or any(rule.movement != "stronger" for rule in report.rules)
    return fail_on == "less" and verdict not in ("same", "more permissive")
