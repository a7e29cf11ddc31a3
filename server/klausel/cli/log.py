"""The command `log`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from tqdm import tqdm

from klausel.cli.completion import complete_action, complete_role, complete_type
from klausel.cli.formats import format_option
from klausel.cli.options import at_option, exits_on_problems, open_history
from klausel.cli.output import say, say_json, say_painted
from klausel.cli.policy_folder import policies_option
from klausel.core.difference.commit_changes import CommitChanges, Topic, changes_of_commit
from klausel.core.difference.formats import as_text
from klausel.core.terms.problem import Problem
from klausel.service.policy_history import PolicyHistory, Step
from klausel.storage.git.objects import commit_as_json

_OBJECTS_BETWEEN_COLLECTIONS = 50_000
_COLOURS = {"+": "green", "-": "red", "±": "yellow"}


@dataclass(frozen=True, slots=True)
class _Told:
    """What one commit changed; or why its files do not load."""

    step: Step
    changes: CommitChanges
    model_changed: bool
    problems: tuple[Problem, ...]

    @property
    def says_nothing(self) -> bool:
        return not (self.changes or self.model_changed or self.problems)


def _write_text(told: _Told) -> None:
    say_painted(_lines(told))


def _write_json(told: _Told) -> None:
    say_json(_as_json(told))


@click.command("log")
@click.option(
    "--role",
    shell_complete=complete_role,
    help="Only what this role gains or loses; also by `any`, and by what it contains.",
)
@click.option("--type", "resource_type", shell_complete=complete_type, help="Only what concerns this resource type.")
@click.option("--action", shell_complete=complete_action, help="Only what concerns this action.")
@click.option("-n", "--number", type=click.IntRange(1), help="At most so many commits.")
@click.option("--first-parent", is_flag=True, help="Only the main line: a merge stands for all that it brought.")
@at_option
@policies_option
@format_option({"text": _write_text, "json": _write_json}, help="json: one commit a line.")
def log(
    role: str | None,
    resource_type: str | None,
    action: str | None,
    number: int | None,
    first_parent: bool,
    at: str | None,
    policies: Path,
    write: Callable[[_Told], None],
) -> None:
    """List the commits that changed what the policies mean, newest first, each with its gains and losses.

    Commits that changed nothing in meaning are left out. A commit whose files do not load is shown, and the next good
    one is compared with the last good one before. A merge is compared with its first parent.

    \b
    Examples:
      klausel log -n 5
      klausel log --role lead --type quiz
      klausel log --at v2.0 --format json
    """
    topic = Topic(role, resource_type, action)
    found = 0
    with exits_on_problems(policies, at):
        for told in _log(policies, at, first_parent, topic):
            write(told)
            found += 1
            if found == number:
                return
    if not found:
        say("klausel: no commit changed anything of this", err=True)


def _log(policies: Path, at: str | None, first_parent: bool, topic: Topic) -> Iterator[_Told]:
    opened, commit, folder = open_history(policies, at)
    with closing(opened) as repository:
        history = PolicyHistory(repository, folder)
        commits = history.commits(commit, first_parent)
        with _rare_collections(), tqdm(total=len(commits), unit=" commits", leave=False, disable=None) as bar:
            for one, name in commits:
                told = _told(history.step(one, name), topic)
                bar.update()
                if not told.says_nothing:
                    bar.clear()
                    yield told


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Lets the garbage collector look less often: policy sets make many objects, and few circles among them."""
    usual = gc.get_threshold()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _told(step: Step, topic: Topic) -> _Told:
    """What a step changed of what is asked about."""
    if step.after is not None and step.after.policy is None:
        return _Told(step, CommitChanges(), False, step.after.problems)
    before = None if step.before is None else step.before.policy
    after = None if step.after is None else step.after.policy
    return _Told(step, changes_of_commit(before, after, step.commit.id, topic), _has_other_model(step), ())


def _has_other_model(step: Step) -> bool:
    return step.before is not None and step.after is not None and step.before.model != step.after.model


def _lines(told: _Told) -> Iterator[str]:
    commit = told.step.commit
    merge = " (merge)" if len(commit.parents) > 1 else ""
    yield f"{commit.id[:12]}  {commit.date:%Y-%m-%d}  {commit.author}  {commit.subject}{merge}"
    errors = [problem for problem in told.problems if problem.severity == "error"]
    if errors:
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        yield f"  ! does not load: {errors[0]}{more}"
    if told.step.skipped:
        yield f"  compared with the last that loads, {told.step.skipped + 1} commits before"
    if told.step.is_cut:
        yield "  the clone ends here: what was there before counts as gained; git fetch --unshallow brings the rest"
    if told.step.after is None:
        yield "  the policies are gone"
    for text in told.changes.removed:
        yield f"  - {text}"
    for text in told.changes.added:
        yield f"  + {text}"
    for rule in told.changes.rules:
        yield f"  ~ {rule}"
    if told.model_changed:
        yield "  ~ the model is another one, so its matcher may decide otherwise"
    if told.changes.report is not None and told.changes.has_changes:
        _, *lines = as_text(told.changes.report, _paint)
        yield from (f"  {line}" for line in lines if line)


def _paint(text: str, style: str) -> str:
    return click.style(text, bold=True) if style == "bold" else click.style(text, fg=_COLOURS[style])


def _as_json(told: _Told) -> dict[str, object]:
    return {
        "commit": commit_as_json(told.step.commit),
        "parents": told.step.commit.parents,
        "loads": not told.problems,
        "problems": [str(problem) for problem in told.problems],
        "broken_commits_before": told.step.skipped,
        "clone_ends_here": told.step.is_cut,
        "model_changed": told.model_changed,
        **told.changes.as_json(),
    }
